//! Errors of the neighbour search.

use sclsd_spec::OutOfRange;

/// The reason why neighbours cannot be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KnnError {
    /// More neighbours were requested than there are cells.
    #[error("{n_neighbors} neighbours (the cell itself included) are asked for, but there are {n_cells} cells")]
    TooFewCells {
        /// Requested number of neighbours.
        n_neighbors: usize,
        /// Number of cells.
        n_cells: usize,
    },
    /// Fewer than two neighbours were requested, which leaves only the cell itself.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// A coordinate is not finite.
    #[error("coordinate {column} of cell {cell} is {value}, expected a finite number")]
    NotFinite {
        /// Row of the coordinate.
        cell: usize,
        /// Column of the coordinate.
        column: usize,
        /// Value of the coordinate.
        value: f32,
    },
}
