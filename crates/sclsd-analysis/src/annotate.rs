//! Latent states, potential, pseudotime and transition probabilities of every cell.
//!
//! ```text
//! z = z_loc(x),   B = B_loc(z),   entropy = Σ ln B_scale(z),   V = potential(z)
//! pseudotime  = (max V − V) / (max V − min V)
//! P(i → j)    = exp(V_i − V_j) / Σ_k exp(V_i − V_k)        over the neighbours of i
//! ```

use sclsd_data::{Additions, Column, Csr, Dataset, DatasetError, Matrix};
use sclsd_graph::{TransitionError, boltzmann_rows};
use sclsd_model::{Model, WeightsError};

use crate::encode::{States, encode};
use crate::genes::{GenesError, match_genes};

/// Results of a model for every cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// Cell state z, `n_cells × z`; stored as obsm `X_cell_state`.
    pub cell_state: Matrix,
    /// Differentiation state B, `n_cells × B`; stored as obsm `X_diff_state`.
    pub diff_state: Matrix,
    /// Potential V; stored as obs `potential`.
    pub potential: Vec<f64>,
    /// Entropy of q(B) up to a constant, in nats, a measure of how undecided a cell is; stored as obs `entropy`.
    pub entropy: Vec<f64>,
    /// Potential inverted and scaled to 0…1; stored as obs `lsd_pseudotime`.
    pub pseudotime: Vec<f64>,
    /// Transition probabilities to each neighbour, with rows that sum to one; stored as obsp `transitions`.
    pub transitions: Csr<f64>,
}

/// The reason why cells cannot be annotated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnnotateError {
    /// An element of the data is missing or has invalid content.
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// The data lacks genes of the model.
    #[error(transparent)]
    Genes(#[from] GenesError),
    /// The weights do not match the model's sizes.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The graph does not have these cells.
    #[error(transparent)]
    Graph(#[from] TransitionError),
    /// The networks return a value that is not finite.
    #[error(
        "the model gives cell {cell} {what} of {value}: its expression is too far from what the model was trained on, or \
         training has diverged"
    )]
    NotFinite {
        /// Name of the cell.
        cell: String,
        /// The quantity that is not finite, with its article.
        what: &'static str,
        /// Value of that quantity.
        value: f64,
    },
}

/// Annotates every cell of a data set. `connectivities` names the graph in `obsp`.
///
/// Reference: `LSD.get_adata`.
///
/// # Errors
/// [`AnnotateError`] if X or the graph is missing or invalid, or the data lacks genes of the model.
pub fn annotate(model: &Model, data: &Dataset, connectivities: &str) -> Result<Annotation, AnnotateError> {
    data.check()?;
    let matched = match_genes(model, data)?;
    let x = matched.expression()?;
    let graph = data.graph(connectivities)?;
    let states = encode(model, x)?;
    if let Some((cell, what, value)) = not_finite(&states) {
        return Err(AnnotateError::NotFinite { cell: data.obs.names[cell].clone(), what, value });
    }
    let v = &states.potential;
    let (low, high) = v.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
    let downhill: Vec<f64> = v.iter().map(|v| -v).collect();
    Ok(Annotation {
        cell_state: states.cell_state,
        diff_state: states.diff_state,
        pseudotime: v.iter().map(|v| (high - v) / (high - low + 1e-8)).collect(),
        entropy: states.entropy,
        transitions: boltzmann_rows(graph, &downhill, 1.0)?,
        potential: states.potential,
    })
}

/// The first cell with a value that is not finite, with the quantity and the value.
fn not_finite(states: &States) -> Option<(usize, &'static str, f64)> {
    let column =
        |what, values: &[f64]| values.iter().position(|v| !v.is_finite()).map(|cell| (cell, what, values[cell]));
    let matrix = |what, m: &Matrix| {
        let at = m.values().iter().position(|v| !v.is_finite())?;
        Some((at / m.n_cols(), what, f64::from(m.values()[at])))
    };
    matrix("a state z", &states.cell_state)
        .or_else(|| matrix("a differentiation state B", &states.diff_state))
        .or_else(|| column("a potential", &states.potential))
        .or_else(|| column("an entropy", &states.entropy))
}

impl Annotation {
    /// The annotation as elements of a file, under their names there.
    #[must_use]
    pub fn additions(&self) -> Additions {
        let column = |values: &[f64]| Column::Float(values.to_vec());
        #[expect(clippy::cast_possible_truncation, reason = "graphs are kept in f32 in files")]
        let transitions = self.transitions.map(|p| p as f32);
        Additions {
            obs: vec![
                ("potential".into(), column(&self.potential)),
                ("entropy".into(), column(&self.entropy)),
                ("lsd_pseudotime".into(), column(&self.pseudotime)),
            ],
            obsm: [("X_cell_state".into(), self.cell_state.clone()), ("X_diff_state".into(), self.diff_state.clone())]
                .into(),
            obsp: [("transitions".into(), transitions)].into(),
            ..Additions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_no_number_is_found_with_its_cell() {
        let states = |z: f32, b: f32, v: f64, entropy: f64| States {
            cell_state: Matrix::new(2, vec![0.0, 0.0, 0.0, z]),
            diff_state: Matrix::new(1, vec![0.0, b]),
            potential: vec![0.0, v],
            entropy: vec![0.0, entropy],
        };
        assert_eq!(not_finite(&states(1.0, 1.0, 1.0, 1.0)), None);
        let found = |states: States| not_finite(&states).map(|(cell, what, _)| (cell, what));
        assert_eq!(found(states(f32::NAN, 1.0, 1.0, 1.0)), Some((1, "a state z")));
        assert_eq!(found(states(1.0, f32::INFINITY, 1.0, 1.0)), Some((1, "a differentiation state B")));
        assert_eq!(found(states(1.0, 1.0, f64::NAN, 1.0)), Some((1, "a potential")));
        // the scale of B underflows for extreme expression
        assert_eq!(found(states(1.0, 1.0, 1.0, f64::NEG_INFINITY)), Some((1, "an entropy")));
    }
}
