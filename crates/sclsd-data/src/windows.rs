//! Matrices that are read window by window, so that they need not fit into memory.

use std::ops::ControlFlow;

use crate::{Csr, H5adError};

/// A matrix of cells × genes, in memory ([`Csr`]) or in a file ([`FileMatrix`](crate::FileMatrix)).
pub trait Windows {
    /// Rows and columns.
    fn shape(&self) -> (usize, usize);

    /// Calls `each` with one window after the other until `each` breaks. Columns are increasing within a row, and rows
    /// within a column, so sums over rows or columns are bitwise identical for any choice of windows.
    ///
    /// # Errors
    /// [`H5adError`] if a file cannot be read or holds an invalid sparse matrix.
    fn visit(&self, each: &mut dyn FnMut(&Window<'_>) -> ControlFlow<()>) -> Result<(), H5adError>;

    /// The given rows and columns in the given order, without repeats. `None` selects all.
    ///
    /// # Errors
    /// Under the same conditions as [`Windows::visit`].
    fn select(&self, rows: Option<&[usize]>, columns: Option<&[usize]>) -> Result<Csr, H5adError>;
}

/// Some rows of a matrix, or some columns of a matrix that is stored by columns.
#[derive(Debug)]
pub struct Window<'a> {
    part: &'a Csr,
    /// Indices in the matrix of the rows of `part` (columns if stored by columns).
    places: &'a [usize],
    by_column: bool,
}

impl<'a> Window<'a> {
    pub(crate) fn new(part: &'a Csr, places: &'a [usize], by_column: bool) -> Self {
        debug_assert_eq!(part.n_rows(), places.len(), "a place per row");
        Self { part, places, by_column }
    }

    /// The same window with other values. `change` computes them from `part` and a function that returns the matrix row
    /// of an entry.
    pub(crate) fn with<T>(
        &self,
        change: impl FnOnce(&Csr, &(dyn Fn(usize, usize) -> usize + Sync)) -> Csr,
        each: impl FnOnce(&Window<'_>) -> T,
    ) -> T {
        let row = |at: usize, across: usize| if self.by_column { across } else { self.places[at] };
        let part = change(self.part, &row);
        each(&Window::new(&part, self.places, self.by_column))
    }

    /// Calls `each` with row, column and value of every stored entry.
    #[inline]
    pub fn for_each(&self, mut each: impl FnMut(usize, usize, f32)) {
        for (at, &place) in self.places.iter().enumerate() {
            let (across, values) = self.part.row(at);
            for (&other, &value) in across.iter().zip(values) {
                if self.by_column { each(other as usize, place, value) } else { each(place, other as usize, value) }
            }
        }
    }
}

impl Windows for Csr {
    fn shape(&self) -> (usize, usize) {
        (self.n_rows(), self.n_cols())
    }

    fn visit(&self, each: &mut dyn FnMut(&Window<'_>) -> ControlFlow<()>) -> Result<(), H5adError> {
        let places: Vec<usize> = (0..self.n_rows()).collect();
        let _ = each(&Window::new(self, &places, false));
        Ok(())
    }

    fn select(&self, rows: Option<&[usize]>, columns: Option<&[usize]>) -> Result<Csr, H5adError> {
        Ok(match (rows, columns) {
            (None, None) => self.clone(),
            (Some(rows), None) => self.select_rows(rows),
            (None, Some(columns)) => self.select_columns(columns),
            (Some(rows), Some(columns)) => self.select_rows(rows).select_columns(columns),
        })
    }
}

/// The first stored entry that is not `good`: row, column and value.
///
/// # Errors
/// Under the same conditions as [`Windows::visit`].
pub fn first_bad(matrix: &dyn Windows, good: impl Fn(f32) -> bool) -> Result<Option<(usize, usize, f32)>, H5adError> {
    let mut found = None;
    matrix.visit(&mut |window| {
        if window.part.values().iter().all(|&value| good(value)) {
            return ControlFlow::Continue(());
        }
        window.for_each(|row, column, value| {
            if found.is_none() && !good(value) {
                found = Some((row, column, value));
            }
        });
        ControlFlow::Break(())
    })?;
    Ok(found)
}
