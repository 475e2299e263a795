//! A stack whose last layer is left to the likelihood, which computes it block by block of visits.

use burn::tensor::{Tensor, backend::Backend};

/// The output of a stack before its last layer, and the last layer with its batch normalisation folded in.
pub(crate) struct FoldedLastLayer<B: Backend> {
    /// Input of the last layer, `[rows, width below]`.
    pub hidden: Tensor<B, 2>,
    /// `[out, width below]`.
    pub weight: Tensor<B, 2>,
    /// `[out]`.
    pub bias: Tensor<B, 1>,
}
