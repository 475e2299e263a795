//! Fate probabilities from the end of the flow dz/dt = −∇V: a vote of the nearest terminal cells.

use sclsd_data::Matrix;
use sclsd_graph::Terminal;
use sclsd_model::Model;
use sclsd_model::ode::CheckedOdeSpec;
use sclsd_spec::in_range;

use super::method::{FateError, FateMethod, check_cells, check_finite};
use super::neighbors::vote;
use super::probabilities::FateProbabilities;
use crate::flow::follow;
use crate::flow_error::FlowError;

/// Each cell follows the flow down the potential, and the terminal cells nearest to its end vote. The flow has no
/// noise, so the probabilities do not show that a cell is undecided. Only a cell that ends between two states has an
/// uncertain fate.
#[derive(Debug, Clone, Copy)]
pub struct EndOfFlow<'a> {
    /// The model.
    pub model: &'a Model,
    /// Cell state z of every cell, `n_cells × z`.
    pub cell_state: &'a Matrix,
    /// Duration of the flow, in units of the length of a training walk. Above 0. Usually 15.
    pub time_range: f64,
    /// Number of terminal cells that vote. At least 1. Usually 15.
    pub k: usize,
    /// Settings of the ODE solver.
    pub ode: &'a CheckedOdeSpec,
}

impl EndOfFlow<'_> {
    /// Cell state z of every cell at the end of the flow.
    ///
    /// # Errors
    /// [`FlowError`] if the duration is not positive, sizes differ or the flow diverges.
    pub fn ends(&self) -> Result<Matrix, FlowError> {
        let value = self.time_range;
        in_range("fates.time_range", value, value > 0.0 && value.is_finite(), "a finite time above 0")?;
        let last = |mut states: Vec<Matrix>| states.pop().map_or_else(Vec::new, |state| state.values().to_vec());
        let ends = follow(self.model, self.cell_state, &[0.0, value], self.ode, last)?;
        Ok(Matrix::new(self.cell_state.n_cols(), ends.concat()))
    }
}

impl FateMethod for EndOfFlow<'_> {
    fn probabilities(&self, terminal: &Terminal) -> Result<FateProbabilities, FateError> {
        check_cells("cell state", self.cell_state.n_rows(), terminal)?;
        check_finite(self.cell_state)?;
        Ok(vote(self.cell_state, &self.ends()?, terminal, self.k))
    }
}
