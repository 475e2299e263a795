//! Stacks of linear layers with softplus between them, forward and backward.
//!
//! Weights are passed as one vector each: for every layer the matrix `[out, in]`, the biases and, with batch
//! normalisation, γ and β.

mod functions;
mod layer;
mod loops;
mod normalized;
mod plain;

pub use functions::{encode, project, run_plain};
pub use layer::{Sizes, StackLayer};
pub use normalized::{BatchMoments, RowWeights};
pub(crate) use normalized::{Input, backward, forward, sums};
pub use plain::{forward_eval, forward_eval_cells};
