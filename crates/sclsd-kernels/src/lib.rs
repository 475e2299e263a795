//! The numerical kernels of Latent State Dynamics on the host: functions on slices, each with its gradient. Training
//! spends nearly all its time here. This crate does not depend on Burn, and its only biology is the likelihood of
//! counts.
//!
//! | module | what it computes |
//! | --- | --- |
//! | [`vector`], [`lanes`] | exp and ln with SIMD; products of rows side by side |
//! | `rows`, `products` | how rows are split into blocks; matrix products |
//! | [`Expression`] | expression of cells, sparse or dense, times the weights of a first layer |
//! | [`stack`] | encoders and decoders: linear layers, batch normalisation, softplus |
//! | [`PotentialWeights`], [`follow`] | V, its drift and their gradients; the flow down V and its backward pass |
//! | [`Potential`], [`Downhill`] | the same for a user-defined potential |
//! | [`recurrent`] | the mean of p(B) along walks |
//! | [`GeneLikelihood`], [`Likelihood`] | distributions of counts: built in or user-defined |
//! | [`reconstruction`] | ln p(x given z, xl), with the decoder's last layer |
//! | [`Peers`] | all-reduce over the processes that train one model together |
//! | [`adam`] | a step of the optimiser |
//! | [`SimdLevel`] | the instruction set that kernels use |
//! | [`OnDevice`] | the same kernels on a GPU |
//!
//! Sums are accumulated in a fixed order, so results have the same bits on any number of threads.
//!
//! ```
//! use sclsd_kernels::PotentialWeights;
//!
//! // one layer, V(z) = ½ ln cosh(z₁ + 2 z₂)
//! let potential = PotentialWeights::new(&[2, 1], &[1.0, 2.0, 0.0, 0.0]);
//! let drift = potential.drifts(&[0.5, 0.0]);
//! assert!((drift[0] + 0.5 * 0.5_f32.tanh()).abs() < 1e-6 && (drift[1] - 2.0 * drift[0]).abs() < 1e-6);
//! ```

// A closure is compiled for the SIMD width in use only if it is inlined into the dispatched function.
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
