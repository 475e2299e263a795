//! What training needs of a data set, checked once.

use sclsd_data::{Csr, Dataset, DatasetError};
use sclsd_model::{SparseRows, Start};

use crate::{DataKeys, LibrarySize};

/// Expression, counts and library sizes that can be trained on.
///
/// Established by [`TrainingData::new`] and never revisited: X is finite, counts are whole and not negative, library
/// sizes are positive and differ.
#[derive(Debug, Clone, Copy)]
pub struct TrainingData<'a> {
    pub(crate) x: &'a Csr,
    pub(crate) counts: &'a Csr,
    pub(crate) genes: &'a [String],
    pub(crate) library: LibrarySize,
}

/// Why a data set cannot be trained on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingDataError {
    /// An element is missing or holds what it must not.
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// A library size is not positive.
    #[error("obs[\"{key}\"] of cell {cell} is {value}, expected a positive number of counts")]
    Library {
        /// Column of `obs`.
        key: String,
        /// Name of the cell.
        cell: String,
        /// Its value.
        value: f64,
    },
    /// Library sizes do not differ, so their prior has no width.
    #[error("obs[\"{key}\"] is the same for all {n_cells} cells, so its prior has no width")]
    Constant {
        /// Column of `obs`.
        key: String,
        /// Number of cells.
        n_cells: usize,
    },
}

impl<'a> TrainingData<'a> {
    /// Checks what training needs.
    ///
    /// # Errors
    /// [`TrainingDataError`] names the element, cell and gene at fault.
    pub fn new(data: &'a Dataset, keys: &DataKeys) -> Result<Self, TrainingDataError> {
        let x = data.expression()?;
        let counts = data.counts(&keys.counts)?;
        let sizes = data.numbers(&keys.library_size)?;
        let key = || keys.library_size.clone();
        if let Some(cell) = sizes.iter().position(|v| *v <= 0.0) {
            return Err(TrainingDataError::Library {
                key: key(),
                cell: data.obs.names[cell].clone(),
                value: sizes[cell],
            });
        }
        let library = LibrarySize::of(&sizes);
        if library.standard_deviation.is_nan() || library.standard_deviation <= 0.0 {
            return Err(TrainingDataError::Constant { key: key(), n_cells: sizes.len() });
        }
        Ok(Self { x, counts, genes: &data.var.names, library })
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

    /// Where networks may begin: mean and standard deviation of the logarithms of counts per cell, and the logarithm of
    /// every gene's share of all counts, one count added to each.
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
        for (&gene, &count) in self.counts.pattern().indices().iter().zip(self.counts.values()) {
            genes[gene as usize] += f64::from(count);
        }
        let all: f64 = genes.iter().sum();
        #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
        let log_rates = genes.into_iter().map(|gene| (gene / all).ln() as f32).collect();
        // half the distance between the quantiles of a normal distribution that lie one standard deviation off
        let spread = f64::midpoint(quantile(0.841), -quantile(0.159)).max(1e-2);
        Start { log_library: quantile(0.5), log_library_scale: spread, log_rates }
    }

    /// The prior of library sizes.
    #[must_use]
    pub fn library(&self) -> LibrarySize {
        self.library
    }
}

impl LibrarySize {
    /// Mean and (unbiased) standard deviation of library sizes, in counts. Reference: `LSD.__init__`.
    #[must_use]
    pub fn of(sizes: &[f64]) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
        let n = sizes.len() as f64;
        let mean = sizes.iter().sum::<f64>() / n;
        let variance = sizes.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self { mean, standard_deviation: variance.sqrt() }
    }
}

/// Some rows of a matrix, for the kernels.
pub(crate) fn sparse_rows<'a>(matrix: &'a Csr, rows: &'a [u32]) -> SparseRows<'a> {
    let pattern = matrix.pattern();
    SparseRows { indptr: pattern.indptr(), indices: pattern.indices(), values: matrix.values(), rows }
}
