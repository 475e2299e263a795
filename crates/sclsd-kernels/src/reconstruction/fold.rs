//! A linear layer and its batch normalisation, folded into one linear layer.
//!
//! ```text
//! mean = W m + b,   var_j = w_jᵀ C w_j,   W' = W s,   b' = β − (W m) s,   s = γ / √(var + 1e-5)
//! ```
//!
//! m and C are the mean and the covariance of the layer's input h. The statistics of all outputs follow from m and C,
//! without a pass over the outputs. C is computed from centered rows for accuracy.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::peers::GlobalBatch;
use crate::products::{self, PackedFactor, Rows, Terms};
use crate::rows::{BLOCK, add, filled_rows, groups, total};
use crate::simd::arch;
use crate::stack::{BatchMoments, RowWeights, StackLayer, sums};
use crate::vector::Lanes;

const EPSILON: f32 = 1e-5;

/// The folded layer, and what is saved for the backward pass.
#[derive(Debug)]
pub(super) struct FoldedBatchNorm {
    /// W', `[out, in]`.
    pub weight: Vec<f32>,
    /// b'.
    pub bias: Vec<f32>,
    /// m.
    mean: Vec<f32>,
    /// h − m, `rows × in`.
    centered: Vec<f32>,
    /// W C, `[out, in]`.
    spread: Vec<f32>,
    /// 1 / √(var + 1e-5).
    inverse: Vec<f32>,
}

/// Folds a layer with input `h`, `rows × in`, all of whose rows have the same weight. Also returns the batch moments.
pub(super) fn fold(layer: &StackLayer<'_>, h: &[f32], weights: &RowWeights) -> (FoldedBatchNorm, BatchMoments) {
    let width = layer.inputs;
    let mean = sums(h, width, weights, None);
    let centered = filled_rows(h.len() / width, width, BLOCK, |first, rows| {
        for (row, h) in rows.chunks_exact_mut(width).zip(h[first * width..].chunks_exact(width)) {
            row.iter_mut().zip(h).zip(&mean).for_each(|((row, h), mean)| *row = h - mean);
        }
    });
    let covariance = covariance(Rows::new(&centered, width), &weights.global);
    let packed = PackedFactor::new(&covariance, width, Terms::Three);
    let spread = products::product_of_rows(Rows::new(layer.weight, width), &packed);
    let of_output = |(w, spread): (&[f32], &[f32])| (dot(w, spread), dot(w, &mean));
    let (variance, level): (Vec<f32>, Vec<f32>) =
        layer.weight.par_chunks(width).zip(spread.par_chunks(width)).map(of_output).unzip();
    let inverse: Vec<f32> = variance.iter().map(|v| (v + EPSILON).sqrt().recip()).collect();
    let scale: Vec<f32> = layer.norm.0.iter().zip(&inverse).map(|(gamma, inverse)| gamma * inverse).collect();
    let weight = filled_rows(layer.outputs, width, BLOCK, |first, rows| {
        let from = layer.weight[first * width..].chunks_exact(width).zip(&scale[first..]);
        rows.chunks_exact_mut(width).zip(from).for_each(|(row, (w, scale))| {
            row.iter_mut().zip(w).for_each(|(row, w)| *row = w * scale);
        });
    });
    let bias = (0..layer.outputs).map(|j| layer.norm.1[j] - level[j] * scale[j]).collect();
    let unbiased = weights.unbiased();
    #[expect(clippy::cast_possible_truncation, reason = "kept in f32")]
    let moments = BatchMoments {
        mean: level.iter().zip(layer.bias).map(|(level, b)| level + b).collect(),
        variance: variance.iter().map(|v| (f64::from(*v) * unbiased) as f32).collect(),
    };
    (FoldedBatchNorm { weight, bias, mean, centered, spread, inverse }, moments)
}

fn covariance(centered: Rows<'_>, global: &GlobalBatch) -> Vec<f32> {
    let width = centered.stride;
    let mut covariance = products::sum_of_products((centered, width), (centered, width), Terms::Three);
    #[expect(clippy::cast_precision_loss, reason = "rows of a batch are far below 2^24")]
    covariance.iter_mut().for_each(|c| *c /= global.visits as f32);
    global.peers.sum(&mut covariance);
    covariance
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    arch().dispatch(Dot(a, b))
}

