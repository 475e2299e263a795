//! The whole way from z to ln p(x | z, xl), and back.

use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, backend::Backend};

use super::super::derivative::{Derivative, Trainable, all_numbers, function, input, numbers};
use super::super::expression::SparseRows;
use super::super::rows::made;
use super::super::stack::Sizes;
use super::super::stack::normalized::{Input, Moments, RowWeights, backward, forward};
use super::fold::fold;
use super::{Inputs, evaluate};
use crate::Whole;

/// What Σ ln p(x | z, xl) depends on.
pub(crate) struct Decoded<B: Backend> {
    /// `[visits, z]`.
    pub z: Tensor<B, 2>,
    /// The decoder's weights, layer after layer.
    pub weights: Vec<FloatTensor<B>>,
    /// ln xl, `[visits, 1]`.
    pub log_library: Tensor<B, 2>,
    /// ln θ, `[genes]`.
    pub log_theta: Tensor<B, 1>,
}

/// Σ ln p(x | z, xl) over visits and genes, `[1]`, and the moments of every layer. All derivatives are found on the way.
pub(crate) fn reconstruct<B: Trainable>(
    from: Decoded<B>,
    widths: &[usize],
    counts: SparseRows<'_>,
    whole: &Whole,
) -> (Tensor<B, 1>, Vec<Moments>) {
    let (z, weights_held) = (numbers(&from.z), all_numbers::<B>(&from.weights));
    let (log_library, log_theta) = (numbers(&from.log_library), numbers(&from.log_theta));
    let sizes = |widths: &[usize], activated| Sizes { widths: widths.to_vec(), normalized: true, activated };
    let below = sizes(&widths[..widths.len() - 1], true);
    let (weights_below, weights_of_last) = weights_held.split_at(weights_held.len() - below.parts());
    let last = sizes(&widths[widths.len() - 2..], false).layers(weights_of_last)[0];
    let below_layers = below.layers(weights_below);
    let weights = RowWeights::equal(log_library.len(), whole);

    let (kept, mut moments) = forward(&below_layers, Input::Rows(&z), &weights);
    let hidden = if below_layers.is_empty() { &z[..] } else { kept.out() };
    let (folded, last_moments) = fold(&last, hidden, &weights);
    moments.push(last_moments);
    let inputs =
        Inputs { hidden, weight: &folded.weight, bias: &folded.bias, log_library: &log_library, log_theta: &log_theta };
    let mut value = evaluate(inputs, counts);
    let by_last = folded.back(&last, [&value.weight, &value.bias], &mut value.hidden, whole);
    let (by_z, by_below) = backward(&below, &below_layers, Input::Rows(&z), &weights, &kept, value.hidden);

    #[expect(clippy::cast_possible_truncation, reason = "tensors are f32")]
    let sum = value.log_likelihood as f32;
    let slopes = [by_z, value.log_library, value.log_theta].into_iter().chain(by_below).chain(by_last).collect();
    let inputs = [input(from.z), input(from.log_library), input(from.log_theta)];
    let inputs: Vec<FloatTensor<B>> = inputs.into_iter().chain(from.weights).collect();
    (function(&inputs, vec![sum], [1], Slopes(slopes)), moments)
}

/// The derivatives of a sum, known beforehand.
#[derive(Debug)]
struct Slopes(Vec<Vec<f32>>);

impl Derivative for Slopes {
    fn by_inputs(&self, by_sum: Vec<f32>) -> Vec<Vec<f32>> {
        /// Numbers handled by one thread at a time.
        const CHUNK: usize = 1 << 14;
        let times = |slopes: &Vec<f32>| {
            made(slopes.len(), 1, CHUNK, |first, out| {
                out.iter_mut().zip(&slopes[first..]).for_each(|(out, slope)| *out = slope * by_sum[0]);
            })
        };
        self.0.iter().map(times).collect()
    }
}
