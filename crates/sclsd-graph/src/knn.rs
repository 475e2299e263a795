//! Nearest neighbours in Euclidean distance, by blocked matrix products.
//!
//! ```text
//! ‖a − b‖² = ‖a‖² + ‖b‖² − 2 a·b
//! ```
//!
//! The products of a block of queries with a block of points come from one `f64` matrix product; only the best of them
//! are kept, and their distances are computed anew from the coordinates. Ties go to the lower index. Memory is
//! O(cells × (neighbours + coordinates) + block²). Up to [`EXACT_CELLS`] cells only pairs are passed over that cannot be
//! neighbours; above, only pairs of cells from lists whose centres are near are looked at ([`approximate_neighbors`]).

mod approximate;
mod leaves;
mod search;

use sclsd_data::Matrix;

pub use approximate::approximate_neighbors;
use search::Points;

/// Queries and points in one block.
const BLOCK: usize = 512;
/// Cells up to which [`neighbors`] finds exactly the nearest.
pub const EXACT_CELLS: usize = 50_000;

/// Neighbours of one cell with their distances, itself first.
type Row = Vec<(u32, f64)>;

/// The nearest cells of every cell, itself first.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    n_neighbors: usize,
    indices: Vec<u32>,
    distances: Vec<f64>,
}

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
    #[error("n_neighbors is {n_neighbors}, expected at least 2 (the cell itself counts)")]
    TooFewNeighbors {
        /// Neighbours asked for.
        n_neighbors: usize,
    },
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

impl Neighbors {
    fn from_rows(n_neighbors: usize, rows: &[Vec<(u32, f64)>]) -> Self {
        let indices = rows.iter().flatten().map(|entry| entry.0).collect();
        let distances = rows.iter().flatten().map(|entry| entry.1).collect();
        Self { n_neighbors, indices, distances }
    }

    /// Neighbours per cell, the cell itself included.
    #[must_use]
    pub fn n_neighbors(&self) -> usize {
        self.n_neighbors
    }

    /// Number of cells.
    #[must_use]
    pub fn n_cells(&self) -> usize {
        self.indices.len() / self.n_neighbors
    }

    /// Neighbours of a cell and their distances, nearest first; the first is the cell itself, at distance 0.
    #[must_use]
    pub fn of(&self, cell: usize) -> (&[u32], &[f64]) {
        let span = cell * self.n_neighbors..(cell + 1) * self.n_neighbors;
        (&self.indices[span.clone()], &self.distances[span])
    }

    /// Distances as a sparse matrix, one row per cell, without the cell itself: obsp `distances` of scanpy.
    ///
    /// # Panics
    /// Never: neighbours are distinct cells.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "distances are kept in f32 in files")]
    pub fn to_csr(&self) -> sclsd_data::Csr {
        let rows = (0..self.n_cells()).map(|cell| {
            let (others, distances) = self.of(cell);
            let mut row: Vec<(u32, f32)> =
                others.iter().copied().zip(distances.iter().map(|&d| d as f32)).skip(1).collect();
            row.sort_unstable_by_key(|entry| entry.0);
            row
        });
        sclsd_data::Csr::from_rows(self.n_cells(), rows).expect("neighbours are distinct cells")
    }
}

/// The `n_neighbors` nearest cells of every cell: exactly up to [`EXACT_CELLS`] cells, approximately above.
///
/// # Errors
/// As [`nearest_neighbors`].
pub fn neighbors(points: &Matrix, n_neighbors: usize, seed: u64) -> Result<Neighbors, KnnError> {
    if points.n_rows() <= EXACT_CELLS {
        nearest_neighbors(points, n_neighbors)
    } else {
        approximate_neighbors(points, n_neighbors, seed)
    }
}

/// The `n_neighbors` nearest cells of every cell, itself included, as `scanpy.pp.neighbors` counts them.
///
/// # Errors
/// [`KnnError`] where there are fewer cells than neighbours, fewer than two neighbours, or a coordinate is not finite.
pub fn nearest_neighbors(points: &Matrix, n_neighbors: usize) -> Result<Neighbors, KnnError> {
    let points = Points::new(points, n_neighbors)?;
    let found = leaves::nearest_of_all(&points, n_neighbors);
    Ok(Neighbors::from_rows(n_neighbors, &found))
}

#[cfg(test)]
mod tests {
    use super::search::index;
    use super::*;

    /// Points on a spiral, more than one block of them.
    fn spiral(n: u16) -> Matrix {
        Matrix::new(
            3,
            (0..n)
                .flat_map(|i| {
                    let t = f32::from(i) * 0.013;
                    [t.sin() * t, t.cos() * t, (7.0 * t).sin()]
                })
                .collect(),
        )
    }

    #[test]
    fn blocked_products_find_what_a_full_search_finds() {
        let points = spiral(1200);
        let found = nearest_neighbors(&points, 7).unwrap();
        for cell in (0..1200).step_by(97) {
            let mut all: Vec<(f64, u32)> = (0..1200)
                .map(|other| {
                    let d: f64 =
                        points.row(cell).iter().zip(points.row(other)).map(|(a, b)| f64::from(a - b).powi(2)).sum();
                    (d, index(other))
                })
                .collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            let expected: Vec<u32> = all[..7].iter().map(|c| c.1).collect();
            assert_eq!(found.of(cell).0, expected, "cell {cell}");
        }
    }

    #[test]
    fn a_cell_is_its_own_first_neighbour_among_copies() {
        let points = Matrix::new(2, vec![1.0; 60]);
        let found = nearest_neighbors(&points, 3).unwrap();
        assert!((0..30).all(|cell| found.of(cell).0[0] as usize == cell && found.of(cell).1 == [0.0; 3]));
    }

    #[test]
    fn too_few_cells_is_an_error_with_both_numbers() {
        let error = nearest_neighbors(&spiral(5), 15).unwrap_err();
        assert_eq!(error.to_string(), "15 neighbours (the cell itself included) are asked for, but there are 5 cells");
    }
}
