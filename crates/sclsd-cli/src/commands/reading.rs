//! Files as commands read them: names tell cells and genes apart, and what is missing is said with a hint.

use std::path::Path;

use anyhow::Context;
use sclsd::data::{Dataset, H5adError, Keys, plain_reason, read_h5ad};

/// Reads elements of a file whose cells and genes can be told apart by name.
pub(super) fn read(path: &Path, keys: &Keys) -> anyhow::Result<Dataset> {
    named_apart(path, read_h5ad(path, keys)?)
}

/// Reads a file; where it lacks something, `hint` says who would have written it.
pub(super) fn read_with_hint(path: &Path, keys: &Keys, hint: &'static str) -> anyhow::Result<Dataset> {
    named_apart(path, hinted(read_h5ad(path, keys), hint)?)
}

/// The same error; where a graph is missing, with the option that names another.
pub(super) fn graph_option(error: H5adError, option: &str) -> H5adError {
    match error {
        H5adError::Missing { path, missing } if missing.contains("obsp[") => {
            H5adError::Missing { path, missing: format!("{missing}; {option} names the graph") }
        }
        other => other,
    }
}

/// What was read; where something is missing, `hint` says who would have written it.
pub(super) fn hinted(read: Result<Dataset, H5adError>, hint: &'static str) -> anyhow::Result<Dataset> {
    read.map_err(|error| match error {
        H5adError::Missing { .. } => anyhow::Error::new(error).context(hint),
        other => other.into(),
    })
}

/// Refuses names that appear twice: genes are found by name, and results belong to cells by name.
pub(super) fn named_apart(path: &Path, data: Dataset) -> anyhow::Result<Dataset> {
    data.check_names().with_context(|| path.display().to_string())?;
    Ok(data)
}

/// A text file as it is.
pub(super) fn read_text(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| anyhow::anyhow!("{} cannot be read: {}", path.display(), plain_reason(&error)))?;
    // Windows marks a text by a first character that is none
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
