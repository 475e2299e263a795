//! A stack whose last layer is not run: the likelihood does that, block by block of visits.

use burn::tensor::{Tensor, backend::Backend};

/// A stack up to its last layer, and that layer folded with its normalisation.
pub(crate) struct FoldedLastLayer<B: Backend> {
    /// What the last layer sees, `[rows, width below]`.
    pub hidden: Tensor<B, 2>,
    /// `[out, width below]`.
    pub weight: Tensor<B, 2>,
    /// `[out]`.
    pub bias: Tensor<B, 1>,
}
