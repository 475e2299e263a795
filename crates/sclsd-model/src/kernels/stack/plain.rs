//! A stack without normalisation: a block of rows goes through all its layers, and all the way back, while it is in the
//! cache.

use rayon::prelude::*;

use super::super::expression::Expression;
use super::super::products;
use super::super::rows::{BLOCK, blocks, groups, total};
use super::{Layer, Sizes, loops};

/// Values after every layer, for every group of rows.
#[derive(Debug)]
pub(crate) struct Kept {
    groups: Vec<Vec<Vec<f32>>>,
}

/// The output, `rows × out`, and what the derivative needs.
pub(crate) fn forward(layers: &[Layer<'_>], x: &[f32]) -> (Vec<f32>, Kept) {
    let inputs = layers[0].inputs;
    let groups: Vec<Vec<Vec<f32>>> = groups(x.len() / inputs)
        .into_par_iter()
        .map(|group| {
            let first = group.start;
            let mut kept: Vec<Vec<f32>> = layers.iter().map(|layer| vec![0.0; group.len() * layer.outputs]).collect();
            for block in blocks(group) {
                let span = |width: usize| (block.start - first) * width..(block.end - first) * width;
                for (depth, layer) in layers.iter().enumerate() {
                    let (below, above) = kept.split_at_mut(depth);
                    let input = match below.last() {
                        Some(below) => &below[span(layer.inputs)],
                        None => &x[block.start * inputs..block.end * inputs],
                    };
                    let out = &mut above[0][span(layer.outputs)];
                    products::times_transposed(out, input, layer.weight, [block.len(), layer.inputs, layer.outputs]);
                    loops::bias(out, layer.bias, layer.activated);
                }
            }
            kept
        })
        .collect();
    let out = groups.iter().flat_map(|kept| kept[layers.len() - 1].iter().copied()).collect();
    (out, Kept { groups })
}

/// The output alone, `rows × out`.
pub(crate) fn evaluate(layers: &[Layer<'_>], x: &[f32]) -> Vec<f32> {
    let (inputs, outputs) = (layers[0].inputs, layers[layers.len() - 1].outputs);
    let widest = layers.iter().map(|layer| layer.outputs).max().unwrap_or(0);
    let rows = x.len() / inputs;
    let mut out = vec![0.0; rows * outputs];
    out.par_chunks_mut(BLOCK * outputs).zip(x.par_chunks(BLOCK * inputs)).for_each(|(out, x)| {
        let rows = out.len() / outputs;
        let (mut below, mut above) = (x.to_vec(), vec![0.0; rows * widest]);
        for layer in layers {
            let to = &mut above[..rows * layer.outputs];
            products::times_transposed(
                to,
                &below[..rows * layer.inputs],
                layer.weight,
                [rows, layer.inputs, layer.outputs],
            );
            loops::bias(to, layer.bias, layer.activated);
            below.resize(below.len().max(rows * widest), 0.0);
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
    slope: &[f32],
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let (inputs, outputs) = (layers[0].inputs, layers[layers.len() - 1].outputs);
    let widest = layers.iter().map(|layer| layer.inputs.max(layer.outputs)).max().unwrap_or(0);
    let (rows, parts): (Vec<Vec<f32>>, Vec<Vec<Vec<f32>>>) = groups(x.len() / inputs)
        .into_par_iter()
        .zip(&kept.groups)
        .map(|(group, kept)| {
            let first = group.start;
            let mut by_input = vec![0.0; group.len() * inputs];
            let mut sums = sizes.zeros();
            let mut room = (Vec::new(), Vec::new());
            for block in blocks(group) {
                let n = block.len();
                let span = |width: usize| (block.start - first) * width..(block.end - first) * width;
                room.0.resize(n * widest, 0.0);
                room.1.resize(n * widest, 0.0);
                room.0[..n * outputs].copy_from_slice(&slope[block.start * outputs..block.end * outputs]);
                for (depth, layer) in layers.iter().enumerate().rev() {
                    let above = &mut room.0[..n * layer.outputs];
                    let [weight, bias] = &mut sums[2 * depth..2 * depth + 2] else { unreachable!("two rows a layer") };
                    loops::bias_slope(above, &kept[depth][span(layer.outputs)], bias, layer.activated);
                    let (input, below) = match depth.checked_sub(1) {
                        Some(below) => (&kept[below][span(layer.inputs)], &mut room.1[..n * layer.inputs]),
                        None => (&x[block.start * inputs..block.end * inputs], &mut by_input[span(inputs)]),
                    };
                    products::add_transposed_times(weight, above, input, [layer.outputs, n, layer.inputs]);
                    products::times(below, above, layer.weight, [n, layer.outputs, layer.inputs]);
                    std::mem::swap(&mut room.0, &mut room.1);
                }
            }
            (by_input, sums)
        })
        .unzip();
    let mut parts: Vec<std::vec::IntoIter<Vec<f32>>> = parts.into_iter().map(Vec::into_iter).collect();
    let by_weights = (0..2 * layers.len()).map(|_| total(parts.iter_mut().filter_map(Iterator::next).collect()));
    (rows.concat(), by_weights.collect())
}
