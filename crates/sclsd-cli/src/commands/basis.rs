//! The embedding that directions and pictures are drawn on.

use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use sclsd::data::{Csr, Inspection, Keys, Matrix, closest_names, did_you_mean};

use super::reading::read;

/// The embeddings that are looked for, in this order, if none is named.
const USUAL: [&str; 3] = ["X_umap", "X_tsne", "X_pca"];

/// The chosen embedding, with a note on the choice.
#[derive(Debug, Default)]
pub(super) struct Basis {
    /// Key of obsm; `None` if the file has no embedding.
    pub key: Option<String>,
    note: Option<String>,
}

impl Basis {
    /// The embedding for directions: the named one, which must be in the file, or the first of [`USUAL`] that can be
    /// drawn on.
    pub(super) fn choose(file: &Path, has: &Inspection, named: Option<&str>) -> anyhow::Result<Self> {
        if let Some(named) = named {
            let key = found(file, has, named)?;
            drawable(file, &key)?;
            return Ok(Self { key: Some(key), note: None });
        }
        let mut reasons = Vec::new();
        for key in USUAL.into_iter().filter(|key| has.has("obsm", key)) {
            match drawable(file, key) {
                Ok(()) => {
                    let because = reasons.join("; ");
                    let note = match (key == USUAL[0], reasons.is_empty()) {
                        (true, _) => None,
                        (false, true) => Some(format!(
                            "directions are on obsm[\"{key}\"], because obsm[\"X_umap\"] is missing; choose another with --basis"
                        )),
                        (false, false) => Some(format!("directions are on obsm[\"{key}\"]: {because}")),
                    };
                    return Ok(Self { key: Some(key.to_owned()), note });
                }
                Err(error) => reasons.push(format!("{error:#}")),
            }
        }
        let note = format!(
            "no directions are written: obsm has none of {} to draw them on, only {}{}; choose an embedding with --basis",
            USUAL.join(", "),
            listed(has),
            if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) }
        );
        Ok(Self { key: None, note: Some(note) })
    }

    /// The note on the choice, if there is one.
    pub(super) fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
}

/// The embedding of a picture: the named one, or the first of [`USUAL`] in the file, preferably one that `prefers`
/// accepts.
pub(super) fn of_picture(
    file: &Path,
    has: &Inspection,
    named: Option<&str>,
    prefers: impl Fn(&str) -> bool,
) -> anyhow::Result<String> {
    if let Some(named) = named {
        return found(file, has, named);
    }
    let there: Vec<&str> = USUAL.into_iter().filter(|key| has.has("obsm", key)).collect();
    match there.iter().find(|key| prefers(key)).or(there.first()) {
        Some(key) => Ok((*key).to_owned()),
        None => bail!(
            "{} has none of {} in obsm to draw on, only {}; choose an embedding with --basis",
            file.display(),
            USUAL.join(", "),
            listed(has)
        ),
    }
}

/// The name of an embedding without `X_`.
pub(super) fn suffix(key: &str) -> &str {
    key.strip_prefix("X_").unwrap_or(key)
}

/// Cells with a place on the embedding: their first two coordinates are finite.
pub(super) fn placed(embedding: &Matrix) -> Vec<usize> {
    (0..embedding.n_rows()).filter(|&cell| embedding.row(cell).iter().take(2).all(|v| v.is_finite())).collect()
}

/// Transition probabilities among some of the cells, `cells` in increasing order: each row is restricted to these cells
/// and normalised to sum to one. If only zeros are left of a row, all neighbours are equally likely.
pub(super) fn among(transitions: &Csr<f64>, cells: &[usize]) -> Csr<f64> {
    let part = transitions.select_rows(cells).select_columns(cells);
    let mut values = Vec::with_capacity(part.nnz());
    for row in 0..part.n_rows() {
        let (_, remaining) = part.row(row);
        let total: f64 = remaining.iter().sum();
        #[expect(clippy::cast_precision_loss, reason = "a cell has few neighbours")]
        let even = 1.0 / remaining.len().max(1) as f64;
        values.extend(remaining.iter().map(|p| if total > 0.0 { p / total } else { even }));
    }
    Csr::over(Arc::clone(part.pattern()), values)
}

/// The key that a name stands for: itself, or with scanpy's `X_` before it.
fn found(file: &Path, has: &Inspection, named: &str) -> anyhow::Result<String> {
    let long = format!("X_{named}");
    for key in [named, &long] {
        if has.has("obsm", key) {
            return Ok(key.to_owned());
        }
    }
    let all: Vec<String> = has.keys("obsm").map(str::to_owned).collect();
    let near = closest_names(named, &all);
    bail!("{} lacks obsm[\"{named}\"] (obsm has {}){}", file.display(), listed(has), did_you_mean(&near))
}

fn listed(has: &Inspection) -> String {
    let all: Vec<&str> = has.keys("obsm").collect();
    if all.is_empty() { "nothing".into() } else { all.join(", ") }
}

fn drawable(file: &Path, key: &str) -> anyhow::Result<()> {
    let data = read(file, &Keys::none().with_obsm(key))?;
    let (embedding, shown) = (&data.obsm[key], file.display());
    if embedding.n_cols() < 2 {
        bail!("{shown}: obsm[\"{key}\"] has {} column, but directions need 2", embedding.n_cols());
    }
    if placed(embedding).is_empty() {
        bail!("{shown}: obsm[\"{key}\"] has no cell with finite coordinates");
    }
    Ok(())
}
