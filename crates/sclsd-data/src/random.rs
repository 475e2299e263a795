//! Seeded streams of random numbers: one per purpose and index, so that results depend neither on the order in
//! which they are drawn nor on the number of threads.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What random numbers are drawn for. Two purposes never share a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// A simulated cell: its path, expression and counts. Index: cell.
    Cell = 1,
    /// The rates of a simulated gene. Index: gene.
    Gene = 2,
    /// Fates of a simulated cell, by following it on. Index: cell.
    Fate = 3,
    /// A random walk. Index: walk.
    Walk = 4,
    /// The order of walks in an epoch. Index: epoch.
    Shuffle = 5,
    /// Standard normal noise of a training step. Index: step.
    Noise = 6,
    /// Initial values of the networks. Index: 0.
    Weights = 7,
    /// The layout of cells in two dimensions. Index: epoch, or 0 for the start.
    Layout = 8,
    /// Centres of an approximate search for neighbours. Index: 0.
    Centers = 9,
    /// Times dealt out anew among cells, for a null. Index: 0.
    Permutation = 20,
}

/// The stream of `purpose` and `index` under `seed`: a counter-based generator (ChaCha with 8 rounds) whose key comes
/// from the seed and whose nonce comes from purpose and index.
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
