//! Cells and edges of a graph drawn again with replacement: a bootstrap of what walks are drawn from.
//!
//! ```text
//! P'(i → j) ∝ m_ij P(i → j)        m_i ~ Multinomial(number of edges of i; all its edges alike)
//! c         ~ Multinomial(n; all n cells that have edges alike)
//! ```
//!
//! A walk starts at cell i with probability `c_i / n`. About 37 % of cells start no walk, and as many edges are gone; a
//! cell keeps at least one. A cell that starts no walk is still walked through.

use rand::RngExt;
use rayon::prelude::*;
use sclsd_data::{Csr, Purpose, random_stream};

use crate::Transition;

/// Transitions over resampled edges, and how often each cell was drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Resampled {
    /// The same cells with some of their edges, some of them several times.
    pub transition: Transition,
    /// How often each cell was drawn: the weights of starts for
    /// [`walks_weighted`](Transition::walks_weighted). Dropped cells have 0.
    pub starts: Vec<f64>,
}

impl Transition {
    /// Draws cells, and for each cell its edges, with replacement. Each cell has a stream of its own, so the draw is
    /// the same on any number of threads. O(edges).
    ///
    /// # Panics
    /// Never: rows of a transition are rows of a matrix again.
    #[must_use]
    pub fn resampled(&self, seed: u64) -> Resampled {
        let row = |cell: usize| resampled_row(self, seed, cell);
        let rows: Vec<Vec<(u32, f64)>> = (0..self.n_cells()).into_par_iter().map(row).collect();
        let matrix = Csr::from_rows(self.n_cells(), rows).expect("rows of a matrix, or parts of them");
        let alive: Vec<usize> = (0..self.n_cells()).filter(|&cell| !self.matrix().row(cell).0.is_empty()).collect();
        let mut rng = random_stream(seed, Purpose::Resample, 0);
        let mut starts = vec![0.0; self.n_cells()];
        for _ in 0..alive.len() {
            starts[alive[rng.random_range(0..alive.len())]] += 1.0;
        }
        Resampled { transition: Self::of_rows(matrix, self.dropped().to_vec()), starts }
    }
}

/// Edges of a cell, drawn as often as it has edges; all of them where none that was drawn has any probability.
fn resampled_row(transition: &Transition, seed: u64, cell: usize) -> Vec<(u32, f64)> {
    let (to, p) = transition.matrix().row(cell);
    let mut rng = random_stream(seed, Purpose::Resample, 1 + cell as u64);
    let mut drawn = vec![0.0; to.len()];
    for _ in 0..to.len() {
        drawn[rng.random_range(0..to.len())] += 1.0;
    }
    let total: f64 = drawn.iter().zip(p).map(|(times, p)| times * p).sum();
    let edges = to.iter().copied().zip(p.iter().copied());
    if total < f64::MIN_POSITIVE {
        return edges.collect();
    }
    edges.zip(drawn).filter(|(_, times)| *times > 0.0).map(|((to, p), times)| (to, times * p / total)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring in which every cell has six neighbors.
    fn ring(n: u32) -> Transition {
        let row = |cell: u32| [1, 2, 3, n - 3, n - 2, n - 1].iter().map(|by| ((cell + by) % n, 1.0)).collect();
        let sorted = |mut row: Vec<(u32, f64)>| {
            row.sort_by_key(|edge| edge.0);
            row
        };
        Transition::from_matrix(&Csr::from_rows(n as usize, (0..n).map(row).map(sorted)).unwrap()).unwrap()
    }

    #[test]
    fn rows_sum_to_one_over_edges_that_were_there_and_about_a_third_of_all_is_left_out() {
        let all = ring(500);
        let Resampled { transition, starts } = all.resampled(7);
        assert!((starts.iter().sum::<f64>() - 500.0).abs() < 1e-12);
        let never = starts.iter().filter(|times| **times == 0.0).count();
        assert!((140..230).contains(&never), "{never} of 500 cells start no walk");
        for cell in 0..500 {
            let (to, p) = transition.matrix().row(cell);
            assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert!(to.iter().all(|to| all.matrix().row(cell).0.contains(to)));
        }
        let left = transition.matrix().nnz();
        assert!((1800..2200).contains(&left), "{left} of 3000 edges");
    }

    #[test]
    fn the_same_seed_draws_the_same_and_another_does_not() {
        let all = ring(50);
        assert_eq!(all.resampled(3), all.resampled(3));
        assert_ne!(all.resampled(3), all.resampled(4));
    }
}
