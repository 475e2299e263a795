//! A stack with batch normalisation. It runs layer by layer, because the normalisation of a row depends on all rows.
//!
//! ```text
//! a = W h,   x̂ = (a − mean a) / √(var a + 1e-5),   y = softplus(γ x̂ + β)
//! ∂/∂a_i = γ / sd (g_i − w_i Σ g − w_i x̂_i Σ g x̂)
//! ```
//!
//! g is the gradient with respect to γ x̂ + β, and w the weight of a row, Σ w = 1. The bias of the linear layer has no
//! effect, so its gradient is 0.

use rayon::prelude::*;

use super::layer::{Sizes, StackLayer};
use super::loops::{self, Center, Normed};
use crate::expression::Expression;
use crate::peers::GlobalBatch;
use crate::products::{self, PackedFactor, Rows, Terms};
use crate::rows::{BLOCK, blocks, filled_rows, groups, per_group};

const EPSILON: f32 = 1e-5;

/// Input of the first layer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input<'a> {
    /// Expression of cells. There is no gradient with respect to it.
    Cells(&'a Expression),
    /// Dense rows.
    Rows(&'a [f32]),
}

/// The weight of every row in the batch statistics.
#[derive(Debug, Clone)]
pub struct RowWeights {
    /// One weight per row. The weights of all peers sum to one.
    pub rows: Vec<f32>,
    /// The global batch that the rows belong to.
    pub global: GlobalBatch,
}

impl RowWeights {
    /// The same weight for all rows, each of which is a visit.
    #[must_use]
    pub fn equal(rows: usize, global: &GlobalBatch) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "rows of a batch are far below 2^24")]
        let weight = 1.0 / global.visits as f32;
        Self { rows: vec![weight; rows], global: global.clone() }
    }

    /// The fraction of all visits that every cell has; `places` holds the cell of every visit.
    ///
    /// # Panics
    /// If a place is not below `cells`.
    #[must_use]
    pub fn of_visits(places: &[u32], cells: usize, global: &GlobalBatch) -> Self {
        let mut rows = vec![0.0_f32; cells];
        places.iter().for_each(|&place| rows[place as usize] += 1.0);
        #[expect(clippy::cast_precision_loss, reason = "visits of a batch are far below 2^24")]
        let all = global.visits as f32;
        rows.iter_mut().for_each(|count| *count /= all);
        Self { rows, global: global.clone() }
    }

    /// The factor from the biased to the unbiased variance.
    #[expect(clippy::cast_precision_loss, reason = "visits of a batch are far below 2^52")]
    pub(crate) fn unbiased(&self) -> f64 {
        self.global.visits as f64 / (self.global.visits as f64 - 1.0)
    }
}

/// Mean and unbiased variance of a layer's outputs, before batch normalisation.
#[derive(Debug, Clone)]
pub struct BatchMoments {
    /// `outputs`.
    pub mean: Vec<f32>,
    /// `outputs`.
    pub variance: Vec<f32>,
}

/// Saved for the backward pass of a layer.
#[derive(Debug)]
struct SavedLayer {
    /// a.
    linear: Vec<f32>,
    mean: Vec<f32>,
    /// 1 / sd.
    inverse: Vec<f32>,
    /// y.
    out: Vec<f32>,
}

/// Saved for the backward pass of a stack.
#[derive(Debug)]
pub(crate) struct Saved {
    layers: Vec<SavedLayer>,
}

impl SavedLayer {
    fn center(&self) -> Center<'_> {
        Center { mean: &self.mean, inverse: &self.inverse }
    }
}

impl Saved {
    /// The output.
    pub(crate) fn out(&self) -> &[f32] {
        self.layers.last().map_or(&[], |layer| &layer.out)
    }
}

