//! The few loops in which training spends its time, written out with their derivatives: on slices of the host's memory, and
//! on GPUs (`device`, `cube`), for which those of the host are the oracle.
//!
//! Each is the same function as the tensor code it stands for, which remains as its oracle and serves all other backends. Sums run in a fixed order, whatever the number of threads.
//!
//! | file | what it computes |
//! | --- | --- |
//! | `derivative` | how Burn is told of a function with a derivative of its own |
//! | `rows`, `products`, `vector`, `lanes` | how rows are shared out; products of matrices; exp and ln; rows side by side |
//! | `expression` | expression of cells, sparse or dense, times a first layer's weights |
//! | `stack` | encoders and decoders: linear layers, batch normalisation, softplus |
//! | `potential`, `flow` | V, its drift and their derivatives; rows followed down V and the way back |
//! | `device`, `cube` | flow, recurrent prior, likelihood, products and Adam where the tensors of a GPU are: for any backend, and on CubeCL |
//! | `recurrent` | the mean of p(B) along walks |
//! | `reconstruction` | ln p(x given z, xl), the decoder's last layer included |

// A loop is compiled for the vector width at hand only if all it calls is part of it.
#![allow(clippy::inline_always)]

#[cfg(feature = "cubecl")]
pub(crate) mod cube;
pub(crate) mod derivative;
pub(crate) mod device;
pub(crate) mod expression;
pub(crate) mod flow;
pub(crate) mod lanes;
pub(crate) mod potential;
mod products;
pub(crate) mod reconstruction;
pub(crate) mod recurrent;
mod rows;
pub(crate) mod stack;
pub(crate) mod vector;
