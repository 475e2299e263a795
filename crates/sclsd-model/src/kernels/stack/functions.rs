//! Stacks as functions that Burn can differentiate.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::super::derivative::{Derivative, Trainable, function, input, values};
use super::normalized::{Input, Moments};
use super::{Sizes, normalized, plain};
use crate::networks::Cells;

/// A normalised stack of the expression of cells: `[cells, out]`, and the moments of every layer.
pub(crate) fn encode<B: Trainable>(flat: Tensor<B, 1>, sizes: Sizes, cells: &Cells) -> (Tensor<B, 2>, Vec<Moments>) {
    let numbers = values(&flat);
    let layers = sizes.layers(&numbers);
    let (kept, moments) = normalized::forward(&layers, Input::Cells(&cells.expression), &cells.weights);
    let shape = [cells.expression.n_cells(), layers[layers.len() - 1].outputs];
    let out = kept.out().to_vec();
    let encoded = Encoded { sizes, flat: numbers, cells: cells.clone(), kept };
    (function([input(flat)], out, shape, encoded), moments)
}

#[derive(Debug)]
struct Encoded {
    sizes: Sizes,
    flat: Vec<f32>,
    cells: Cells,
    kept: normalized::Kept,
}

impl Derivative<1> for Encoded {
    fn by_inputs(&self, slope: Vec<f32>) -> [Vec<f32>; 1] {
        let (layers, input) = (self.sizes.layers(&self.flat), Input::Cells(&self.cells.expression));
        [normalized::backward(&self.sizes, &layers, input, &self.cells.weights, &self.kept, slope).1]
    }
}

/// A stack without normalisation.
///
/// # Shapes
/// - `x`: `[rows, in]` → `[rows, out]`
pub(crate) fn run_plain<B: Trainable>(x: Tensor<B, 2>, flat: Tensor<B, 1>, sizes: Sizes) -> Tensor<B, 2> {
    let (rows, numbers) = (values(&x), values(&flat));
    let layers = sizes.layers(&numbers);
    let (out, kept) = plain::forward(&layers, &rows);
    let shape = [x.dims()[0], layers[layers.len() - 1].outputs];
    let ran = Ran { sizes, flat: numbers, x: rows, kept };
    function([input(x), input(flat)], out, shape, ran)
}

#[derive(Debug)]
struct Ran {
    sizes: Sizes,
    flat: Vec<f32>,
    x: Vec<f32>,
    kept: plain::Kept,
}

impl Derivative<2> for Ran {
    fn by_inputs(&self, slope: Vec<f32>) -> [Vec<f32>; 2] {
        let (by_x, flat) = plain::backward(&self.sizes, &self.sizes.layers(&self.flat), &self.x, &self.kept, &slope);
        [by_x, flat]
    }
}

/// The expression of cells times a matrix.
///
/// # Shapes
/// - `weight`: `[out, genes]` → `[cells, out]`
pub(crate) fn project<B: Trainable>(cells: &Cells, weight: Tensor<B, 2>) -> Tensor<B, 2> {
    let outputs = weight.dims()[0];
    let out = cells.expression.times_transposed(&values(&weight), outputs);
    let projected = Projected { expression: Arc::clone(&cells.expression), outputs };
    function([input(weight)], out, [cells.expression.n_cells(), outputs], projected)
}

#[derive(Debug)]
struct Projected {
    expression: Arc<crate::Expression>,
    outputs: usize,
}

impl Derivative<1> for Projected {
    fn by_inputs(&self, slope: Vec<f32>) -> [Vec<f32>; 1] {
        [self.expression.weight_slope(&slope, self.outputs)]
    }
}
