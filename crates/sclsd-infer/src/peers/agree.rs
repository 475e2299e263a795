//! Checks that all peers run the same computation.

use sclsd_model::{PeerError, Peers};

use crate::fingerprint::{hash, words};

/// Checks that all peers have the same `what`: everything that the run depends on.
pub(crate) fn agree(peers: &Peers, what: &[u8]) -> Result<(), PeerError> {
    const PARTS: usize = 4;
    // parts of 16 bits, which are exact in f32
    #[expect(clippy::cast_possible_truncation, reason = "16 bits of it")]
    let parts = |hash: u64| [48, 32, 16, 0].map(|shift| f32::from((hash >> shift) as u16));
    let mut all = vec![0.0; PARTS * peers.count()];
    let mine = parts(hash(words(what)));
    all[PARTS * peers.rank()..][..PARTS].copy_from_slice(&mine);
    peers.sum(&mut all);
    peers.check()?;
    match all.chunks_exact(PARTS).position(|theirs| theirs != mine) {
        None => Ok(()),
        Some(peer) => Err(PeerError {
            peer: peer.to_string(),
            what: "has other data, another configuration or another checkpoint than this one".into(),
        }),
    }
}

/// What is wrong with a peer that passes another number of numbers to a sum.
pub(super) fn out_of_step(theirs: usize, ours: usize) -> String {
    format!("adds up {theirs} numbers where this one adds up {ours}: they do not train the same model")
}

#[cfg(test)]
mod tests {
    use super::super::threads::threads;
    use super::*;

    #[test]
    fn peers_that_would_do_different_things_are_told_apart_by_number() {
        let message: Vec<Result<(), PeerError>> = std::thread::scope(|scope| {
            let what = [b"one", b"one", b"two"];
            let all = threads(3).into_iter().zip(what).map(|(peers, what)| scope.spawn(move || agree(&peers, what)));
            all.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(message[0].as_ref().unwrap_err().peer, "2");
        assert_eq!(message[1].as_ref().unwrap_err().peer, "2");
        assert_eq!(message[2].as_ref().unwrap_err().peer, "0");
    }
}
