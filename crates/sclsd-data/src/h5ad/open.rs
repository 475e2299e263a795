//! An open file. All reading and adding refers to the file that had the name when it was opened.

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

/// An open `.h5ad` file.
///
/// Elements are read from the file that was opened, and results are added to a copy of it, even if another file takes
/// the same name meanwhile.
pub struct H5ad {
    reader: Reader,
}

impl H5ad {
    /// Opens a file and checks that it is AnnData.
    ///
    /// # Errors
    /// [`H5adError`] if the file cannot be read or has another format. The error names the format and how to convert it
    /// to `.h5ad`.
    pub fn open(path: &Path) -> Result<Self, H5adError> {
        Ok(Self { reader: open_anndata(path)? })
    }

    /// All elements of the file that can be read.
    ///
    /// # Errors
    /// [`H5adError`] if a part of the file is corrupt.
    pub fn keys(&self) -> Result<Keys, H5adError> {
        all_keys(&self.reader)
    }

    /// Reads the requested elements.
    ///
    /// # Errors
    /// Under the same conditions as [`read_h5ad`](super::read_h5ad).
    pub fn read(&self, keys: &Keys) -> Result<Dataset, H5adError> {
        read(&self.reader, keys)
    }

    /// Whether the file has `raw`, scanpy's copy of an earlier X.
    #[must_use]
    pub fn has_raw(&self) -> bool {
        self.reader.has("raw/X")
    }

    /// Opens X for reading in windows.
    ///
    /// # Errors
    /// [`H5adError`] if the file has no X, or the shape of X does not match the cells and genes.
    pub fn x(&self) -> Result<FileMatrix<'_>, H5adError> {
        open_x(&self.reader)
    }

    /// Opens a layer for reading in windows.
    ///
    /// # Errors
    /// Under the same conditions as [`H5ad::x`].
    pub fn layer(&self, name: &str) -> Result<FileMatrix<'_>, H5adError> {
        open_layer(&self.reader, name)
    }

    /// Opens `raw.X` for reading in windows, restricted to the given genes. `raw` may have further genes.
    ///
    /// # Errors
    /// [`H5adError`] if the file has no `raw`, or a gene is missing from `raw`.
    pub fn raw_x(&self, genes: &[String]) -> Result<FileMatrix<'_>, H5adError> {
        open_raw(&self.reader, genes)
    }

    /// Graphs that entries of `uns` refer to: pairs of the entry of `uns` and the key in `obsp`, as
    /// `scanpy.pp.neighbors(key_added=…)` writes them.
    ///
    /// # Errors
    /// [`H5adError`] if a part of the file is corrupt.
    pub fn graphs(&self) -> Result<Vec<(String, String)>, H5adError> {
        graphs(&self.reader)
    }

    /// Name of the index column of a table (`obs` or `var`) in the file.
    #[must_use]
    pub fn index_name(&self, table: &str) -> String {
        index_name(&self.reader, table)
    }

    /// Lists the elements of the file.
    ///
    /// # Errors
    /// [`H5adError`] if a part of the file is corrupt.
    pub fn inspect(&self) -> Result<Inspection, H5adError> {
        list(&self.reader)
    }

    /// Writes a copy with `additions` to `output`, which may be the file itself. Returns a sentence for each element
    /// that could not be copied. That happens only if the file has to be rewritten, for example for links to other
    /// files.
    ///
    /// # Errors
    /// Under the same conditions as [`add_to_h5ad`](super::add_to_h5ad).
    ///
    /// # Panics
    /// If the length of an addition differs from the number of cells in the file.
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
    /// Returns a sentence for each element that could not be copied.
    ///
    /// # Errors
    /// Under the same conditions as [`add_to_h5ad`](super::add_to_h5ad).
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
/// Every element that is not replaced by `additions` is copied byte for byte, including `raw`, `uns`, categories and
/// their colours. Only the additions are held in memory. Returns the same as [`H5ad::add`].
///
/// # Errors
/// [`H5adError`] if the input is not AnnData or was changed meanwhile, or the output cannot be written.
///
/// # Panics
/// If the length of an addition differs from the number of cells in the file.
pub fn add_to_h5ad(
    input: &Path,
    output: &Path,
    additions: &Additions,
    compression: Compression,
) -> Result<Vec<String>, H5adError> {
    H5ad::open(input)?.add(output, additions, compression)
}

/// Reads the requested elements of an `.h5ad` file.
///
/// Matrices may be CSR, CSC or dense, of any integer, float or boolean type, and compressed with gzip, lzf or not at
/// all. All become CSR in `f32`, and matrices with the same pattern share it. Duplicate entries are summed, as scipy
/// does.
///
/// # Errors
/// [`H5adError`] if the file cannot be opened, is not AnnData, lacks requested elements (the error names all of them
/// and the elements that are present instead), or has an element that is corrupt or has the wrong shape.
pub fn read_h5ad(path: &Path, keys: &Keys) -> Result<Dataset, H5adError> {
    H5ad::open(path)?.read(keys)
}

/// Lists the elements of an `.h5ad` file.
///
/// # Errors
/// [`H5adError`] if the file cannot be opened or is not AnnData.
pub fn inspect(path: &Path) -> Result<Inspection, H5adError> {
    H5ad::open(path)?.inspect()
}
