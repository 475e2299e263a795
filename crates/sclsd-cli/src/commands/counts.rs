//! Where a file keeps its counts.

use std::path::Path;

use anyhow::bail;
use sclsd::data::{Csr, Dataset, H5ad, H5adError, Keys, is_counts};

use crate::progress::Output;

/// The layer that prepared files have counts in.
pub(super) const LAYER: &str = "raw";

/// That layer, as it is said.
pub(super) const LAYER_RAW: &str = "layers[\"raw\"]";

/// The counts of the cells and genes of `data`, and where they were found: where `wanted` says, or in the first of the layers
/// `raw` and `counts`, `raw.X` and X that holds counts.
pub(super) fn choose(input: &Path, file: &H5ad, data: &Dataset, wanted: Option<&str>) -> anyhow::Result<(Csr, String)> {
    let all = file.keys()?;
    if let Some(name) = wanted {
        let counts = read(file, data, name)?;
        return checked(input, &all, data, counts, said(name));
    }
    let there = |name: &str| match name {
        "X" => all.x,
        "raw.X" => file.has_raw(),
        layer => all.layers.iter().any(|l| l == layer),
    };
    let mut first = None;
    for name in [LAYER, "counts", "raw.X", "X"].into_iter().filter(|name| there(name)) {
        let found = match read(file, data, name) {
            // a raw of other genes is none of these cells' counts, where they have an X
            Err(_) if name == "raw.X" && all.x => continue,
            found => found?,
        };
        if is_counts(&found) {
            return Ok((found, said(name)));
        }
        first.get_or_insert((found, said(name)));
    }
    match first {
        Some((counts, source)) => checked(input, &all, data, counts, source),
        None => bail!(
            "{} has neither X nor counts (layers has {}); name the layer of counts with --counts",
            input.display(),
            if all.layers.is_empty() { "nothing".into() } else { all.layers.join(", ") }
        ),
    }
}

/// How a place is called.
fn said(name: &str) -> String {
    if matches!(name, "X" | "raw.X") { name.to_owned() } else { format!("layers[\"{name}\"]") }
}

fn read(file: &H5ad, data: &Dataset, name: &str) -> Result<Csr, H5adError> {
    Ok(match name {
        "X" => file.read(&Keys { x: true, ..Keys::none() })?.x.unwrap_or_default(),
        "raw.X" => file.raw_x(&data.var.names)?,
        layer => {
            let mut read = file.read(&Keys { layers: vec![layer.to_owned()], ..Keys::none() })?;
            read.layers.remove(layer).unwrap_or_default()
        }
    })
}

/// The counts; where they are none, the cell and the gene are named.
fn checked(input: &Path, all: &Keys, data: &Dataset, counts: Csr, source: String) -> anyhow::Result<(Csr, String)> {
    let layers = [(source.clone(), counts)].into();
    let mut found = Dataset { obs: data.obs.clone(), var: data.var.clone(), layers, ..Dataset::default() };
    if let Err(error) = found.counts(&source) {
        let layers =
            if all.layers.is_empty() { String::new() } else { format!("; layers has {}", all.layers.join(", ")) };
        let said = error.to_string().replacen(&format!("layers[\"{source}\"]"), &source, 1);
        bail!(
            "{}: {said}{layers}; name the counts with --counts (values that are only nearly whole have to be rounded first, as \
             adata.X.data.round() does)",
            input.display()
        );
    }
    Ok((found.layers.remove(&source).unwrap_or_default(), source))
}

/// X where it is kept: normalised expression, which is nowhere negative.
pub(super) fn normalized(file: &H5ad, is_source: bool, output: Output) -> anyhow::Result<Option<Csr>> {
    if is_source || !file.keys()?.x {
        return Ok(None);
    }
    let x = file.read(&Keys { x: true, ..Keys::none() })?.x;
    if x.as_ref().is_some_and(|x| x.values().iter().any(|&v| v < 0.0)) {
        output.note("X has negative values, so it is scaled: it is made anew from the counts");
        return Ok(None);
    }
    Ok(x)
}
