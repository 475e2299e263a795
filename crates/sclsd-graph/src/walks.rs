//! Random walks on the graph of cells.
//!
//! Each walk has its own random stream. The walks are therefore the same for any number of threads, and the first `n`
//! walks of a longer run equal those of a shorter one.

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_distr::Distribution;
use rand_distr::weighted::WeightedIndex;
use rayon::prelude::*;
use sclsd_data::{Purpose, random_stream};
use sclsd_spec::{OutOfRange, WrongSize, in_range};
use serde::{Deserialize, Serialize};

use crate::Transition;

/// Configuration of random walks and of their use in training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct WalkSpec {
    /// Number of walks in a training batch. At least 1. Default: 256.
    pub batch_size: usize,
    /// Number of cells in a walk, including the start. At least 2. Default: 10.
    pub path_len: usize,
    /// Number of walks. At least 1. Default: 4,096.
    pub num_walks: usize,
    /// Number of additional walks that are not used for training, for early stopping. Default: 0.
    pub held_out: usize,
    /// Whether start cells are weighted so that walks are expected to end in each terminal state equally often. Needs
    /// terminal states. Default: no, because weighting distorts the relative sizes of branches.
    pub balanced: bool,
    /// Seed of the random streams of the walks, which nothing else uses. Default: 42.
    pub random_state: u64,
}

/// Held-out walks use stream indices above those of all training walks.
const HELD_OUT: u64 = 1 << 48;

impl Default for WalkSpec {
    fn default() -> Self {
        Self { batch_size: 256, path_len: 10, num_walks: 4096, held_out: 0, balanced: false, random_state: 42 }
    }
}

/// A [`WalkSpec`] with valid fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedWalkSpec(WalkSpec);

impl WalkSpec {
    /// Validates every field.
    ///
    /// # Errors
    /// [`OutOfRange`] names the first field that is out of range.
    pub fn check(self) -> Result<CheckedWalkSpec, OutOfRange> {
        in_range("walks.path_len", self.path_len, self.path_len >= 2, "at least 2 cells")?;
        in_range("walks.num_walks", self.num_walks, self.num_walks >= 1, "at least 1 walk")?;
        in_range("walks.batch_size", self.batch_size, self.batch_size >= 1, "at least 1 walk")?;
        Ok(CheckedWalkSpec(self))
    }
}

impl CheckedWalkSpec {
    /// The validated fields.
    #[must_use]
    pub fn get(&self) -> &WalkSpec {
        &self.0
    }
}

/// Random walks: rows of cells, in which each cell is a neighbour of the previous one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walks {
    path_len: usize,
    cells: Vec<u32>,
    held_out: Vec<u32>,
}

impl Walks {
    /// Creates walks from cells, row-major.
    ///
    /// # Errors
    /// [`WrongSize`] if `path_len` is below 2, or the number of cells is not a multiple of `path_len`.
    pub fn new(path_len: usize, cells: Vec<u32>) -> Result<Self, WrongSize> {
        if path_len < 2 {
            return Err(WrongSize::new("a walk", format!("{path_len} cells"), "at least 2"));
        }
        whole(path_len, &cells)?;
        Ok(Self { path_len, cells, held_out: Vec::new() })
    }

    /// Adds held-out walks of the same length, which are not used for training; row-major.
    ///
    /// # Errors
    /// [`WrongSize`] if the number of cells is not a multiple of the walk length.
    pub fn with_held_out(self, cells: Vec<u32>) -> Result<Self, WrongSize> {
        whole(self.path_len, &cells)?;
        Ok(Self { held_out: cells, ..self })
    }

    /// Number of cells per walk.
    #[must_use]
    pub fn path_len(&self) -> usize {
        self.path_len
    }

