//! Brownian motion from a counter-based generator: the noise does not depend on the order of evaluation.
//!
//! Over an interval of length h a path has the increment √h ξ. Given this increment Δ, the increment of the first half
//! of the interval is Δ/2 + (√h/2) ξ′, and the second half has the rest (Lévy's construction). Every ξ is a function of
//! the seed, the path, the interval and the node in the tree of halvings only. So a path is the same at every step size
//! and on any number of threads.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Largest number of times that an interval can be halved.
pub(crate) const MOST_HALVINGS: u32 = 20;

/// Words of the generator's stream that a normal number takes.
const WORDS: u128 = 4;

/// Independent Brownian motions from a seed. Paths are numbered; paths with different numbers are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brownian {
    seed: u64,
    first: u64,
}

impl Brownian {
    /// The Brownian motions of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, first: 0 }
    }

    /// The same motions with path `first` as path 0: for rows that are sampled in parts.
    #[must_use]
    pub fn from_path(self, first: u64) -> Self {
        Self { first, ..self }
    }

    /// Increments of a path over the 2^`halvings` equal parts of an interval, part after part, with `width` independent
    /// components each. The interval has number `interval` in its path and length `h`.
    ///
    /// # Panics
    /// If `halvings` is above 20.
    #[must_use]
    pub fn increments(self, path: u64, interval: u64, h: f64, halvings: u32, width: usize) -> Vec<f64> {
        assert!(halvings <= MOST_HALVINGS, "an interval is halved at most {MOST_HALVINGS} times");
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.first.wrapping_add(path));
        // a node in the tree of halvings: 0 for the interval itself, then the node that is split
        let mut normals = |node: u64| {
            let place = u128::from(interval) << 24 | u128::from(node);
            rng.set_word_pos(place * width as u128 * WORDS);
            let count = width << node.max(1).ilog2();
            (0..count).map(|_| normal(&mut rng)).collect::<Vec<_>>()
        };
        let mut rises: Vec<f64> = normals(0).into_iter().map(|xi| h.sqrt() * xi).collect();
        for level in 0..halvings {
            let spread = 0.5 * (h / f64::from(1_u32 << level)).sqrt();
            let split = normals(1 << level);
            let mut halves = Vec::with_capacity(2 * rises.len());
            for (whole, xi) in rises.chunks(width).zip(split.chunks(width)) {
                let left: Vec<f64> = whole.iter().zip(xi).map(|(whole, xi)| 0.5 * whole + spread * xi).collect();
                halves.extend_from_slice(&left);
                halves.extend(whole.iter().zip(&left).map(|(whole, left)| whole - left));
            }
            rises = halves;
        }
        rises
    }
}

/// A normal number from two uniform numbers (Box and Muller, 1958).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    let mut uniform = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let (u, v) = (1.0 - uniform(), uniform());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_over_halves_sum_to_those_over_the_whole() {
        let noise = Brownian::new(7);
        for (path, interval) in [(0, 0), (3, 17)] {
            let coarse = noise.increments(path, interval, 0.3, 0, 3);
            for halvings in [1, 2, 5] {
                let fine = noise.increments(path, interval, 0.3, halvings, 3);
                assert_eq!(fine.len(), 3 << halvings);
                for (i, whole) in coarse.iter().enumerate() {
                    let sum: f64 = fine.iter().skip(i).step_by(3).sum();
                    assert!((sum - whole).abs() < 1e-12, "{sum} {whole}");
                }
            }
        }
        assert_ne!(noise.increments(0, 0, 1.0, 0, 3), noise.increments(1, 0, 1.0, 0, 3));
        assert_eq!(noise.from_path(4).increments(1, 2, 1.0, 3, 2), noise.increments(5, 2, 1.0, 3, 2));
    }

    #[test]
    fn rises_over_parts_are_independent_and_have_the_variance_of_their_length() {
        let noise = Brownian::new(1);
        let n = 20_000;
        let (mut squares, mut products, mut fourth) = (0.0, 0.0, 0.0);
        for path in 0..n {
            let rises = noise.increments(path, 2, 4.0, 2, 1);
            squares += rises[1] * rises[1];
            fourth += rises[1].powi(4);
            products += rises[1] * rises[2];
        }
        let n = f64::from(u32::try_from(n).unwrap());
        // the variance is 1: four standard errors
        assert!((squares / n - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "{}", squares / n);
        assert!((products / n).abs() < 4.0 / n.sqrt(), "{}", products / n);
        assert!((fourth / n - 3.0).abs() < 4.0 * (96.0 / n).sqrt(), "{}", fourth / n);
    }
}
