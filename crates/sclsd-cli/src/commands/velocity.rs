//! Directions on an embedding.

use std::collections::BTreeMap;

use sclsd::analysis::{Annotation, Directions, drift, velocity_from_drift, velocity_from_transitions};
use sclsd::data::{Dataset, Matrix};
use sclsd::model::Model;

use super::basis::{Basis, among, placed, suffix};
use crate::progress::Output;

/// `velocity_umap` from the transitions and `drift_velocity_umap` from the drift, on the chosen embedding; empty if
/// there is none. A cell without a place on the embedding has direction 0 and does not affect the directions of others.
pub(super) fn velocities(
    model: &Model,
    data: &Dataset,
    annotation: &Annotation,
    connectivities: &str,
    basis: &Basis,
    output: Output,
) -> anyhow::Result<BTreeMap<String, Matrix>> {
    if let Some(note) = basis.note() {
        output.note(note);
    }
    let Some((key, embedding)) = basis.key.as_ref().and_then(|key| data.obsm.get_key_value(key)) else {
        return Ok(BTreeMap::new());
    };
    let flattened;
    let embedding = if embedding.n_cols() > 2 {
        flattened = flat(embedding);
        &flattened
    } else {
        embedding
    };
    let graph = data.graph(connectivities)?;
    let drift = drift(model, &annotation.cell_state)?;
    let suffix = suffix(key);
    let names = [Directions::Transitions.key(suffix), Directions::Drift.key(suffix)];
    let (n_cells, cells) = (embedding.n_rows(), placed(embedding));
    if cells.len() == n_cells {
        let both = [
            velocity_from_transitions(&annotation.transitions, graph, embedding)?,
            velocity_from_drift(&drift, &annotation.cell_state, graph, embedding)?,
        ];
        return Ok(names.into_iter().zip(both).collect());
    }
    output.note(format!(
        "{} of {n_cells} cells have no finite coordinates in obsm[\"{key}\"], the first is {}: directions leave \
         these cells out",
        n_cells - cells.len(),
        (0..n_cells).find(|cell| cells.binary_search(cell).is_err()).map_or("", |cell| &data.obs.names[cell])
    ));
    let graph = graph.select_rows(&cells).select_columns(&cells);
    let transitions = among(&annotation.transitions, &cells);
    let places = embedding.select_rows(&cells);
    let [drift, states] = [&drift, &annotation.cell_state].map(|matrix| matrix.select_rows(&cells));
    let both = [
        velocity_from_transitions(&transitions, &graph, &places)?,
        velocity_from_drift(&drift, &states, &graph, &places)?,
    ];
    Ok(names.into_iter().zip(both.map(|found| spread(&found, &cells, n_cells))).collect())
}

/// The first two columns.
fn flat(matrix: &Matrix) -> Matrix {
    Matrix::new(2, (0..matrix.n_rows()).flat_map(|row| matrix.row(row)[..2].to_vec()).collect())
}

/// Rows of some of the cells as rows of all of them, zero for the others.
fn spread(rows: &Matrix, cells: &[usize], n_cells: usize) -> Matrix {
    let width = rows.n_cols();
    let mut values = vec![0.0; n_cells * width];
    for (row, &cell) in cells.iter().enumerate() {
        values[cell * width..][..width].copy_from_slice(rows.row(row));
    }
    Matrix::new(width, values)
}
