//! Training one model together.
//!
//! Each peer has its shard of the walks of every batch. What belongs to the batch as a whole (the moments of a batch
//! normalisation and the derivatives by them, the largest potential, the gradient) is added up over all peers, so that
//! every one makes the step that one alone would make of the whole batch, within rounding.
//!
//! How numbers travel is an [`Exchange`]'s business. A sum that fails is remembered, and said when [`Peers::check`]
//! asks: nothing that was computed in between may be used.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::derivative::Derivative;

/// Adds numbers up over peers.
pub trait Exchange: Debug + Send + Sync {
    /// Which of the peers this is, counted from 0.
    fn rank(&self) -> usize;

    /// Number of peers.
    fn count(&self) -> usize;

    /// Replaces the numbers by their sums over all peers, added in order of rank: the same bits for each.
    ///
    /// # Errors
    /// [`PeerError`] names the peer that could not be reached, or that adds up another number of numbers.
    fn sum(&self, numbers: &mut [f32]) -> Result<(), PeerError>;
}

/// A peer that is gone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("peer {peer} {what}")]
pub struct PeerError {
    /// Its number and address.
    pub peer: String,
    /// What happened to it.
    pub what: String,
}

/// Those who train one model together, as one of them sees it.
#[derive(Debug, Clone, Default)]
pub struct Peers(Option<Arc<Together>>);

#[derive(Debug)]
struct Together {
    exchange: Box<dyn Exchange>,
    failed: OnceLock<PeerError>,
}

impl Peers {
    /// Nobody else.
    #[must_use]
    pub fn alone() -> Self {
        Self(None)
    }

    /// All that an exchange reaches.
    #[must_use]
    pub fn new(exchange: impl Exchange + 'static) -> Self {
        Self(Some(Arc::new(Together { exchange: Box::new(exchange), failed: OnceLock::new() })))
    }

    /// Which of the peers this is, counted from 0.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |together| together.exchange.rank())
    }

    /// Number of peers, this one included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(1, |together| together.exchange.count())
    }

    /// The shard of `n` things in order that is this peer's.
    #[must_use]
    pub fn shard(&self, n: usize) -> Range<usize> {
        let (rank, count) = (self.rank(), self.count());
        n * rank / count..n * (rank + 1) / count
    }

    /// Whether every sum so far has succeeded.
    ///
    /// # Errors
    /// The first that failed.
    pub fn check(&self) -> Result<(), PeerError> {
        match self.0.as_ref().and_then(|together| together.failed.get()) {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Replaces the numbers by their sums over all peers.
    pub fn sum(&self, numbers: &mut [f32]) {
        let Some(together) = &self.0 else { return };
        if together.failed.get().is_none()
            && let Err(error) = together.exchange.sum(numbers)
        {
            // only one can be the first
            let _ = together.failed.set(error);
        }
    }

    /// Replaces some arrays by their sums over all peers, at once.
    pub(crate) fn sum_all(&self, arrays: &mut [&mut [f32]]) {
        if self.0.is_none() {
            return;
        }
        let mut numbers = arrays.concat();
        self.sum(&mut numbers);
        let mut rest = &numbers[..];
        for array in arrays {
            let (these, others) = rest.split_at(array.len());
            array.copy_from_slice(these);
            rest = others;
        }
    }

    /// The largest of all peers' numbers, and whether it is this peer's; the first peer's of several.
    #[must_use]
    pub fn largest(&self, number: f32) -> (f32, bool) {
        let mut all = vec![0.0; self.count()];
        all[self.rank()] = number;
        self.sum(&mut all);
        let first = (0..all.len()).reduce(|best, next| if all[next] > all[best] { next } else { best }).unwrap_or(0);
        (all[first], first == self.rank())
    }
}

/// The derivative by numbers that are summed over peers: every peer's loss depends on the sum alike, so it is the sum
/// of theirs.
#[derive(Debug)]
pub struct Total(pub Peers);

impl Derivative for Total {
    fn vjp(&self, mut grad_output: Vec<f32>) -> Vec<Vec<f32>> {
        self.0.sum(&mut grad_output);
        vec![grad_output]
    }
}

/// The global batch that a shard of visits belongs to.
#[derive(Debug, Clone, Default)]
pub struct GlobalBatch {
    /// Visits of all peers.
    pub visits: usize,
    /// Who has the other shards.
    pub peers: Peers,
}

impl GlobalBatch {
    /// A batch of one's own.
    #[must_use]
    pub fn alone(visits: usize) -> Self {
        Self { visits, peers: Peers::alone() }
    }
}
