//! Atomic file replacement: a file is written beside the output, synced and renamed, so the output is never partial.
//!
//! The temporary file of an output is in the same directory, with the name `.sclsd-<output>-<process>-<random>.tmp`. A
//! killed run leaves its temporary file behind; [`remove_stale_temporaries`] removes those whose process no longer
//! runs. A symbolic link is followed: its target is replaced.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::{Builder, NamedTempFile};

/// Bytes of an output's name that the name of its temporary file repeats. Longer names are truncated and hashed.
const SHOWN: usize = 100;
/// Upper limit on the length of a chain of symbolic links; a longer chain is treated as a cycle.
const LINKS: usize = 40;
/// Age after which an unmodified temporary file is stale, on systems that do not report which processes run.
const FORGOTTEN: Duration = Duration::from_hours(24);

/// Creates an empty temporary file in the directory of `output`, calls `fill` with it, syncs it to disk and renames it
/// to `output`. Until then an existing file with that name is unchanged. If a step fails, the temporary file is
/// removed.
///
/// A symbolic link is followed, and its target is replaced. A replaced file's permissions are preserved. A new file has
/// the permissions that `fill` gave it, and its owner can always read and write it.
///
/// # Errors
/// Returns the error of `fill`, or maps the operating system's error with `failed`. It is an error if `output` is a
/// directory, a device, a pipe or read-only.
pub fn replace_file<E>(
    output: &Path,
    failed: impl Fn(io::Error) -> E,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let place = Place::of(output).map_err(&failed)?;
    let temporary = place.temporary().map_err(&failed)?;
    fill(temporary.path())?;
    place.finish(temporary).map_err(failed)
}

/// Writes bytes to a file atomically, or directly if `output` is a device or a pipe.
///
/// # Errors
/// The operating system's error. It is an error if `output` is a directory or read-only.
pub fn write_file(output: &Path, bytes: &[u8]) -> io::Result<()> {
    if is_stream(output) {
        return io::Write::write_all(&mut File::options().write(true).open(output)?, bytes);
    }
    replace_file(output, |error| error, |temporary| fs::write(temporary, bytes))
}

/// Checks whether [`replace_file`] could write to `output` now: the directory is writable, the name is valid, and an
/// existing file can be replaced.
///
/// # Errors
/// The reason why the file cannot be written.
pub fn check_replaceable(output: &Path) -> io::Result<()> {
    Place::of(output)?.temporary().map(|_| ())
}

/// Whether bytes written to `path` pass through it instead of being stored: a character device or a named pipe.
#[must_use]
pub fn is_stream(output: &Path) -> bool {
    fs::metadata(output).is_ok_and(|found| {
        #[cfg(unix)]
        {
            use std::os::unix::fs::FileTypeExt;
            found.file_type().is_char_device() || found.file_type().is_fifo()
        }
        #[cfg(not(unix))]
        {
            !found.is_file() && !found.is_dir()
        }
    })
}

/// The target of a path with symbolic links resolved. The directory is canonical, and the file need not exist.
///
/// # Errors
/// The operating system's error, for example if the directory does not exist. It is no error if only the file does not
/// exist.
pub fn resolved(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::canonicalize(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        match fs::read_link(&path) {
            // a link to a missing target
            Ok(to) => path = directory_of(&path).join(to),
            Err(_) => {
                let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
                return Ok(fs::canonicalize(directory_of(&path))?.join(name));
            }
        }
    }
    Err(io::Error::other("it is a link that leads to itself"))
}

/// Removes the temporary files that killed runs left behind for this output. Files of running processes remain. Call
/// this before the process writes the output: a file with the process's own number must belong to an earlier process
/// with the same number.
pub fn remove_stale_temporaries(output: &Path) {
    let own = std::process::id();
    for (process, path) in temporaries_of(output) {
        let opened = File::options().write(true).open(&path).or_else(|_| File::open(&path));
        let free = opened.is_ok_and(|file| file.try_lock().is_ok());
        if free && (process == own || is_gone(process, &path)) {
            // if the file cannot be removed, it remains
            let _ = fs::remove_file(&path);
        }
    }
}

