//! Exact search for the cell nearest to a point, by a k-d tree.
//!
//! Cells are split at the median of the coordinate with the largest spread until few are left in a leaf. A search
//! descends into the nearer half first, and visits the other half only if the splitting plane is nearer than the best
//! cell so far. Building takes O(n log² n). A query takes O(log n) if the cells lie on few dimensions, as latent states
//! do. Ties go to the lower index.

use rayon::prelude::*;
use sclsd_data::Matrix;

/// Number of cells per leaf.
const LEAF: usize = 16;

/// A k-d tree over cells. Invariants of [`Nearest::new`]: every cell is in exactly one leaf, and every coordinate is
/// finite.
#[derive(Debug, Clone)]
pub struct Nearest {
    width: usize,
    /// Coordinates in the order of `cells`, so that a leaf is contiguous in memory.
    coordinates: Vec<f32>,
    cells: Vec<u32>,
    nodes: Vec<Node>,
}

/// The reason why there is no nearest cell.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NearestError {
    /// There are no cells to search.
    #[error("there are no cells, so none is nearest")]
    NoCells,
    /// A coordinate of the query point is not finite, so no cell is nearest to it.
    #[error("coordinate {column} of point {point} is {value}, so no cell is nearest to it")]
    Point {
        /// Row of the coordinate.
        point: usize,
        /// Column of the coordinate.
        column: usize,
        /// Value of the coordinate.
        value: f32,
    },
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

#[derive(Debug, Clone, Copy)]
enum Node {
    Leaf {
        first: u32,
        end: u32,
    },
    /// Cells with `coordinate[axis] <= plane` are in `left`, the others in `right`.
    Split {
        axis: u32,
        plane: f32,
        left: u32,
        right: u32,
    },
}

impl Nearest {
    /// Builds the tree over the rows of `points`.
    ///
    /// # Errors
    /// [`NearestError`] if there are no cells, or a coordinate is not finite.
    ///
    /// # Panics
    /// Never, because cells are numbered in `u32`.
    pub fn new(points: &Matrix) -> Result<Self, NearestError> {
        let (n, width) = (points.n_rows(), points.n_cols());
        if n == 0 {
            return Err(NearestError::NoCells);
        }
        if let Some(at) = points.values().iter().position(|v| !v.is_finite()) {
            let (cell, column) = (at / width, at % width);
            return Err(NearestError::NotFinite { cell, column, value: points.values()[at] });
        }
        let mut cells: Vec<u32> = (0..u32::try_from(n).expect("fewer than 2^32 cells")).collect();
        let mut nodes = Vec::new();
        build(points, &mut cells, 0, &mut nodes);
        let coordinates = cells.iter().flat_map(|&cell| points.row(cell as usize).iter().copied()).collect();
        Ok(Self { width, coordinates, cells, nodes })
    }

    /// The cell nearest to `point`; ties go to the lower index. `None` if a coordinate of `point` is not finite.
    ///
    /// # Panics
    /// If the point and the cells differ in the number of coordinates.
    #[must_use]
    pub fn of(&self, point: &[f32]) -> Option<u32> {
        self.search(point, None).0
    }

    /// The cell nearest to `point` other than `cell`; `None` if there is no other, or a coordinate is not finite.
    ///
    /// # Panics
    /// Under the same conditions as [`of`](Self::of).
    #[must_use]
    pub fn of_other(&self, point: &[f32], cell: u32) -> Option<u32> {
        self.search(point, Some(cell)).0
    }

