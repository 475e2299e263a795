//! Fates as probabilities: how likely a cell is to end in each terminal state.
//!
//! One trait, several ways of reading them off:
//!
//! | method | what a cell's probabilities are |
//! | --- | --- |
//! | [`Absorbed`] | where a walk by given transitions is absorbed: those of the prior, or those of a model |
//! | [`DriftDirected`] | the same for steps along the model's drift −∇V |
//! | [`NeighborVote`] | the states of the nearest terminal cells: no dynamics at all |
//! | [`EndOfFlow`] | the states of the terminal cells nearest to where the model's flow ends |
//! | [`NoisyFlow`] | the share of paths of dz = −∇V dt + σ dW that enter each terminal set |
//!
//! Absorption by the prior and the neighbors' vote need no model: they are what a model has to be compared with.
//! [`sigma_of_walks`] tells how much noise walks have in z, and [`NoisyFlow::gene_paths`] genes along its paths.

mod absorbed;
mod drift;
mod end_of_flow;
mod entry;
mod gene_paths;
mod method;
mod neighbors;
mod probabilities;
mod sde;
mod sigma;

pub use absorbed::Absorbed;
pub use drift::DriftDirected;
pub use end_of_flow::EndOfFlow;
pub use gene_paths::GenePaths;
pub use method::{FateError, FateMethod};
pub use neighbors::NeighborVote;
pub use probabilities::FateProbabilities;
pub use sde::{AbsorbedPaths, CheckedNoisyFlowSpec, NoisyFlow, NoisyFlowSpec};
pub use sigma::sigma_of_walks;
