//! How commands read files: names of cells and genes must be unique, and errors about missing elements have a hint.

use std::path::Path;

use anyhow::Context;
use sclsd::data::{Dataset, H5adError, Keys, plain_reason, read_h5ad};

/// Reads elements of a file whose names of cells and genes are unique.
pub(super) fn read(path: &Path, keys: &Keys) -> anyhow::Result<Dataset> {
    named_apart(path, read_h5ad(path, keys)?)
}

/// Reads a file; if an element is missing, the error includes `hint`, which says what writes the element.
pub(super) fn read_with_hint(path: &Path, keys: &Keys, hint: &'static str) -> anyhow::Result<Dataset> {
    named_apart(path, hinted(read_h5ad(path, keys), hint)?)
}

/// The same error; if a graph is missing, with the option that names another.
pub(super) fn graph_option(error: H5adError, option: &str) -> H5adError {
    match error {
        H5adError::Missing { path, missing } if missing.contains("obsp[") => {
            H5adError::Missing { path, missing: format!("{missing}; {option} names the graph") }
        }
        other => other,
    }
}

/// What was read; if an element is missing, the error includes `hint`, which says what writes the element.
pub(super) fn hinted(read: Result<Dataset, H5adError>, hint: &'static str) -> anyhow::Result<Dataset> {
    read.map_err(|error| match error {
        H5adError::Missing { .. } => anyhow::Error::new(error).context(hint),
        other => other.into(),
    })
}

/// Refuses names that appear twice, since genes are found by name and results belong to cells by name.
pub(super) fn named_apart(path: &Path, data: Dataset) -> anyhow::Result<Dataset> {
    data.check_names().with_context(|| path.display().to_string())?;
    Ok(data)
}

/// The text of a file.
pub(super) fn read_text(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| anyhow::anyhow!("{} cannot be read: {}", path.display(), plain_reason(&error)))?;
    // editors on Windows begin a text with a byte order mark
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