/// Whether the process that wrote a temporary file has ended, as far as can be determined. (A process on another
/// machine that shares the directory may still run; in that case only the HDF5 library's lock protects the file.)
fn is_gone(process: u32, temporary: &Path) -> bool {
    let processes = Path::new("/proc");
    if processes.join("self").exists() {
        return !processes.join(process.to_string()).exists();
    }
    let written = fs::metadata(temporary).and_then(|found| found.modified());
    written.is_ok_and(|at| at.elapsed().is_ok_and(|ago| ago > FORGOTTEN))
}

/// Removes the temporary files of this process for this output. Meant for a program that ends because of a signal.
pub fn remove_own_temporaries(output: &Path) {
    let own = std::process::id();
    for (_, path) in temporaries_of(output).filter(|(process, _)| *process == own) {
        let _ = fs::remove_file(path);
    }
}

/// The message of an operating system error without the error number: `no space left on device`.
#[must_use]
pub fn plain_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let mut reason = text.split(" (os error").next().unwrap_or(&text).to_owned();
    if let Some(first) = reason.get(..1).map(str::to_lowercase) {
        reason.replace_range(..1, &first);
    }
    // tempfile appends the path of the temporary file, which means nothing to the user
    reason.split(" at path ").next().unwrap_or(&reason).to_owned()
}

/// A path that a file can be written to: symbolic links resolved, with the metadata of an existing file.
struct Place {
    path: PathBuf,
    before: Option<Metadata>,
}

impl Place {
    fn of(output: &Path) -> io::Result<Self> {
        let path = resolved(output)?;
        let before = match fs::metadata(&path) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        match &before {
            Some(found) if found.is_dir() => Err(io::Error::other("it is a directory")),
            Some(found) if !found.is_file() => {
                Err(io::Error::other("it is a device or a pipe, and a file of this kind cannot be written to one"))
            }
            Some(found) if found.permissions().readonly() => Err(io::Error::other("it is read-only")),
            _ => Ok(Self { path, before }),
        }
    }

    fn temporary(&self) -> io::Result<NamedTempFile> {
        let prefix = format!("{}{}-", prefix(&self.path), std::process::id());
        let mut builder = Builder::new();
        builder.prefix(&prefix).suffix(SUFFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        builder.tempfile_in(directory_of(&self.path))
    }

    fn finish(&self, temporary: NamedTempFile) -> io::Result<()> {
        let file = temporary.as_file();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = match &self.before {
                Some(before) => before.permissions().mode(),
                // a copy of a read-only file must still be writable for its owner
                None => file.metadata()?.permissions().mode() | 0o600,
            };
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        file.sync_all()?;
        temporary.persist(&self.path).map_err(|error| error.error)?;
        sync_directory(directory_of(&self.path))
    }
}

/// Syncs the directory, so that a rename survives a crash. Does nothing on file systems that do not support it.
fn sync_directory(directory: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(directory).and_then(|directory| directory.sync_all()) {
        Err(error) if !matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported) => Err(error),
        _ => Ok(()),
    }
}

const SUFFIX: &str = ".tmp";

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The prefix of the names of an output's temporary files.
fn prefix(output: &Path) -> String {
    let name = output.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    if name.len() <= SHOWN {
        return format!(".sclsd-{name}-");
    }
    let end = (0..=SHOWN).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    // FNV-1a, which is the same in every build
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!(".sclsd-{}~{hash:016x}-", &name[..end])
}

