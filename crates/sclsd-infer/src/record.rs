//! What is recorded of an epoch, be it finished or not.

use serde::{Deserialize, Serialize};

use crate::elbo::Loss;

/// One epoch in the history of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Mean loss of its steps, term by term.
    pub loss: Loss,
    /// Mean rise of the potential along the walks of the last batch, at the end of the epoch, per step; 0 where it
    /// always falls.
    pub potential_rise: f64,
    /// Mean rise of the entropy along the walks of the last batch, at the end of the epoch, per step.
    pub entropy_rise: f64,
    /// Loss of the walks that training does not see, at the end of the epoch, in nats per visit and gene; nothing where
    /// no walks are held out.
    #[serde(default)]
    pub held_out: Option<f64>,
    /// Learning rate at its beginning.
    pub learning_rate: f64,
    /// Steps of the solver.
    pub solver_steps: usize,
    /// Evaluations of the drift by the solver.
    pub solver_evaluations: usize,
}

impl EpochRecord {
    /// The first figure that is not finite.
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

/// The steps that are done of an epoch in the middle of which training stopped: with them it goes on to the record that
/// the whole epoch has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PartialEpoch {
    /// Steps done: at least 1, and fewer than the epoch has.
    pub step: usize,
    /// Sum of their losses, term by term.
    pub loss: Loss,
    /// Steps of the solver.
    pub solver_steps: usize,
    /// Evaluations of the drift by the solver.
    pub solver_evaluations: usize,
}

impl PartialEpoch {
    /// Adds the loss of the next step. Sums are made in the order of steps, so they are the same bits wherever the
    /// epoch was stopped.
    pub(crate) fn add(&mut self, loss: Loss) {
        self.loss = if self.step == 0 { loss } else { self.loss.plus(loss) };
        self.step += 1;
    }

    /// Mean loss of the steps.
    pub(crate) fn mean(&self) -> Loss {
        self.loss.over(self.step)
    }
}