/// Runs the stack. Also returns the batch moments of every layer.
pub(crate) fn forward(layers: &[StackLayer<'_>], input: Input<'_>, weights: &RowWeights) -> (Saved, Vec<BatchMoments>) {
    let rows = weights.rows.len();
    let (mut saved, mut moments): (Vec<SavedLayer>, Vec<BatchMoments>) = (Vec::new(), Vec::new());
    for layer in layers {
        let below = saved.last().map_or(input, |below| Input::Rows(&below.out));
        let linear = linear(layer, below, rows);
        let mean = sums(&linear, layer.outputs, weights, None);
        let variance = sums(&linear, layer.outputs, weights, Some(&mean));
        let inverse: Vec<f32> = variance.iter().map(|v| (v + EPSILON).sqrt().recip()).collect();
        let out = filled_rows(rows, layer.outputs, BLOCK, |first, out| {
            let rows = &linear[first * layer.outputs..][..out.len()];
            loops::normalize(rows, out, Center { mean: &mean, inverse: &inverse }, layer.norm, layer.activated);
        });
        let unbiased = weights.unbiased();
        #[expect(clippy::cast_possible_truncation, reason = "kept in f32")]
        let variance = variance.iter().map(|v| (f64::from(*v) * unbiased) as f32).collect();
        moments.push(BatchMoments { mean: mean.iter().zip(layer.bias).map(|(m, b)| m + b).collect(), variance });
        saved.push(SavedLayer { linear, mean, inverse, out });
    }
    (Saved { layers: saved }, moments)
}

/// The backward pass: the gradients with respect to the input (empty for cells) and to all weights, given the gradient
/// with respect to the output.
pub(crate) fn backward(
    sizes: &Sizes,
    layers: &[StackLayer<'_>],
    input: Input<'_>,
    weights: &RowWeights,
    saved: &Saved,
    mut grad: Vec<f32>,
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let rows = weights.rows.len();
    let mut grad_weights = sizes.zeros();
    for (depth, layer) in layers.iter().enumerate().rev() {
        let (below, this) = saved.layers.split_at(depth);
        let below = below.last().map_or(input, |below| Input::Rows(&below.out));
        let [weight, _, gamma, beta] = &mut grad_weights[4 * depth..4 * depth + 4] else {
            unreachable!("four rows a layer")
        };
        grad_sums(layer, &this[0], &mut grad, beta, gamma);
        // the gradients of β and γ are this peer's; the gradients through the moments are those of all peers
        let (mut sum, mut product) = (beta.clone(), gamma.clone());
        weights.global.peers.sum_all(&mut [&mut sum, &mut product]);
        let scale: Vec<f32> =
            layer.norm.0.iter().zip(&this[0].inverse).map(|(gamma, inverse)| gamma * inverse).collect();
        let size = per_group(rows).max(1);
        grad.par_chunks_mut(size * layer.outputs)
            .zip(this[0].linear.par_chunks(size * layer.outputs))
            .zip(weights.rows.par_chunks(size))
            .for_each(|((grad, rows), weights)| {
                loops::norm_grad(grad, rows, this[0].center(), weights, &scale, [&sum, &product]);
            });
        match below {
            Input::Cells(cells) => {
                *weight = cells.weight_grad(&grad, layer.outputs);
                grad = Vec::new();
            }
            Input::Rows(x) => (*weight, grad) = products::linear_vjp(layer.weight, layer.inputs, x, &grad),
        }
    }
    (grad, grad_weights)
}

fn linear(layer: &StackLayer<'_>, input: Input<'_>, rows: usize) -> Vec<f32> {
    let x = match input {
        Input::Cells(cells) => return cells.times_transposed(layer.weight, layer.outputs),
        Input::Rows(x) => x,
    };
    debug_assert_eq!(x.len(), rows * layer.inputs);
    products::product_of_rows(
        Rows::new(x, layer.inputs),
        &PackedFactor::transposed(layer.weight, layer.inputs, Terms::Three),
    )
}

/// `Σ w a` or `Σ w (a − center)²` of every column, over all peers.
pub(crate) fn sums(a: &[f32], width: usize, weights: &RowWeights, center: Option<&[f32]>) -> Vec<f32> {
    let parts: Vec<Vec<f64>> = groups(weights.rows.len())
        .into_par_iter()
        .map(|group| {
            let mut total = vec![0.0; width];
            let mut part = vec![0.0; width];
            for block in blocks(group) {
                part.fill(0.0);
                let rows = &a[block.start * width..block.end * width];
                loops::moment(rows, &weights.rows[block], center, &mut part);
                total.iter_mut().zip(&part).for_each(|(total, part)| *total += f64::from(*part));
            }
            total
        })
        .collect();
    #[expect(clippy::cast_possible_truncation, reason = "kept in f32")]
    let column = |j: usize| parts.iter().map(|part| part[j]).sum::<f64>() as f32;
    let mut sums: Vec<f32> = (0..width).map(column).collect();
    weights.global.peers.sum(&mut sums);
    sums
}

/// Backward pass through the activation. Adds `Σ g` and `Σ g x̂` of every column, the gradients with respect to β and
/// γ.
fn grad_sums(layer: &StackLayer<'_>, saved: &SavedLayer, grad: &mut [f32], beta: &mut [f32], gamma: &mut [f32]) {
    let width = layer.outputs;
    let rows = grad.len() / width;
    let parts: Vec<[Vec<f64>; 2]> = grad
        .par_chunks_mut((per_group(rows) * width).max(1))
        .zip(groups(rows))
        .map(|(grad, group)| {
            let first = group.start;
            let mut totals = [vec![0.0; width], vec![0.0; width]];
            let mut part = [vec![0.0; width], vec![0.0; width]];
            for block in blocks(group) {
                part.iter_mut().for_each(|part| part.fill(0.0));
                let grad = &mut grad[(block.start - first) * width..(block.end - first) * width];
                let span = block.start * width..block.end * width;
                let [sum, product] = &mut part;
                let (rows, out) = (&saved.linear[span.clone()], &saved.out[span]);
                let normed = Normed { rows, center: saved.center(), out, activated: layer.activated };
                loops::norm_grad_sums(grad, normed, [sum, product]);
                for (total, part) in totals.iter_mut().zip(&part) {
                    total.iter_mut().zip(part).for_each(|(total, part)| *total += f64::from(*part));
                }
            }
            totals
        })
        .collect();
    for (which, out) in [beta, gamma].into_iter().enumerate() {
        for (j, out) in out.iter_mut().enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "kept in f32")]
            let sum = parts.iter().map(|part| part[which][j]).sum::<f64>() as f32;
            *out = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::oracle::{assert_close, gradient, linear, normalized, softplus, wide};

    /// The stack in `f64`. `parameters` holds the matrix, biases, γ and β of every layer, one after the other.
    fn exact(widths: &[usize], x: &[f64], weights: &[f64], parameters: &[f64]) -> Vec<f64> {
        let (mut rest, mut h) = (parameters, x.to_vec());
        for (depth, pair) in widths.windows(2).enumerate() {
            let mut take = |n: usize| {
                let (head, tail) = rest.split_at(n);
                rest = tail;
                head
            };
            let (w, b) = (take(pair[0] * pair[1]), take(pair[1]));
            let (gamma, beta) = (take(pair[1]), take(pair[1]));
            h = normalized(&linear(&h, w, b), weights, gamma, beta);
            if depth + 2 < widths.len() {
                h.iter_mut().for_each(|v| *v = softplus(*v));
            }
        }
        h
    }

    #[test]
    fn outputs_and_derivatives_are_those_of_the_oracle_however_much_a_row_counts() {
        for (rows, widths) in [(5, vec![3, 2]), (9, vec![4, 5, 3]), (140, vec![3, 4, 4, 2])] {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(rows as u64);
            let mut draw = |n: usize, low: f32| -> Vec<f32> { (0..n).map(|_| rng.random_range(low..1.0)).collect() };
            let (x, grad) = (draw(rows * widths[0], -1.0), draw(rows * widths[widths.len() - 1], -1.0));
            let parts: Vec<Vec<f32>> = widths
                .windows(2)
                .flat_map(|pair| [(pair[0] * pair[1], -1.0), (pair[1], -1.0), (pair[1], 0.5), (pair[1], -1.0)])
                .map(|(n, low)| draw(n, low))
                .collect();
            let shares = draw(rows, 0.1);
            let all: f32 = shares.iter().sum();
            let weights =
                RowWeights { rows: shares.iter().map(|s| s / all).collect(), global: GlobalBatch::alone(rows) };
            let sizes = Sizes { widths: widths.clone(), normalized: true, activated: false };
            let layers = sizes.layers(&parts);
            let (saved, _) = forward(&layers, Input::Rows(&x), &weights);
            let [wide_x, wide_weights, along] = [&x, &weights.rows, &grad].map(|v| wide(v));
            let flat = wide(&parts.concat());
            assert_close(saved.out(), &exact(&widths, &wide_x, &wide_weights, &flat), 2e-6, "out");
            let sum = |out: Vec<f64>| out.iter().zip(&along).map(|(v, w)| v * w).sum::<f64>();
            let (grad_x, grad_parts) = backward(&sizes, &layers, Input::Rows(&x), &weights, &saved, grad.clone());
            let by = gradient(|x| sum(exact(&widths, x, &wide_weights, &flat)), &wide_x);
            assert_close(&grad_x, &by, 1e-4, "by x");
            let by = gradient(|flat| sum(exact(&widths, &wide_x, &wide_weights, flat)), &flat);
            assert_close(&grad_parts.concat(), &by, 2e-5, "by weights");
        }
    }
}
