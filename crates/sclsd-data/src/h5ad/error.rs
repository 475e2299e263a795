//! Errors of reading and writing `.h5ad` files.

/// An error in one sentence that names the file.
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
    /// The file is not HDF5, or is truncated.
    #[error("{path} is not a complete HDF5 file: {reason}")]
    NotHdf5 {
        /// The file.
        path: String,
        /// What was found instead.
        reason: String,
    },
    /// The file has another format.
    #[error("{path} is not an .h5ad file: {reason}")]
    Foreign {
        /// The file.
        path: String,
        /// The format of the file, and how to convert it to `.h5ad`.
        reason: String,
    },
    /// The file was changed between reading and copying.
    #[error("{path} was changed while it was in use ({what}), so no result is written; run the command on it again")]
    Changed {
        /// The file.
        path: String,
        /// How the file was changed.
        what: String,
    },
    /// The file cannot be changed in place. It can be rewritten.
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
        /// The required part that is missing.
        reason: String,
    },
    /// Requested elements are missing.
    #[error("{path} lacks {missing}")]
    Missing {
        /// The file.
        path: String,
        /// Each missing element, with the elements that the file has instead.
        missing: String,
    },
    /// An element has an unexpected content.
    #[error("{path}: {key}: {problem}")]
    Bad {
        /// The file.
        path: String,
        /// The element.
        key: String,
        /// The problem with the element.
        problem: String,
    },
    /// The output cannot be written. An existing file at that path is unchanged.
    #[error("{path} cannot be written: {reason}")]
    Unwritable {
        /// The file.
        path: String,
        /// The reason.
        reason: String,
    },
}
