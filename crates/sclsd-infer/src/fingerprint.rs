//! A short value by which data can be told from other data, part by part.

use std::collections::BTreeMap;

use sclsd_data::Csr;
use sclsd_graph::Walks;

use crate::TrainingData;

/// One hash per part of what a model was trained on: expression, counts, library sizes and walks.
pub type Fingerprint = BTreeMap<String, String>;

/// Fingerprint of a run's input.
pub(crate) fn fingerprint(data: &TrainingData<'_>, walks: &Walks) -> Fingerprint {
    let library = [data.library.mean, data.library.standard_deviation];
    let parts = [
        ("expression (X)", matrix(data.x)),
        ("counts", matrix(data.counts)),
        ("genes", hash(data.genes.iter().flat_map(|name| name.bytes().chain([0])))),
        ("library sizes", hash(library.into_iter().flat_map(f64::to_le_bytes))),
        ("walks (and so graph, prior time or walk settings)", hash(walks.cells().iter().flat_map(|c| c.to_le_bytes()))),
    ];
    parts.into_iter().map(|(part, hash)| (part.to_owned(), format!("{hash:016x}"))).collect()
}

fn matrix(m: &Csr) -> u64 {
    let pattern = m.pattern();
    let starts = pattern.indptr().iter().flat_map(|&n| (n as u64).to_le_bytes());
    let columns = pattern.indices().iter().flat_map(|c| c.to_le_bytes());
    hash(starts.chain(columns).chain(m.values().iter().flat_map(|v| v.to_le_bytes())))
}

/// FNV-1a, 64 bits: not against malice, only against mistakes.
pub(crate) fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
