//! A stack of linear layers with softplus between them, with batch normalisation or without.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, backend::Backend};

use super::{BatchNorm, BatchStatistics, Linear, Shares};
use crate::Kernels;
use crate::kernels::derivative::{INPUTS, Trainable, input};
use crate::kernels::expression::Expression;
use crate::kernels::stack::Sizes;
use crate::kernels::stack::functions;
use crate::kernels::stack::normalized::RowWeights;
use crate::special::softplus;

/// One linear layer, normalised or not.
#[derive(Module, Debug)]
pub struct Layer<B: Backend> {
    /// The layer.
    pub linear: Linear<B>,
    /// Its normalisation.
    pub norm: Option<BatchNorm<B>>,
}

impl<B: Backend> Layer<B> {
    /// Matrix, biases and, where it is normalised, γ and β.
    fn inputs(&self) -> Vec<FloatTensor<B>> {
        let norm = self.norm.iter().flat_map(|norm| [input(norm.weight.val()), input(norm.bias.val())]);
        [input(self.linear.weight.val()), input(self.linear.bias.val())].into_iter().chain(norm).collect()
    }
}

/// The distinct cells of a batch.
#[derive(Debug, Clone)]
pub struct Cells {
    /// Their expression.
    pub expression: Arc<Expression>,
    /// How often each is visited.
    pub weights: Arc<RowWeights>,
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
        self.run(x, BatchNorm::evaluate)
    }

    fn run(
        &self,
        mut x: Tensor<B, 2>,
        mut normalize: impl FnMut(&BatchNorm<B>, Tensor<B, 2>) -> Tensor<B, 2>,
    ) -> Tensor<B, 2> {
        for (depth, layer) in self.layers.iter().enumerate() {
            x = layer.linear.forward(x);
            if let Some(norm) = &layer.norm {
                x = normalize(norm, x);
            }
            if depth + 1 < self.layers.len() {
                x = softplus(x);
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

impl<B: Backend> Stack<B> {
    /// The weights of all layers, as a function of them takes them.
    pub(crate) fn inputs(&self) -> Vec<FloatTensor<B>> {
        self.layers.iter().flat_map(Layer::inputs).collect()
    }

    /// From input to output.
    pub(crate) fn widths(&self) -> Vec<usize> {
        let input = self.layers.first().map(|layer| layer.linear.weight.dims()[1]);
        input.into_iter().chain(self.layers.iter().map(|layer| layer.linear.weight.dims()[0])).collect()
    }

    /// Kernels take stacks of up to seven layers.
    pub(crate) fn suited(&self, kernels: Kernels) -> Kernels {
        if 4 * self.layers.len() + 3 > INPUTS { Kernels::Tensors } else { kernels }
    }

    fn sizes(&self) -> Sizes {
        let normalized = self.layers.iter().any(|layer| layer.norm.is_some());
        Sizes { widths: self.widths(), normalized, activated: false }
    }
}

impl<B: Trainable> Stack<B> {
    /// In training mode, with the batch statistics of every normalised layer.
    ///
    /// # Shapes
    /// - `x`: `[rows, in]` → `[rows, out]`
    #[must_use]
    pub fn train(&self, x: Tensor<B, 2>, shares: &Shares<B>) -> (Tensor<B, 2>, Vec<BatchStatistics<B>>) {
        let mut statistics = Vec::new();
        let out = self.run(x, |norm, x| {
            let (x, batch) = norm.train(x, shares);
            statistics.push(batch);
            x
        });
        (out, statistics)
    }

    /// In training mode, of the expression of cells, for a normalised stack.
    ///
    /// # Shapes
    /// - out: `[cells, out]`
    #[must_use]
    pub fn train_cells(
        &self,
        cells: &Cells,
        kernels: Kernels,
        device: &B::Device,
    ) -> (Tensor<B, 2>, Vec<BatchStatistics<B>>) {
        match self.suited(kernels) {
            Kernels::Tensors => {
                let shares = Shares::new(&cells.weights, device);
                self.train(cells.expression.to_tensor(device), &shares)
            }
            Kernels::Host => {
                let (out, moments) = functions::encode(&self.inputs(), self.sizes(), cells);
                (out, moments.into_iter().map(|moments| BatchStatistics::new(moments, device)).collect())
            }
        }
    }

    /// In training mode, of any rows, for a stack without normalisation.
    ///
    /// # Shapes
    /// - `x`: `[rows, in]` → `[rows, out]`
    #[must_use]
    pub fn train_plain(&self, x: Tensor<B, 2>, kernels: Kernels) -> Tensor<B, 2> {
        match self.suited(kernels) {
            Kernels::Tensors => self.evaluate(x),
            Kernels::Host => functions::run_plain(x, self.inputs(), self.sizes()),
        }
    }
}
