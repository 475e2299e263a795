//! Compressed sparse rows (CSR) with a shared sparsity pattern, based on [`sprs`].
//!
//! Expression and counts of the same cells are non-zero at the same entries, and so are the connectivities of a
//! neighbour graph and its transition probabilities. A [`Csr`] therefore holds its [`Pattern`] in an [`Arc`]: two
//! matrices with the same pattern store the indices once. [`Csr::view`] borrows the matrix as one of sprs without a
//! copy, and `From` converts a matrix of sprs.

use std::ops::AddAssign;
use std::sync::Arc;

use sprs::{CompressedStorage, CsMatI, CsMatViewI, CsStructureI};

/// The sparsity pattern of a matrix: row `i` has the columns `indices[indptr[i]..indptr[i + 1]]`.
///
/// Invariants, checked on construction: `indptr` starts at 0, never decreases and ends at the number of indices. Within
/// a row the columns are strictly increasing and below `n_cols`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(CsStructureI<u32, usize>);

/// The reason why arrays are not a valid sparse matrix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SparseError {
    /// The row pointer does not fit the index array.
    #[error("indptr must rise from 0 to {indices} (the number of indices) but {found}")]
    Indptr {
        /// Length of the index array.
        indices: usize,
        /// How the row pointer is wrong.
        found: String,
    },
    /// A column index lies outside the matrix.
    #[error("row {row} has column index {column}, but there are {n_cols} columns")]
    Column {
        /// Row of the bad index.
        row: usize,
        /// The bad index.
        column: u32,
        /// Number of columns.
        n_cols: usize,
    },
    /// The columns of a row are not sorted, or a column is repeated.
    #[error("the columns of row {row} do not rise ({before}, then {column})")]
    Order {
        /// Row of the index.
        row: usize,
        /// The previous column.
        before: u32,
        /// The column that is not larger than the previous one.
        column: u32,
    },
    /// The values of a dense matrix do not fill complete rows.
    #[error("{values} values do not fill rows of {n_cols}")]
    Rows {
        /// Number of values.
        values: usize,
        /// Values per row.
        n_cols: usize,
    },
    /// The numbers of values and indices differ.
    #[error("{values} values for {indices} indices")]
    Values {
        /// Number of values.
        values: usize,
        /// Number of indices.
        indices: usize,
    },
}

impl Pattern {
    /// Checks an index structure with `indptr.len() - 1` rows and `n_cols` columns. The columns of a row must be
    /// sorted.
    ///
    /// # Errors
    /// [`SparseError`] names the first invalid place.
    pub fn new(n_cols: usize, indptr: Vec<usize>, indices: Vec<u32>) -> Result<Self, SparseError> {
        check_indptr(&indptr, indices.len())?;
        let shape = (indptr.len() - 1, n_cols);
        let values = vec![(); indices.len()];
        CsStructureI::try_new(shape, indptr, indices, values)
            .map(Self)
            .map_err(|(indptr, indices, _, _)| first_wrong(n_cols, &indptr, &indices))
    }

    /// Creates the pattern from arrays that are known to be valid.
    pub(crate) fn known(n_cols: usize, indptr: Vec<usize>, indices: Vec<u32>) -> Self {
        let (shape, values) = ((indptr.len() - 1, n_cols), vec![(); indices.len()]);
        debug_assert!(CsMatViewI::try_new(shape, &indptr[..], &indices[..], &values[..]).is_ok(), "a sparse matrix");
        #[expect(unsafe_code, reason = "what was taken from a checked matrix need not be checked again")]
        // SAFETY: every caller takes the arrays from a checked matrix, or builds rows with increasing columns below
        // n_cols from one.
        Self(unsafe { CsStructureI::new_unchecked(CompressedStorage::CSR, shape, indptr, indices, values) })
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.0.rows()
    }

    /// Number of columns.
    #[must_use]
    pub fn n_cols(&self) -> usize {
        self.0.cols()
    }

