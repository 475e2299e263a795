//! Fuzz tests: invalid input must cause neither a panic nor an endless run.
//!
//! Each kind has ten thousand cases, which are the same in every run. A failing case is reported by its number.
//! `SCLSD_FUZZ_CASES` and `SCLSD_FUZZ_SEED` change the number of cases and the seed.

mod checkpoint;
mod configuration;
mod h5ad;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use rand::{Rng, RngExt};
use sclsd::data::{Purpose, random_stream};

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().expect("a number"))
}

/// Runs `case` for every case number with its own random stream, on two threads.
fn every_case<R: Rng>(made: impl Fn(u64, u64) -> R + Sync, case: impl Fn(&mut R, u64) + Sync) {
    let (n, seed) = (setting("SCLSD_FUZZ_CASES", 10_000), setting("SCLSD_FUZZ_SEED", 0));
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= n {
                            return;
                        }
                        let mut rng = made(seed, number);
                        let ran = catch_unwind(AssertUnwindSafe(|| case(&mut rng, number)));
                        assert!(ran.is_ok(), "case {number} of seed {seed} panics");
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().expect("no case panics"));
    });
}

fn random(seed: u64, number: u64) -> impl Rng {
    random_stream(seed, Purpose::Noise, number)
}

/// Changes, removes or repeats some bytes, or replaces them by large numbers.
fn damage(bytes: &mut Vec<u8>, rng: &mut impl Rng) {
    for _ in 0..rng.random_range(1..6) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.random_range(0..bytes.len());
        let len = rng.random_range(1..=64.min(bytes.len() - at));
        match rng.random_range(0..6) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at..at + len].fill(0xff),
            2 => bytes[at..at + len].fill(0),
            3 => bytes.truncate(at),
            4 => {
                let copied = bytes[at..at + len].to_vec();
                let to = rng.random_range(0..=bytes.len() - len);
                bytes[to..to + len].copy_from_slice(&copied);
            }
            _ => {
                let number: u64 = 1 << rng.random_range(0..64);
                let len = len.min(8);
                bytes[at..at + len].copy_from_slice(&number.to_le_bytes()[..len]);
            }
        }
    }
}
