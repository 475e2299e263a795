//! Nearest neighbours in Euclidean distance, by blocked matrix products.
//!
//! ```text
//! ‖a − b‖² = ‖a‖² + ‖b‖² − 2 a·b
//! ```
//!
//! One `f64` matrix product computes the products of a block of queries with a block of points. Only the best
//! candidates are stored, and their distances are recomputed from the coordinates. Ties go to the lower index. Memory
//! is O(cells × (neighbours + coordinates) + block²). Up to [`EXACT_CELLS`] cells the search is exact and skips only
//! pairs that cannot be neighbours. Above, it compares only cells in lists with nearby centres
//! ([`approximate_neighbors`]).

mod approximate;
mod error;
mod leaves;
mod neighbor_table;
mod search;

use sclsd_data::Matrix;

pub use approximate::approximate_neighbors;
pub use error::KnnError;
pub use neighbor_table::Neighbors;
use search::Points;

/// Number of cells up to which [`neighbors`] is exact.
pub const EXACT_CELLS: usize = 50_000;

/// The `n_neighbors` nearest cells of every cell: exact up to [`EXACT_CELLS`] cells, approximate above.
///
/// # Errors
/// Under the same conditions as [`nearest_neighbors`].
pub fn neighbors(points: &Matrix, n_neighbors: usize, seed: u64) -> Result<Neighbors, KnnError> {
    if points.n_rows() <= EXACT_CELLS {
        nearest_neighbors(points, n_neighbors)
    } else {
        approximate_neighbors(points, n_neighbors, seed)
    }
}

/// The `n_neighbors` nearest cells of every cell, including the cell itself, as `scanpy.pp.neighbors` counts them.
///
/// # Errors
/// [`KnnError`] if there are fewer cells than `n_neighbors`, `n_neighbors` is below 2, or a coordinate is not finite.
pub fn nearest_neighbors(points: &Matrix, n_neighbors: usize) -> Result<Neighbors, KnnError> {
    let points = Points::new(points, n_neighbors)?;
    let found = leaves::nearest_of_all(&points, n_neighbors);
    Ok(Neighbors::from_rows(n_neighbors, &found))
}

#[cfg(test)]
mod tests {
    use super::search::index;
    use super::*;

    /// Points on a spiral, more than one block.
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
        let error = nearest_neighbors(&spiral(5), 1).unwrap_err();
        assert_eq!(error.to_string(), "prepare.n_neighbors is 1, expected at least 2 (the cell itself counts)");
    }
}