    /// Number of stored entries.
    #[must_use]
    pub fn nnz(&self) -> usize {
        self.0.indices().len()
    }

    /// Row pointer, of length `n_rows + 1`.
    #[must_use]
    pub fn indptr(&self) -> &[usize] {
        self.0.indptr().into_raw_storage()
    }

    /// Column of every stored entry.
    #[must_use]
    pub fn indices(&self) -> &[u32] {
        self.0.indices()
    }

    /// Column indices stored in `row`.
    #[must_use]
    pub fn row(&self, row: usize) -> &[u32] {
        &self.indices()[self.indptr()[row]..self.indptr()[row + 1]]
    }
}

/// Checks the conditions on `indptr` that sprs assumes before it checks the rows.
pub(crate) fn check_indptr(indptr: &[usize], indices: usize) -> Result<(), SparseError> {
    let bad = |found: String| Err(SparseError::Indptr { indices, found });
    match indptr.first() {
        None => return bad("it is empty".into()),
        Some(&first) if first != 0 => return bad(format!("it starts at {first}")),
        Some(_) => {}
    }
    if let Some(row) = indptr.windows(2).position(|pair| pair[0] > pair[1]) {
        return bad(format!("it falls after row {row}"));
    }
    match indptr.last() {
        Some(&last) if last != indices => bad(format!("it ends at {last}")),
        _ => Ok(()),
    }
}

/// The first invalid row. sprs reports only that there is one.
fn first_wrong(n_cols: usize, indptr: &[usize], indices: &[u32]) -> SparseError {
    let unknown = SparseError::Indptr { indices: indices.len(), found: "it does not".into() };
    check_rows(n_cols, indptr, indices).err().unwrap_or(unknown)
}

/// Checks that the columns of every row are increasing and below `n_cols`.
pub(crate) fn check_rows(n_cols: usize, indptr: &[usize], indices: &[u32]) -> Result<(), SparseError> {
    for (row, bounds) in indptr.windows(2).enumerate() {
        let columns = &indices[bounds[0]..bounds[1]];
        if let Some(&column) = columns.iter().find(|&&c| c as usize >= n_cols) {
            return Err(SparseError::Column { row, column, n_cols });
        }
        if let Some(pair) = columns.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(SparseError::Order { row, before: pair[0], column: pair[1] });
        }
    }
    Ok(())
}

/// A sparse matrix in compressed rows (CSR), whose pattern can be shared.
#[derive(Debug, Clone, PartialEq)]
pub struct Csr<T = f32> {
    pattern: Arc<Pattern>,
    values: Vec<T>,
}

impl<T: Copy> Csr<T> {
    /// Creates a matrix with an existing pattern and one value per stored entry.
    ///
    /// # Errors
    /// [`SparseError::Values`] if the number of values differs from the number of entries.
    pub fn try_over(pattern: Arc<Pattern>, values: Vec<T>) -> Result<Self, SparseError> {
        if pattern.nnz() != values.len() {
            return Err(SparseError::Values { values: values.len(), indices: pattern.nnz() });
        }
        Ok(Self { pattern, values })
    }

    /// Like [`try_over`](Self::try_over), for values that are known to match the pattern.
    ///
    /// # Panics
    /// If the number of values differs from the number of entries.
    #[must_use]
    pub fn over(pattern: Arc<Pattern>, values: Vec<T>) -> Self {
        assert_eq!(pattern.nnz(), values.len(), "one value per stored entry");
        Self { pattern, values }
    }

