//! A stack of linear layers with softplus between them, with batch normalisation or without.

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use super::{BatchNorm, BatchStatistics, Linear, Shares};
use crate::Kernels;
use crate::kernels::softplus::softplus_on_host;
use crate::special::softplus;

/// One linear layer, normalised or not.
#[derive(Module, Debug)]
pub struct Layer<B: Backend> {
    /// The layer.
    pub linear: Linear<B>,
    /// Its normalisation.
    pub norm: Option<BatchNorm<B>>,
}

/// Linear – (batch norm) – softplus, the last softplus left off.
#[derive(Module, Debug)]
pub struct Stack<B: Backend> {
    /// Layers from input to output.
    pub layers: Vec<Layer<B>>,
}

impl<B: Backend> Stack<B> {
    /// A stack through these sizes, input and output included.
    #[must_use]
    pub fn new(sizes: &[usize], normalized: bool, rng: &mut impl rand::Rng, device: &B::Device) -> Self {
        let layers = sizes
            .windows(2)
            .map(|pair| Layer {
                linear: Linear::new(pair[0], pair[1], rng, device),
                norm: normalized.then(|| BatchNorm::new(pair[1], device)),
            })
            .collect();
        Self { layers }
    }

    /// In evaluation mode.
    ///
    /// # Shapes
    /// - `x`: `[rows, in]` → `[rows, out]`
    #[must_use]
    pub fn evaluate(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        self.run(x, BatchNorm::evaluate, Kernels::Tensors)
    }

    /// In training mode, with the batch statistics of every normalised layer; rows count once each, or by their shares.
    ///
    /// # Shapes
    /// - `x`: `[rows, in]` → `[rows, out]`
    #[must_use]
    pub fn train(
        &self,
        x: Tensor<B, 2>,
        shares: Option<&Shares<B>>,
        kernels: Kernels,
    ) -> (Tensor<B, 2>, Vec<BatchStatistics<B>>) {
        let mut statistics = Vec::new();
        let out = self.run(
            x,
            |norm, x| {
                let (x, batch) = norm.train(x, shares);
                statistics.push(batch);
                x
            },
            kernels,
        );
        (out, statistics)
    }

    /// In training mode up to the last hidden layer, with the batch statistics of the layers before it.
    ///
    /// # Shapes
    /// - `x`: `[rows, in]` → `[rows, last hidden]`
    #[must_use]
    pub fn train_hidden(&self, mut x: Tensor<B, 2>, kernels: Kernels) -> (Tensor<B, 2>, Vec<BatchStatistics<B>>) {
        let mut statistics = Vec::new();
        for layer in &self.layers[..self.layers.len() - 1] {
            x = layer.linear.forward(x);
            if let Some(norm) = &layer.norm {
                let (normalized, batch) = norm.train(x, None);
                statistics.push(batch);
                x = normalized;
            }
            x = activate(x, kernels);
        }
        (x, statistics)
    }

    fn run(
        &self,
        mut x: Tensor<B, 2>,
        mut normalize: impl FnMut(&BatchNorm<B>, Tensor<B, 2>) -> Tensor<B, 2>,
        kernels: Kernels,
    ) -> Tensor<B, 2> {
        for (depth, layer) in self.layers.iter().enumerate() {
            x = layer.linear.forward(x);
            if let Some(norm) = &layer.norm {
                x = normalize(norm, x);
            }
            if depth + 1 < self.layers.len() {
                x = activate(x, kernels);
            }
        }
        x
    }

    /// Adds a batch to the running averages, one entry per normalised layer.
    #[must_use]
    pub fn absorb(mut self, statistics: &[BatchStatistics<B>]) -> Self {
        let mut batches = statistics.iter();
        for layer in &mut self.layers {
            if let (Some(norm), Some(batch)) = (layer.norm.take(), batches.next()) {
                layer.norm = Some(norm.absorb(batch));
            }
        }
        self
    }
}

fn activate<B: Backend>(x: Tensor<B, 2>, kernels: Kernels) -> Tensor<B, 2> {
    match kernels {
        Kernels::Tensors => softplus(x),
        Kernels::Host => softplus_on_host(x),
    }
}
