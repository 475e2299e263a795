//! Files that are either whole or not there: written beside, synced, renamed.

use std::io;
use std::path::{Path, PathBuf};

/// Gives `fill` an empty temporary file in the directory of `output`, syncs what it wrote to disk and renames it to
/// `output`. Until then whatever stood under that name is untouched; if anything fails, the temporary file is removed.
///
/// # Errors
/// What `fill` returns, or what `failed` makes of the operating system's reason.
pub fn replace_file<E>(
    output: &Path,
    failed: impl Fn(io::Error) -> E,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let directory = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    if output.is_dir() {
        return Err(failed(io::Error::other("it is a directory")));
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".sclsd-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let temporary = builder.tempfile_in(directory).map_err(&failed)?;
    fill(temporary.path())?;
    temporary.as_file().sync_all().map_err(&failed)?;
    temporary.persist(output).map_err(|error| failed(error.error))?;
    Ok(())
}

/// An operating system's reason in words, without its error number: `no space left on device`.
#[must_use]
pub fn plain_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let mut reason = text.split(" (os error").next().unwrap_or(&text).to_owned();
    if let Some(first) = reason.get(..1).map(str::to_lowercase) {
        reason.replace_range(..1, &first);
    }
    // a path that tempfile appends is that of the temporary file, which nobody asked for
    reason.split(" at path ").next().unwrap_or(&reason).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("out");
        std::fs::write(&output, "old").unwrap();
        let failed = replace_file(
            &output,
            |e| e.to_string(),
            |path| {
                std::fs::write(path, "half").unwrap();
                Err("stopped".to_owned())
            },
        );
        assert_eq!(failed, Err("stopped".into()));
        assert_eq!(std::fs::read_to_string(&output).unwrap(), "old");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
