//! Presets: recommended settings, which depend on the data, and the settings of the Python package.

use std::fmt;
use std::str::FromStr;

use sclsd_graph::{Terminal, TerminalSpec, Transition, WalkSpec, steps_to_absorption};
use sclsd_model::{LayerDims, ModelSpec};
use sclsd_spec::{Choice, UnknownName};

use crate::{AdamSpec, EarlyStopping, InitialValues, LearningRate, OptimizerSpec, PriorSpec, StepKernel, TrainSpec};

/// Steps to a leaf if walks do not end.
const UNENDING: f64 = 10.0;
/// Epochs of the recommended preset.
const EPOCHS: usize = 20;

/// The properties of the data that recommended settings depend on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DataScale {
    /// Number of cells.
    pub n_cells: usize,
    /// Number of genes.
    pub n_genes: usize,
    /// Kernel and inverse temperature of the prior's steps: the first of [`STEPS`](DataScale::STEPS) with which walks
    /// reach a terminal state within [`LONGEST`](DataScale::LONGEST) steps, or the last.
    pub steps: (StepKernel, f64),
    /// Mean number of steps of a walk from a cell to a terminal state, from
    /// [`steps_to_leaf`](DataScale::steps_to_leaf).
    pub steps_to_leaf: f64,
}

impl DataScale {
    /// Kernels and inverse temperatures (in 1/pseudotime), from weakly to strongly directed. The last one is the Python
    /// package's.
    pub const STEPS: [(StepKernel, f64); 3] =
        [(StepKernel::Metropolis, 20.0), (StepKernel::Metropolis, 50.0), (StepKernel::Softmax, 50.0)];
    /// Largest acceptable number of steps of a walk to a terminal state.
    pub const LONGEST: f64 = 30.0;

    /// A placeholder for unknown data. Recommended settings that do not depend on the data are correct.
    #[must_use]
    pub fn unknown() -> Self {
        Self { n_cells: 1000, n_genes: 1000, steps: Self::STEPS[0], steps_to_leaf: UNENDING }
    }

    /// The expected number of steps of a walk to a terminal state, averaged over the cells outside terminal states; 10
    /// if walks do not end.
    #[must_use]
    pub fn steps_to_leaf(prior: &Transition, terminal: Option<&Terminal>) -> f64 {
        let steps = terminal.and_then(|terminal| steps_to_absorption(prior.matrix(), terminal).ok());
        let steps: Vec<f64> = steps.into_iter().flatten().filter(|s| *s > 0.0 && s.is_finite()).collect();
        #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
        let n = steps.len() as f64;
        if steps.is_empty() { UNENDING } else { steps.iter().sum::<f64>() / n }
    }
}

/// A preset: settings to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Preset {
    /// Settings that depend on the data: [`TrainSpec::recommended`].
    #[default]
    Recommended,
    /// Settings of the Python package: [`TrainSpec::reference`].
    Reference,
}

impl Preset {
    /// The settings for such data.
    #[must_use]
    pub fn spec(self, scale: &DataScale) -> TrainSpec {
        match self {
            Self::Recommended => TrainSpec::recommended(scale),
            Self::Reference => TrainSpec::reference(),
        }
    }
}

impl Choice for Preset {
    const WHAT: &'static str = "preset";
    const ALL: &'static [Self] = &[Self::Recommended, Self::Reference];

    fn name(self) -> &'static str {
        match self {
            Self::Recommended => "recommended",
            Self::Reference => "reference",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Preset {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::named(name)
    }
}

impl TrainSpec {
    /// The settings of the Python package, exactly.
    #[must_use]
    pub fn reference() -> Self {
        Self::default()
    }

    /// Settings that depend on the data:
    ///
    /// ```text
    /// kernel, β    the first of Metropolis at 20, at 50, softmax at 50 whose walks take at most 30 steps to a leaf
    /// walks        a quarter of the number of cells, from 1,024 to 16,384, in batches of 64
    /// path length  steps to a leaf, from 8 to 30 cells
    /// rate         one cycle up to 0.01 over 20 epochs, or until held-out walks have not improved for 5 epochs
    /// networks     hidden layers of 128 and 64 around the cell state
    /// ```
    ///
    /// Walks end in terminal states, and steps are weighted by the graph. The weight of the squared potential is a
    /// tenth of the Python package's, and networks start at the means of the data. `docs/fates.md` lists the
    /// alternatives that were tried.
    #[must_use]
    pub fn recommended(scale: &DataScale) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few dozen")]
        let path_len = scale.steps_to_leaf.round().clamp(8.0, DataScale::LONGEST) as usize;
        let num_walks = (scale.n_cells / 4).clamp(1024, 16_384);
        let layer_dims = LayerDims { x_encoder: vec![128, 64], z_decoder: vec![64, 128], ..LayerDims::default() };
        let adam = AdamSpec { lr: 0.01, schedule: LearningRate::OneCycle, t_0: EPOCHS, ..AdamSpec::default() };
        Self {
            model: ModelSpec { v_coeff: 1e-3, layer_dims, ..ModelSpec::default() },
            optimizer: OptimizerSpec { adam, ..OptimizerSpec::default() },
            walks: WalkSpec { num_walks, batch_size: 64, path_len, held_out: 64, ..WalkSpec::default() },
            prior: PriorSpec {
                kernel: scale.steps.0,
                beta: scale.steps.1,
                weighted: true,
                terminal: TerminalSpec::Auto,
                ..PriorSpec::default()
            },
            early_stopping: EarlyStopping { patience: 5, ..EarlyStopping::default() },
            initial_values: InitialValues::Data,
            num_epochs: EPOCHS,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recommended_settings_follow_the_data_and_can_be_trained_with() {
        let at = |n_cells, steps_to_leaf| {
            TrainSpec::recommended(&DataScale { n_cells, n_genes: 200, steps: DataScale::STEPS[0], steps_to_leaf })
        };
        let lengths: Vec<usize> = [1.0, 16.2, 500.0].map(|steps| at(1000, steps).walks.path_len).to_vec();
        assert_eq!(lengths, [8, 16, 30]);
        let walks: Vec<usize> = [60, 10_000, 1_000_000].map(|n| at(n, 10.0).walks.num_walks).to_vec();
        assert_eq!(walks, [1024, 2500, 16_384]);
        assert!(at(1000, 10.0).check().is_ok() && TrainSpec::reference().check().is_ok());
        assert_eq!(TrainSpec::reference().prior.terminal, TerminalSpec::None);
    }
}
