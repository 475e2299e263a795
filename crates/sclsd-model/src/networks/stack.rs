//! A stack of linear layers with softplus between them, with or without batch normalisation.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorData, backend::Backend};

use sclsd_kernels::GlobalBatch;
use sclsd_kernels::stack::{self, Sizes};

use super::batch_norm::{BatchNorm, BatchStatistics, RowShares};
use super::cells::Cells;
use super::linear::Linear;
use crate::derivative::{INPUTS, Trainable, all_numbers, function, input, numbers};
use crate::executor::Kernels;
use crate::folded::FoldedLastLayer;
use crate::special::softplus;

/// One linear layer, with or without batch normalisation.
#[derive(Module, Debug)]
pub struct Layer<B: Backend> {
    /// The linear layer.
    pub linear: Linear<B>,
    /// The batch normalisation, if there is one.
    pub norm: Option<BatchNorm<B>>,
}

impl<B: Backend> Layer<B> {
    /// Matrix, biases and, with batch normalisation, γ and β.
    fn inputs(&self) -> Vec<FloatTensor<B>> {
        let norm = self.norm.iter().flat_map(|norm| [input(norm.weight.val()), input(norm.bias.val())]);
        [input(self.linear.weight.val()), input(self.linear.bias.val())].into_iter().chain(norm).collect()
    }
}

/// Layers of linear, (batch norm), softplus; the last softplus is left out.
#[derive(Module, Debug)]
pub struct Stack<B: Backend> {
    /// Layers from input to output.
    pub layers: Vec<Layer<B>>,
}

impl<B: Backend> Stack<B> {
    /// A stack with these widths, input and output included.
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

    /// Sets the means and standard deviations of some outputs before training: β and γ of the last batch normalisation.
    /// In a stack without batch normalisation, the means become biases.
    #[must_use]
    pub(crate) fn starting_at(mut self, means: &[(usize, f32)], scales: &[(usize, f32)]) -> Self {
        let replace = |param: Param<Tensor<B, 1>>, new: &[(usize, f32)]| {
            let device = param.device();
            let mut values: Vec<f32> = param.val().into_data().iter::<f32>().collect();
            new.iter().for_each(|&(at, value)| values[at] = value);
            let n = values.len();
            Param::from_tensor(Tensor::from_data(TensorData::new(values, [n]), &device))
        };
        if let Some(mut layer) = self.layers.pop() {
            match layer.norm.take() {
                Some(mut norm) => {
                    norm.bias = replace(norm.bias, means);
                    norm.weight = replace(norm.weight, scales);
                    layer.norm = Some(norm);
                }
                None => layer.linear.bias = replace(layer.linear.bias, means),
            }
            self.layers.push(layer);
        }
        self
    }

    /// The forward pass in evaluation mode.
    ///
    /// # Shapes
    /// - `x`: `[rows, in]` → `[rows, out]`
    #[must_use]
    pub fn forward_eval(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        self.run(x, |x, layer| {
            let x = layer.linear.forward(x);
            match &layer.norm {
                Some(norm) => norm.forward_eval(x),
                None => x,
            }
        })
    }

    /// Runs all layers, with softplus between them.
    fn run(&self, mut x: Tensor<B, 2>, mut layer: impl FnMut(Tensor<B, 2>, &Layer<B>) -> Tensor<B, 2>) -> Tensor<B, 2> {
        for (depth, at) in self.layers.iter().enumerate() {
            x = layer(x, at);
            if depth + 1 < self.layers.len() {
                x = softplus(x);
            }
        }
        x
    }

    /// Adds a batch to the running averages, one entry per layer with batch normalisation.
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
    /// The weights of all layers, in the order of the kernels.
    pub(crate) fn inputs(&self) -> Vec<FloatTensor<B>> {
        self.layers.iter().flat_map(Layer::inputs).collect()
    }

    /// Widths, from input to output.
    pub(crate) fn widths(&self) -> Vec<usize> {
        let input = self.layers.first().map(|layer| layer.linear.weight.dims()[1]);
        input.into_iter().chain(self.layers.iter().map(|layer| layer.linear.weight.dims()[0])).collect()
    }

    /// The kernels that this stack can use: the host kernels take at most seven layers.
    pub(crate) fn suited(&self, kernels: Kernels) -> Kernels {
        if kernels == Kernels::Host && 4 * self.layers.len() + 3 > INPUTS { Kernels::Tensors } else { kernels }
    }

