//! Exact nearest neighbours in Euclidean distance, by blocked matrix products.
//!
//! ```text
//! ‖a − b‖² = ‖a‖² + ‖b‖² − 2 a·b
//! ```
//!
//! The products of a block of queries with a block of points come from one `f64` matrix product; only the best of them
//! are kept, and their distances are computed anew from the coordinates. Ties go to the lower index. Memory is
//! O(cells × neighbours + block²).

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;
use sclsd_data::Matrix;

/// Queries and points in one block.
const BLOCK: usize = 512;

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
}

/// The `n_neighbors` nearest cells of every cell, itself included, as `scanpy.pp.neighbors` counts them.
///
/// # Errors
/// [`KnnError`] where there are fewer cells than neighbours, fewer than two neighbours, or a coordinate is not finite.
pub fn nearest_neighbors(points: &Matrix, n_neighbors: usize) -> Result<Neighbors, KnnError> {
    let n_cells = points.n_rows();
    if n_neighbors < 2 {
        return Err(KnnError::TooFewNeighbors { n_neighbors });
    }
    if n_neighbors > n_cells {
        return Err(KnnError::TooFewCells { n_neighbors, n_cells });
    }
    if let Some(at) = points.values().iter().position(|v| !v.is_finite()) {
        let (cell, column) = (at / points.n_cols(), at % points.n_cols());
        return Err(KnnError::NotFinite { cell, column, value: points.values()[at] });
    }

    let coordinates: Vec<f64> = points.values().iter().map(|&v| f64::from(v)).collect();
    let all = MatRef::from_row_major_slice(&coordinates, n_cells, points.n_cols());
    let norms: Vec<f64> = coordinates.chunks_exact(points.n_cols()).map(|row| dot(row, row)).collect();
    let blocks: Vec<usize> = (0..n_cells).step_by(BLOCK).collect();
    let found: Vec<(Vec<u32>, Vec<f64>)> =
        blocks.par_iter().map(|&first| block(all, &coordinates, &norms, first, n_neighbors)).collect();
    let (mut indices, mut distances) = (Vec::new(), Vec::new());
    for (i, d) in found {
        indices.extend(i);
        distances.extend(d);
    }
    Ok(Neighbors { n_neighbors, indices, distances })
}

/// Neighbours of the cells `first .. first + BLOCK`.
fn block(all: MatRef<'_, f64>, rows: &[f64], norms: &[f64], first: usize, k: usize) -> (Vec<u32>, Vec<f64>) {
    let (n_cells, width) = (all.nrows(), all.ncols());
    let n_queries = BLOCK.min(n_cells - first);
    let queries = all.subrows(first, n_queries);
    // rounding may misplace neighbours that are nearly as far: keep some more, then measure them exactly
    let kept = (k + 8).min(n_cells);
    let mut best: Vec<Vec<(f64, u32)>> = vec![Vec::new(); n_queries];
    for start in (0..n_cells).step_by(BLOCK) {
        let n_points = BLOCK.min(n_cells - start);
        let mut products = Mat::<f64>::zeros(n_points, n_queries);
        let points = all.subrows(start, n_points);
        matmul(products.as_mut(), Accum::Replace, points, queries.transpose(), -2.0, Par::Seq);
        for (query, best) in best.iter_mut().enumerate() {
            let column = products.col(query);
            best.extend((0..n_points).map(|p| (norms[start + p] + column[p], index(start + p))));
            if best.len() > kept {
                best.select_nth_unstable_by(kept - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                best.truncate(kept);
            }
        }
    }
    let (mut indices, mut distances) = (Vec::with_capacity(n_queries * k), Vec::with_capacity(n_queries * k));
    for (query, mut candidates) in best.into_iter().enumerate() {
        let cell = first + query;
        let own = &rows[cell * width..][..width];
        for (distance, other) in &mut candidates {
            let there = &rows[*other as usize * width..][..width];
            let squared: f64 = own.iter().zip(there).map(|(a, b)| (a - b).powi(2)).sum();
            *distance = if *other as usize == cell { -1.0 } else { squared.sqrt() }; // the cell itself comes first
        }
        candidates.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        if candidates.first().is_none_or(|c| c.1 as usize != cell) {
            candidates.insert(0, (-1.0, index(cell))); // crowded out by copies of itself
        }
        indices.extend(candidates.iter().take(k).map(|c| c.1));
        distances.extend(candidates.iter().take(k).map(|c| c.0.max(0.0)));
    }
    (indices, distances)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn index(i: usize) -> u32 {
    u32::try_from(i).expect("more than 2^32 cells")
}

#[cfg(test)]
mod tests {
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