    /// The nearest cell other than `without`, and the number of cells compared.
    fn search(&self, point: &[f32], without: Option<u32>) -> (Option<u32>, usize) {
        assert_eq!(point.len(), self.width, "as many coordinates as the cells have");
        if !point.iter().all(|v| v.is_finite()) {
            return (None, 0);
        }
        let (mut best, mut looked_at) = ((f32::INFINITY, u32::MAX), 0);
        // nodes still to be visited, with a lower bound on the distance of their cells
        let mut open = vec![(0.0_f32, 0_u32)];
        while let Some((least, node)) = open.pop() {
            if least > best.0 {
                continue;
            }
            match self.nodes[node as usize] {
                Node::Leaf { first, end } => {
                    looked_at += (end - first) as usize;
                    for at in (first as usize..end as usize).filter(|&at| Some(self.cells[at]) != without) {
                        let row = &self.coordinates[at * self.width..(at + 1) * self.width];
                        let distance: f32 = row.iter().zip(point).map(|(a, b)| (a - b) * (a - b)).sum();
                        if distance.total_cmp(&best.0).then(self.cells[at].cmp(&best.1)).is_lt() {
                            best = (distance, self.cells[at]);
                        }
                    }
                }
                Node::Split { axis, plane, left, right } => {
                    let offset = point[axis as usize] - plane;
                    let (near, far) = if offset <= 0.0 { (left, right) } else { (right, left) };
                    open.push((least.max(offset * offset), far));
                    open.push((least, near));
                }
            }
        }
        if best.0.is_finite() {
            return (Some(best.1), looked_at);
        }
        (self.far_away(point, without), looked_at + self.cells.len())
    }

    /// The nearest cell other than `without`, for a point so far away that squared distances overflow in `f32`.
    fn far_away(&self, point: &[f32], without: Option<u32>) -> Option<u32> {
        let distance = |at: usize| -> f64 {
            let row = &self.coordinates[at * self.width..(at + 1) * self.width];
            row.iter().zip(point).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
        };
        let others = (0..self.cells.len()).filter(|&at| Some(self.cells[at]) != without);
        let nearest = others.map(|at| (distance(at), self.cells[at]));
        nearest.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|entry| entry.1)
    }

    /// The nearest cell of every row of `points`.
    ///
    /// # Errors
    /// [`NearestError::Point`] names the first coordinate that is not finite.
    ///
    /// # Panics
    /// Under the same conditions as [`of`](Self::of).
    pub fn of_rows(&self, points: &Matrix) -> Result<Vec<u32>, NearestError> {
        assert_eq!(points.n_cols(), self.width, "as many coordinates as the cells have");
        if let Some(at) = points.values().iter().position(|v| !v.is_finite()) {
            let (point, column) = (at / self.width, at % self.width);
            return Err(NearestError::Point { point, column, value: points.values()[at] });
        }
        Ok(points.values().par_chunks(self.width).filter_map(|point| self.of(point)).collect())
    }
}

/// Adds the node over `cells`, which start at index `first` in tree order, and all nodes below it.
fn build(points: &Matrix, cells: &mut [u32], first: usize, nodes: &mut Vec<Node>) -> u32 {
    let place = u32::try_from(nodes.len()).expect("fewer than 2^32 nodes");
    let at = |i: usize| u32::try_from(i).expect("fewer than 2^32 cells");
    let leaf = Node::Leaf { first: at(first), end: at(first + cells.len()) };
    nodes.push(leaf);
    let axis = widest(points, cells);
    let coordinate = |cell: u32| points.row(cell as usize)[axis];
    let middle = cells.len() / 2;
    if cells.len() <= LEAF {
        return place;
    }
    cells.select_nth_unstable_by(middle, |&a, &b| coordinate(a).total_cmp(&coordinate(b)).then(a.cmp(&b)));
    // the left half ends before the middle cell; its largest coordinate is the splitting plane
    let plane = cells[..middle].iter().map(|&cell| coordinate(cell)).fold(f32::NEG_INFINITY, f32::max);
    if cells.iter().all(|&cell| coordinate(cell).total_cmp(&plane).is_eq()) {
        return place; // they differ in no coordinate: copies of one point
    }
    let (below, above) = cells.split_at_mut(middle);
    let left = build(points, below, first, nodes);
    let right = build(points, above, first + middle, nodes);
    nodes[place as usize] = Node::Split { axis: at(axis), plane, left, right };
    place
}

