//! A dense row-major matrix, one row per cell: embeddings, latent states, principal components.

use sclsd_spec::WrongSize;

/// `n_rows × n_cols` values, row after row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    n_cols: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// Creates a matrix from row-major values. `n_cols` must be at least 1.
    ///
    /// # Errors
    /// [`WrongSize`] if the number of values is not a multiple of `n_cols`.
    pub fn try_new(n_cols: usize, values: Vec<f32>) -> Result<Self, WrongSize> {
        if n_cols == 0 || !values.len().is_multiple_of(n_cols) {
            let (found, expected) = (format!("{} values", values.len()), format!("whole rows of {n_cols}"));
            return Err(WrongSize::new("a matrix", found, expected));
        }
        Ok(Self { n_cols, values })
    }

    /// Like [`try_new`](Self::try_new), for values that are known to fill complete rows.
    ///
    /// # Panics
    /// If the number of values is not a multiple of `n_cols`.
    #[must_use]
    pub fn new(n_cols: usize, values: Vec<f32>) -> Self {
        assert!(n_cols > 0 && values.len().is_multiple_of(n_cols), "values fill whole rows");
        Self { n_cols, values }
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.values.len() / self.n_cols
    }

    /// Number of columns.
    #[must_use]
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// The values of one row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.n_cols..(row + 1) * self.n_cols]
    }

    /// All values, row-major.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The given rows, in the given order.
    #[must_use]
    pub fn select_rows(&self, rows: &[usize]) -> Self {
        let values = rows.iter().flat_map(|&row| self.row(row).iter().copied()).collect();
        Self { n_cols: self.n_cols, values }
    }
}