    /// Number of walks, without held-out walks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.len() / self.path_len
    }

    /// Whether there are no walks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Cells of one walk, in order.
    #[must_use]
    pub fn walk(&self, walk: usize) -> &[u32] {
        &self.cells[walk * self.path_len..(walk + 1) * self.path_len]
    }

    /// Cells of all walks without the held-out walks, row-major.
    #[must_use]
    pub fn cells(&self) -> &[u32] {
        &self.cells
    }

    /// Cells of the held-out walks, row-major.
    #[must_use]
    pub fn held_out(&self) -> &[u32] {
        &self.held_out
    }
}

impl Transition {
    /// Draws walks. Starts are uniform among the cells that are not dropped, and steps follow the transition
    /// probabilities.
    ///
    /// Reference: `LSD.prepare_walks`.
    ///
    /// # Panics
    /// Never, because a transition has at least one cell that is not dropped.
    #[must_use]
    pub fn walks(&self, spec: &CheckedWalkSpec) -> Walks {
        let starts: Vec<u32> =
            (0_u32..).take(self.n_cells()).filter(|&cell| !self.matrix().row(cell as usize).0.is_empty()).collect();
        self.both(spec.get(), |rng, _| starts[rng.random_range(0..starts.len())])
    }

    /// Draws walks whose starts are weighted by `weights[cell]`. Dropped cells are excluded.
    ///
    /// # Panics
    /// If there is not exactly one finite, non-negative weight per cell, or all weights are zero.
    #[must_use]
    pub fn walks_weighted(&self, weights: &[f64], spec: &CheckedWalkSpec) -> Walks {
        assert_eq!(weights.len(), self.n_cells(), "one weight per cell");
        let alive = |cell: usize| !self.matrix().row(cell).0.is_empty();
        let weights = (0..self.n_cells()).map(|cell| if alive(cell) { weights[cell] } else { 0.0 });
        let starts = WeightedIndex::new(weights).expect("finite weights, some above 0");
        self.both(spec.get(), |rng, _| u32::try_from(starts.sample(rng)).expect("fewer than 2^32 cells"))
    }

    fn both(&self, spec: &WalkSpec, start: impl Fn(&mut ChaCha8Rng, usize) -> u32 + Sync) -> Walks {
        let walks = self.draw(spec, 0, spec.num_walks, &start);
        if spec.held_out == 0 {
            walks
        } else {
            Walks { held_out: self.draw(spec, HELD_OUT, spec.held_out, &start).cells, ..walks }
        }
    }

    /// Draws one walk from each of the given cells, with the length and seed of `spec`. Dropped cells have no walk.
    ///
    /// # Panics
    /// If a cell is not in the graph.
    #[must_use]
    pub fn walks_from(&self, cells: &[u32], spec: &CheckedWalkSpec) -> Walks {
        let starts: Vec<u32> =
            cells.iter().copied().filter(|&cell| !self.matrix().row(cell as usize).0.is_empty()).collect();
        self.draw(spec.get(), 0, starts.len(), |_, walk| starts[walk])
    }

    fn draw(
        &self,
        spec: &WalkSpec,
        first: u64,
        n: usize,
        start: impl Fn(&mut ChaCha8Rng, usize) -> u32 + Sync,
    ) -> Walks {
        let mut cells = vec![0; n * spec.path_len];
        cells.par_chunks_mut(spec.path_len).enumerate().for_each(|(walk, row)| {
            let mut rng = random_stream(spec.random_state, Purpose::Walk, first + walk as u64);
            row[0] = start(&mut rng, walk);
            for step in 1..row.len() {
                row[step] = self.step(row[step - 1] as usize, &mut rng);
            }
        });
        Walks { path_len: spec.path_len, cells, held_out: Vec::new() }
    }

    fn step(&self, cell: usize, rng: &mut impl Rng) -> u32 {
        let (to, weights) = self.matrix().row(cell);
        let mut left: f64 = rng.random();
        for (&to, &weight) in to.iter().zip(weights) {
            left -= weight;
            if left < 0.0 {
                return to;
            }
        }
        // the weights summed to slightly less than the draw: take the last neighbour with a positive weight
        to[weights.iter().rposition(|&w| w > 0.0).expect("a row with weights")]
    }
}

