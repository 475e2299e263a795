//! Why neighbours cannot be found.

use sclsd_spec::OutOfRange;

/// Why neighbours cannot be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KnnError {
    /// More neighbours are asked for than there are cells.
    #[error("{n_neighbors} neighbours (the cell itself included) are asked for, but there are {n_cells} cells")]
    TooFewCells {
        /// Neighbours asked for.
        n_neighbors: usize,
        /// Cells there are.
        n_cells: usize,
    },
    /// Fewer than two neighbours leave nobody but the cell itself.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// A coordinate is not finite.
    #[error("coordinate {column} of cell {cell} is {value}, expected a finite number")]
    NotFinite {
        /// Row of the coordinate.
        cell: usize,
        /// Column of the coordinate.
        column: usize,
        /// Its value.
        value: f32,
    },
}
