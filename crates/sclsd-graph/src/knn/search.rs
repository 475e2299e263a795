//! The best candidates for a block of queries.

use std::cmp::Ordering;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use sclsd_data::{Matrix, leave_vector_code};
use sclsd_spec::in_range;

use super::error::KnnError;

/// Number of additional candidates. Rounding can misplace neighbours at nearly equal distances, so the candidates are
/// measured exactly at the end.
const SPARE: usize = 8;
/// Number of candidates that are compared with the limit at once.
const LANES: usize = 16;

/// Coordinates in `f64` with their squared norms.
pub(super) struct Points {
    width: usize,
    coordinates: Vec<f64>,
    norms: Vec<f64>,
}

impl Points {
    /// Checks that the points are valid and enough for the requested number of neighbours.
    pub(super) fn new(points: &Matrix, n_neighbors: usize) -> Result<Self, KnnError> {
        let n_cells = points.n_rows();
        in_range("prepare.n_neighbors", n_neighbors, n_neighbors >= 2, "at least 2 (the cell itself counts)")?;
        if n_neighbors > n_cells {
            return Err(KnnError::TooFewCells { n_neighbors, n_cells });
        }
        if let Some(at) = points.values().iter().position(|v| !v.is_finite()) {
            let (cell, column) = (at / points.n_cols(), at % points.n_cols());
            return Err(KnnError::NotFinite { cell, column, value: points.values()[at] });
        }
        Ok(Self::of(points.n_cols(), points.values().iter().map(|&v| f64::from(v)).collect()))
    }

    pub(super) fn of(width: usize, coordinates: Vec<f64>) -> Self {
        let norms = coordinates.chunks_exact(width).map(|row| row.iter().map(|v| v * v).sum()).collect();
        Self { width, coordinates, norms }
    }

    pub(super) fn n_cells(&self) -> usize {
        self.norms.len()
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn row(&self, cell: usize) -> &[f64] {
        &self.coordinates[cell * self.width..(cell + 1) * self.width]
    }

    pub(super) fn squared_distance(&self, a: usize, b: usize) -> f64 {
        self.row(a).iter().zip(self.row(b)).map(|(x, y)| (x - y).powi(2)).sum()
    }

    /// Gathers points, one per column.
    pub(super) fn gather(&self, cells: &[u32]) -> Mat<f64> {
        Mat::from_fn(self.width, cells.len(), |i, j| self.coordinates[cells[j] as usize * self.width + i])
    }

    /// Gathers points that queries are compared with.
    pub(super) fn block(&self, cells: Vec<u32>) -> Block {
        let norms = cells.iter().map(|&cell| self.norms[cell as usize]).collect();
        Block { coordinates: self.gather(&cells), norms, cells }
    }
}

/// Points that queries are compared with, one per column.
pub(super) struct Block {
    cells: Vec<u32>,
    coordinates: Mat<f64>,
    norms: Vec<f64>,
}

impl Block {
    pub(super) fn cells(&self) -> &[u32] {
        &self.cells
    }

    /// `‖point‖² − 2 point·query`, the squared distance minus the squared norm of the query; `points × queries`.
    pub(super) fn scores(&self, queries: MatRef<f64>) -> Mat<f64> {
        let mut products = Mat::<f64>::zeros(self.cells.len(), queries.ncols());
        matmul(products.as_mut(), Accum::Replace, self.coordinates.transpose(), queries, -2.0, Par::Seq);
        leave_vector_code();
        for query in 0..products.ncols() {
            products.col_mut(query).iter_mut().zip(&self.norms).for_each(|(score, norm)| *score += norm);
        }
        products
    }
}

/// The current nearest candidates of a block of queries.
pub(super) struct Search<'a> {
    points: &'a Points,
    queries: Vec<u32>,
    coordinates: Mat<f64>,
    k: usize,
    best: Vec<Best>,
}

/// The current candidates of one query, including some that may not be among the nearest.
#[derive(Clone)]
struct Best {
    candidates: Vec<(f64, u32)>,
    /// Candidates with a larger score are not among the nearest.
    limit: f64,
}

