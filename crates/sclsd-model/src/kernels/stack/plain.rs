//! A stack without normalisation: layer by layer, or a block of rows through all of them where nothing is kept.

use rayon::prelude::*;

use super::super::expression::Expression;
use super::super::products::{self, Packed, Rows};
use super::super::rows::{BLOCK, add};
use super::{Layer, Sizes, loops};

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
        let weight = Packed::transposed(layer.weight, layer.inputs);
        let input = kept.last().map_or(x, |below| below);
        let mut out = vec![0.0; rows * layer.outputs];
        let blocks = out.par_chunks_mut(BLOCK * layer.outputs).zip(input.par_chunks(BLOCK * layer.inputs));
        blocks.for_each(|(out, input)| {
            products::times(out, layer.outputs, Rows::new(input, layer.inputs), &weight);
            loops::bias(out, layer.bias, layer.activated);
        });
        kept.push(out);
    }
    Kept { layers: kept }
}

/// The output alone, `rows × out`.
pub(crate) fn evaluate(layers: &[Layer<'_>], x: &[f32]) -> Vec<f32> {
    let (inputs, outputs) = (layers[0].inputs, layers[layers.len() - 1].outputs);
    let widest = layers.iter().map(|layer| layer.outputs).max().unwrap_or(0);
    let weights: Vec<Packed> = layers.iter().map(|layer| Packed::transposed(layer.weight, layer.inputs)).collect();
    let mut out = vec![0.0; x.len() / inputs * outputs];
    out.par_chunks_mut(BLOCK * outputs).zip(x.par_chunks(BLOCK * inputs)).for_each(|(out, x)| {
        let rows = out.len() / outputs;
        let (mut below, mut above) = (vec![0.0; rows * widest], vec![0.0; rows * widest]);
        for (depth, (layer, weight)) in layers.iter().zip(&weights).enumerate() {
            let from = if depth == 0 { x } else { &below[..rows * layer.inputs] };
            let to = &mut above[..rows * layer.outputs];
            products::times(to, layer.outputs, Rows::new(from, layer.inputs), weight);
            loops::bias(to, layer.bias, layer.activated);
            std::mem::swap(&mut below, &mut above);
        }
        out.copy_from_slice(&below[..out.len()]);
    });
    out
}

/// The same for the expression of cells.
pub(crate) fn evaluate_cells(layers: &[Layer<'_>], x: &Expression) -> Vec<f32> {
    let first = layers[0];
    let mut hidden = x.times_transposed(first.weight, first.outputs);
    hidden.par_chunks_mut(BLOCK * first.outputs).for_each(|rows| loops::bias(rows, first.bias, first.activated));
    if layers.len() == 1 { hidden } else { evaluate(&layers[1..], &hidden) }
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