    /// Creates a matrix from CSR arrays. The columns of a row may be in any order, and duplicate entries are summed.
    ///
    /// # Errors
    /// [`SparseError`] says why the arrays are not a valid sparse matrix.
    pub fn from_arrays(
        n_cols: usize,
        indptr: Vec<usize>,
        indices: Vec<u32>,
        values: Vec<T>,
    ) -> Result<Self, SparseError>
    where
        T: AddAssign + Default,
    {
        check_indptr(&indptr, indices.len())?;
        if values.len() != indices.len() {
            return Err(SparseError::Values { values: values.len(), indices: indices.len() });
        }
        let shape = (indptr.len() - 1, n_cols);
        match CsMatI::new_from_unsorted(shape, indptr, indices, values) {
            Ok(matrix) => Ok(Self::from(matrix)),
            Err((mut indptr, mut indices, mut values, _)) => {
                add_up(&mut indptr, &mut indices, &mut values);
                Ok(Self { pattern: Arc::new(Pattern::new(n_cols, indptr, indices)?), values })
            }
        }
    }

    /// Creates a matrix from rows of `(column, value)` pairs. The columns must be increasing within each row.
    ///
    /// # Errors
    /// Under the same conditions as [`Pattern::new`].
    pub fn from_rows(n_cols: usize, rows: impl IntoIterator<Item = Vec<(u32, T)>>) -> Result<Self, SparseError> {
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        for row in rows {
            for (column, value) in row {
                indices.push(column);
                values.push(value);
            }
            indptr.push(indices.len());
        }
        Ok(Self { pattern: Arc::new(Pattern::new(n_cols, indptr, indices)?), values })
    }

    /// The matrix as a view of sprs, without a copy.
    #[must_use]
    pub fn view(&self) -> CsMatViewI<'_, T, u32, usize> {
        let shape = (self.n_rows(), self.n_cols());
        #[expect(unsafe_code, reason = "the pattern need not be checked again")]
        // SAFETY: the pattern was checked when it was created, and there is one value per entry.
        unsafe {
            CsMatViewI::new_unchecked(
                CompressedStorage::CSR,
                shape,
                self.pattern.indptr(),
                self.pattern.indices(),
                &self.values,
            )
        }
    }

    /// Converts the matrix into one of sprs. The pattern is copied if other matrices share it.
    #[must_use]
    pub fn into_sprs(self) -> CsMatI<T, u32, usize> {
        let shape = (self.n_rows(), self.n_cols());
        let pattern = Arc::try_unwrap(self.pattern).unwrap_or_else(|shared| (*shared).clone());
        let (indptr, indices, _) = pattern.0.into_raw_storage();
        #[expect(unsafe_code, reason = "the pattern need not be checked again")]
        // SAFETY: the pattern was checked when it was created, and there is one value per entry.
        unsafe {
            CsMatI::new_unchecked(CompressedStorage::CSR, shape, indptr, indices, self.values)
        }
    }

    /// The pattern, shared.
    #[must_use]
    pub fn pattern(&self) -> &Arc<Pattern> {
        &self.pattern
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.pattern.n_rows()
    }

    /// Number of columns.
    #[must_use]
    pub fn n_cols(&self) -> usize {
        self.pattern.n_cols()
    }

    /// Number of stored entries.
    #[must_use]
    pub fn nnz(&self) -> usize {
        self.values.len()
    }

    /// Stored values in row order.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// Column indices and values stored in `row`.
    #[must_use]
    pub fn row(&self, row: usize) -> (&[u32], &[T]) {
        let indptr = self.pattern.indptr();
        let span = indptr[row]..indptr[row + 1];
        (&self.pattern.indices()[span.clone()], &self.values[span])
    }

    /// A matrix with the same pattern and other values.
    #[must_use]
    pub fn map<U: Copy>(&self, f: impl Fn(T) -> U) -> Csr<U> {
        Csr { pattern: Arc::clone(&self.pattern), values: self.values.iter().map(|&v| f(v)).collect() }
    }

    /// The transposed matrix.
    #[must_use]
    pub fn transpose(&self) -> Self
    where
        T: Default,
    {
        Self::from(self.view().transpose_into().to_csr())
    }

    /// The given rows, in the given order. A row may be repeated.
    #[must_use]
    pub fn select_rows(&self, rows: &[usize]) -> Self {
        let mut indptr = Vec::with_capacity(rows.len() + 1);
        indptr.push(0);
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        for &row in rows {
            let (columns, entries) = self.row(row);
            indices.extend_from_slice(columns);
            values.extend_from_slice(entries);
            indptr.push(indices.len());
        }
        Self { pattern: Arc::new(Pattern::known(self.n_cols(), indptr, indices)), values }
    }

    /// The given columns, in the given order. `columns` must not repeat a column.
    ///
    /// # Panics
    /// If a column is out of range.
    #[must_use]
    pub fn select_columns(&self, columns: &[usize]) -> Self {
        let mut place = vec![u32::MAX; self.n_cols()];
        for (to, &from) in columns.iter().enumerate() {
            place[from] = index(to);
        }
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        let mut kept: Vec<(u32, T)> = Vec::new();
        for row in 0..self.n_rows() {
            let (from, entries) = self.row(row);
            kept.clear();
            kept.extend(
                from.iter()
                    .zip(entries)
                    .filter(|(c, _)| place[**c as usize] != u32::MAX)
                    .map(|(c, v)| (place[*c as usize], *v)),
            );
            kept.sort_unstable_by_key(|entry| entry.0);
            indices.extend(kept.iter().map(|entry| entry.0));
            values.extend(kept.iter().map(|entry| entry.1));
            indptr.push(indices.len());
        }
        Self { pattern: Arc::new(Pattern::known(columns.len(), indptr, indices)), values }
    }

    /// Shares the pattern of `other` if the two patterns are equal, so that the indices are stored once.
    #[must_use]
    pub fn sharing<U: Copy>(mut self, other: &Csr<U>) -> Self {
        if *self.pattern == *other.pattern {
            self.pattern = Arc::clone(&other.pattern);
        }
        self
    }
}

