//! The files that a command reads and writes, and the check that no output destroys an input or another output.
//!
//! Every command declares its files before it does anything. Two names may lead to one file: by a link, a hard link or
//! another spelling of the path. No output is an input, except that a result may replace the `.h5ad` file that it is a
//! copy of.

use std::path::{Path, PathBuf};

use anyhow::bail;
use sclsd::data::{check_replaceable, is_stream, plain_reason, remove_stale_temporaries, resolved, write_file};

use crate::{signals, standard};

/// Files that are read and written, by the options that name them.
#[derive(Default)]
pub(super) struct Files<'a> {
    read: Vec<(&'static str, &'a Path)>,
    written: Vec<Written<'a>>,
}

struct Written<'a> {
    option: &'static str,
    path: &'a Path,
    /// The input that this output may replace.
    over: Option<&'a Path>,
    /// Whether this output may be a device or a pipe.
    flows: bool,
}

impl<'a> Files<'a> {
    /// A file that is read; `option` names it in messages.
    pub(super) fn reads(mut self, option: &'static str, path: &'a Path) -> Self {
        self.read.push((option, path));
        self
    }

    /// A file that is read if it is given.
    pub(super) fn may_read(self, option: &'static str, path: Option<&'a PathBuf>) -> Self {
        match path {
            Some(path) => self.reads(option, path),
            None => self,
        }
    }

    /// An `.h5ad` file or a model that is written.
    pub(super) fn writes(mut self, option: &'static str, path: &'a Path) -> Self {
        self.written.push(Written { option, path, over: None, flows: false });
        self
    }

    /// An `.h5ad` file that is written and may be the `.h5ad` file that is read.
    pub(super) fn writes_over(mut self, option: &'static str, path: &'a Path, input: &'a Path) -> Self {
        self.written.push(Written { option, path, over: Some(input), flows: false });
        self
    }

    /// A picture, page or table that is written, to a device or a pipe too.
    pub(super) fn writes_text(mut self, option: &'static str, path: &'a Path) -> Self {
        self.written.push(Written { option, path, over: None, flows: true });
        self
    }

    /// Fails if an output cannot be written or would destroy another file; otherwise removes temporary files that a
    /// killed run left behind.
    pub(super) fn check(self) -> anyhow::Result<()> {
        for (i, written) in self.written.iter().enumerate() {
            let (option, shown) = (written.option, written.path.display());
            for (other, path) in &self.read {
                let allowed = written.over.is_some_and(|over| same(over, path));
                if !allowed && same(written.path, path) {
                    bail!(
                        "{option} {shown} and {other} {} are one file, which would be destroyed; give {option} another \
                         name",
                        path.display()
                    );
                }
            }
            if let Some(other) = self.written[..i].iter().find(|other| same(other.path, written.path)) {
                bail!(
                    "{} {} and {option} {shown} are one file; give each a name of its own",
                    other.option,
                    other.path.display()
                );
            }
            if written.flows && (standard::is_standard_output(written.path) || is_stream(written.path)) {
                continue;
            }
            if standard::is_standard_output(written.path) && !is_stream(written.path) {
                bail!(
                    "{option} {shown} is standard output, which cannot take this kind of file; give {option} another name"
                );
            }
            check_replaceable(written.path)
                .map_err(|error| anyhow::anyhow!("{shown} cannot be written: {}", plain_reason(&error)))?;
            remove_stale_temporaries(written.path);
            signals::remember(written.path);
        }
        Ok(())
    }
}

/// Whether two paths lead to one file, whether or not the file exists. Devices and pipes do not count as files.
fn same(a: &Path, b: &Path) -> bool {
    match (identity(a), identity(b)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// The identity of a file: device and inode number if the file exists, else its resolved path.
#[derive(PartialEq)]
enum Identity {
    #[cfg(unix)]
    Node(u64, u64),
    Place(PathBuf),
}

fn identity(path: &Path) -> Option<Identity> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => None,
        #[cfg(unix)]
        Ok(found) => {
            use std::os::unix::fs::MetadataExt;
            Some(Identity::Node(found.dev(), found.ino()))
        }
        _ => resolved(path).ok().map(Identity::Place),
    }
}

/// Writes a picture, a page or a table: to standard output, to a device, or to a file that appears only once it is
/// complete.
pub(super) fn write(output: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if standard::is_standard_output(output) {
        return standard::write(bytes);
    }
    write_file(output, bytes)
        .map_err(|error| anyhow::anyhow!("{} cannot be written: {}", output.display(), plain_reason(&error)))
}