/// Temporary files of an output, each with the number of the process that created it.
fn temporaries_of(output: &Path) -> impl Iterator<Item = (u32, PathBuf)> {
    let path = resolved(output).unwrap_or_else(|_| output.to_owned());
    let prefix = prefix(&path);
    let entries = fs::read_dir(directory_of(&path)).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let name = entry.file_name();
        let middle = name.to_str()?.strip_prefix(&prefix)?.strip_suffix(SUFFIX)?;
        let (process, random) = middle.split_once('-')?;
        let ours = !random.is_empty() && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
        ours.then_some((process.parse().ok()?, entry.path()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("out");
        fs::write(&output, "old").unwrap();
        let failed = replace_file(
            &output,
            |e| e.to_string(),
            |path| {
                fs::write(path, "half").unwrap();
                Err("stopped".to_owned())
            },
        );
        assert_eq!(failed, Err("stopped".into()));
        assert_eq!(fs::read_to_string(&output).unwrap(), "old");
        assert_eq!(names(directory.path()), ["out"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_what_it_leads_to_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("real")).unwrap();
        fs::write(at("real/old"), "old").unwrap();
        for (link, to) in [("there", "real/old"), ("dangling", "real/new"), ("circle", "circle")] {
            std::os::unix::fs::symlink(to, at(link)).unwrap();
        }
        write_file(&at("there"), b"new").unwrap();
        write_file(&at("dangling"), b"new").unwrap();
        assert!(write_file(&at("circle"), b"new").is_err());
        assert_eq!(names(&at("real")), ["new", "old"]);
        for link in ["there", "dangling"] {
            assert!(at(link).is_symlink());
            assert_eq!(fs::read(at(link)).unwrap(), b"new");
        }
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_the_files_own_and_never_read_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let copy = |name: &str, from_mode| {
            let fill = |path: &Path| {
                set(path, from_mode);
                Ok(())
            };
            replace_file(&at(name), |e| e, fill)
        };
        copy("new", 0o440).unwrap();
        assert_eq!(mode("new"), 0o640);
        fs::write(at("private"), "").unwrap();
        set(&at("private"), 0o600);
        copy("private", 0o644).unwrap();
        assert_eq!(mode("private"), 0o600);
        set(&at("private"), 0o400);
        assert_eq!(copy("private", 0o644).unwrap_err().to_string(), "it is read-only");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_written_to_and_never_replaced() {
        use std::os::unix::fs::FileTypeExt;
        let null = Path::new("/dev/null");
        write_file(null, b"bytes").unwrap();
        assert!(replace_file(null, |e| e, |_| Ok(())).unwrap_err().to_string().contains("it is a device or a pipe"));
        assert!(fs::metadata(null).unwrap().file_type().is_char_device());
    }

    #[test]
    fn names_that_are_none_and_directories_that_are_gone_are_known_before() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        check_replaceable(&at(&"n".repeat(255))).unwrap();
        assert!(check_replaceable(&at(&"n".repeat(256))).is_err());
        assert!(check_replaceable(&at("gone/out")).is_err());
        assert!(check_replaceable(directory.path()).is_err());
        assert_eq!(names(directory.path()), Vec::<String>::new());
        write_file(&at(&"é".repeat(127)), b"long").unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn stale_temporary_files_of_the_same_output_are_removed_and_those_of_a_living_run_stay() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let parent = std::os::unix::process::parent_id();
        let living = format!(".sclsd-out-{parent}-abcdef.tmp");
        let kept = [".sclsd-other-4999999-abcdef.tmp", ".sclsd-out-b-4999999-abcdef.tmp", "out"];
        for name in kept.iter().chain(&[living.as_str(), ".sclsd-out-4999999-abcdef.tmp"]) {
            fs::write(at(name), "half").unwrap();
        }
        remove_stale_temporaries(&at("out"));
        let mut left = names(directory.path());
        left.retain(|name| *name != living);
        assert_eq!(left, kept);
        assert!(at(&living).exists());
        replace_file(
            &at("out"),
            |e| e,
            |temporary| {
                remove_own_temporaries(&at("out"));
                assert!(!temporary.exists(), "it has the output's name and the process's number");
                fs::write(temporary, "again")
            },
        )
        .unwrap();
    }
}
