//! Where a file stores its counts.

use std::cell::Cell;
use std::path::Path;

use anyhow::bail;
use sclsd::data::{Csr, Dataset, FileMatrix, H5ad, H5adError, Windows as _, first_bad, is_count};

use crate::progress::Output;

/// The layer of counts in prepared files.
pub(super) const LAYER: &str = "raw";

/// The name of that layer in messages.
pub(super) const LAYER_RAW: &str = "layers[\"raw\"]";

/// The counts of the cells and genes of `data`, and where they were found: in the place `wanted`, or in the first of
/// the layers `raw` and `counts`, `raw.X` and X that holds counts.
pub(super) fn choose<'a>(
    input: &Path,
    file: &'a H5ad,
    data: &Dataset,
    wanted: Option<&str>,
    output: Output,
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
    let (mut bad, mut passed) = (Vec::new(), String::new());
    for name in places {
        let found = match open(file, data, name) {
            // a raw.X of other genes cannot be the counts of an X
            Err(error) if name == "raw.X" && all.x && wanted.is_none() => {
                passed = format!("; raw.X was passed over: {error}");
                continue;
            }
            Err(H5adError::Missing { path, missing }) if wanted.is_some() => bail!(
                "{path} lacks {missing}; --counts takes the name of a layer, X or raw.X{}",
                elsewhere(file, data, name, &there)
            ),
            found => found?,
        };
        let rounded = Cell::new(false);
        let good = |value: f32| {
            rounded.set(rounded.get() || value >= EXACT);
            is_count(value)
        };
        match first_bad(&found, good)? {
            None => {
                if rounded.get() {
                    output.note("counts above 2^24 = 16777216 are rounded to single precision");
                }
                return Ok((found, message(name)));
            }
            Some(found) => bad.push((found, name)),
        }
    }
    let layers = if all.layers.is_empty() { "nothing".into() } else { all.layers.join(", ") };
    let Some((&((cell, gene, value), name), others)) = bad.split_first() else {
        bail!(
            "{} has neither X nor counts (layers has {layers}); name the layer of counts with --counts",
            input.display()
        )
    };
    for &((cell, _, value), name) in others {
        let nature = nature(&open(file, data, name)?, cell, value)?;
        passed = format!("{passed}; {} holds no counts either: {nature}", message(name));
    }
    bail!(
        "{}: {} of cell {} and gene {} is {value}, expected an integer count of 0 or more: {}; layers has {layers}; name the counts \
         with --counts{}{passed}",
        input.display(),
        message(name),
        data.obs.names[cell],
        data.var.names[gene],
        nature(&open(file, data, name)?, cell, value)?,
        elsewhere(file, data, name, &there)
    )
}

/// Names another place that holds counts, as the end of a sentence.
fn elsewhere(file: &H5ad, data: &Dataset, tried: &str, there: &dyn Fn(&str) -> bool) -> String {
    let holds = |name: &&str| {
        *name != tried
            && there(name)
            && open(file, data, name).is_ok_and(|m| first_bad(&m, is_count).is_ok_and(|bad| bad.is_none()))
    };
    let found = [LAYER, "counts", "raw.X", "X"].into_iter().find(holds);
    found.map(|name| format!("; {} holds counts: --counts {name}", message(name))).unwrap_or_default()
}

/// Why a matrix does not hold counts, judged by one value and the other values of the same cell.
fn nature(matrix: &FileMatrix, cell: usize, value: f32) -> anyhow::Result<String> {
    if value < 0.0 {
        return Ok("a negative value, so the data are scaled".into());
    }
    if !value.is_finite() {
        return Ok("not a finite number".into());
    }
    if (value - value.round()).abs() < NEARLY * value {
        return Ok("close to an integer; round such values first: adata.X.data = adata.X.data.round()".into());
    }
    // after normalisation, values that were equal counts are still equal
    let row = matrix.select(Some(&[cell]), None)?;
    let mut values: Vec<f32> = row.values().iter().copied().filter(|&v| v != 0.0).collect();
    values.sort_by(f32::total_cmp);
    let alike = values.chunk_by(|a, b| a.to_bits() == b.to_bits()).map(<[f32]>::len).max().unwrap_or(0);
    if values.len() >= 10 && alike * 5 >= values.len() {
        let n = values.len();
        return Ok(format!("{alike} of the {n} values of that cell are the same, so the data are normalized"));
    }
    Ok("if the counts were corrected, for example for ambient RNA, round them first (adata.X.data = adata.X.data.round()) or \
        name the uncorrected counts"
        .into())
}

/// From here on, single precision does not represent every integer.
const EXACT: f32 = 16_777_216.0;

/// Largest distance from an integer, relative to the value, of a value that is close to an integer.
const NEARLY: f32 = 1e-3;

/// The name of a place in messages.
fn message(name: &str) -> String {
    if matches!(name, "X" | "raw.X") { name.to_owned() } else { format!("layers[\"{name}\"]") }
}

fn open<'a>(file: &'a H5ad, data: &Dataset, name: &str) -> Result<FileMatrix<'a>, H5adError> {
    match name {
        "X" => file.x(),
        "raw.X" => file.raw_x(&data.var.names),
        layer => file.layer(layer),
    }
}

/// Notes that X holds counts although the model expects normalised expression.
pub(super) fn warn(x: &Csr, output: Output) {
    if x.values().iter().all(|&value| is_count(value)) && x.values().iter().any(|&value| value > 1.0) {
        output.note(
            "warning: X holds counts, but training expects normalized expression and gives poor results without it; run \
             sclsd prepare first",
        );
    }
}

/// X if it can be reused as normalised expression: no value is negative, and not all values are integers. `is_source`:
/// X is where the counts are.
pub(super) fn normalized(file: &H5ad, is_source: bool, output: Output) -> anyhow::Result<Option<FileMatrix<'_>>> {
    if is_source || !file.keys()?.x {
        return Ok(None);
    }
    let x = file.x()?;
    if first_bad(&x, |value| value >= 0.0 || value.is_nan())?.is_some() {
        output.note(
            "X has negative values, so X is scaled; normalized expression is computed from the counts and replaces X",
        );
        return Ok(None);
    }
    // an X of zeros alone is neither
    if first_bad(&x, is_count)?.is_none() && first_bad(&x, |value| value == 0.0)?.is_some() {
        output.note("X holds counts; normalized expression is computed from the counts and replaces X");
        return Ok(None);
    }
    Ok(Some(x))
}
