//! A stack without normalisation: layer by layer, or a block of rows through all of them where nothing is kept.

use rayon::prelude::*;

use super::layer::{Layer, Sizes};
use super::loops;
use crate::expression::{FirstLayer, SparseRows};
use crate::products::{self, Packed, Rows, Terms};
use crate::rows::{BLOCK, add, made};

/// Values after every layer.
#[derive(Debug)]
pub(crate) struct Kept {
    layers: Vec<Vec<f32>>,
}

impl Kept {
    /// The output, `rows × out`.
    pub(crate) fn out(&self) -> &[f32] {
        self.layers.last().map_or(&[], |out| out)
    }
}

/// Runs the stack, and keeps what the derivative needs.
pub(crate) fn forward(layers: &[Layer<'_>], x: &[f32]) -> Kept {
    let rows = x.len() / layers[0].inputs;
    let mut kept: Vec<Vec<f32>> = Vec::with_capacity(layers.len());
    for layer in layers {
        let weight = Packed::transposed(layer.weight, layer.inputs, Terms::Three);
        let input = kept.last().map_or(x, |below| below);
        kept.push(made(rows, layer.outputs, BLOCK, |first, out| {
            let input = Rows::new(input, layer.inputs).some(first..rows.min(first + BLOCK));
            products::times(out, layer.outputs, input, &weight);
            loops::bias(out, layer.bias, layer.activated);
        }));
    }
    Kept { layers: kept }
}

/// The output alone, `rows × out`: a block of rows through all layers before the next.
#[must_use]
pub fn evaluate(layers: &[Layer<'_>], x: &[f32]) -> Vec<f32> {
    let (inputs, outputs) = (layers[0].inputs, layers[layers.len() - 1].outputs);
    let steps = steps(layers);
    made(x.len() / inputs, outputs, BLOCK, |first, out| {
        let x = x[first * inputs..(first + out.len() / outputs) * inputs].to_vec();
        out.copy_from_slice(&through(&steps, x));
    })
}

/// The same for the expression of cells.
#[must_use]
pub fn evaluate_cells(layers: &[Layer<'_>], x: SparseRows<'_>) -> Vec<f32> {
    let (below, outputs) = (layers[0], layers[layers.len() - 1].outputs);
    let weight = FirstLayer::new(below.weight, below.outputs, x, below.inputs);
    let steps = steps(&layers[1..]);
    made(x.rows.len(), outputs, BLOCK, |first, out| {
        let x = x.some(first..first + out.len() / outputs);
        let mut hidden = vec![0.0; x.rows.len() * below.outputs];
        weight.times(&mut hidden, x);
        loops::bias(&mut hidden, below.bias, below.activated);
        out.copy_from_slice(&through(&steps, hidden));
    })
}

/// Layers with their weights packed.
fn steps<'a>(layers: &[Layer<'a>]) -> Vec<(Layer<'a>, Packed)> {
    layers.iter().map(|layer| (*layer, Packed::transposed(layer.weight, layer.inputs, Terms::Three))).collect()
}

/// Some rows through layers, on the thread at hand.
fn through(steps: &[(Layer<'_>, Packed)], x: Vec<f32>) -> Vec<f32> {
    steps.iter().fold(x, |x, (layer, weight)| {
        let mut out = vec![0.0; x.len() / layer.inputs * layer.outputs];
        products::times(&mut out, layer.outputs, Rows::new(&x, layer.inputs), weight);
        loops::bias(&mut out, layer.bias, layer.activated);
        out
    })
}

/// Derivatives by the input and by all weights, given that by the output, `slope`.
pub(crate) fn backward(
    sizes: &Sizes,
    layers: &[Layer<'_>],
    x: &[f32],
    kept: &Kept,
    mut slope: Vec<f32>,
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let mut by_weights = sizes.zeros();
    for (depth, layer) in layers.iter().enumerate().rev() {
        let (below, this) = kept.layers.split_at(depth);
        let blocks = slope.par_chunks_mut(BLOCK * layer.outputs).zip(this[0].par_chunks(BLOCK * layer.outputs));
        let sums: Vec<Vec<f32>> = blocks
            .map(|(slope, out)| {
                let mut sum = vec![0.0; layer.outputs];
                loops::bias_slope(slope, out, &mut sum, layer.activated);
                sum
            })
            .collect();
        sums.iter().for_each(|sum| add(&mut by_weights[2 * depth + 1], sum));
        let input = below.last().map_or(x, |below| below);
        (by_weights[2 * depth], slope) = products::linear_slopes(layer.weight, layer.inputs, input, &slope);
    }
    (slope, by_weights)
}
