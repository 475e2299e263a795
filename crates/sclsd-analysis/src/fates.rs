//! Fate probabilities: how likely a cell is to end in each terminal state.
//!
//! One trait with several methods:
//!
//! | method | fate probabilities of a cell |
//! | --- | --- |
//! | [`Absorbed`] | absorption of a walk with given transitions: those of the prior, or those of a model |
//! | [`DriftDirected`] | absorption of a walk along the model's drift −∇V |
//! | [`NeighborVote`] | states of the nearest terminal cells, without dynamics |
//! | [`EndOfFlow`] | states of the terminal cells nearest to the end of the model's flow |
//! | [`NoisyFlow`] | fraction of paths of dz = −∇V dt + σ dW that enter each terminal set |
//!
//! Absorption under the prior and the neighbors' vote need no model. They are the baselines for a model.
//! [`sigma_of_walks`] measures the noise of walks in z, and [`NoisyFlow::gene_paths`] computes genes along paths.

mod absorbed;
mod drift;
mod end_of_flow;
mod entry;
mod gene_paths;
mod interval;
mod method;
mod neighbors;
mod probabilities;
mod sde;
mod sigma;

pub use absorbed::Absorbed;
pub use drift::DriftDirected;
pub use end_of_flow::EndOfFlow;
pub use gene_paths::GenePaths;
pub use interval::{FateInterval, FateSpread, fate_interval, fate_spread};
pub use method::{FateError, FateMethod};
pub use neighbors::NeighborVote;
pub use probabilities::FateProbabilities;
pub use sde::{AbsorbedPaths, CheckedNoisyFlowSpec, NoisyFlow, NoisyFlowSpec};
pub use sigma::sigma_of_walks;