/// The coordinate in which the cells spread most.
fn widest(points: &Matrix, cells: &[u32]) -> usize {
    let spread = |axis: usize| {
        let (low, high) = cells.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &cell| {
            let v = points.row(cell as usize)[axis];
            (low.min(v), high.max(v))
        });
        high - low
    };
    let spreads: Vec<f32> = (0..points.n_cols()).map(spread).collect();
    (0..spreads.len()).max_by(|&a, &b| spreads[a].total_cmp(&spreads[b]).then(b.cmp(&a))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use sclsd_data::{Purpose, random_stream};

    use super::*;

    fn scattered(n: usize, width: usize, seed: u64) -> Matrix {
        let mut rng = random_stream(seed, Purpose::Cell, 0);
        // coarse values, so that there are ties
        Matrix::new(width, (0..n * width).map(|_| f32::from(rng.random_range(0_u8..12))).collect())
    }

    #[test]
    fn the_tree_finds_what_a_full_search_finds_ties_included() {
        for width in [1, 3, 6] {
            let (cells, queries) = (scattered(500, width, 1), scattered(200, width, 2));
            let tree = Nearest::new(&cells).unwrap();
            for (query, &found) in tree.of_rows(&queries).unwrap().iter().enumerate() {
                let distance = |cell: u32| -> f32 {
                    cells.row(cell as usize).iter().zip(queries.row(query)).map(|(a, b)| (a - b) * (a - b)).sum()
                };
                let expected = (0..500).min_by(|&a, &b| distance(a).total_cmp(&distance(b)).then(a.cmp(&b))).unwrap();
                assert_eq!(found, expected, "query {query} in {width} dimensions");
            }
        }
    }

    /// Points like latent states: ten dimensions, of which cells occupy few.
    fn latent(n: usize, seed: u64) -> Matrix {
        let mut rng = random_stream(seed, Purpose::Cell, 1);
        let mut cell = || {
            let (t, arm, width): (f32, f32, f32) = (rng.random(), rng.random(), rng.random());
            (0..10_u8).map(|d| (3.0 * t + f32::from(d)).sin() + arm * (t + f32::from(d)).cos() + 0.1 * width).collect()
        };
        Matrix::new(10, (0..n).flat_map(|_| -> Vec<f32> { cell() }).collect())
    }

    #[test]
    fn a_query_among_sixteen_times_the_cells_looks_at_hardly_more_of_them() {
        let looked_at = |n: usize| {
            let tree = Nearest::new(&latent(n, 1)).unwrap();
            let queries = latent(300, 2);
            (0..300).map(|query| tree.search(queries.row(query), None).1).sum::<usize>() / 300
        };
        let (few, many) = (looked_at(2_000), looked_at(32_000));
        assert!(many < 2 * few && many < 32_000 / 50, "{few} of 2,000, {many} of 32,000");
    }

    #[test]
    fn no_cells_and_bad_coordinates_are_errors() {
        let message = |values: Vec<f32>| Nearest::new(&Matrix::new(2, values)).unwrap_err().to_string();
        assert_eq!(message(vec![]), "there are no cells, so none is nearest");
        assert_eq!(message(vec![0.0, 1.0, 2.0, f32::NAN]), "coordinate 1 of cell 1 is NaN, expected a finite number");
    }

    #[test]
    fn copies_of_one_point_are_no_trouble() {
        let tree = Nearest::new(&Matrix::new(2, vec![1.0; 400])).unwrap();
        assert_eq!(tree.of(&[3.0, -1.0]), Some(0));
    }

    #[test]
    fn no_cell_is_nearest_to_a_point_that_is_nowhere() {
        let tree = Nearest::new(&Matrix::new(2, vec![0.0, 0.0, 1.0, 1.0])).unwrap();
        for nowhere in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!((tree.of(&[0.0, nowhere]), tree.of_other(&[nowhere, 0.0], 1)), (None, None));
            let error = tree.of_rows(&Matrix::new(2, vec![0.5, 0.5, 0.5, nowhere])).unwrap_err();
            let expected = format!("coordinate 1 of point 1 is {nowhere}, so no cell is nearest to it");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_point_very_far_away_still_has_its_nearest_cell() {
        let tree = Nearest::new(&Matrix::new(1, vec![0.0, 1.0, 3.0e35, 2.0])).unwrap();
        assert_eq!((tree.of(&[3.0e38]), tree.of_other(&[3.0e38], 2).is_some()), (Some(2), true));
    }
}
