//! The record of an epoch, complete or interrupted.

use serde::{Deserialize, Serialize};

use crate::elbo::Loss;

/// The record of one epoch in the history of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Mean loss over the steps, term by term.
    pub loss: Loss,
    /// Mean rise of the potential per step along the walks of the last batch, at the end of the epoch; 0 if the
    /// potential always falls.
    pub potential_rise: f64,
    /// Mean rise of the entropy per step along the walks of the last batch, at the end of the epoch.
    pub entropy_rise: f64,
    /// Loss of the held-out walks at the end of the epoch, in nats per visit and gene; `None` if no walks are held out.
    #[serde(default)]
    pub held_out: Option<f64>,
    /// Learning rate at the start of the epoch.
    pub learning_rate: f64,
    /// Number of steps of the solver.
    pub solver_steps: usize,
    /// Number of evaluations of the drift by the solver.
    pub solver_evaluations: usize,
}

impl EpochRecord {
    /// The first number that is not finite, with its name.
    pub(crate) fn not_finite(&self) -> Option<(&'static str, f64)> {
        let others = [
            ("the rise of the potential", self.potential_rise),
            ("the rise of the entropy", self.entropy_rise),
            ("the held-out loss", self.held_out.unwrap_or_default()),
            ("the learning rate", self.learning_rate),
        ];
        self.loss.terms().into_iter().chain(others).find(|(_, value)| !value.is_finite())
    }
}

/// The completed steps of an interrupted epoch. Training resumes from them and gets the same record as an uninterrupted
/// epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PartialEpoch {
    /// Number of completed steps: at least 1, and fewer than the epoch has.
    pub step: usize,
    /// Sum of their losses, term by term.
    pub loss: Loss,
    /// Number of steps of the solver.
    pub solver_steps: usize,
    /// Number of evaluations of the drift by the solver.
    pub solver_evaluations: usize,
}

impl PartialEpoch {
    /// Adds the loss of the next step. Losses are accumulated in the order of steps, so the sum has the same bits
    /// wherever the epoch was interrupted.
    pub(crate) fn add(&mut self, loss: Loss) {
        self.loss = if self.step == 0 { loss } else { self.loss.plus(loss) };
        self.step += 1;
    }

    /// Mean loss of the steps.
    pub(crate) fn mean(&self) -> Loss {
        self.loss.over(self.step)
    }
}