impl Csr<f32> {
    /// Writes `row` into a dense slice of `n_cols` values, zeros included.
    ///
    /// # Panics
    /// If the length of the slice is not `n_cols`.
    pub fn write_row(&self, row: usize, dense: &mut [f32]) {
        assert_eq!(dense.len(), self.n_cols(), "one value per column");
        dense.fill(0.0);
        let (columns, values) = self.row(row);
        for (&column, &value) in columns.iter().zip(values) {
            dense[column as usize] = value;
        }
    }

    /// The given rows as a dense row-major block, `rows.len() × n_cols`.
    #[must_use]
    pub fn gather_dense(&self, rows: &[usize]) -> Vec<f32> {
        let width = self.n_cols();
        let mut dense = vec![0.0; rows.len() * width];
        for (&row, out) in rows.iter().zip(dense.chunks_exact_mut(width.max(1))) {
            self.write_row(row, out);
        }
        dense
    }

    /// Sum of each row.
    #[must_use]
    pub fn row_sums(&self) -> Vec<f64> {
        (0..self.n_rows()).map(|row| self.row(row).1.iter().map(|&v| f64::from(v)).sum()).collect()
    }
}

impl<T: Copy + Default> From<CsMatI<T, u32, usize>> for Csr<T> {
    /// Takes the arrays of a CSR matrix without a copy, and converts a CSC matrix. The row pointer of a slice is
    /// shifted to start at 0.
    fn from(matrix: CsMatI<T, u32, usize>) -> Self {
        let matrix = if matrix.is_csr() { matrix } else { matrix.to_csr() };
        let n_cols = matrix.cols();
        let (mut indptr, indices, values) = matrix.into_raw_storage();
        let start = indptr[0];
        if start != 0 {
            indptr.iter_mut().for_each(|place| *place -= start);
        }
        Self { pattern: Arc::new(Pattern::known(n_cols, indptr, indices)), values }
    }
}

impl<T: Copy> Default for Csr<T> {
    /// A matrix without rows and columns.
    fn default() -> Self {
        Self { pattern: Arc::new(Pattern::known(0, vec![0], Vec::new())), values: Vec::new() }
    }
}

