//! All settings of a training run, with the names of the Python package.

use std::fmt;
use std::str::FromStr;

use sclsd_graph::{Descent, StepKernel, TerminalSpec, WalkSpec};
use sclsd_model::ode::OdeSpec;
use sclsd_model::{ModelSpec, Precision};
use sclsd_spec::{Choice, OutOfRange, UnknownName};
use serde::{Deserialize, Serialize};

use crate::{KlSchedule, LearningRate, WassersteinSchedule};

/// A training run. Reference: `LSDConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TrainSpec {
    /// Sizes of the networks.
    pub model: ModelSpec,
    /// Learning rate and schedules.
    pub optimizer: OptimizerSpec,
    /// Random walks and batches.
    pub walks: WalkSpec,
    /// How pseudotime directs the walks.
    pub prior: PriorSpec,
    /// Settings of the ODE solver.
    pub ode: OdeSpec,
    /// Names of the elements in the file.
    pub keys: DataKeys,
    /// When to end training before the last epoch.
    pub early_stopping: EarlyStopping,
    /// Initial values of the networks. Default: torch, PyTorch's values.
    pub initial_values: InitialValues,
    /// Passes through all walks. At least 1. Default: 60.
    pub num_epochs: usize,
    /// Seed of initial values, order of walks and noise. Default: 42.
    pub random_state: u64,
    /// Precision of matrix products on a GPU: `f32`, `tf32` or `bf16`. CPUs compute in `f32`. Default: f32.
    pub precision: Precision,
}

impl Default for TrainSpec {
    fn default() -> Self {
        Self {
            model: ModelSpec::default(),
            optimizer: OptimizerSpec::default(),
            walks: WalkSpec::default(),
            prior: PriorSpec::default(),
            ode: OdeSpec::default(),
            keys: DataKeys::default(),
            early_stopping: EarlyStopping::default(),
            initial_values: InitialValues::default(),
            num_epochs: 60,
            random_state: 42,
            precision: Precision::F32,
        }
    }
}

impl TrainSpec {
    /// The settings of a member, counted from 0, of a run of several: its seeds, `random_state` and
    /// `walks.random_state`, are those of the run plus its number, so that the first member is what a run of one is.
    #[must_use]
    pub fn of_member(&self, member: usize) -> Self {
        let mut spec = self.clone();
        spec.random_state = self.random_state.wrapping_add(member as u64);
        spec.walks.random_state = self.walks.random_state.wrapping_add(member as u64);
        spec
    }

    /// The settings of the run that these are a member's of.
    pub(crate) fn of_run(&self, member: usize) -> Self {
        let mut spec = self.clone();
        spec.random_state = self.random_state.wrapping_sub(member as u64);
        spec.walks.random_state = self.walks.random_state.wrapping_sub(member as u64);
        spec
    }
}

/// Optimiser and schedules. Reference: `OptimizerConfig`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerSpec {
    /// Adam.
    pub adam: AdamSpec,
    /// Annealing of the terms of B.
    pub kl_schedule: KlSchedule,
    /// Weight of the distance between consecutive cells.
    pub wasserstein_schedule: WassersteinSchedule,
}

/// Adam (Kingma and Ba, 2015) with β = (0.9, 0.999) and ε = 1e-8. Reference: `AdamConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AdamSpec {
    /// Learning rate. Above 0. Default: 1e-3.
    pub lr: f64,
    /// Schedule of the learning rate. Default: constant.
    pub schedule: LearningRate,
    /// Smallest learning rate of the schedule. At least 0. Default: 1e-5.
    pub eta_min: f64,
    /// Epochs of the first period of the schedule. At least 1. Default: 40.
    #[serde(rename = "T_0")]
    pub t_0: usize,
    /// Factor from one period of the cosine schedule to the next. At least 1. Default: 1.
    #[serde(rename = "T_mult")]
    pub t_mult: usize,
    /// Largest norm of the gradient of a tensor; a larger gradient is scaled down to this norm. Above 0. Default: 10.
    pub clip_norm: f64,
}

impl Default for AdamSpec {
    fn default() -> Self {
        Self { lr: 1e-3, schedule: LearningRate::Constant, eta_min: 1e-5, t_0: 40, t_mult: 1, clip_norm: 10.0 }
    }
}

/// When to end training before the last epoch: once the loss of the held-out walks (`walks.held_out`) has not improved
/// for some epochs. The names are those of scvi-tools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStopping {
    /// Epochs without improvement after which training ends; 0 turns early stopping off. Default: 0.
    pub patience: usize,
    /// Smallest decrease of the loss that counts as an improvement, in nats per visit and gene. At least 0. Default: 0.
    pub min_delta: f64,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { patience: 0, min_delta: 0.0 }
    }
}

