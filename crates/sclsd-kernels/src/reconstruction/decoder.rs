//! The decoder from z to ln p(x | z, xl), forward and backward.

use std::ops::Deref;

use super::fold::fold;
use super::sum::{Inputs, log_likelihood};
use crate::derivative::PrecomputedGradients;
use crate::expression::SparseRows;
use crate::likelihood::CountLikelihood;
use crate::peers::GlobalBatch;
use crate::stack::{BatchMoments, Input, RowWeights, Sizes, backward, forward};

/// Inputs of Σ ln p(x | z, xl).
#[derive(Debug, Clone, Copy)]
pub struct Decoder<'a, N> {
    /// `visits × z`.
    pub z: &'a [f32],
    /// The decoder's weights, layer after layer; every layer has batch normalisation.
    pub weights: &'a [N],
    /// The decoder's widths, from z to 2 genes.
    pub widths: &'a [usize],
    /// ln xl, `visits`.
    pub log_library: &'a [f32],
    /// ln θ, `genes`.
    pub log_theta: &'a [f32],
    /// Distribution of the counts.
    pub likelihood: &'a CountLikelihood,
}

/// Σ ln p(x | z, xl) over visits and genes, the batch moments of every layer, and the gradients with respect to z, ln
/// xl, ln θ and all weights.
#[must_use]
pub fn reconstruct<N: Deref<Target = [f32]>>(
    from: &Decoder<'_, N>,
    counts: SparseRows<'_>,
    global: &GlobalBatch,
) -> (f32, Vec<BatchMoments>, PrecomputedGradients) {
    let Decoder { z, weights: held, widths, log_library, log_theta, likelihood } = *from;
    let sizes = |widths: &[usize], activated| Sizes { widths: widths.to_vec(), normalized: true, activated };
    let below = sizes(&widths[..widths.len() - 1], true);
    let (weights_below, weights_of_last) = held.split_at(held.len() - below.parts());
    let last = sizes(&widths[widths.len() - 2..], false).layers(weights_of_last)[0];
    let below_layers = below.layers(weights_below);
    let weights = RowWeights::equal(log_library.len(), global);

    let (saved, mut moments) = forward(&below_layers, Input::Rows(z), &weights);
    let hidden = if below_layers.is_empty() { z } else { saved.out() };
    let (folded, last_moments) = fold(&last, hidden, &weights);
    moments.push(last_moments);
    let inputs = Inputs { hidden, weight: &folded.weight, bias: &folded.bias, log_library, log_theta, likelihood };
    let mut value = log_likelihood(inputs, counts);
    let grad_last = folded.back(&last, [&value.weight, &value.bias], &mut value.hidden, global);
    let (grad_z, grad_below) = backward(&below, &below_layers, Input::Rows(z), &weights, &saved, value.hidden);

    #[expect(clippy::cast_possible_truncation, reason = "tensors are f32")]
    let sum = value.log_likelihood as f32;
    let grads = [grad_z, value.log_library, value.log_theta].into_iter().chain(grad_below).chain(grad_last).collect();
    (sum, moments, PrecomputedGradients(grads))
}
