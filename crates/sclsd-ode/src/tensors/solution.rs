//! States at the times of the grid, and linear combinations of stages.

use burn::tensor::{Tensor, backend::Backend};

use crate::work::Work;

/// States at the times of the grid.
#[derive(Debug, Clone)]
pub struct Solution<B: Backend> {
    /// One state, `[rows, n]`, per time of the grid; the first is the start.
    pub states: Vec<Tensor<B, 2>>,
    /// Work counters.
    pub work: Work,
}

/// `y + h Σ w_i k_i`, terms with a zero weight left out.
pub(super) fn combine<B: Backend>(y: &Tensor<B, 2>, h: f64, weights: &[f64], k: &[Tensor<B, 2>]) -> Tensor<B, 2> {
    weights
        .iter()
        .zip(k)
        .filter(|(weight, _)| **weight != 0.0)
        .fold(y.clone(), |y, (weight, k)| y + k.clone().mul_scalar(h * weight))
}
