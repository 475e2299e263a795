//! Stacks as functions that Burn can differentiate.

use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::ops::FloatTensor;

use super::super::derivative::{Derivative, Numbers, Trainable, all_numbers, function, input, numbers};
use super::super::expression::Expression;
use super::normalized::{Input, Moments, RowWeights};
use super::{Sizes, normalized, plain};
use crate::networks::Cells;

/// A normalised stack of the expression of cells: `[cells, out]`, and the moments of every layer.
pub(crate) fn encode<B: Trainable>(
    weights: &[FloatTensor<B>],
    sizes: Sizes,
    cells: &Cells<B>,
) -> (Tensor<B, 2>, Vec<Moments>) {
    let weights_held = all_numbers::<B>(weights);
    let layers = sizes.layers(&weights_held);
    let (kept, moments) = normalized::forward(&layers, Input::Cells(&cells.expression), &cells.weights);
    let shape = [cells.expression.n_cells(), layers[layers.len() - 1].outputs];
    let out = kept.out().to_vec();
    let (expression, rows) = (Arc::clone(&cells.expression), Arc::clone(&cells.weights));
    let encoded = Encoded { sizes, weights: weights_held, expression, rows, kept };
    (function(weights, out, shape, encoded), moments)
}

#[derive(Debug)]
struct Encoded {
    sizes: Sizes,
    weights: Vec<Numbers>,
    expression: Arc<Expression>,
    rows: Arc<RowWeights>,
    kept: normalized::Kept,
}

impl Derivative for Encoded {
    fn by_inputs(&self, slope: Vec<f32>) -> Vec<Vec<f32>> {
        let (layers, input) = (self.sizes.layers(&self.weights), Input::Cells(&self.expression));
        normalized::backward(&self.sizes, &layers, input, &self.rows, &self.kept, slope).1
    }
}

/// A stack without normalisation.
///
/// # Shapes
/// - `x`: `[rows, in]` → `[rows, out]`
pub(crate) fn run_plain<B: Trainable>(x: Tensor<B, 2>, weights: Vec<FloatTensor<B>>, sizes: Sizes) -> Tensor<B, 2> {
    let (rows, weights_held) = (numbers(&x), all_numbers::<B>(&weights));
    let layers = sizes.layers(&weights_held);
    let kept = plain::forward(&layers, &rows);
    let out = kept.out().to_vec();
    let shape = [x.dims()[0], layers[layers.len() - 1].outputs];
    let ran = Ran { sizes, weights: weights_held, x: rows, kept };
    let inputs: Vec<FloatTensor<B>> = [input(x)].into_iter().chain(weights).collect();
    function(&inputs, out, shape, ran)
}

#[derive(Debug)]
struct Ran {
    sizes: Sizes,
    weights: Vec<Numbers>,
    x: Numbers,
    kept: plain::Kept,
}

impl Derivative for Ran {
    fn by_inputs(&self, slope: Vec<f32>) -> Vec<Vec<f32>> {
        let layers = self.sizes.layers(&self.weights);
        let (by_x, by_weights) = plain::backward(&self.sizes, &layers, &self.x, &self.kept, slope);
        [by_x].into_iter().chain(by_weights).collect()
    }
}

/// The expression of cells times a matrix.
///
/// # Shapes
/// - `weight`: `[out, genes]` → `[cells, out]`
pub(crate) fn project<B: Trainable>(cells: &Cells<B>, weight: Tensor<B, 2>) -> Tensor<B, 2> {
    let outputs = weight.dims()[0];
    let out = cells.expression.times_transposed(&numbers(&weight), outputs);
    let projected = Projected { expression: Arc::clone(&cells.expression), outputs };
    function(&[input(weight)], out, [cells.expression.n_cells(), outputs], projected)
}

#[derive(Debug)]
struct Projected {
    expression: Arc<crate::Expression>,
    outputs: usize,
}

impl Derivative for Projected {
    fn by_inputs(&self, slope: Vec<f32>) -> Vec<Vec<f32>> {
        vec![self.expression.weight_slope(&slope, self.outputs)]
    }
}
