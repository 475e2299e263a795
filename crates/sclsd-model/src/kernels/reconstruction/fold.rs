//! A linear layer and the batch normalisation after it, as one linear layer.
//!
//! ```text
//! mean = W m + b,   var_j = w_jᵀ C w_j,   W' = W s,   b' = β − (W m) s,   s = γ / √(var + 1e-5)
//! ```
//!
//! with m and C mean and covariance of the layer's input h: the statistics of all outputs follow from these, without a pass
//! over the outputs. C is made of centered rows, so that it stays accurate.

use rayon::prelude::*;

use super::super::products::{self, Packed, Rows};
use super::super::rows::{BLOCK, add};
use super::super::stack::Layer;
use super::super::stack::normalized::{Moments, RowWeights, sums};
use crate::Whole;

const EPSILON: f32 = 1e-5;

/// The folded layer, and what its derivative needs.
#[derive(Debug)]
pub(super) struct Folded {
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

/// Folds a layer that sees `h`, `rows × in`, all rows of which count the same; its moments come with it.
pub(super) fn fold(layer: &Layer<'_>, h: &[f32], weights: &RowWeights) -> (Folded, Moments) {
    let width = layer.inputs;
    let mean = sums(h, width, weights, None);
    let mut centered = h.to_vec();
    centered.par_chunks_mut(BLOCK * width).for_each(|rows| {
        rows.chunks_exact_mut(width).for_each(|row| row.iter_mut().zip(&mean).for_each(|(h, mean)| *h -= mean));
    });
    let covariance = covariance(Rows::new(&centered, width), &weights.whole);
    let packed = Packed::new(&covariance, width);
    let mut spread = vec![0.0; layer.weight.len()];
    let variance: Vec<f32> = spread
        .par_chunks_mut(BLOCK * width)
        .zip(layer.weight.par_chunks(BLOCK * width))
        .flat_map_iter(|(spread, weight)| {
            products::times(spread, width, Rows::new(weight, width), &packed);
            weight.chunks_exact(width).zip(spread.chunks_exact(width)).map(|(w, spread)| dot(w, spread))
        })
        .collect();
    let inverse: Vec<f32> = variance.iter().map(|v| (v + EPSILON).sqrt().recip()).collect();
    let level: Vec<f32> = layer.weight.chunks_exact(width).map(|w| dot(w, &mean)).collect();
    let scale: Vec<f32> = layer.norm.0.iter().zip(&inverse).map(|(gamma, inverse)| gamma * inverse).collect();
    let weight = layer.weight.chunks_exact(width).zip(&scale).flat_map(|(w, s)| w.iter().map(move |w| w * s)).collect();
    let bias = (0..layer.outputs).map(|j| layer.norm.1[j] - level[j] * scale[j]).collect();
    let unbiased = weights.unbiased();
    #[expect(clippy::cast_possible_truncation, reason = "kept in f32")]
    let moments = Moments {
        mean: level.iter().zip(layer.bias).map(|(level, b)| level + b).collect(),
        variance: variance.iter().map(|v| (f64::from(*v) * unbiased) as f32).collect(),
    };
    (Folded { weight, bias, mean, centered, spread, inverse }, moments)
}

fn covariance(centered: Rows<'_>, whole: &Whole) -> Vec<f32> {
    let width = centered.stride;
    let mut covariance = products::sum_of_products(centered, width, centered, width);
    #[expect(clippy::cast_precision_loss, reason = "rows of a batch are far below 2^24")]
    covariance.iter_mut().for_each(|c| *c /= whole.visits as f32);
    whole.peers.sum(&mut covariance);
    covariance
}

/// Eight sums side by side, then together.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

impl Folded {
    /// Given the derivatives by W' and b', those by W, b, γ and β; those by h are added to `by_h`.
    pub(super) fn back(
        &self,
        layer: &Layer<'_>,
        [by_weight, by_bias]: [&[f32]; 2],
        by_h: &mut [f32],
        whole: &Whole,
    ) -> Vec<Vec<f32>> {
        let (width, outputs) = (layer.inputs, layer.outputs);
        let (mut weight, mut gamma) = (vec![0.0; outputs * width], vec![0.0; outputs]);
        let mut weighted = vec![0.0; outputs * width]; // W by variance
        let by_level: Vec<f32> = weight
            .par_chunks_mut(width)
            .zip(weighted.par_chunks_mut(width))
            .zip(gamma.par_iter_mut())
            .enumerate()
            .map(|(j, ((weight, weighted), gamma))| {
                let span = j * width..(j + 1) * width;
                let (w, given, spread) = (&layer.weight[span.clone()], &by_weight[span.clone()], &self.spread[span]);
                let scale = layer.norm.0[j] * self.inverse[j];
                let by_scale = dot(w, given) - by_bias[j] * dot(w, &self.mean);
                let by_level = -by_bias[j] * scale;
                *gamma = by_scale * self.inverse[j];
                let by_variance = -0.5 * by_scale * scale * self.inverse[j] * self.inverse[j];
                for i in 0..width {
                    weight[i] = scale * given[i] + by_level * self.mean[i] + 2.0 * by_variance * spread[i];
                    weighted[i] = by_variance * w[i];
                }
                by_level
            })
            .collect();
        let weights = Rows::new(layer.weight, width);
        let mut by_mean = products::sum_of_products(Rows::new(&by_level, 1), 1, weights, width);
        // by C: Wᵀ (W by variance), symmetric
        let mut by_covariance = products::sum_of_products(weights, width, Rows::new(&weighted, width), width);
        #[expect(clippy::cast_precision_loss, reason = "rows of a batch are far below 2^24")]
        let n = whole.visits as f32;
        whole.peers.sum_all(&mut [&mut by_mean, &mut by_covariance]);
        by_covariance.iter_mut().for_each(|c| *c *= 2.0 / n);
        by_mean.iter_mut().for_each(|m| *m /= n);
        let by_covariance = Packed::new(&by_covariance, width);
        by_h.par_chunks_mut(BLOCK * width).zip(self.centered.par_chunks(BLOCK * width)).for_each(|(by_h, centered)| {
            by_h.chunks_exact_mut(width).for_each(|row| add(row, &by_mean));
            products::add_times(by_h, width, Rows::new(centered, width), &by_covariance);
        });
        vec![weight, vec![0.0; outputs], gamma, by_bias.to_vec()]
    }
}
