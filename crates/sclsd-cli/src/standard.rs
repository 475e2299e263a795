//! Standard output and standard error. If standard output cannot be written, that is an error; if standard error
//! cannot, that is ignored; neither is a panic.

use std::io::Write;

use sclsd::data::plain_reason;

use crate::escape;

/// Prints lines on standard output; `text` has no line break at the end.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    write(format!("{}\n", escape::lines(text)).as_bytes())
}

/// Prints a JSON text on standard output.
pub(crate) fn print_json(value: &serde_json::Value) -> anyhow::Result<()> {
    write(format!("{}\n", escape::json(&value.to_string())).as_bytes())
}

/// Writes bytes to standard output.
pub(crate) fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| anyhow::anyhow!("standard output cannot be written: {}", plain_reason(&error)))
}

/// Prints lines on standard error; errors of printing are ignored.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", escape::lines(text));
}

/// Whether a path is the file that the standard output of this process goes to.
#[cfg(unix)]
pub(crate) fn is_standard_output(path: &std::path::Path) -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    let ours = std::io::stdout().as_fd().try_clone_to_owned().and_then(|out| std::fs::File::from(out).metadata());
    let theirs = std::fs::metadata(path);
    matches!((ours, theirs), (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()))
}

/// Whether a path is the file that the standard output of this process goes to.
#[cfg(not(unix))]
pub(crate) fn is_standard_output(_: &std::path::Path) -> bool {
    false
}