struct Dot<'a>(&'a [f32], &'a [f32]);

impl WithSimd for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let mut sum = Lanes::all(simd, 0.0);
        for at in (0..self.0.len()).step_by(S::F32_LANES) {
            sum = Lanes::from(simd, self.0, at).mul_add(Lanes::from(simd, self.1, at), sum);
        }
        sum.sum()
    }
}

impl FoldedBatchNorm {
    /// The backward pass of the fold: the gradients with respect to W, b, γ and β, given the gradients with respect to
    /// W' and b'. The gradient with respect to h is added to `grad_h`.
    pub(super) fn back(
        &self,
        layer: &StackLayer<'_>,
        [grad_weight, grad_bias]: [&[f32]; 2],
        grad_h: &mut [f32],
        global: &GlobalBatch,
    ) -> Vec<Vec<f32>> {
        let (width, outputs) = (layer.inputs, layer.outputs);
        let given = |j: usize| &grad_weight[j * width..(j + 1) * width];
        let own = |j: usize| &layer.weight[j * width..(j + 1) * width];
        let scale = |j: usize| layer.norm.0[j] * self.inverse[j];
        let grad_scale: Vec<f32> = (0..outputs)
            .into_par_iter()
            .map(|j| dot(own(j), given(j)) - grad_bias[j] * dot(own(j), &self.mean))
            .collect();
        let grad_level = |j: usize| -grad_bias[j] * scale(j);
        let grad_variance = |j: usize| -0.5 * grad_scale[j] * scale(j) * self.inverse[j] * self.inverse[j];
        let gamma = grad_scale.iter().zip(&self.inverse).map(|(grad_scale, inverse)| grad_scale * inverse).collect();
        let weight = filled_rows(outputs, width, BLOCK, |first, rows| {
            for (j, row) in (first..).zip(rows.chunks_exact_mut(width)) {
                let (scale, grad_level, grad_variance) = (scale(j), grad_level(j), grad_variance(j));
                let (given, spread) = (given(j), &self.spread[j * width..(j + 1) * width]);
                for i in 0..width {
                    row[i] = scale * given[i] + grad_level * self.mean[i] + 2.0 * grad_variance * spread[i];
                }
            }
        });
        let weighted = filled_rows(outputs, width, BLOCK, |first, rows| {
            for (j, row) in (first..).zip(rows.chunks_exact_mut(width)) {
                let grad_variance = grad_variance(j);
                row.iter_mut().zip(own(j)).for_each(|(row, w)| *row = grad_variance * w);
            }
        });
        let grad_mean = |group: Range<usize>| {
            let mut sum = vec![0.0; width];
            for j in group {
                let grad_level = grad_level(j);
                sum.iter_mut().zip(own(j)).for_each(|(sum, w)| *sum += grad_level * w);
            }
            sum
        };
        let mut grad_mean = total(groups(outputs).into_par_iter().map(grad_mean).collect());
        let (weights, weighted) = (Rows::new(layer.weight, width), Rows::new(&weighted, width));
        // gradient with respect to C: Wᵀ (W ∂/∂var), symmetric
        let mut grad_covariance = products::sum_of_products((weights, width), (weighted, width), Terms::Two);
        #[expect(clippy::cast_precision_loss, reason = "rows of a batch are far below 2^24")]
        let n = global.visits as f32;
        global.peers.sum_all(&mut [&mut grad_mean, &mut grad_covariance]);
        grad_covariance.iter_mut().for_each(|c| *c *= 2.0 / n);
        grad_mean.iter_mut().for_each(|m| *m /= n);
        let grad_covariance = PackedFactor::new(&grad_covariance, width, Terms::Two);
        grad_h.par_chunks_mut(BLOCK * width).zip(self.centered.par_chunks(BLOCK * width)).for_each(
            |(grad_h, centered)| {
                grad_h.chunks_exact_mut(width).for_each(|row| add(row, &grad_mean));
                products::add_times(grad_h, width, Rows::new(centered, width), &grad_covariance);
            },
        );
        vec![weight, vec![0.0; outputs], gamma, grad_bias.to_vec()]
    }
}