impl EarlyStopping {
    /// Whether training ends after these epochs, given their held-out losses.
    #[must_use]
    pub fn ends(&self, losses: impl IntoIterator<Item = Option<f64>>) -> bool {
        if self.patience == 0 {
            return false;
        }
        let (mut best, mut since) = (f64::INFINITY, 0);
        for loss in losses.into_iter().flatten() {
            since = if loss < best - self.min_delta { 0 } else { since + 1 };
            best = best.min(loss);
        }
        since >= self.patience
    }
}

/// Initial values of the networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum InitialValues {
    /// Drawn like PyTorch's, as in the Python package.
    #[default]
    Torch,
    /// Drawn like PyTorch's, but the library encoder starts at the median library size and the decoder at mean
    /// expression.
    Data,
}

impl Choice for InitialValues {
    const WHAT: &'static str = "initial values";
    const ALL: &'static [Self] = &[Self::Torch, Self::Data];

    fn name(self) -> &'static str {
        match self {
            Self::Torch => "torch",
            Self::Data => "data",
        }
    }
}

impl fmt::Display for InitialValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for InitialValues {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::named(name)
    }
}

/// How pseudotime directs the walks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PriorSpec {
    /// Inverse temperature β, in 1/pseudotime. At least 0. Default: 50, the fixed value of the Python package.
    pub beta: f64,
    /// Whether to scale pseudotime to 0…1 first. Default: no.
    pub scale_time: bool,
    /// How the probability of a step depends on β and the difference in time. Default: softmax, as in the Python
    /// package.
    pub kernel: StepKernel,
    /// Whether the weights of the graph multiply the probabilities of steps. Default: no, as in the Python package,
    /// which only uses whether two cells are neighbours.
    pub weighted: bool,
    /// Where walks end: `none`, `auto`, or names of clusters. Default: none, as in the Python package.
    pub terminal: TerminalSpec,
    /// Rounds of averaging the time over a cell and its neighbours, before walks are drawn. Useful for a coarse time,
    /// such as days. Default: 0.
    pub smooth_time: usize,
    /// How far down a phylogeny one step may lead. Default: children.
    pub descent: Descent,
    /// Whether cells that a phylogeny leaves without an edge are an error. If not, they are dropped. Default: no.
    pub require_all_cells: bool,
}

impl Default for PriorSpec {
    fn default() -> Self {
        Self {
            beta: 50.0,
            scale_time: false,
            kernel: StepKernel::Softmax,
            weighted: false,
            terminal: TerminalSpec::None,
            smooth_time: 0,
            descent: Descent::Children,
            require_all_cells: false,
        }
    }
}

/// Names of the elements that training takes from a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct DataKeys {
    /// Layer of raw counts. Default: `raw`.
    pub counts: String,
    /// Column of `obs` with library sizes, in counts. Default: `librarysize`.
    pub library_size: String,
    /// Graph of `obsp`. Default: `connectivities`.
    pub connectivities: String,
    /// Column of `obs` with the prior pseudotime, 0…1. Default: `dpt_pseudotime`.
    pub time: String,
    /// Column of `obs` with clusters; needed with a phylogeny. Default: `clusters`.
    pub clusters: String,
}

impl Default for DataKeys {
    fn default() -> Self {
        Self {
            counts: "raw".into(),
            library_size: "librarysize".into(),
            connectivities: "connectivities".into(),
            time: "dpt_pseudotime".into(),
            clusters: "clusters".into(),
        }
    }
}

/// Why a specification is not valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainSpecError {
    /// A field is out of range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// A size needs more memory than this machine has.
    #[error("{field} is {value}: {what} would take {needed} of memory, but {free} are free")]
    Memory {
        /// Path of the setting that needs the most memory.
        field: &'static str,
        /// Value of the setting.
        value: usize,
        /// What needs the memory.
        what: &'static str,
        /// Memory that is needed, with its unit.
        needed: String,
        /// Available memory, with its unit.
        free: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_member_has_the_seeds_of_the_run_and_no_two_have_the_same() {
        let run = TrainSpec { random_state: u64::MAX, ..TrainSpec::default() };
        assert_eq!(run.of_member(0), run);
        let third = run.of_member(2);
        assert_eq!((third.random_state, third.walks.random_state), (1, 44));
        assert_eq!(third.of_run(2), run);
    }

    #[test]
    fn training_ends_once_held_out_walks_have_not_improved_for_as_long_as_patience_lasts() {
        let stopping = EarlyStopping { patience: 2, min_delta: 0.1 };
        let ends = |losses: &[f64]| stopping.ends(losses.iter().copied().map(Some));
        assert!(!ends(&[]) && !ends(&[3.0, 2.0, 1.95]) && !ends(&[3.0, 2.0, 1.95, 1.8]));
        assert!(ends(&[3.0, 2.0, 1.95, 2.5]), "1.95 is no improvement by 0.1");
        assert!(!stopping.ends([None, None, None]), "nothing was held out");
        assert!(!EarlyStopping::default().ends([1.0, 2.0, 3.0].map(Some)));
    }
}
