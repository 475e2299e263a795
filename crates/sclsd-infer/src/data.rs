//! The parts of a data set that training needs, checked once.

use sclsd_data::{CsrView, Dataset, DatasetError, is_count};
use sclsd_model::{SparseRows, Start};

use crate::{DataKeys, LibrarySize};

/// Expression, counts and library sizes, checked for training.
///
/// Established by [`TrainingData::new`] and never revisited: X is finite, counts are non-negative integers, library
/// sizes are positive and not all equal.
#[derive(Debug, Clone, Copy)]
pub struct TrainingData<'a> {
    pub(crate) x: CsrView<'a>,
    pub(crate) counts: CsrView<'a>,
    pub(crate) genes: &'a [String],
    pub(crate) library: LibrarySize,
}

/// Why a data set cannot be used for training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingDataError {
    /// An element is missing or holds a value that is not allowed.
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// A library size is not a positive number.
    #[error("obs[\"{key}\"] of cell {cell} is {value}, expected a positive number of counts")]
    Library {
        /// Column of `obs`.
        key: String,
        /// Name of the cell.
        cell: String,
        /// Library size of the cell.
        value: f64,
    },
    /// Matrices and names have different numbers of cells or genes.
    #[error("{what} is of {found}, expected {expected}")]
    Shape {
        /// Name of the element that differs.
        what: &'static str,
        /// Size of the element: cells, or cells and genes.
        found: String,
        /// Size of X.
        expected: String,
    },
    /// All library sizes are equal, so the standard deviation of their prior is 0.
    #[error(
        "obs[\"{key}\"] is the same for all {n_cells} cells, expected library sizes that vary: raw counts per cell"
    )]
    Constant {
        /// Column of `obs`.
        key: String,
        /// Number of cells.
        n_cells: usize,
    },
}

impl<'a> TrainingData<'a> {
    /// Checks the parts of a data set that training needs.
    ///
    /// # Errors
    /// [`TrainingDataError`] names the element, cell and gene of the first problem.
    pub fn new(data: &'a Dataset, keys: &DataKeys) -> Result<Self, TrainingDataError> {
        data.check()?;
        let x = data.expression()?;
        let counts = data.counts(&keys.counts)?;
        let sizes = data.numbers(&keys.library_size)?;
        let library = library(&sizes, &keys.library_size, |cell| data.obs.names[cell].clone())?;
        Ok(Self { x: x.into(), counts: counts.into(), genes: &data.var.names, library })
    }

    /// Like [`new`](Self::new), for matrices from elsewhere, such as sprs: normalised expression and counts, both cells
    /// × genes, the names of the genes, and the sum of the counts of every cell. Nothing is copied.
    ///
    /// # Errors
    /// [`TrainingDataError`] if the sizes do not match or a value is not allowed. A cell is named by its row.
    pub fn from_parts(
        x: impl Into<CsrView<'a>>,
        counts: impl Into<CsrView<'a>>,
        genes: &'a [String],
        library_sizes: &[f64],
    ) -> Result<Self, TrainingDataError> {
        let (x, counts) = (x.into(), counts.into());
        let (n_cells, n_genes) = (x.n_rows(), x.n_cols());
        let shape = |rows: usize, columns: usize| format!("{rows} cells × {columns} genes");
        let wrong = |what, found, expected| Err(TrainingDataError::Shape { what, found, expected });
        if (counts.n_rows(), counts.n_cols()) != (n_cells, n_genes) {
            return wrong("counts", shape(counts.n_rows(), counts.n_cols()), shape(n_cells, n_genes));
        }
        if genes.len() != n_genes {
            return wrong("the list of names", format!("{} genes", genes.len()), format!("{n_genes} genes"));
        }
        if library_sizes.len() != n_cells {
            let found = format!("{} cells", library_sizes.len());
            return wrong("the list of library sizes", found, format!("{n_cells} cells"));
        }
        if n_cells == 0 || n_genes == 0 {
            return Err(DatasetError::Empty { n_cells, n_genes }.into());
        }
        let bad = |name: &str, matrix: CsrView<'_>, entry: usize, expected| {
            let cell = matrix.indptr().partition_point(|&start| start <= entry) - 1;
            let gene = &genes[matrix.indices()[entry] as usize];
            let place = format!("{name} of cell {cell} and gene {gene}");
            Err(DatasetError::Value { place, value: f64::from(matrix.values()[entry]), expected }.into())
        };
        if let Some(entry) = x.values().iter().position(|value| !value.is_finite()) {
            return bad("X", x, entry, "a finite number");
        }
        if let Some(entry) = counts.values().iter().position(|&value| !is_count(value)) {
            return bad("the count", counts, entry, "an integer count of 0 or more");
        }
        let library = library(library_sizes, "librarysize", |cell| cell.to_string())?;
        Ok(Self { x, counts, genes, library })
    }

    /// Number of cells.
    #[must_use]
    pub fn n_cells(&self) -> usize {
        self.x.n_rows()
    }

    /// Number of genes.
    #[must_use]
    pub fn n_genes(&self) -> usize {
        self.x.n_cols()
    }

    /// Mean outputs for the initial values of the networks: median and spread of the logarithms of the counts per cell,
    /// and the logarithm of every gene's fraction of all counts (with one count added per gene).
    pub(crate) fn start(&self) -> Start {
        let per_cell = |cell: usize| self.counts.row(cell).1.iter().map(|&c| f64::from(c)).sum::<f64>();
        let mut logs: Vec<f64> = (0..self.n_cells()).map(per_cell).filter(|n| *n > 0.0).map(f64::ln).collect();
        logs.sort_by(f64::total_cmp);
        let quantile = |share: f64| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let at = (share * logs.len().saturating_sub(1) as f64).round() as usize;
            logs.get(at).copied().unwrap_or(0.0)
        };
        let mut genes = vec![1.0_f64; self.n_genes()];
        for (&gene, &count) in self.counts.indices().iter().zip(self.counts.values()) {
            genes[gene as usize] += f64::from(count);
        }
        let all: f64 = genes.iter().sum();
        #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
        let log_rates = genes.into_iter().map(|gene| (gene / all).ln() as f32).collect();
        // half the distance between the quantiles at ± one standard deviation of a normal distribution
        let spread = f64::midpoint(quantile(0.841), -quantile(0.159)).max(1e-2);
        Start { log_library: quantile(0.5), log_library_scale: spread, log_rates }
    }

    /// Prior of the library size.
    #[must_use]
    pub fn library(&self) -> LibrarySize {
        self.library
    }
}

