//! Peers as threads of one process.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use sclsd_model::{Exchange, PeerError, Peers};

/// One [`Peers`] for each of `count` threads, in order of rank.
#[must_use]
pub fn threads(count: usize) -> Vec<Peers> {
    let barrier = Arc::new(ReduceBarrier { state: Mutex::new(State::new(count)), changed: Condvar::new() });
    (0..count).map(|rank| Peers::new(ThreadRank { rank, count, barrier: Arc::clone(&barrier) })).collect()
}

/// The barrier of an all-reduce between threads.
#[derive(Debug)]
struct ReduceBarrier {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// The numbers that each peer has contributed to the current sum.
    parts: Vec<Option<Vec<f32>>>,
    /// The last sum, or the lengths of its parts if they differ. `takers` counts the peers that have yet to read the
    /// sum.
    sum: Result<Vec<f32>, Vec<usize>>,
    takers: usize,
    /// The rank of a peer that has stopped.
    gone: Option<usize>,
}

impl State {
    fn new(count: usize) -> Self {
        Self { parts: vec![None; count], sum: Ok(Vec::new()), takers: 0, gone: None }
    }
}

#[derive(Debug)]
struct ThreadRank {
    rank: usize,
    count: usize,
    barrier: Arc<ReduceBarrier>,
}

impl ThreadRank {
    fn state(&self) -> MutexGuard<'_, State> {
        // ignore poisoning: a peer that panicked is recorded as gone when its rank is dropped
        self.barrier.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while `busy` holds. Returns an error if a peer stops in the meantime.
    fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        busy: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'a, State>, PeerError> {
        while busy(&state) {
            if let Some(peer) = state.gone {
                return Err(PeerError { peer: peer.to_string(), what: "has stopped".into() });
            }
            state = self.barrier.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(state)
    }
}

impl Exchange for ThreadRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.count
    }

    fn sum(&self, numbers: &mut [f32]) -> Result<(), PeerError> {
        let mut state = self.wait(self.state(), |state| state.takers > 0)?;
        state.parts[self.rank] = Some(numbers.to_vec());
        if state.parts.iter().all(Option::is_some) {
            let parts: Vec<Vec<f32>> =
                std::mem::replace(&mut state.parts, vec![None; self.count]).into_iter().flatten().collect();
            state.sum = total(parts);
            state.takers = self.count;
            self.barrier.changed.notify_all();
        }
        let mut state = self.wait(state, |state| state.takers == 0)?;
        let result = match &state.sum {
            Ok(sum) => {
                numbers.copy_from_slice(sum);
                Ok(())
            }
            Err(lengths) => Err(out_of_step(lengths, numbers.len())),
        };
        state.takers -= 1;
        if state.takers == 0 {
            self.barrier.changed.notify_all();
        }
        result
    }
}

/// The sum of the parts in order, or their lengths if they differ.
fn total(parts: Vec<Vec<f32>>) -> Result<Vec<f32>, Vec<usize>> {
    let lengths: Vec<usize> = parts.iter().map(Vec::len).collect();
    if lengths.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(lengths);
    }
    let mut parts = parts.into_iter();
    let mut sum = parts.next().unwrap_or_default();
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    Ok(sum)
}

/// The error for the first peer that passes another number of numbers.
fn out_of_step(lengths: &[usize], ours: usize) -> PeerError {
    let peer = lengths.iter().position(|theirs| *theirs != ours).unwrap_or_default();
    PeerError { peer: peer.to_string(), what: super::agree::out_of_step(lengths[peer], ours) }
}

impl Drop for ThreadRank {
    fn drop(&mut self) {
        self.state().gone.get_or_insert(self.rank);
        self.barrier.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_made_in_order_of_rank_and_are_the_same_for_everyone() {
        let count = 3;
        let found: Vec<Vec<Vec<f32>>> = std::thread::scope(|scope| {
            let each = |peers: Peers| {
                scope.spawn(move || {
                    let mut sums = Vec::new();
                    for round in 0..50_u8 {
                        let mut numbers = vec![[1e8, -1e8, 0.1][peers.rank()], f32::from(round)];
                        peers.sum(&mut numbers);
                        sums.push(numbers);
                    }
                    peers.check().unwrap();
                    sums
                })
            };
            threads(count).into_iter().map(each).collect::<Vec<_>>().into_iter().map(|t| t.join().unwrap()).collect()
        });
        for (round, sums) in (0_u8..).zip(&found[0]) {
            assert_eq!(sums, &[(1e8 + -1e8) + 0.1, 3.0 * f32::from(round)]);
        }
        assert!(found.iter().all(|sums| *sums == found[0]));
    }

    #[test]
    fn peers_that_add_up_different_numbers_are_an_error() {
        let message: Vec<String> = std::thread::scope(|scope| {
            let each = |peers: Peers| {
                scope.spawn(move || {
                    peers.sum(&mut vec![1.0; [3, 3, 4][peers.rank()]]);
                    peers.check().unwrap_err().to_string()
                })
            };
            threads(3).into_iter().map(each).collect::<Vec<_>>().into_iter().map(|t| t.join().unwrap()).collect()
        });
        let expected = |peer, theirs, ours| {
            format!(
                "peer {peer} adds up {theirs} numbers where this one adds up {ours}: they do not train the same model"
            )
        };
        assert_eq!(message, [expected(2, 4, 3), expected(2, 4, 3), expected(0, 3, 4)]);
    }

    #[test]
    fn a_peer_that_leaves_is_an_error_for_all_others_that_names_it() {
        let mut peers = threads(3);
        drop(peers.remove(1));
        std::thread::scope(|scope| {
            for peers in peers {
                scope.spawn(move || {
                    peers.sum(&mut [1.0]);
                    assert_eq!(peers.check().unwrap_err().to_string(), "peer 1 has stopped");
                });
            }
        });
    }
}
