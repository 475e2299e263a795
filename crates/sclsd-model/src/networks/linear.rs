//! A linear layer: `y = x Wᵀ + b`.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, backend::Backend};

use super::parameters::uniform;
use crate::accelerated::product;
use crate::derivative::Trainable;
use crate::executor::Kernels;

/// Weights `[out, in]` and biases `[out]`, in PyTorch's layout.
#[derive(Module, Debug)]
pub struct Linear<B: Backend> {
    /// W, `[out, in]`.
    pub weight: Param<Tensor<B, 2>>,
    /// b, `[out]`.
    pub bias: Param<Tensor<B, 1>>,
}

impl<B: Backend> Linear<B> {
    /// Draws initial values like `torch.nn.Linear`: uniform within ±1/√in.
    #[must_use]
    pub fn new(inputs: usize, outputs: usize, rng: &mut impl rand::Rng, device: &B::Device) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "layer sizes are far below 2^52")]
        let bound = 1.0 / (inputs as f64).sqrt();
        Self { weight: uniform([outputs, inputs], bound, rng, device), bias: uniform([outputs], bound, rng, device) }
    }

    /// # Shapes
    /// - `x`: `[rows, in]` → `[rows, out]`
    #[must_use]
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        x.matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze()
    }
}

impl<B: Trainable> Linear<B> {
    /// The forward pass in training, with these kernels.
    #[must_use]
    pub(crate) fn train(&self, x: Tensor<B, 2>, kernels: Kernels) -> Tensor<B, 2> {
        product(kernels, x, self.weight.val().transpose()) + self.bias.val().unsqueeze()
    }
}
