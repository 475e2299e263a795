//! Seeded streams of random numbers, one per purpose and index. Results depend neither on the order of draws nor on the
//! number of threads.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The purpose of random numbers. Two purposes never share a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// Path, expression and counts of a simulated cell. Index: cell.
    Cell = 1,
    /// Rates of a simulated gene. Index: gene.
    Gene = 2,
    /// Roll-outs that estimate the fate probabilities of a simulated cell. Index: cell.
    Fate = 3,
    /// A random walk. Index: walk.
    Walk = 4,
    /// The order of walks in an epoch. Index: epoch.
    Shuffle = 5,
    /// Standard normal noise of a training step. Index: step.
    Noise = 6,
    /// Initial values of the networks. Index: 0.
    Weights = 7,
    /// The two-dimensional layout of cells. Index: epoch, or 0 for the initial positions.
    Layout = 8,
    /// Centres of the approximate neighbour search. Index: 0.
    Centers = 9,
    /// Cells (index 0) and the edges of a cell (index: cell, counted from 1), drawn again with replacement.
    Resample = 10,
    /// Times dealt out anew among cells, for a null. Index: 0.
    Permutation = 20,
}

/// The stream of `purpose` and `index` for `seed`: a counter-based generator (ChaCha with 8 rounds). The key derives
/// from the seed, the nonce from purpose and index.
#[must_use]
pub fn random_stream(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(((purpose as u64) << 56) | (index & 0x00FF_FFFF_FFFF_FFFF));
    rng
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn streams_of_different_purposes_and_indices_differ() {
        let draw = |purpose, index| random_stream(0, purpose, index).next_u64();
        assert_eq!(draw(Purpose::Walk, 3), draw(Purpose::Walk, 3));
        assert_ne!(draw(Purpose::Walk, 3), draw(Purpose::Walk, 4));
        assert_ne!(draw(Purpose::Walk, 3), draw(Purpose::Noise, 3));
    }
}