/// Computes the prior of the library size; the sizes must be positive and not all equal.
fn library(sizes: &[f64], key: &str, name: impl Fn(usize) -> String) -> Result<LibrarySize, TrainingDataError> {
    if let Some(cell) = sizes.iter().position(|v| v.is_nan() || *v <= 0.0) {
        return Err(TrainingDataError::Library { key: key.to_owned(), cell: name(cell), value: sizes[cell] });
    }
    let library = LibrarySize::of(sizes);
    if library.standard_deviation.is_nan() || library.standard_deviation <= 0.0 {
        return Err(TrainingDataError::Constant { key: key.to_owned(), n_cells: sizes.len() });
    }
    Ok(library)
}

impl LibrarySize {
    /// Mean and unbiased standard deviation of library sizes, in counts. Reference: `LSD.__init__`.
    #[must_use]
    pub fn of(sizes: &[f64]) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
        let n = sizes.len() as f64;
        let mean = sizes.iter().sum::<f64>() / n;
        let variance = sizes.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self { mean, standard_deviation: variance.sqrt() }
    }
}

/// Some rows of a matrix, as the kernels take them.
pub(crate) fn sparse_rows<'a>(matrix: CsrView<'a>, rows: &'a [u32]) -> SparseRows<'a> {
    SparseRows { indptr: matrix.indptr(), indices: matrix.indices(), values: matrix.values(), rows }
}

#[cfg(test)]
mod tests {
    use sclsd_data::sprs::CsMatI;

    use super::*;

    #[test]
    fn matrices_of_sprs_are_borrowed_and_what_is_wrong_about_them_is_named() {
        let counts = |value: f32| {
            let (indptr, indices) = (vec![0, 1, 2], vec![0, 1]);
            CsMatI::<f32, u32, usize>::new((2, 2), indptr, indices, vec![2.0, value])
        };
        let genes = ["a".to_owned(), "b".to_owned()];
        let good = counts(3.0);
        let data = TrainingData::from_parts(&good, good.view(), &genes, &[2.0, 3.0]).unwrap();
        assert!(std::ptr::eq(data.counts.values(), good.data()));
        let error = |counts: &CsMatI<f32, u32, usize>, sizes: &[f64]| {
            TrainingData::from_parts(&good, counts, &genes, sizes).unwrap_err().to_string()
        };
        assert_eq!(
            error(&counts(0.5), &[2.0, 3.0]),
            "the count of cell 1 and gene b is 0.5, expected an integer count of 0 or more"
        );
        assert_eq!(error(&good, &[2.0]), "the list of library sizes is of 1 cells, expected 2 cells");
        assert!(error(&good, &[2.0, 2.0]).contains("is the same for all 2 cells"));
    }
}
