//! Where a file keeps its counts.

use std::path::Path;

use anyhow::{Context, bail};
use sclsd::data::{Csr, Dataset, H5ad, Keys, is_counts};

use crate::progress::Output;

/// The layer that prepared files have counts in.
pub(super) const LAYER: &str = "raw";

/// That layer, as it is said.
pub(super) const LAYER_RAW: &str = "layers[\"raw\"]";

/// The counts of the cells and genes of `data`, and where they were found: where `wanted` says, or in the first there is of the
/// layers `raw` and `counts`, `raw.X` and X that holds counts.
pub(super) fn choose(input: &Path, file: &H5ad, data: &Dataset, wanted: Option<&str>) -> anyhow::Result<(Csr, String)> {
    let shown = input.display();
    let layer = |name: &str| -> anyhow::Result<(Csr, String)> {
        let mut read = file.read(&Keys { layers: vec![name.to_owned()], ..Keys::none() })?;
        read.counts(name).with_context(|| shown.to_string())?;
        Ok((read.layers.remove(name).unwrap_or_default(), format!("layers[\"{name}\"]")))
    };
    let x = || -> anyhow::Result<(Csr, String)> {
        Ok((file.read(&Keys { x: true, ..Keys::none() })?.x.unwrap_or_default(), "X".into()))
    };
    let raw = || -> anyhow::Result<(Csr, String)> { Ok((file.raw_x(&data.var.names)?, "raw.X".into())) };
    let all = file.keys()?;
    let (counts, source) = match wanted {
        Some("X") => x()?,
        Some("raw.X") => raw()?,
        Some(name) => return layer(name),
        None => {
            for name in [LAYER, "counts"] {
                if all.layers.iter().any(|layer| layer == name) {
                    return layer(name);
                }
            }
            if file.has_raw() {
                let found = raw()?;
                if is_counts(&found.0) {
                    return Ok(found);
                }
            }
            if !all.x {
                let layers = if all.layers.is_empty() { "nothing".into() } else { all.layers.join(", ") };
                bail!("{shown} has neither X nor counts (layers has {layers}); name the layer of counts with --counts");
            }
            x()?
        }
    };
    // the cell and the gene are named
    let mut found = data.clone();
    found.layers.insert(source.clone(), counts);
    if let Err(error) = found.counts(&source) {
        let layers =
            if all.layers.is_empty() { String::new() } else { format!("; layers has {}", all.layers.join(", ")) };
        let said = error.to_string().replacen(&format!("layers[\"{source}\"]"), &source, 1);
        bail!(
            "{shown}: {said}{layers}; name the counts with --counts (values that are only nearly whole have to be rounded first, as adata.X.data.round() does)"
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