/// Checks that the cells fill complete walks.
fn whole(path_len: usize, cells: &[u32]) -> Result<(), WrongSize> {
    if cells.len().is_multiple_of(path_len) {
        return Ok(());
    }
    Err(WrongSize::new("the list of walks", format!("{} cells", cells.len()), format!("whole walks of {path_len}")))
}

#[cfg(test)]
mod tests {
    use sclsd_data::Csr;

    use super::*;

    fn ring(n: u32) -> Transition {
        let rows = (0..n).map(|i| {
            let mut row = vec![((i + 1) % n, 1.0_f32), ((i + n - 1) % n, 0.5)];
            row.sort_by_key(|e| e.0);
            row
        });
        let times: Vec<f64> = (0..n).map(|i| f64::from(i) / f64::from(n)).collect();
        Transition::from_pseudotime(&Csr::from_rows(n as usize, rows).unwrap(), &times, 3.0).unwrap()
    }

    #[test]
    fn walks_follow_edges_and_visit_in_proportion() {
        let p = ring(20);
        let spec = WalkSpec { num_walks: 20_000, path_len: 3, ..WalkSpec::default() };
        let walks = p.walks(&spec.check().unwrap());
        let (mut from_five, mut to_six) = (0.0, 0.0);
        for walk in 0..walks.len() {
            for pair in walks.walk(walk).windows(2) {
                assert!(p.matrix().row(pair[0] as usize).0.contains(&pair[1]));
                if pair[0] == 5 {
                    from_five += 1.0;
                    to_six += f64::from(u8::from(pair[1] == 6));
                }
            }
        }
        let expected = p.matrix().row(5).1[1];
        assert!((to_six / from_five - expected).abs() < 4.0 * (0.25_f64 / from_five).sqrt());
    }

    #[test]
    fn one_thread_and_two_draw_the_same_walks() {
        let p = ring(50);
        let spec = WalkSpec { num_walks: 300, ..WalkSpec::default() }.check().unwrap();
        let on = |threads: usize| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| p.walks(&spec))
        };
        assert_eq!(on(1), on(2));
    }

    #[test]
    fn cells_that_are_no_whole_walks_are_an_error() {
        let message =
            |path_len, n| Walks::new(path_len, vec![0; n]).map(|walks| walks.len()).map_err(|e| e.to_string());
        assert_eq!(message(3, 6), Ok(2));
        assert_eq!(message(3, 7).unwrap_err(), "the list of walks is of 7 cells, expected whole walks of 3");
        assert_eq!(message(1, 7).unwrap_err(), "a walk is of 1 cells, expected at least 2");
        assert!(Walks::new(2, vec![0, 1]).unwrap().with_held_out(vec![1]).is_err());
    }

    #[test]
    fn a_walk_of_one_cell_is_an_error_that_names_the_field() {
        let error = WalkSpec { path_len: 1, ..WalkSpec::default() }.check().unwrap_err();
        assert_eq!(error.to_string(), "walks.path_len is 1, expected at least 2 cells");
    }

    #[test]
    fn walks_from_given_cells_start_at_them_in_their_order() {
        let ring = ring(10);
        let spec = WalkSpec { path_len: 4, ..WalkSpec::default() }.check().unwrap();
        let walks = ring.walks_from(&[7, 2, 2], &spec);
        assert_eq!((0..walks.len()).map(|w| walks.walk(w)[0]).collect::<Vec<_>>(), [7, 2, 2]);
        assert_eq!(walks, ring.walks_from(&[7, 2, 2], &spec));
        for walk in 0..walks.len() {
            for pair in walks.walk(walk).windows(2) {
                assert!([1, 9].contains(&((pair[1] + 10 - pair[0]) % 10)), "along an edge");
            }
        }
    }
}