    fn sizes(&self) -> Sizes {
        let normalized = self.layers.iter().any(|layer| layer.norm.is_some());
        Sizes { widths: self.widths(), normalized, activated: false }
    }
}

impl<B: Trainable> Stack<B> {
    /// The forward pass in training mode, with the batch statistics of every layer with batch normalisation.
    ///
    /// # Shapes
    /// - `x`: `[rows, in]` → `[rows, out]`
    #[must_use]
    pub fn train(
        &self,
        x: Tensor<B, 2>,
        shares: &RowShares<B>,
        kernels: Kernels,
    ) -> (Tensor<B, 2>, Vec<BatchStatistics<B>>) {
        let mut statistics = Vec::new();
        let layer = |x, layer: &Layer<B>| match &layer.norm {
            Some(norm) => {
                let (x, batch) = norm.train(&layer.linear, x, shares, kernels);
                statistics.push(batch);
                x
            }
            None => Linear::train(&layer.linear, x, kernels),
        };
        let out = self.run(x, layer);
        (out, statistics)
    }

    /// The forward pass in training mode up to the last layer, which is returned with its batch normalisation folded
    /// in. Every row is a visit.
    ///
    /// # Shapes
    /// - `x`: `[rows, in]` → `[rows, width below]`, and the last layer's `[out, width below]` and `[out]`
    ///
    /// # Panics
    /// If the stack is empty or has no batch normalisation.
    #[must_use]
    pub(crate) fn train_folded(
        &self,
        x: Tensor<B, 2>,
        global: &GlobalBatch,
        kernels: Kernels,
    ) -> (FoldedLastLayer<B>, Vec<BatchStatistics<B>>) {
        let (last, below) = self.layers.split_last().expect("a stack has a layer");
        let below = Self { layers: below.to_vec() };
        let (mut hidden, mut statistics) = Self::train(&below, x, &RowShares::equal(global), kernels);
        if !below.layers.is_empty() {
            hidden = softplus(hidden);
        }
        let norm = last.norm.as_ref().expect("a normalised stack");
        let (weight, bias, batch) = norm.fold(&last.linear, &hidden, global, kernels);
        statistics.push(batch);
        (FoldedLastLayer { hidden, weight, bias }, statistics)
    }

    /// The forward pass in training mode on the expression of cells, for a stack with batch normalisation.
    ///
    /// # Shapes
    /// - out: `[cells, out]`
    #[must_use]
    pub fn train_cells(&self, cells: &Cells<B>, kernels: Kernels) -> (Tensor<B, 2>, Vec<BatchStatistics<B>>) {
        match self.suited(kernels) {
            Kernels::Tensors | Kernels::Device(_) => {
                let shares = RowShares::new(&cells.weights, cells.device());
                Self::train(self, cells.to_tensor(), &shares, kernels)
            }
            Kernels::Host => {
                let (weights, sizes) = (self.inputs(), self.sizes());
                let shape = [cells.expression.n_cells(), sizes.outputs()];
                let (expression, rows) = (Arc::clone(&cells.expression), Arc::clone(&cells.weights));
                let (out, moments, derivative) = stack::encode(all_numbers::<B>(&weights), sizes, expression, rows);
                let out = function(&weights, out, shape, derivative);
                (out, moments.into_iter().map(|moments| BatchStatistics::new(moments, cells.device())).collect())
            }
        }
    }

    /// The forward pass in training mode on dense rows, for a stack without batch normalisation.
    ///
    /// # Shapes
    /// - `x`: `[rows, in]` → `[rows, out]`
    #[must_use]
    pub fn train_plain(&self, x: Tensor<B, 2>, kernels: Kernels) -> Tensor<B, 2> {
        match self.suited(kernels) {
            kernels @ (Kernels::Tensors | Kernels::Device(_)) => {
                self.run(x, |x, layer| Linear::train(&layer.linear, x, kernels))
            }
            Kernels::Host => {
                let (weights, sizes) = (self.inputs(), self.sizes());
                let shape = [x.dims()[0], sizes.outputs()];
                let (out, derivative) = stack::run_plain(numbers(&x), all_numbers::<B>(&weights), sizes);
                let inputs: Vec<FloatTensor<B>> = [input(x)].into_iter().chain(weights).collect();
                function(&inputs, out, shape, derivative)
            }
        }
    }
}
