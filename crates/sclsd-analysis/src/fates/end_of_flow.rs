//! Where the flow dz/dt = −∇V ends, by the terminal cells that lie nearest to it.

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

/// Every cell is followed down the potential; the terminal cells nearest to its end vote. The flow has no noise, so it
/// cannot say that a cell is undecided: what is not certain is only what lies between two states at its end.
#[derive(Debug, Clone, Copy)]
pub struct EndOfFlow<'a> {
    /// The model.
    pub model: &'a Model,
    /// z of every cell, `n_cells × z`.
    pub cell_state: &'a Matrix,
    /// Time to follow cells for, in units of a training walk's length. Above 0. Usually 15.
    pub time_range: f64,
    /// Terminal cells that have a vote. At least 1. Usually 15.
    pub k: usize,
    /// How the flow is solved.
    pub ode: &'a CheckedOdeSpec,
}

impl EndOfFlow<'_> {
    /// z of every cell at the end.
    ///
    /// # Errors
    /// [`FlowError`] where the time is not positive, sizes disagree or the flow blows up.
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
