//! Adds results to a copy of a file, and reports the elements that they replace.

use std::path::Path;

use sclsd::data::{Additions, Compression, H5ad};

use super::{fate_estimates, record};
use crate::progress::Output;

/// Writes a copy of a file with results; notes name replaced elements and those that could not be carried over.
pub(super) fn add(
    file: &H5ad,
    to: &Path,
    additions: &Additions,
    compression: Compression,
    output: Output,
) -> anyhow::Result<()> {
    report_replaced(file, additions, output)?;
    for lost in file.add(to, additions, compression)? {
        output.note(format!("not carried over: {lost}"));
    }
    Ok(())
}

/// Notes which elements of a file, other than earlier results of this program, are replaced by results of the same
/// name, and whether the index of obs is renamed because a result has its name.
fn report_replaced(file: &H5ad, additions: &Additions, output: Output) -> anyhow::Result<()> {
    let index = file.index_name("obs");
    if additions.obs.iter().any(|(name, _)| *name == index) {
        output.note(format!(
            "the index of obs is named \"{index}\", and so is one of the results: the index is renamed to \"_index\""
        ));
    }
    let all = file.keys()?;
    let has = |slot: &str, name: &str| {
        let names = match slot {
            "obs" => &all.obs,
            "obsm" => &all.obsm,
            "obsp" => &all.obsp,
            _ => &all.uns,
        };
        names.iter().any(|there| there == name)
    };
    let ours = |slot: &str, name: &str| {
        has("uns", record::KEY) && (slot != "obs" || name != "fate" || has("obsm", fate_estimates::PROBABILITIES))
    };
    let names = additions.obs.iter().map(|(name, _)| ("obs", name));
    let names = names.chain(additions.obsm.keys().map(|name| ("obsm", name)));
    let names = names.chain(additions.obsp.keys().map(|name| ("obsp", name)));
    let names = names.chain(additions.uns.keys().map(|name| ("uns", name)));
    let replaced: Vec<String> = names
        .filter(|(slot, name)| has(slot, name) && !ours(slot, name))
        .map(|(slot, name)| format!("{slot}[\"{name}\"]"))
        .collect();
    if !replaced.is_empty() {
        output.note(format!("replaced by results of the same name: {}", replaced.join(", ")));
    }
    Ok(())
}
