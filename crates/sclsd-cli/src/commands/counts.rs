//! Where a file keeps its counts.

use std::path::Path;

use anyhow::bail;
use sclsd::data::{Dataset, FileMatrix, H5ad, H5adError, first_bad, is_count};

use crate::progress::Output;

/// The layer that prepared files have counts in.
pub(super) const LAYER: &str = "raw";

/// That layer, as it is said.
pub(super) const LAYER_RAW: &str = "layers[\"raw\"]";

/// The counts of the cells and genes of `data`, and where they were found: where `wanted` says, or in the first of the layers
/// `raw` and `counts`, `raw.X` and X that holds counts.
pub(super) fn choose<'a>(
    input: &Path,
    file: &'a H5ad,
    data: &Dataset,
    wanted: Option<&str>,
) -> anyhow::Result<(FileMatrix<'a>, String)> {
    let all = file.keys()?;
    let there = |name: &str| match name {
        "X" => all.x,
        "raw.X" => file.has_raw(),
        layer => all.layers.iter().any(|l| l == layer),
    };
    let places = match wanted {
        Some(name) => vec![name],
        None => [LAYER, "counts", "raw.X", "X"].into_iter().filter(|name| there(name)).collect(),
    };
    let mut first = None;
    for name in places {
        let found = match open(file, data, name) {
            // a raw of other genes is none of these cells' counts, where they have an X
            Err(_) if name == "raw.X" && all.x && wanted.is_none() => continue,
            found => found?,
        };
        match first_bad(&found, is_count)? {
            None => return Ok((found, said(name))),
            Some(bad) => first.get_or_insert((bad, said(name))),
        };
    }
    let layers = if all.layers.is_empty() { "nothing".into() } else { all.layers.join(", ") };
    match first {
        Some(((cell, gene, value), source)) => bail!(
            "{}: {source} of cell {} and gene {} is {value}, expected a whole count of 0 or more; layers has {layers}; name \
             the counts with --counts (values that are only nearly whole have to be rounded first, as adata.X.data.round() does)",
            input.display(),
            data.obs.names[cell],
            data.var.names[gene]
        ),
        None => bail!(
            "{} has neither X nor counts (layers has {layers}); name the layer of counts with --counts",
            input.display()
        ),
    }
}

/// How a place is called.
fn said(name: &str) -> String {
    if matches!(name, "X" | "raw.X") { name.to_owned() } else { format!("layers[\"{name}\"]") }
}

fn open<'a>(file: &'a H5ad, data: &Dataset, name: &str) -> Result<FileMatrix<'a>, H5adError> {
    match name {
        "X" => file.x(),
        "raw.X" => file.raw_x(&data.var.names),
        layer => file.layer(layer),
    }
}

/// X where it is kept: normalised expression, which is nowhere negative and not whole everywhere.
pub(super) fn normalized(file: &H5ad, is_source: bool, output: Output) -> anyhow::Result<Option<FileMatrix<'_>>> {
    if is_source || !file.keys()?.x {
        return Ok(None);
    }
    let x = file.x()?;
    if first_bad(&x, |value| value >= 0.0 || value.is_nan())?.is_some() {
        output.note("X has negative values, so it is scaled: it is made anew from the counts");
        return Ok(None);
    }
    // without a value other than 0 it is neither
    if first_bad(&x, is_count)?.is_none() && first_bad(&x, |value| value == 0.0)?.is_some() {
        output.note("X holds counts: normalised expression takes its place");
        return Ok(None);
    }
    Ok(Some(x))
}
