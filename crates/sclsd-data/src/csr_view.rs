//! A borrowed sparse matrix: a view of a [`Csr`] or of a matrix of [`sprs`].

use std::sync::Arc;

use sprs::{CsMatI, CsMatViewI};

use crate::sparse::{check_indptr, check_rows};
use crate::{Csr, Pattern, SparseError};

/// A borrowed sparse matrix in CSR form, the argument type of functions that only read a matrix.
///
/// `&Csr`, `&CsMatI<T, u32, usize>` and `CsMatViewI<T, u32, usize>` convert into a view without a copy. The row pointer
/// starts at 0, and the columns of a row are strictly increasing.
#[derive(Debug)]
pub struct CsrView<'a, T = f32> {
    indptr: &'a [usize],
    indices: &'a [u32],
    values: &'a [T],
    n_cols: usize,
    /// The shared pattern, if the view borrows from a [`Csr`].
    pattern: Option<&'a Arc<Pattern>>,
}

impl<T> Clone for CsrView<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for CsrView<'_, T> {}

impl<'a, T: Copy> CsrView<'a, T> {
    /// Creates a view of a matrix with `indptr.len() - 1` rows and `n_cols` columns from borrowed CSR arrays.
    ///
    /// # Errors
    /// [`SparseError`] names the first place where the arrays are not a valid CSR matrix.
    pub fn new(n_cols: usize, indptr: &'a [usize], indices: &'a [u32], values: &'a [T]) -> Result<Self, SparseError> {
        check_indptr(indptr, indices.len())?;
        if values.len() != indices.len() {
            return Err(SparseError::Values { values: values.len(), indices: indices.len() });
        }
        check_rows(n_cols, indptr, indices)?;
        Ok(Self { indptr, indices, values, n_cols, pattern: None })
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Number of columns.
    #[must_use]
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// Number of stored entries.
    #[must_use]
    pub fn nnz(&self) -> usize {
        self.values.len()
    }

    /// Row pointer, of length `n_rows + 1`.
    #[must_use]
    pub fn indptr(&self) -> &'a [usize] {
        self.indptr
    }

    /// Column of every stored entry.
    #[must_use]
    pub fn indices(&self) -> &'a [u32] {
        self.indices
    }

    /// Stored values in row order.
    #[must_use]
    pub fn values(&self) -> &'a [T] {
        self.values
    }

    /// Column indices and values stored in `row`.
    #[must_use]
    pub fn row(&self, row: usize) -> (&'a [u32], &'a [T]) {
        let span = self.indptr[row]..self.indptr[row + 1];
        (&self.indices[span.clone()], &self.values[span])
    }

    /// The sparsity pattern. Shared if the view borrows from a [`Csr`], otherwise copied.
    #[must_use]
    pub fn pattern(&self) -> Arc<Pattern> {
        match self.pattern {
            Some(pattern) => Arc::clone(pattern),
            None => Arc::new(Pattern::known(self.n_cols, self.indptr.to_vec(), self.indices.to_vec())),
        }
    }

    /// Copies the view into an owned matrix.
    #[must_use]
    pub fn to_csr(&self) -> Csr<T> {
        Csr::over(self.pattern(), self.values.to_vec())
    }

    /// A matrix with the same pattern and other values.
    #[must_use]
    pub fn map<U: Copy>(&self, f: impl Fn(T) -> U) -> Csr<U> {
        Csr::over(self.pattern(), self.values.iter().map(|&value| f(value)).collect())
    }

    /// The transposed matrix.
    #[must_use]
    pub fn transpose(&self) -> Csr<T>
    where
        T: Default,
    {
        let shape = (self.n_rows(), self.n_cols);
        Csr::from(CsMatViewI::new(shape, self.indptr, self.indices, self.values).transpose_into().to_csr())
    }
}

impl<'a, T: Copy> From<&'a Csr<T>> for CsrView<'a, T> {
    fn from(matrix: &'a Csr<T>) -> Self {
        let pattern = matrix.pattern();
        Self {
            indptr: pattern.indptr(),
            indices: pattern.indices(),
            values: matrix.values(),
            n_cols: matrix.n_cols(),
            pattern: Some(pattern),
        }
    }
}

impl<'a, T: Copy> From<CsMatViewI<'a, T, u32, usize>> for CsrView<'a, T> {
    /// If the matrix is stored by columns (convert with `to_csr()` first), or is a slice of another matrix (convert
    /// with `Csr::from(slice.to_owned())` first).
    fn from(matrix: CsMatViewI<'a, T, u32, usize>) -> Self {
        assert!(matrix.is_csr(), "the matrix is stored by columns; to_csr() makes one of rows");
        let n_cols = matrix.cols();
        let (indptr, indices, values) = matrix.into_raw_storage();
        assert!(
            indptr.first() == Some(&0),
            "the matrix is a slice of another; Csr::from(slice.to_owned()) makes one of its own"
        );
        Self { indptr, indices, values, n_cols, pattern: None }
    }
}

impl<'a, T: Copy> From<&'a CsMatI<T, u32, usize>> for CsrView<'a, T> {
    /// # Panics
    /// Under the same conditions as the conversion from a `CsMatViewI`.
    fn from(matrix: &'a CsMatI<T, u32, usize>) -> Self {
        Self::from(matrix.view())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_of_sprs_is_looked_at_where_it_lies_and_one_of_ours_shares_its_pattern() {
        let ours = Csr::from_rows(3, [vec![(0, 1.0_f32), (2, 2.0)], vec![(1, 3.0)]]).unwrap();
        let theirs: CsMatI<f32, u32, usize> = ours.clone().into_sprs();
        let (a, b) = (CsrView::from(&ours), CsrView::from(&theirs));
        assert_eq!(
            (a.indptr(), a.indices(), a.values(), a.n_cols()),
            (b.indptr(), b.indices(), b.values(), b.n_cols())
        );
        assert!(std::ptr::eq(b.values(), theirs.data()));
        assert!(Arc::ptr_eq(&a.pattern(), ours.pattern()));
        assert_eq!(b.to_csr(), ours);
        assert_eq!(b.transpose(), ours.transpose());
    }

    #[test]
    fn slices_that_are_no_matrix_are_refused() {
        let (indptr, indices, values) = ([0, 2, 3], [0, 2, 1], [1.0_f32, 2.0, 3.0]);
        let view = CsrView::new(3, &indptr, &indices, &values).unwrap();
        assert_eq!(view.row(1), (&[1_u32][..], &[3.0_f32][..]));
        let message = |n_cols, indptr: &[usize], indices: &[u32], values: &[f32]| {
            CsrView::new(n_cols, indptr, indices, values).unwrap_err().to_string()
        };
        assert_eq!(message(2, &indptr, &indices, &values), "row 0 has column index 2, but there are 2 columns");
        assert_eq!(message(3, &indptr, &[2, 0, 1], &values), "the columns of row 0 do not rise (2, then 0)");
        assert_eq!(message(3, &indptr, &indices, &[1.0]), "1 values for 3 indices");
        assert!(message(3, &[0, 2], &indices, &values).ends_with("it ends at 2"));
    }

    #[test]
    #[should_panic(expected = "to_csr()")]
    fn a_matrix_stored_by_columns_is_refused() {
        let theirs: CsMatI<f32, u32, usize> = CsMatI::eye(3);
        let _ = CsrView::from(&theirs.to_csc());
    }
}