/// Sums adjacent duplicate entries. Rows must be sorted.
fn add_up<T: Copy + AddAssign>(indptr: &mut [usize], indices: &mut Vec<u32>, values: &mut Vec<T>) {
    let (mut start, mut kept) = (0, 0);
    for end in &mut indptr[1..] {
        let first = kept;
        for entry in start..*end {
            if kept > first && indices[kept - 1] == indices[entry] {
                let value = values[entry];
                values[kept - 1] += value;
            } else {
                indices[kept] = indices[entry];
                values[kept] = values[entry];
                kept += 1;
            }
        }
        start = *end;
        *end = kept;
    }
    indices.truncate(kept);
    values.truncate(kept);
}

/// Converts a row or column number to the stored index type.
fn index(i: usize) -> u32 {
    u32::try_from(i).expect("more than 2^32 rows or columns")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Csr {
        Csr::from_rows(3, [vec![(0, 1.0), (2, 2.0)], vec![], vec![(1, 3.0)]]).unwrap()
    }

    #[test]
    fn transposing_twice_is_the_identity() {
        assert_eq!(small().transpose().transpose(), small());
        assert_eq!(small().transpose().row(2), (&[0_u32][..], &[2.0_f32][..]));
    }

    #[test]
    fn unsorted_columns_are_sorted_and_repeated_ones_added_up() {
        let sorted = Csr::from_arrays(3, vec![0, 2], vec![2, 0], vec![2.0, 1.0]).unwrap();
        assert_eq!(sorted.row(0), (&[0_u32, 2][..], &[1.0_f32, 2.0][..]));
        let twice = Csr::from_arrays(3, vec![0, 4, 5], vec![2, 1, 2, 1, 0], vec![2.0_f32, 1.0, 4.0, 8.0, 3.0]).unwrap();
        assert_eq!(twice.row(0), (&[1_u32, 2][..], &[9.0_f32, 6.0][..]));
        assert_eq!(twice.row(1), (&[0_u32][..], &[3.0_f32][..]));
    }

    #[test]
    fn corrupt_indices_are_errors_that_say_where() {
        let cases = [
            (vec![0, 1], vec![3], "row 0 has column index 3, but there are 3 columns"),
            (vec![1, 1], vec![0], "indptr must rise from 0 to 1 (the number of indices) but it starts at 1"),
            (vec![0, 2, 1], vec![0], "indptr must rise from 0 to 1 (the number of indices) but it falls after row 1"),
            (vec![0, 3], vec![0], "indptr must rise from 0 to 1 (the number of indices) but it ends at 3"),
            (vec![], vec![], "indptr must rise from 0 to 0 (the number of indices) but it is empty"),
        ];
        for (indptr, indices, expected) in cases {
            let values = vec![1.0_f32; indices.len()];
            assert_eq!(Csr::from_arrays(3, indptr, indices, values).unwrap_err().to_string(), expected);
        }
        assert_eq!(
            Pattern::new(3, vec![0, 2], vec![2, 0]).unwrap_err().to_string(),
            "the columns of row 0 do not rise (2, then 0)"
        );
    }

    #[test]
    fn a_matrix_of_sprs_comes_in_and_goes_out_the_same() {
        let m = small();
        let view: CsMatViewI<'_, f32, u32, usize> = m.view();
        assert_eq!((view.shape(), view.nnz(), view.get(0, 2)), ((3, 3), 3, Some(&2.0)));
        let other: CsMatI<f32, u32, usize> = m.clone().into_sprs();
        assert_eq!(Csr::from(other.clone()), m);
        assert_eq!(Csr::from(other.to_csc()), m);
    }

    #[test]
    fn selecting_rows_and_columns_matches_the_dense_matrix() {
        let m = small();
        assert_eq!(m.select_columns(&[2, 0]).gather_dense(&[0, 1, 2]), [2.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(m.select_rows(&[2, 0, 0]).gather_dense(&[0, 1, 2]), [0.0, 3.0, 0.0, 1.0, 0.0, 2.0, 1.0, 0.0, 2.0]);
    }
}
