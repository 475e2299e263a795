//! Exact search in the leaves of a k-d tree that skips leaves too far away.
//!
//! ```text
//! ‖q − p‖² ≥ Σ_d max(low_d − q_d, q_d − high_d, 0)²     for p in a leaf that spans low…high
//! ```
//!
//! The queries of a leaf visit leaves from the nearest on. A leaf whose bound exceeds the distance to the furthest
//! current neighbor contains no neighbor. If this holds for every query, the remaining leaves are skipped.

use rayon::prelude::*;

use super::neighbor_table::Row;
use super::search::{Block, Points, Search, index};

/// Maximum number of cells per leaf.
const LEAF: usize = 256;
/// Bound on the rounding error of a squared distance, relative to the squared norms it is computed from. It is far
/// above the actual error.
const ROUNDING: f64 = 1e-9;

/// Some cells and their bounding box.
struct Leaf {
    block: Block,
    low: Vec<f64>,
    high: Vec<f64>,
}

/// The `k` nearest cells of every cell.
pub(super) fn nearest_of_all(points: &Points, k: usize) -> Vec<Row> {
    let mut cells: Vec<u32> = (0..index(points.n_cells())).collect();
    let mut leaves = Vec::new();
    split(points, &mut cells, &mut leaves);
    let found: Vec<(&[u32], Vec<Row>)> =
        leaves.par_iter().map(|leaf| (leaf.block.cells(), leaf.nearest(points, &leaves, k))).collect();
    let mut rows = vec![Row::new(); points.n_cells()];
    for (cells, found) in found {
        cells.iter().zip(found).for_each(|(&cell, row)| rows[cell as usize] = row);
    }
    rows
}

/// Splits cells at the median of the coordinate with the largest spread, until they fit into a leaf.
fn split(points: &Points, cells: &mut [u32], leaves: &mut Vec<Leaf>) {
    let row = |cell: u32| points.row(cell as usize);
    let (mut low, mut high) = (row(cells[0]).to_vec(), row(cells[0]).to_vec());
    for &cell in &*cells {
        low.iter_mut().zip(row(cell)).for_each(|(low, &v)| *low = low.min(v));
        high.iter_mut().zip(row(cell)).for_each(|(high, &v)| *high = high.max(v));
    }
    if cells.len() <= LEAF {
        leaves.push(Leaf { block: points.block(cells.to_vec()), low, high });
        return;
    }
    let spread = |axis: usize| high[axis] - low[axis];
    let widest = (0..low.len()).max_by(|&a, &b| spread(a).total_cmp(&spread(b))).unwrap_or(0);
    let middle = cells.len() / 2;
    cells.select_nth_unstable_by(middle, |&a, &b| row(a)[widest].total_cmp(&row(b)[widest]).then(a.cmp(&b)));
    let (below, above) = cells.split_at_mut(middle);
    split(points, below, leaves);
    split(points, above, leaves);
}

impl Leaf {
    fn nearest(&self, points: &Points, leaves: &[Self], k: usize) -> Vec<Row> {
        let mut order: Vec<(f64, usize)> = leaves.iter().map(|leaf| self.gap(leaf)).zip(0..).collect();
        // the leaf itself first: its gap is 0, but other gaps can be 0 too
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut search = Search::new(points, self.block.cells().to_vec(), k);
        search.offer(&self.block);
        for (gap, leaf) in order {
            if std::ptr::eq(&raw const leaves[leaf], self) {
                continue;
            }
            if !(0..self.block.cells().len()).any(|query| search.admits(query, gap, ROUNDING)) {
                break;
            }
            let near = |query: usize| search.admits(query, leaves[leaf].bound(search.query(query)), ROUNDING);
            let queries: Vec<usize> = (0..self.block.cells().len()).filter(|&query| near(query)).collect();
            search.offer_to(&queries, &leaves[leaf].block);
        }
        search.finish()
    }

    /// Squared lower bound on the distance between a cell of one leaf and a cell of the other.
    fn gap(&self, other: &Self) -> f64 {
        let axes = self.low.iter().zip(&self.high).zip(other.low.iter().zip(&other.high));
        axes.map(|((low, high), (from, to))| (from - high).max(low - to).max(0.0).powi(2)).sum()
    }

    /// Squared lower bound on the distance between a point and a cell of the leaf.
    fn bound(&self, point: &[f64]) -> f64 {
        let axes = self.low.iter().zip(&self.high).zip(point);
        axes.map(|((low, high), v)| (low - v).max(v - high).max(0.0).powi(2)).sum()
    }
}
