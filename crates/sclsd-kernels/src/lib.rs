//! The loops in which training of Latent State Dynamics spends its time: functions on slices of the host's memory that
//! know their derivatives. No Burn, no biology but the likelihood of counts.
//!
//! | module | what it computes |
//! | --- | --- |
//! | [`vector`], [`lanes`] | exp and ln of vectors; products of rows side by side |
//! | `rows`, `products` | how rows are shared out; products of matrices |
//! | [`Expression`] | expression of cells, sparse or dense, times a first layer's weights |
//! | [`stack`] | encoders and decoders: linear layers, batch normalisation, softplus |
//! | [`PotentialWeights`], [`follow`] | V, its drift and their derivatives; rows followed down V and the backward pass |
//! | [`Potential`], [`Downhill`] | a potential of one's own, followed likewise |
//! | [`recurrent`] | the mean of p(B) along walks |
//! | [`GeneLikelihood`], [`Likelihood`] | how counts are distributed: built in, or of one's own |
//! | [`reconstruction`] | ln p(x given z, xl), the decoder's last layer included |
//! | [`Peers`] | sums over those who train one model together |
//! | [`adam`] | a step of the optimiser |
//! | [`SimdLevel`] | the instructions that all of it is run with |
//! | [`OnDevice`] | what the same is to be on a GPU |
//!
//! Sums run in a fixed order, whatever the number of threads: the same bits.
//!
//! ```
//! use sclsd_kernels::PotentialWeights;
//!
//! // one layer, V(z) = ½ ln cosh(z₁ + 2 z₂)
//! let potential = PotentialWeights::new(&[2, 1], &[1.0, 2.0, 0.0, 0.0]);
//! let drift = potential.drifts(&[0.5, 0.0]);
//! assert!((drift[0] + 0.5 * 0.5_f32.tanh()).abs() < 1e-6 && (drift[1] - 2.0 * drift[0]).abs() < 1e-6);
//! ```

// A loop is compiled for the vector width at hand only if all it calls is part of it.
#![allow(clippy::inline_always)]

mod accelerator;
pub mod adam;
#[cfg(target_arch = "x86_64")]
mod amx;
mod derivative;
mod downhill;
mod expression;
mod flow;
pub mod lanes;
mod likelihood;
#[cfg(test)]
mod oracle;
mod peers;
mod potential;
mod products;
pub mod reconstruction;
pub mod recurrent;
mod rows;
mod simd;
pub mod stack;
pub mod vector;

pub use accelerator::{
    AdamStep, FlowPlan, Flowed, Handle, OnDevice, Precision, VisitLikelihood, Visited, VisitsByCell,
};
pub use derivative::{Derivative, PrecomputedGradients};
pub use downhill::{Downhill, Potential};
pub use expression::{Expression, SparseRows};
pub use flow::{Followed, follow};
pub use likelihood::{CountGradients, CountLikelihood, CountRow, GeneLikelihood, Likelihood};
pub use peers::{Exchange, GlobalBatch, PeerError, Peers, Total};
pub use potential::PotentialWeights;
pub use simd::{SimdLevel, SimdLevelError};
