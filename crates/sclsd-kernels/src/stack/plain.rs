//! A stack without normalisation. For training it runs layer by layer; for evaluation, block by block through all
//! layers.

use rayon::prelude::*;

use super::layer::{Sizes, StackLayer};
use super::loops;
use crate::expression::{FirstLayer, SparseRows};
use crate::products::{self, PackedFactor, Rows, Terms};
use crate::rows::{BLOCK, add, filled_rows};

/// The output of every layer, saved for the backward pass.
#[derive(Debug)]
pub(crate) struct Saved {
    layers: Vec<Vec<f32>>,
}

impl Saved {
    /// The output, `rows × out`.
    pub(crate) fn out(&self) -> &[f32] {
        self.layers.last().map_or(&[], |out| out)
    }
}

/// Runs the stack, and saves the output of every layer.
pub(crate) fn forward(layers: &[StackLayer<'_>], x: &[f32]) -> Saved {
    let rows = x.len() / layers[0].inputs;
    let mut saved: Vec<Vec<f32>> = Vec::with_capacity(layers.len());
    for layer in layers {
        let weight = PackedFactor::transposed(layer.weight, layer.inputs, Terms::Three);
        let input = saved.last().map_or(x, |below| below);
        saved.push(filled_rows(rows, layer.outputs, BLOCK, |first, out| {
            let input = Rows::new(input, layer.inputs).some(first..rows.min(first + BLOCK));
            products::times(out, layer.outputs, input, &weight);
            loops::bias(out, layer.bias, layer.activated);
        }));
    }
    Saved { layers: saved }
}

/// The output of the stack, `rows × out`, without saving anything: every block of rows goes through all layers.
#[must_use]
pub fn forward_eval(layers: &[StackLayer<'_>], x: &[f32]) -> Vec<f32> {
    let (inputs, outputs) = (layers[0].inputs, layers[layers.len() - 1].outputs);
    let steps = steps(layers);
    filled_rows(x.len() / inputs, outputs, BLOCK, |first, out| {
        let x = x[first * inputs..(first + out.len() / outputs) * inputs].to_vec();
        out.copy_from_slice(&through(&steps, x));
    })
}

/// Like [`forward_eval`], for the expression of cells.
#[must_use]
pub fn forward_eval_cells(layers: &[StackLayer<'_>], x: SparseRows<'_>) -> Vec<f32> {
    let (below, outputs) = (layers[0], layers[layers.len() - 1].outputs);
    let weight = FirstLayer::new(below.weight, below.outputs, x, below.inputs);
    let steps = steps(&layers[1..]);
    filled_rows(x.rows.len(), outputs, BLOCK, |first, out| {
        let x = x.some(first..first + out.len() / outputs);
        let mut hidden = vec![0.0; x.rows.len() * below.outputs];
        weight.times(&mut hidden, x);
        loops::bias(&mut hidden, below.bias, below.activated);
        out.copy_from_slice(&through(&steps, hidden));
    })
}

/// Layers with their packed weights.
fn steps<'a>(layers: &[StackLayer<'a>]) -> Vec<(StackLayer<'a>, PackedFactor)> {
    layers.iter().map(|layer| (*layer, PackedFactor::transposed(layer.weight, layer.inputs, Terms::Three))).collect()
}

/// Runs some rows through the layers, on the calling thread.
fn through(steps: &[(StackLayer<'_>, PackedFactor)], x: Vec<f32>) -> Vec<f32> {
    steps.iter().fold(x, |x, (layer, weight)| {
        let mut out = vec![0.0; x.len() / layer.inputs * layer.outputs];
        products::times(&mut out, layer.outputs, Rows::new(&x, layer.inputs), weight);
        loops::bias(&mut out, layer.bias, layer.activated);
        out
    })
}

/// The backward pass: the gradients with respect to the input and to all weights, given `grad`, the gradient with
/// respect to the output.
pub(crate) fn backward(
    sizes: &Sizes,
    layers: &[StackLayer<'_>],
    x: &[f32],
    saved: &Saved,
    mut grad: Vec<f32>,
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let mut grad_weights = sizes.zeros();
    for (depth, layer) in layers.iter().enumerate().rev() {
        let (below, this) = saved.layers.split_at(depth);
        let blocks = grad.par_chunks_mut(BLOCK * layer.outputs).zip(this[0].par_chunks(BLOCK * layer.outputs));
        let sums: Vec<Vec<f32>> = blocks
            .map(|(grad, out)| {
                let mut sum = vec![0.0; layer.outputs];
                loops::bias_grad(grad, out, &mut sum, layer.activated);
                sum
            })
            .collect();
        sums.iter().for_each(|sum| add(&mut grad_weights[2 * depth + 1], sum));
        let input = below.last().map_or(x, |below| below);
        (grad_weights[2 * depth], grad) = products::linear_vjp(layer.weight, layer.inputs, input, &grad);
    }
    (grad, grad_weights)
}
