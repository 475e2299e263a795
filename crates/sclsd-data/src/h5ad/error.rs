//! What can be wrong with an `.h5ad` file.

/// What is wrong with a file, in one sentence that names it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum H5adError {
    /// The file cannot be opened.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The operating system's reason.
        reason: String,
    },
    /// The file is not HDF5, or is cut short.
    #[error("{path} is not a complete HDF5 file: {reason}")]
    NotHdf5 {
        /// The file.
        path: String,
        /// What was found instead.
        reason: String,
    },
    /// The file is of another kind.
    #[error("{path} is not an .h5ad file: {reason}")]
    Foreign {
        /// The file.
        path: String,
        /// What it is, and how to make an `.h5ad` of it.
        reason: String,
    },
    /// The file was changed between being read and being copied.
    #[error("{path} was changed while it was in use ({what}), so no result is written; run the command on it again")]
    Changed {
        /// The file.
        path: String,
        /// What happened to it.
        what: String,
    },
    /// The file cannot be added to in place; it can be written anew.
    #[error("{path} cannot be written: {reason}")]
    NotInPlace {
        /// The file.
        path: String,
        /// The reason.
        reason: String,
    },
    /// The file is HDF5, but not AnnData.
    #[error("{path} is an HDF5 file, but not an AnnData file: {reason}")]
    NotAnnData {
        /// The file.
        path: String,
        /// What is missing for it.
        reason: String,
    },
    /// Elements that were asked for are not there.
    #[error("{path} lacks {missing}")]
    Missing {
        /// The file.
        path: String,
        /// Each missing element, with what the file has in its place.
        missing: String,
    },
    /// An element is there but not what it should be.
    #[error("{path}: {key}: {problem}")]
    Bad {
        /// The file.
        path: String,
        /// The element.
        key: String,
        /// What is wrong about it.
        problem: String,
    },
    /// The output cannot be written; whatever stood there before still does.
    #[error("{path} cannot be written: {reason}")]
    Unwritable {
        /// The file.
        path: String,
        /// The reason.
        reason: String,
    },
}
