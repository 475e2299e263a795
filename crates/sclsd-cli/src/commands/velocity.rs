//! Directions on an embedding, for the files that have one.

use std::collections::BTreeMap;
use std::path::Path;

use sclsd::Device;
use sclsd::analysis::{Annotation, drift, velocity_from_drift, velocity_from_transitions};
use sclsd::data::{Dataset, Matrix, inspect};
use sclsd::model::Model;

/// The embedding's key in a list, where the file has it.
pub(super) fn present(file: &Path, basis: &str) -> anyhow::Result<Vec<String>> {
    Ok(if inspect(file)?.has("obsm", basis) { vec![basis.to_owned()] } else { Vec::new() })
}

/// `velocity_umap` from the transitions and `drift_velocity_umap` from the drift, if `X_umap` was read and has
/// a place for every cell; nothing otherwise.
pub(super) fn velocities(
    model: &Model,
    data: &Dataset,
    annotation: &Annotation,
    connectivities: &str,
    basis: &str,
    device: Device,
) -> anyhow::Result<BTreeMap<String, Matrix>> {
    let drawable = |e: &&Matrix| e.n_cols() >= 2 && e.values().iter().all(|v| v.is_finite());
    let Some(embedding) = data.obsm.get(basis).filter(drawable) else {
        return Ok(BTreeMap::new());
    };
    let graph = data.graph(connectivities)?;
    let drift = drift(model, &annotation.cell_state, &device)?;
    let suffix = basis.strip_prefix("X_").unwrap_or(basis);
    Ok(BTreeMap::from([
        (format!("velocity_{suffix}"), velocity_from_transitions(&annotation.transitions, graph, embedding)?),
        (format!("drift_velocity_{suffix}"), velocity_from_drift(&drift, &annotation.cell_state, graph, embedding)?),
    ]))
}
