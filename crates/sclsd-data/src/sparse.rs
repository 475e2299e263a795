//! Compressed sparse rows whose pattern can be shared, on [`sprs`].
//!
//! Expression and counts of the same cells are non-zero at the same places, and so are the connectivities of a
//! neighbour graph and the transition probabilities on it. A [`Csr`] therefore holds its [`Pattern`] behind an
//! [`Arc`]: two matrices over one pattern cost one set of indices. [`Csr::view`] is the same matrix as one of sprs,
//! without a copy, and `From` takes one in.

use std::ops::AddAssign;
use std::sync::Arc;

use sprs::{CompressedStorage, CsMatI, CsMatViewI, CsStructureI};

/// Where a matrix is non-zero: row `i` has the columns `indices[indptr[i]..indptr[i + 1]]`.
///
/// Established once and never revisited: `indptr` starts at 0, never falls and ends at the number of
/// indices; within a row the columns rise strictly and are below `n_cols`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(CsStructureI<u32, usize>);

/// What makes an index structure not a sparse matrix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SparseError {
    /// The row pointer does not describe the index array.
    #[error("indptr must rise from 0 to {indices} (the number of indices) but {found}")]
    Indptr {
        /// Length of the index array.
        indices: usize,
        /// What the row pointer does instead.
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
    /// The columns of one row are not in order, or one is named twice.
    #[error("the columns of row {row} do not rise ({before}, then {column})")]
    Order {
        /// Row of the index.
        row: usize,
        /// The column before it.
        before: u32,
        /// The column that does not follow.
        column: u32,
    },
    /// Values of a dense matrix do not fill whole rows.
    #[error("{values} values do not fill rows of {n_cols}")]
    Rows {
        /// Number of values.
        values: usize,
        /// Values in a row.
        n_cols: usize,
    },
    /// Values and indices are of different lengths.
    #[error("{values} values for {indices} indices")]
    Values {
        /// Number of values.
        values: usize,
        /// Number of indices.
        indices: usize,
    },
}

impl Pattern {
    /// Checks an index structure of `indptr.len() - 1` rows and `n_cols` columns whose rows are sorted.
    ///
    /// # Errors
    /// [`SparseError`] names the first place where the structure is not one.
    pub fn new(n_cols: usize, indptr: Vec<usize>, indices: Vec<u32>) -> Result<Self, SparseError> {
        check_indptr(&indptr, indices.len())?;
        let shape = (indptr.len() - 1, n_cols);
        let values = vec![(); indices.len()];
        CsStructureI::try_new(shape, indptr, indices, values)
            .map(Self)
            .map_err(|(indptr, indices, _, _)| first_wrong(n_cols, &indptr, &indices))
    }

    /// The structure of arrays that are one.
    pub(crate) fn known(n_cols: usize, indptr: Vec<usize>, indices: Vec<u32>) -> Self {
        let (shape, values) = ((indptr.len() - 1, n_cols), vec![(); indices.len()]);
        debug_assert!(CsMatViewI::try_new(shape, &indptr[..], &indices[..], &values[..]).is_ok(), "a sparse matrix");
        #[expect(unsafe_code, reason = "what was taken from a checked matrix need not be checked again")]
        // SAFETY: every caller has these arrays from a checked matrix, or made rows of rising columns below n_cols of
        // one.
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

    /// Row pointer, `n_rows + 1` long.
    #[must_use]
    pub fn indptr(&self) -> &[usize] {
        self.0.indptr().into_raw_storage()
    }

    /// Column of every stored entry.
    #[must_use]
    pub fn indices(&self) -> &[u32] {
        self.0.indices()
    }

    /// Columns stored in `row`.
    #[must_use]
    pub fn row(&self, row: usize) -> &[u32] {
        &self.indices()[self.indptr()[row]..self.indptr()[row + 1]]
    }
}

/// What sprs takes for granted before it looks at the rows.
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

/// The first place where rows are none of a matrix, of which sprs says only that there is one.
fn first_wrong(n_cols: usize, indptr: &[usize], indices: &[u32]) -> SparseError {
    let unknown = SparseError::Indptr { indices: indices.len(), found: "it does not".into() };
    check_rows(n_cols, indptr, indices).err().unwrap_or(unknown)
}

/// That the columns of every row rise and are below `n_cols`.
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

/// A sparse matrix in compressed rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Csr<T = f32> {
    pattern: Arc<Pattern>,
    values: Vec<T>,
}

