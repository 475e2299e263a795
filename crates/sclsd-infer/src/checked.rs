//! Checked specifications: all fields are in range, and the sizes fit into memory.

use sclsd_model::ode::CheckedOdeSpec;
use sclsd_model::{CheckedModelSpec, Custom};
use sclsd_spec::in_range;

use crate::memory;
use crate::spec::{OptimizerSpec, TrainSpec, TrainSpecError};

/// A checked specification.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedTrainSpec {
    spec: TrainSpec,
    pub(crate) model: CheckedModelSpec,
    pub(crate) ode: CheckedOdeSpec,
}

impl TrainSpec {
    /// Checks every field, and the sizes against the available memory.
    ///
    /// # Errors
    /// [`TrainSpecError`] names the first field that is out of range.
    pub fn check(self) -> Result<CheckedTrainSpec, TrainSpecError> {
        let model = self.model.clone().check()?;
        let ode = self.ode.clone().check()?;
        self.walks.clone().check()?;
        memory::check(&self, 1, sclsd_data::available_memory())?;
        let OptimizerSpec { adam, kl_schedule: kl, wasserstein_schedule: w } = &self.optimizer;
        let stop = &self.early_stopping;
        let positive = |v: f64| v > 0.0 && v.is_finite();
        let least = |v: f64| v >= 0.0 && v.is_finite();
        let (above, zero, one) = ("a finite number above 0", "a finite number of 0 or more", "at least 1");
        let min_af = kl.min_af.unwrap_or(0.0);
        in_range("optimizer.adam.lr", adam.lr, positive(adam.lr), above)?;
        in_range("optimizer.adam.eta_min", adam.eta_min, least(adam.eta_min), zero)?;
        in_range("optimizer.adam.T_0", adam.t_0, adam.t_0 >= 1, one)?;
        in_range("optimizer.adam.T_mult", adam.t_mult, adam.t_mult >= 1, one)?;
        in_range("optimizer.adam.clip_norm", adam.clip_norm, positive(adam.clip_norm), above)?;
        in_range("optimizer.kl_schedule.af", kl.af, least(kl.af), zero)?;
        in_range("optimizer.kl_schedule.min_af", min_af, least(min_af), zero)?;
        in_range("optimizer.kl_schedule.max_epoch", kl.max_epoch, kl.max_epoch >= 1, one)?;
        in_range("optimizer.wasserstein_schedule.min_W", w.min_w, least(w.min_w), zero)?;
        in_range("optimizer.wasserstein_schedule.max_W", w.max_w, least(w.max_w), zero)?;
        in_range("optimizer.wasserstein_schedule.max_epoch", w.max_epoch, w.max_epoch >= 1, one)?;
        in_range("early_stopping.min_delta", stop.min_delta, least(stop.min_delta), zero)?;
        in_range("prior.beta", self.prior.beta, least(self.prior.beta), zero)?;
        in_range("num_epochs", self.num_epochs, self.num_epochs >= 1, one)?;
        Ok(CheckedTrainSpec { spec: self, model, ode })
    }
}

impl CheckedTrainSpec {
    /// Checks the sizes against the available memory for this number of genes.
    pub(crate) fn check_genes(&self, n_genes: usize) -> Result<(), TrainSpecError> {
        memory::check(&self.spec, n_genes, sclsd_data::available_memory())
    }

    /// The same specification with user-defined parts that replace networks of the model.
    #[must_use]
    pub fn with(self, custom: Custom) -> Self {
        Self { model: self.model.with(custom), ..self }
    }

    /// The checked specification.
    #[must_use]
    pub fn get(&self) -> &TrainSpec {
        &self.spec
    }

    /// Sizes of the networks.
    #[must_use]
    pub fn model(&self) -> &CheckedModelSpec {
        &self.model
    }

    /// Settings of the solver.
    #[must_use]
    pub fn ode(&self) -> &CheckedOdeSpec {
        &self.ode
    }
}
