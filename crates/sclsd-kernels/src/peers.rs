//! Data-parallel training of one model by several processes or threads, called peers.
//!
//! Each peer has a shard of the walks of every global batch. Quantities of the global batch (the moments of a batch
//! normalisation and the gradients with respect to them, the largest potential, the gradient of the loss) are summed
//! over all peers (all-reduce). So every peer takes the step that a single process would take on the global batch,
//! within rounding.
//!
//! An [`Exchange`] transports the numbers. If a sum fails, the error is stored and returned by [`Peers::check`];
//! results computed since then must not be used.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::derivative::Derivative;

/// An all-reduce over peers.
pub trait Exchange: Debug + Send + Sync {
    /// Rank of this peer, counted from 0.
    fn rank(&self) -> usize;

    /// Number of peers.
    fn count(&self) -> usize;

    /// Replaces the numbers by their sums over all peers. The sums are accumulated in order of rank, so every peer gets
    /// the same bits.
    ///
    /// # Errors
    /// [`PeerError`] names the peer that could not be reached, or that passed another number of numbers.
    fn sum(&self, numbers: &mut [f32]) -> Result<(), PeerError>;
}

/// A peer that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("peer {peer} {what}")]
pub struct PeerError {
    /// Rank and address of the peer.
    pub peer: String,
    /// What happened to the peer.
    pub what: String,
}

/// The peers that train one model together, as seen by one of them.
#[derive(Debug, Clone, Default)]
pub struct Peers(Option<Arc<Together>>);

#[derive(Debug)]
struct Together {
    exchange: Box<dyn Exchange>,
    failed: OnceLock<PeerError>,
}

impl Peers {
    /// Training without other peers.
    #[must_use]
    pub fn alone() -> Self {
        Self(None)
    }

    /// The peers that an exchange connects.
    #[must_use]
    pub fn new(exchange: impl Exchange + 'static) -> Self {
        Self(Some(Arc::new(Together { exchange: Box::new(exchange), failed: OnceLock::new() })))
    }

    /// Rank of this peer, counted from 0.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |together| together.exchange.rank())
    }

    /// Number of peers, this one included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(1, |together| together.exchange.count())
    }

    /// This peer's shard of `n` ordered items.
    #[must_use]
    pub fn shard(&self, n: usize) -> Range<usize> {
        let (rank, count) = (self.rank(), self.count());
        n * rank / count..n * (rank + 1) / count
    }

    /// Checks that every sum so far has succeeded.
    ///
    /// # Errors
    /// The error of the first sum that failed.
    pub fn check(&self) -> Result<(), PeerError> {
        match self.0.as_ref().and_then(|together| together.failed.get()) {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Replaces the numbers by their sums over all peers. If this fails, the error is stored for
    /// [`check`](Self::check).
    pub fn sum(&self, numbers: &mut [f32]) {
        let Some(together) = &self.0 else { return };
        if together.failed.get().is_none()
            && let Err(error) = together.exchange.sum(numbers)
        {
            // only the first error is stored
            let _ = together.failed.set(error);
        }
    }

    /// Replaces several arrays by their sums over all peers, in one exchange.
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

    /// The largest number over all peers, and whether this peer has it. If several peers have it, the lowest rank wins.
    #[must_use]
    pub fn largest(&self, number: f32) -> (f32, bool) {
        let mut all = vec![0.0; self.count()];
        all[self.rank()] = number;
        self.sum(&mut all);
        let first = (0..all.len()).reduce(|best, next| if all[next] > all[best] { next } else { best }).unwrap_or(0);
        (all[first], first == self.rank())
    }
}

/// The backward pass of an all-reduce. The loss of every peer depends on the sum, so the gradient with respect to a
/// peer's number is the sum of the gradients of all peers.
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
    /// Number of visits of all peers.
    pub visits: usize,
    /// The peers that have the other shards.
    pub peers: Peers,
}

impl GlobalBatch {
    /// A global batch with a single shard.
    #[must_use]
    pub fn alone(visits: usize) -> Self {
        Self { visits, peers: Peers::alone() }
    }
}
