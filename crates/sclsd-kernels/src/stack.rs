//! Stacks of linear layers with softplus between them, forward and back.
//!
//! Weights travel as rows of numbers: of every layer the matrix `[out, in]` and the biases, and where it is normalised
//! γ and β after them.

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
