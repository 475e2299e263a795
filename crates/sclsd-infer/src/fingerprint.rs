//! Fingerprints: short hashes that distinguish data sets, part by part.

use std::collections::BTreeMap;

use sclsd_data::CsrView;
use sclsd_graph::Walks;

use crate::TrainingData;

/// One hash per part of the training input: expression, counts, library sizes and walks.
pub type Fingerprint = BTreeMap<String, String>;

/// The part that differs between members of one run, which walk each their own way.
pub(crate) const WALKS: &str = "walks (and so graph, prior time or walk settings)";

/// Fingerprint of a run's input.
pub(crate) fn fingerprint(data: &TrainingData<'_>, walks: &Walks) -> Fingerprint {
    let library = [data.library.mean, data.library.standard_deviation];
    let genes: Vec<u8> = data.genes.iter().flat_map(|name| name.bytes().chain([0])).collect();
    let (expression, counts) = rayon::join(|| matrix(data.x), || matrix(data.counts));
    let parts = [
        ("expression (X)", expression),
        ("counts", counts),
        ("genes", hash(words(&genes))),
        ("library sizes", hash(library.into_iter().map(f64::to_bits))),
        (WALKS, hash(walks.cells().iter().chain(walks.held_out()).map(|&c| u64::from(c)))),
    ];
    parts.into_iter().map(|(part, hash)| (part.to_owned(), format!("{hash:016x}"))).collect()
}

fn matrix(m: CsrView<'_>) -> u64 {
    let starts = m.indptr().iter().map(|&n| n as u64);
    let entries = m.indices().iter().zip(m.values());
    hash(starts.chain(entries.map(|(&column, value)| u64::from(column) << 32 | u64::from(value.to_bits()))))
}

/// Splits bytes into words of eight, padded with zeros, and adds their number so that the padding is unambiguous.
pub(crate) fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    bytes.chunks(8).map(word).chain([bytes.len() as u64])
}

/// Mixes in every word by a multiplication (by 2⁶⁴ over the golden ratio), then folds the upper half into the lower
/// half. The hash detects mistakes; it is not secure against manipulation.
pub(crate) fn hash(words: impl Iterator<Item = u64>) -> u64 {
    words.fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        let product = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        product ^ product >> 32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_in_any_byte_and_their_number_are_seen() {
        let bytes: Vec<u8> = (0..40).collect();
        let mut seen = vec![hash(words(&bytes)), hash(words(&bytes[..39])), hash(words(&[&bytes[..], &[0]].concat()))];
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                seen.push(hash(words(&changed)));
            }
        }
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), all);
    }
}
