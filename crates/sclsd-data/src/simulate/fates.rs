//! Fate probabilities of simulated cells.
//!
//! A cell's fate is the leaf whose end it reaches first, so fate probabilities depend on the position only. They are
//! fractions of roll-outs: each roll-out continues from the cell's position with the dynamics and time step of the
//! simulation. (A coarser step would bias the result: near a fork of the tree, a step of 0.01 is off by 0.03.)
//!
//! A roll-out stops early if its fate is certain. The probability of rising by ΔU against the drift is of order exp(−2
//! ΔU / σ²) (Freidlin and Wentzell, Random Perturbations of Dynamical Systems, chapter 4). A cell in a leaf that is ΔU
//! = 7 σ² below every pass out of the leaf therefore leaves it about once in a million times.

use rand::Rng;

use super::dynamics::{DT, step};
use super::landscape::{Blend, Landscape, Point};

/// Number of roll-outs that estimate the fate of a cell. The standard error is at most 1/64.
const ROLLOUTS: u32 = 1024;
/// Time after which a roll-out that has reached no end is abandoned. Ten times the length of a development.
const LONGEST: f64 = 10.0;
/// Height of a pass above a cell, in units of σ², from which on the cell is taken never to cross it.
const CERTAIN: f64 = 7.0;

/// Estimates the fates of cells in a landscape.
pub(super) struct Fates<'a> {
    landscape: &'a Landscape,
    noise: f64,
    /// Indices of the leaves among the valleys.
    leaves: Vec<usize>,
    /// Potential below which a cell's fate is decided, for each valley; minus infinity for a valley that is not a leaf.
    levels: Vec<f64>,
}

impl<'a> Fates<'a> {
    pub(super) fn new(landscape: &'a Landscape, noise: f64) -> Self {
        let leaves: Vec<usize> = landscape.leaves().collect();
        let mut levels = vec![f64::NEG_INFINITY; landscape.n_valleys()];
        for &leaf in &leaves {
            levels[leaf] = landscape.final_level(leaf, CERTAIN * noise.powi(2));
        }
        Self { landscape, noise, leaves, levels }
    }

