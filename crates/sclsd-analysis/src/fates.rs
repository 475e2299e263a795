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
//!
//! Absorption by the prior and the neighbors' vote need no model: they are what a model has to be compared with.
//!
//! Several models have [`fate_spread`], and an interval of it, [`fate_interval`].

mod absorbed;
mod drift;
mod end_of_flow;
mod interval;
mod method;
mod neighbors;
mod probabilities;

pub use absorbed::Absorbed;
pub use drift::DriftDirected;
pub use end_of_flow::EndOfFlow;
pub use interval::{FateInterval, FateSpread, fate_interval, fate_spread};
pub use method::{FateError, FateMethod};
pub use neighbors::NeighborVote;
pub use probabilities::FateProbabilities;
