//! A dense row-major matrix, one row per cell: embeddings, latent states, principal components.

/// `n_rows × n_cols` values, row after row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    n_cols: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// A matrix of rows of `n_cols` values.
    ///
    /// # Panics
    /// When the values do not fill whole rows.
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

    /// One row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.n_cols..(row + 1) * self.n_cols]
    }

    /// All values, row after row.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The chosen rows, in the order given.
    #[must_use]
    pub fn select_rows(&self, rows: &[usize]) -> Self {
        let values = rows.iter().flat_map(|&row| self.row(row).iter().copied()).collect();
        Self { n_cols: self.n_cols, values }
    }
}
