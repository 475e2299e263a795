//! A file that is open: read from, looked into and added to as the one that had the name then.

use std::path::Path;

use super::editor::Compression;
use super::error::H5adError;
use super::inspect::{Inspection, list};
use super::matrix::FileMatrix;
use super::part;
use super::read::{Keys, all_keys, graphs, index_name, open_anndata, open_layer, open_raw, open_x, read};
use super::storage::Reader;
use super::write::{Additions, add, cut};
use crate::Dataset;

/// An `.h5ad` file that is open.
///
/// Of a part result ([`H5ad::write_part`]) it is the file that the part was made of. What is read and what results are added to is the file that was opened, whatever takes its name meanwhile.
pub struct H5ad {
    reader: Reader,
}

impl H5ad {
    /// Opens a file and sees that it is AnnData.
    ///
    /// # Errors
    /// [`H5adError`] where it cannot be read, or is something else: it says what, and how to make an `.h5ad` of it.
    pub fn open(path: &Path) -> Result<Self, H5adError> {
        Ok(Self { reader: open_anndata(path)? })
    }

    /// Everything that the file has and that can be read.
    ///
    /// # Errors
    /// [`H5adError`] where a part of the file is corrupt.
    pub fn keys(&self) -> Result<Keys, H5adError> {
        all_keys(&self.reader)
    }

    /// Reads the named elements.
    ///
    /// # Errors
    /// As [`read_h5ad`](super::read_h5ad).
    pub fn read(&self, keys: &Keys) -> Result<Dataset, H5adError> {
        read(&self.reader, keys)
    }

    /// Whether the file has `raw`, scanpy's copy of an earlier X.
    #[must_use]
    pub fn has_raw(&self) -> bool {
        self.reader.has("raw/X")
    }

    /// X, to be looked at in windows.
    ///
    /// # Errors
    /// [`H5adError`] where the file has no X, or X is no matrix of its cells and genes.
    pub fn x(&self) -> Result<FileMatrix<'_>, H5adError> {
        open_x(&self.reader)
    }

    /// A layer, to be looked at in windows.
    ///
    /// # Errors
    /// As [`H5ad::x`].
    pub fn layer(&self, name: &str) -> Result<FileMatrix<'_>, H5adError> {
        open_layer(&self.reader, name)
    }

    /// `raw.X` of the genes named, which `raw` may have among others, to be looked at in windows.
    ///
    /// # Errors
    /// [`H5adError`] where the file has no `raw`, or one of the genes is not in it.
    pub fn raw_x(&self, genes: &[String]) -> Result<FileMatrix<'_>, H5adError> {
        open_raw(&self.reader, genes)
    }

    /// Graphs that the file names: entries of `uns` with the key of `obsp` that they name, as
    /// `scanpy.pp.neighbors(key_added=…)` leaves them.
    ///
    /// # Errors
    /// [`H5adError`] where a part of the file is corrupt.
    pub fn graphs(&self) -> Result<Vec<(String, String)>, H5adError> {
        graphs(&self.reader)
    }

    /// What the names of the rows of a table, obs or var, are called in the file.
    #[must_use]
    pub fn index_name(&self, table: &str) -> String {
        index_name(&self.reader, table)
    }

    /// Lists the elements.
    ///
    /// # Errors
    /// [`H5adError`] where a part of the file is corrupt.
    pub fn inspect(&self) -> Result<Inspection, H5adError> {
        list(&self.reader)
    }

    /// Writes a copy with `additions` to `output`, which may be the file itself. Returns a sentence for each element
    /// that could not be carried over, which is where the file has to be written anew and has links out of it, say.
    ///
    /// # Errors
    /// As [`add_to_h5ad`](super::add_to_h5ad).
    ///
    /// # Panics
    /// When an addition is not as long as the file has cells.
    pub fn add(
        &self,
        output: &Path,
        additions: &Additions,
        compression: Compression,
    ) -> Result<Vec<String>, H5adError> {
        add(&self.reader, output, additions, compression)
    }

    /// Writes a part result to `output`: the file, byte for byte, with `added` behind it. Whatever opens it opens the
    /// file; [`H5ad::part`] reads what was added.
    ///
    /// # Errors
    /// [`H5adError`] where the file was changed meanwhile, or the output cannot be written.
    pub fn write_part(&self, output: &Path, added: &Dataset) -> Result<(), H5adError> {
        part::write(&self.reader, output, added)
    }

    /// What a part result adds to the file that it was made of; nothing where the file is no part.
    ///
    /// # Errors
    /// [`H5adError`] where it is damaged.
    pub fn part(&self) -> Result<Option<Dataset>, H5adError> {
        part::added(&self.reader)
    }

    /// Whether another file, or the one that another part was made of, has the same bytes.
    ///
    /// # Errors
    /// [`H5adError`] where one of the two cannot be read.
    pub fn same_bytes(&self, other: &Self) -> Result<bool, H5adError> {
        self.reader.same_bytes(&other.reader)
    }

    /// Writes a copy to `output`, which may be the file itself, that has the cells and genes of `data`, by name, and in
    /// it what `data` has. Everything else of the file follows them in the type it is stored in: layers, `varm` and
    /// `var` the genes, `obs`, `obsm`, `obsp` and `raw` the cells. Elements of `kept`, such as `obsm/X_pca`, stay the
    /// file's.
    ///
    /// Returns a sentence for each element that could not be carried over.
    ///
    /// # Errors
    /// As [`add_to_h5ad`](super::add_to_h5ad).
    pub fn cut(
        &self,
        output: &Path,
        data: &Dataset,
        kept: &[String],
        compression: Compression,
    ) -> Result<Vec<String>, H5adError> {
        cut(&self.reader, output, data, kept, compression)
    }
}

/// Writes a copy of `input` with `additions` to `output`, which may be `input` itself.
///
/// Every element that is not named in `additions` is carried over byte for byte: `raw`, `uns`, categories and their
/// colours included. Nothing of the file is held in memory but what is added. Returns what [`H5ad::add`] does.
///
/// # Errors
/// [`H5adError`] where the input is no AnnData or was changed meanwhile, or the output cannot be written.
///
/// # Panics
/// When an addition is not as long as the file has cells.
pub fn add_to_h5ad(
    input: &Path,
    output: &Path,
    additions: &Additions,
    compression: Compression,
) -> Result<Vec<String>, H5adError> {
    H5ad::open(input)?.add(output, additions, compression)
}

/// Reads the named elements of an `.h5ad` file.
///
/// Matrices may be CSR, CSC or dense, of any integer or float type or of truth values, packed with gzip or lzf or not
/// at all; all become CSR in `f32`, and matrices with the same pattern share it. Entries that are stored twice are
/// added up, as scipy does.
///
/// # Errors
/// [`H5adError`] where the file cannot be opened, is no AnnData, lacks elements (all of them are named, with what the
/// file has instead), or holds one that is corrupt or of the wrong shape.
pub fn read_h5ad(path: &Path, keys: &Keys) -> Result<Dataset, H5adError> {
    H5ad::open(path)?.read(keys)
}

/// Lists the elements of an `.h5ad` file.
///
/// # Errors
/// [`H5adError`] where the file cannot be opened or is no AnnData.
pub fn inspect(path: &Path) -> Result<Inspection, H5adError> {
    H5ad::open(path)?.inspect()
}
