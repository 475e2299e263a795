//! A lock that lets only one run at a time write a model.
//!
//! A run locks a file beside the model with a lock of the operating system. The operating system releases the lock when
//! the process ends, in whatever way, so a killed run does not block others.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use sclsd_data::plain_reason;

/// The exclusive right to write a model, until this value is dropped.
#[derive(Debug)]
pub struct ModelLock {
    /// The open file holds the lock.
    file: File,
    path: PathBuf,
}

/// Why a model cannot be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelLockError {
    /// Another run holds the lock.
    #[error("{path} is being written by another run; wait until that ends, or give this one another path")]
    Taken {
        /// Path of the model.
        path: String,
    },
    /// The lock file cannot be created.
    #[error("{path} cannot be written: {reason}")]
    Unwritable {
        /// Path of the model.
        path: String,
        /// The reason.
        reason: String,
    },
}

impl ModelLock {
    /// Locks the model at a path, which need not exist yet. On a file system without locks this succeeds without a
    /// lock.
    ///
    /// # Errors
    /// [`ModelLockError`] if another run holds the lock, or if the directory is not writable.
    pub fn new(model: &Path) -> Result<Self, ModelLockError> {
        let shown = || model.display().to_string();
        let unwritable = |error: io::Error| ModelLockError::Unwritable { path: shown(), reason: plain_reason(&error) };
        let path = beside(model).map_err(unwritable)?;
        loop {
            let options = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let file = options.map_err(unwritable)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Err(ModelLockError::Taken { path: shown() }),
                Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => {
                    return Err(unwritable(error));
                }
                _ => {}
            }
            // if another run has ended and removed the file in between, the lock is on a removed file: try again
            if is_at(&file, &path) {
                return Ok(Self { file, path });
            }
        }
    }
}

impl Drop for ModelLock {
    fn drop(&mut self) {
        // removed while locked: a run that opened the file before notices that it is removed
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

/// `.name.lock` in the directory of the model; links are followed.
fn beside(model: &Path) -> io::Result<PathBuf> {
    let model = std::fs::canonicalize(model).unwrap_or_else(|_| model.to_owned());
    let name = model.file_name().ok_or_else(|| io::Error::other("it is no name of a file"))?;
    let mut lock = std::ffi::OsString::from(".");
    lock.push(name);
    lock.push(".lock");
    let directory = match model.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => std::fs::canonicalize(parent)?,
        _ => std::fs::canonicalize(".")?,
    };
    Ok(directory.join(lock))
}

/// Whether an open file is still the file at its path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = |a: &std::fs::Metadata, b: &std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    matches!((file.metadata(), std::fs::metadata(path)), (Ok(a), Ok(b)) if same(&a, &b))
}

/// Other systems do not remove open files.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_on_a_model_is_told_so_and_may_have_it_once_the_first_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let model = directory.path().join("m.safetensors");
        let first = ModelLock::new(&model).unwrap();
        let message = ModelLock::new(&model).unwrap_err().to_string();
        let shown = model.display();
        assert_eq!(
            message,
            format!("{shown} is being written by another run; wait until that ends, or give this one another path")
        );
        let other = ModelLock::new(&directory.path().join("other.safetensors")).unwrap();
        drop((first, other));
        drop(ModelLock::new(&model).unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn what_a_killed_run_left_behind_holds_nobody_up() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(".m.safetensors.lock"), "").unwrap();
        assert!(ModelLock::new(&directory.path().join("m.safetensors")).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_and_what_it_leads_to_are_one_model() {
        let directory = tempfile::tempdir().unwrap();
        let (model, link) = (directory.path().join("m.safetensors"), directory.path().join("latest"));
        std::fs::write(&model, "").unwrap();
        std::os::unix::fs::symlink(&model, &link).unwrap();
        let _first = ModelLock::new(&link).unwrap();
        assert!(matches!(ModelLock::new(&model), Err(ModelLockError::Taken { .. })));
    }
}
