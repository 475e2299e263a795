//! `.h5ad` files: reading what is asked for, adding results without touching the rest, and looking inside.
//!
//! The format is the AnnData specification's (dataframe 0.2.0, categorical 0.2.0, csr and csc matrix 0.1.0, …), with
//! the older encodings that scanpy wrote before it: string columns of fixed width, categories kept in `__categories`,
//! sparse matrices marked `h5sparse_format`.

mod bytes;
mod cut;
mod editor;
mod foreign;
mod groups;
mod inspect;
mod matrix;
mod open;
mod patched;
mod read;
pub(crate) mod storage;
mod superblock;
mod write;

pub use editor::Compression;
pub use inspect::{Entry, Inspection};
pub use matrix::FileMatrix;
pub use open::{H5ad, add_to_h5ad, inspect, read_h5ad};
pub use read::Keys;
pub use write::{Additions, write_h5ad};

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
    #[error("{path} is not a whole HDF5 file: {reason}")]
    NotHdf5 {
        /// The file.
        path: String,
        /// What was found instead.
        reason: String,
    },
    /// The file is of another kind.
    #[error("{path} is no .h5ad: {reason}")]
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
    #[error("{path} is an HDF5 file, but no AnnData: {reason}")]
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
