//! A stack of linear layers with softplus between them, with batch normalisation or without.

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

    /// The same with other means, and standard deviations, of some outputs: β and γ of the last normalisation. A stack
    /// without one gets the means as biases.
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

    /// In evaluation mode.
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

    /// The layers in turn, softplus between them.
    fn run(&self, mut x: Tensor<B, 2>, mut layer: impl FnMut(Tensor<B, 2>, &Layer<B>) -> Tensor<B, 2>) -> Tensor<B, 2> {
        for (depth, at) in self.layers.iter().enumerate() {
            x = layer(x, at);
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

    /// Kernels on the host take stacks of up to seven layers.
    pub(crate) fn suited(&self, kernels: Kernels) -> Kernels {
        if kernels == Kernels::Host && 4 * self.layers.len() + 3 > INPUTS { Kernels::Tensors } else { kernels }
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

    /// In training mode up to the last layer, which is folded with its normalisation into one linear layer; each row is
    /// a visit.
    ///
    /// # Shapes
    /// - `x`: `[rows, in]` → `[rows, width below]`, and the last layer's `[out, width below]` and `[out]`
    ///
    /// # Panics
    /// When the stack is empty or not normalised.
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

    /// In training mode, of the expression of cells, for a normalised stack.
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

    /// In training mode, of any rows, for a stack without normalisation.
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