impl<T: Copy> Csr<T> {
    /// A matrix over an existing pattern, with one value per stored entry.
    ///
    /// # Errors
    /// [`SparseError::Values`] where there are more values, or fewer.
    pub fn try_over(pattern: Arc<Pattern>, values: Vec<T>) -> Result<Self, SparseError> {
        if pattern.nnz() != values.len() {
            return Err(SparseError::Values { values: values.len(), indices: pattern.nnz() });
        }
        Ok(Self { pattern, values })
    }

    /// [`try_over`](Self::try_over) where it is known that there is one value per stored entry.
    ///
    /// # Panics
    /// When there is not.
    #[must_use]
    pub fn over(pattern: Arc<Pattern>, values: Vec<T>) -> Self {
        assert_eq!(pattern.nnz(), values.len(), "one value per stored entry");
        Self { pattern, values }
    }

    /// A matrix from the three arrays of a file. The columns of a row may be in any order; entries of one place are
    /// added up.
    ///
    /// # Errors
    /// [`SparseError`] names what is not a sparse matrix about them.
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

    /// A matrix from rows of `(column, value)` pairs, columns rising within each row.
    ///
    /// # Errors
    /// As [`Pattern::new`].
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

    /// The same matrix as one of sprs, without a copy.
    #[must_use]
    pub fn view(&self) -> CsMatViewI<'_, T, u32, usize> {
        let shape = (self.n_rows(), self.n_cols());
        #[expect(unsafe_code, reason = "the pattern need not be checked again")]
        // SAFETY: the pattern was checked when it was made, and there is one value per entry.
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

    /// The same matrix as one of sprs; the pattern is copied where other matrices have it too.
    #[must_use]
    pub fn into_sprs(self) -> CsMatI<T, u32, usize> {
        let shape = (self.n_rows(), self.n_cols());
        let pattern = Arc::try_unwrap(self.pattern).unwrap_or_else(|shared| (*shared).clone());
        let (indptr, indices, _) = pattern.0.into_raw_storage();
        #[expect(unsafe_code, reason = "the pattern need not be checked again")]
        // SAFETY: the pattern was checked when it was made, and there is one value per entry.
        unsafe {
            CsMatI::new_unchecked(CompressedStorage::CSR, shape, indptr, indices, self.values)
        }
    }

    /// The shared pattern.
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

    /// Every stored value, row after row.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// Columns and values stored in `row`.
    #[must_use]
    pub fn row(&self, row: usize) -> (&[u32], &[T]) {
        let indptr = self.pattern.indptr();
        let span = indptr[row]..indptr[row + 1];
        (&self.pattern.indices()[span.clone()], &self.values[span])
    }

    /// The same pattern with other values.
    #[must_use]
    pub fn map<U: Copy>(&self, f: impl Fn(T) -> U) -> Csr<U> {
        Csr { pattern: Arc::clone(&self.pattern), values: self.values.iter().map(|&v| f(v)).collect() }
    }

    /// Rows become columns.
    #[must_use]
    pub fn transpose(&self) -> Self
    where
        T: Default,
    {
        Self::from(self.view().transpose_into().to_csr())
    }

    /// The chosen rows, in the order given; a row may be chosen more than once.
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

    /// The chosen columns, in the order given; `columns` names each at most once.
    ///
    /// # Panics
    /// When a column is out of range.
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

    /// Makes `self` use `other`'s pattern where the two are equal, so that one copy of the indices is kept.
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
    /// When the slice is not `n_cols` long.
    pub fn write_row(&self, row: usize, dense: &mut [f32]) {
        assert_eq!(dense.len(), self.n_cols(), "one value per column");
        dense.fill(0.0);
        let (columns, values) = self.row(row);
        for (&column, &value) in columns.iter().zip(values) {
            dense[column as usize] = value;
        }
    }

    /// The chosen rows as one dense row-major block, `rows.len() × n_cols`.
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
    /// Takes the arrays of a matrix of rows as they are, and turns one of columns. Row pointers of a slice of another
    /// matrix begin later, and are moved to 0.
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
    /// A matrix of no rows and no columns.
    fn default() -> Self {
        Self { pattern: Arc::new(Pattern::known(0, vec![0], Vec::new())), values: Vec::new() }
    }
}

/// Joins neighbouring entries of one column, rows being in order.
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

/// A row or column number as it is stored.
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