impl Best {
    /// Adds candidates. Most exceed the limit, which is tested for many at once.
    fn offer(&mut self, scores: &[f64], points: &[u32], kept: usize) {
        for (scores, points) in scores.chunks(LANES).zip(points.chunks(LANES)) {
            let limit = self.limit;
            #[expect(clippy::needless_bitwise_bool, reason = "no branch for each, so that many are compared at once")]
            if !scores.iter().fold(false, |any, score| any | (*score <= limit)) {
                continue;
            }
            let near = scores.iter().copied().zip(points.iter().copied()).filter(|entry| entry.0 <= limit);
            self.candidates.extend(near);
            if self.candidates.len() >= 4 * kept {
                self.narrow(kept);
            }
        }
    }

    fn narrow(&mut self, kept: usize) {
        if self.candidates.len() > kept {
            let (_, last, _) = self.candidates.select_nth_unstable_by(kept - 1, nearer);
            self.limit = last.0;
            self.candidates.truncate(kept);
        }
    }
}

impl<'a> Search<'a> {
    pub(super) fn new(points: &'a Points, queries: Vec<u32>, k: usize) -> Self {
        let coordinates = points.gather(&queries);
        let best = vec![Best { candidates: Vec::new(), limit: f64::INFINITY }; queries.len()];
        Self { points, queries, coordinates, k, best }
    }

    /// Adds candidates for every query. A cell must not be offered twice.
    pub(super) fn offer(&mut self, candidates: &Block) {
        let scores = candidates.scores(self.coordinates.as_ref());
        for (query, best) in self.best.iter_mut().enumerate() {
            best.offer(column(&scores, query), &candidates.cells, self.k + SPARE);
        }
    }

    /// Adds candidates for some of the queries, and then tightens their limits.
    pub(super) fn offer_to(&mut self, queries: &[usize], candidates: &Block) {
        let coordinates = Mat::from_fn(self.points.width, queries.len(), |i, j| self.coordinates[(i, queries[j])]);
        let scores = candidates.scores(coordinates.as_ref());
        for (at, &query) in queries.iter().enumerate() {
            self.best[query].offer(column(&scores, at), &candidates.cells, self.k + SPARE);
            self.best[query].narrow(self.k + SPARE);
        }
    }

    pub(super) fn query(&self, query: usize) -> &[f64] {
        self.points.row(self.queries[query] as usize)
    }

    /// Whether a point at this squared distance or beyond can be among the nearest, allowing for rounding of the norms.
    pub(super) fn admits(&self, query: usize, distance: f64, rounding: f64) -> bool {
        let norm = self.points.norms[self.queries[query] as usize];
        distance - rounding * (norm + distance) <= self.best[query].limit + norm
    }

    /// The `k` nearest cells of every query with their distances, the cell itself first, then nearest first.
    pub(super) fn finish(self) -> Vec<Vec<(u32, f64)>> {
        let Self { points, queries, k, best, .. } = self;
        let row = |(cell, mut best): (u32, Best)| {
            best.narrow(k + SPARE);
            let others = best.candidates.into_iter().map(|c| c.1);
            nearest_of(points, cell, others, k)
        };
        queries.into_iter().zip(best).map(row).collect()
    }
}

/// The `k` nearest of these candidates by exact distance, the cell itself first. Candidates may repeat.
pub(super) fn nearest_of(
    points: &Points,
    cell: u32,
    candidates: impl Iterator<Item = u32>,
    k: usize,
) -> Vec<(u32, f64)> {
    let measure = |other: u32| (points.squared_distance(cell as usize, other as usize), other);
    let mut found: Vec<(f64, u32)> = candidates.filter(|&other| other != cell).map(measure).collect();
    found.sort_unstable_by(nearer);
    found.dedup_by_key(|entry| entry.1);
    let itself = std::iter::once((cell, 0.0));
    itself.chain(found.into_iter().map(|(d, other)| (other, d.sqrt()))).take(k).collect()
}

fn column(scores: &Mat<f64>, query: usize) -> &[f64] {
    scores.col(query).try_as_col_major().expect("columns of a new matrix lie in one piece").as_slice()
}

fn nearer(a: &(f64, u32), b: &(f64, u32)) -> Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

pub(super) fn index(i: usize) -> u32 {
    u32::try_from(i).expect("more than 2^32 cells")
}
