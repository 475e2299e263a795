//! The model: networks, potential and likelihoods. This crate maps tensors to tensors; it reads no files and knows no
//! graphs.
//!
//! The principal type is [`Lsd`], the networks of Latent State Dynamics, built from a [`CheckedModelSpec`] and generic
//! over a Burn backend. The [drift](PotentialNetwork::drift) of its [`PotentialNetwork`] is a hand-written formula, so
//! that Burn can differentiate the drift itself. [`ode::solve`] integrates any drift. Weights are exported and imported
//! as [`Weights`]: named arrays on the host, with the names of the Python package.
//!
//! All randomness is an argument: initial values are drawn from the generator that the caller passes.
//!
//! ```
//! use burn::backend::Flex;
//! use burn::tensor::Tensor;
//! use rand::SeedableRng;
//! use sclsd_model::{Lsd, ModelSpec};
//!
//! let spec = ModelSpec { z_dim: 3, ..ModelSpec::default() }.check()?;
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
//! let model: Lsd<Flex> = Lsd::new(&spec, 20, &mut rng, &Default::default());
//! let z = Tensor::zeros([5, 3], &Default::default());
//! assert_eq!(model.potential.drift(z).dims(), [5, 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accelerated;
mod custom;
pub mod density;
mod derivative;
mod evaluator;
mod executor;
mod folded;
mod model;
mod networks;
mod spec;
mod special;
mod weights;

pub use accelerated::{FlowCheck, OnDeviceAdam};
pub use custom::Custom;
pub use derivative::{TensorDerivative, Trainable};
pub use evaluator::{Evaluator, SampledPaths};
pub use executor::{Executor, Job, Kernels, OnBackend};
pub use model::{Model, ModelError};
pub use networks::{
    BatchNorm, BatchStatistics, Cells, CustomPotential, Flow, Layer, Linear, Lsd, PotentialNetwork, RecurrentPrior,
    RowShares, Stack, Start, Statistics,
};
pub use sclsd_kernels::adam;
pub use sclsd_kernels::stack::RowWeights;
pub use sclsd_kernels::{
    AdamStep, CountGradients, CountLikelihood, CountRow, Derivative, Exchange, Expression, FlowPlan, Flowed,
    GeneLikelihood, GlobalBatch, Handle, Likelihood, OnDevice, PeerError, Peers, Potential, Precision,
    PrecomputedGradients, SimdLevel, SimdLevelError, SparseRows, VisitLikelihood, Visited, VisitsByCell,
};
pub use sclsd_ode as ode;
pub use spec::{CheckedModelSpec, LayerDims, ModelSpec};
pub use weights::{Array, Weights, WeightsError, tensor_name};
