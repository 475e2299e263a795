//! `.h5ad` files: reads requested elements, adds results without changing the rest, and lists the contents.
//!
//! The format is the AnnData specification's (dataframe 0.2.0, categorical 0.2.0, csr and csc matrix 0.1.0, …). The
//! older encodings of scanpy are read too: fixed-width string columns, categories stored in `__categories`, and sparse
//! matrices marked with `h5sparse_format`.

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
