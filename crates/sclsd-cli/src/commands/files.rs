//! The files of a command: what it reads, what it writes, and that the two do not get in each other's way.
//!
//! Every command says what its files are before it does anything. Two names may be one file: by a link, a hard link or
//! a path written otherwise. What is written is never what is read, but for an `.h5ad` file that becomes its own
//! result.

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
    /// An input that it may replace.
    over: Option<&'a Path>,
    /// Whether it may go to a device or a pipe.
    flows: bool,
}

impl<'a> Files<'a> {
    /// A file that is read; `option` is what a user knows it by.
    pub(super) fn reads(mut self, option: &'static str, path: &'a Path) -> Self {
        self.read.push((option, path));
        self
    }

    /// A file that is read where it is given.
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

    /// Fails where a file could not be written or would destroy another; else clears away what a killed run left of it.
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
                bail!("{option} {shown} is where standard output goes; give {option} another name");
            }
            check_replaceable(written.path)
                .map_err(|error| anyhow::anyhow!("{shown} cannot be written: {}", plain_reason(&error)))?;
            remove_stale_temporaries(written.path);
            signals::remember(written.path);
        }
        Ok(())
    }
}

/// Whether two paths lead to one file, be it there or not. Devices and pipes are no files in this sense.
fn same(a: &Path, b: &Path) -> bool {
    match (identity(a), identity(b)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// What a file is known by: device and number where it is there, else where it would be.
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

/// Writes a picture, a page or a table: to standard output where that is meant, into a device, or as a file that is
/// there once it is whole.
pub(super) fn write(output: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if standard::is_standard_output(output) {
        return standard::write(bytes);
    }
    write_file(output, bytes)
        .map_err(|error| anyhow::anyhow!("{} cannot be written: {}", output.display(), plain_reason(&error)))
}
