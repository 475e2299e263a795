//! The model: networks, potential and likelihoods. Tensors in, tensors out; no file, no graph, no biology.
//!
//! The principal type is [`Lsd`], the networks of Latent State Dynamics, made from a [`CheckedModelSpec`] and generic
//! over a Burn backend. Its [`PotentialNetwork`] has a [drift](PotentialNetwork::drift) that is written out, not
//! differentiated, so that it can itself be differentiated once. [`ode::solve`] follows a drift through time and knows
//! nothing of either. Weights leave and enter as [`Weights`]: named arrays on the host, under the Python package's
//! names.
//!
//! All randomness is an argument: initial values are drawn from the generator that is handed in.
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
