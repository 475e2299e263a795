//! `.h5ad` files: reading what is asked for, adding results without touching the rest, and looking inside.
//!
//! The format is the AnnData specification's (dataframe 0.2.0, categorical 0.2.0, csr and csc matrix 0.1.0, …), with
//! the older encodings that scanpy wrote before it: string columns of fixed width, categories kept in `__categories`,
//! sparse matrices marked `h5sparse_format`.

mod blocks;
mod bytes;
mod cut;
mod editor;
mod error;
mod footer;
mod foreign;
mod groups;
mod inspect;
mod matrix;
mod open;
mod part;
mod patched;
mod read;
pub(crate) mod storage;
mod superblock;
mod write;

pub use editor::Compression;
pub use error::H5adError;
pub use inspect::{Entry, Inspection};
pub use matrix::FileMatrix;
pub use open::{H5ad, add_to_h5ad, inspect, read_h5ad};
pub use read::Keys;
pub use write::{Additions, write_h5ad};
