//! Fate probabilities by absorption under transitions along the drift.

use rayon::prelude::*;
use sclsd_data::{Csr, Matrix};
use sclsd_graph::{Terminal, neighbors_of};

use super::absorbed::Absorbed;
use super::method::{FateError, FateMethod, check_cells, check_finite};
use super::probabilities::FateProbabilities;
use crate::velocity::cosine;

/// Absorption of a random walk that prefers neighbors in the direction of the drift:
///
/// ```text
/// P(i → j) ∝ exp(κ cos(−∇V(z_i), z_j − z_i))        over the neighbors j of i
/// ```
///
/// Source: the cosine scheme and softmax scale of CellRank's `VelocityKernel` (Lange et al., 2022).
#[derive(Debug, Clone, Copy)]
pub struct DriftDirected<'a> {
    /// Drift −∇V of every cell, `n_cells × z`.
    pub drift: &'a Matrix,
    /// Cell state z of every cell, `n_cells × z`.
    pub cell_state: &'a Matrix,
    /// Graph whose edges with positive weight are used.
    pub connectivities: &'a Csr,
    /// κ, the sharpness of the preference. 0 ignores the direction. Usually 10.
    pub softmax_scale: f64,
}

impl DriftDirected<'_> {
    /// The transition probabilities.
    ///
    /// # Panics
    /// If drift, states and graph differ in the number of cells.
    #[must_use]
    pub fn transitions(&self) -> Csr<f64> {
        let rows: Vec<Vec<(u32, f64)>> = (0..self.connectivities.n_rows())
            .into_par_iter()
            .map(|cell| {
                let here = self.cell_state.row(cell);
                let weight = |to: u32| {
                    let step = self.cell_state.row(to as usize).iter().zip(here).map(|(there, here)| there - here);
                    (self.softmax_scale * cosine(self.drift.row(cell).iter().copied().zip(step))).exp()
                };
                let near = neighbors_of(self.connectivities, cell);
                let mut row: Vec<(u32, f64)> = near.map(|(to, _)| (to, weight(to))).collect();
                let total: f64 = row.iter().map(|(_, p)| p).sum();
                row.iter_mut().for_each(|(_, p)| *p /= total);
                row
            })
            .collect();
        Csr::from_rows(self.connectivities.n_rows(), rows).expect("rows of the graph, or parts of them")
    }
}

impl FateMethod for DriftDirected<'_> {
    fn probabilities(&self, terminal: &Terminal) -> Result<FateProbabilities, FateError> {
        for (what, found) in [
            ("drift", self.drift.n_rows()),
            ("cell state", self.cell_state.n_rows()),
            ("graph", self.connectivities.n_rows()),
        ] {
            check_cells(what, found, terminal)?;
        }
        check_finite(self.drift)?;
        check_finite(self.cell_state)?;
        Absorbed { transitions: &self.transitions() }.probabilities(terminal)
    }
}