    /// Probabilities of ending in each leaf from `p`, in the order of [`Landscape::ends`]. They sum to one. Empty for a
    /// ring.
    pub(super) fn probabilities(&self, p: Point, rng: &mut impl Rng) -> Vec<f64> {
        match self.leaves.len() {
            0 => return Vec::new(),
            1 => return vec![1.0],
            _ => {}
        }
        if let Some(end) = self.end(&self.landscape.blend(p)) {
            return self.all_in(end);
        }
        let rollouts = if self.noise > 0.0 { ROLLOUTS } else { 1 }; // without noise all roll-outs are equal
        let mut sums = vec![0.0; self.leaves.len()];
        for _ in 0..rollouts {
            let shares = match self.roll_out(p, rng) {
                Ok(end) => self.all_in(end),
                Err(place) => self.landscape.among_leaves(place),
            };
            sums.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share);
        }
        sums.into_iter().map(|n| n / f64::from(rollouts)).collect()
    }

    fn all_in(&self, end: usize) -> Vec<f64> {
        self.leaves.iter().map(|&leaf| if leaf == end { 1.0 } else { 0.0 }).collect()
    }

    /// The leaf in which a roll-out from `p` ends, or the position where it was abandoned.
    fn roll_out(&self, mut p: Point, rng: &mut impl Rng) -> Result<usize, Point> {
        let mut time = 0.0;
        while time < LONGEST {
            let blend = self.landscape.blend(p);
            if let Some(end) = self.end(&blend) {
                return Ok(end);
            }
            p = step(p, self.landscape.blended_drift(p, &blend), DT, self.noise, rng);
            time += DT;
        }
        Err(p)
    }

    /// The leaf in which a cell has ended or will end with certainty, if there is one.
    fn end(&self, blend: &Blend) -> Option<usize> {
        (blend.least <= self.levels[blend.deepest]).then_some(blend.deepest)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use sclsd_spec::Choice;

    use super::super::topology::Topology;
    use super::*;
    use crate::random::{Purpose, random_stream};

    const NOISE: f64 = 0.08;

    fn draws(index: u64) -> ChaCha8Rng {
        random_stream(0, Purpose::Fate, index)
    }

    fn branching() -> impl Iterator<Item = (Topology, Landscape)> {
        let all = Topology::ALL.iter().map(|&topology| (topology, Landscape::new(topology)));
        all.filter(|(_, landscape)| landscape.leaves().count() > 1)
    }

    #[test]
    fn a_roll_out_that_stops_early_would_have_ended_in_the_same_leaf() {
        for (topology, landscape) in branching() {
            let (early, late) = (Fates::new(&landscape, NOISE), Fates::new(&landscape, 1.0));
            for leaf in landscape.leaves() {
                assert!(early.levels[leaf] > late.levels[leaf] + 0.1, "{topology:?} stops early in {leaf}");
            }
            for index in 0..400 {
                // simulated to where a roll-out stops, and from there to the end of the leaf
                let mut rng = draws(index);
                let (mut p, mut stopped) = (landscape.origin(), None);
                let end = loop {
                    let blend = landscape.blend(p);
                    stopped = stopped.or(early.end(&blend));
                    if let Some(end) = late.end(&blend) {
                        break end;
                    }
                    p = step(p, landscape.blended_drift(p, &blend), DT, NOISE, &mut rng);
                };
                assert_eq!(stopped, Some(end), "{topology:?}, roll-out {index}");
            }
        }
    }

    #[test]
    fn probabilities_sum_to_one_wherever_a_cell_is_and_whatever_the_noise() {
        for (topology, landscape) in branching() {
            for noise in [0.0, NOISE, 1.0] {
                let fates = Fates::new(&landscape, noise);
                for p in [[-0.3, 0.2], [0.0, 0.0], [0.6, 0.0], [0.9, 0.1], [2.0, 0.0], [1.2, -3.0]] {
                    let row = fates.probabilities(p, &mut draws(0));
                    assert_eq!(row.len(), landscape.ends().len());
                    assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{topology:?} at {p:?}: {row:?}");
                }
            }
        }
    }

    #[test]
    fn a_cell_that_never_ends_is_shared_among_the_leaves_by_how_near_they_are() {
        let landscape = Landscape::new(Topology::Bifurcation);
        let row = Fates::new(&landscape, 0.0).probabilities(landscape.origin(), &mut draws(0));
        assert!(row.iter().all(|p| (p - 0.5).abs() < 1e-9), "{row:?}");
    }

    #[test]
    fn leaves_are_reached_from_the_origin_as_often_as_their_topology_says() {
        let shares = [
            (Topology::Bifurcation, vec![0.5, 0.5]),
            (Topology::Trifurcation, vec![0.34, 0.32, 0.34]),
            (Topology::UnequalTree, vec![0.3, 0.55, 0.15]),
        ];
        for (topology, expected) in shares {
            let landscape = Landscape::new(topology);
            let row = Fates::new(&landscape, NOISE).probabilities(landscape.origin(), &mut draws(1));
            let close = row.iter().zip(&expected).all(|(p, share)| (p - share).abs() < 0.06);
            assert!(close, "{topology:?}: {row:?}, expected {expected:?}");
            if topology == Topology::UnequalTree {
                assert!(row[2] < 0.5 * row[1], "{row:?}");
            }
        }
    }

    #[test]
    fn the_fate_of_a_mirrored_place_is_the_mirrored_fate() {
        let landscape = Landscape::new(Topology::Bifurcation);
        let fates = Fates::new(&landscape, NOISE);
        let (above, below) =
            (fates.probabilities([0.56, 0.01], &mut draws(2)), fates.probabilities([0.56, -0.01], &mut draws(3)));
        assert!(above[0] > 0.55, "{above:?}");
        assert!((above[0] - below[1]).abs() < 0.09, "four standard errors: {above:?} {below:?}");
    }
}
