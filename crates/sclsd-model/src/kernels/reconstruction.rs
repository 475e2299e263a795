//! ln p(x | z, xl) of a batch with its derivatives, the decoder's last layer included.
//!
//! Per visit, with h the last hidden layer, W and b of the last layer (its batch norm folded in), l = ln xl:
//!
//! ```text
//! (γ, m) = W h + b            gate logits and rate logits, G genes each
//! r = exp(l) softmax(m),   u = (r + ε) / (θ + ε)
//! ln NB(x) = x ln u − (x + θ) ln(1 + u) + ln Γ(x + θ) − ln Γ(θ) − ln Γ(x + 1)
//! ln p(0)  = ln σ(γ) + ln(1 + exp(ln NB(0) − γ)),   ln p(x) = ln σ(−γ) + ln NB(x)   for x > 0
//! ```
//!
//! A block of visits goes through the product, the likelihood and the way back to h while it is in the cache; a few blocks
//! later their derivatives by the logits become those by the weights. Nothing of all visits × genes is ever held. Derivatives of the sum over visits and genes are returned with it.
//!
//! The tensor code for the same is [`zero_inflated_negative_binomial`](crate::density::zero_inflated_negative_binomial)
//! after a linear layer and a softmax.

mod decoder;
mod fold;
mod genes;
mod likelihood;

pub(crate) use decoder::{Decoded, reconstruct};

use std::ops::Range;

use pulp::Arch;
use rayon::prelude::*;

use super::expression::SparseRows;
use super::products::{self, Packed, Rows, Summand, Terms};
use super::rows::{BLOCK, add, blocks, groups, made};
use genes::Genes;
use likelihood::{Likelihood, Room, Sums, Visit, padded, padded_bias};

/// ε of the rates.
pub(crate) const EPSILON: f32 = 1e-3;

/// What the likelihood depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    /// h, `visits × width`.
    pub hidden: &'a [f32],
    /// W, `2 genes × width`.
    pub weight: &'a [f32],
    /// b, `2 genes`.
    pub bias: &'a [f32],
    /// ln xl, `visits`.
    pub log_library: &'a [f32],
    /// ln θ, `genes`.
    pub log_theta: &'a [f32],
}

/// The sum over visits and genes, and its derivative with respect to every input.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub log_likelihood: f64,
    pub hidden: Vec<f32>,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub log_library: Vec<f32>,
    pub log_theta: Vec<f32>,
}

/// Visits whose derivatives by the logits are kept until those by the weights are made of them: what there is room for in the
/// caches.
const CHUNK: usize = 512;

/// Evaluates it.
pub(crate) fn evaluate(inputs: Inputs<'_>, counts: SparseRows<'_>) -> Value {
    let visits = inputs.log_library.len();
    let genes = inputs.log_theta.len();
    let width = inputs.hidden.len() / visits.max(1);
    let decoder = Decoder::new(&inputs, width);
    let (places, stride) = (padded(genes), decoder.stride);
    let mut value = Value {
        log_likelihood: 0.0,
        hidden: made(visits, width, BLOCK, |_, _| {}),
        weight: made(2 * genes, width, BLOCK, |_, _| {}),
        bias: vec![0.0; 2 * genes],
        log_library: vec![0.0; visits],
        log_theta: vec![0.0; genes],
    };
    choose(&decoder.genes, counts, &mut value);
    let mut logits = made(CHUNK.min(visits), stride, BLOCK, |_, _| {});
    for first in (0..visits).step_by(CHUNK) {
        let chunk = first..visits.min(first + CHUNK);
        let logits = &mut logits[..chunk.len() * stride];
        let hidden = &mut value.hidden[chunk.start * width..chunk.end * width];
        let library = &mut value.log_library[chunk.clone()];
        let blocks: Vec<_> = blocks(chunk.clone()).collect();
        let size = blocks[0].len();
        let made: Vec<Made> = logits
            .par_chunks_mut(size * stride)
            .zip(hidden.par_chunks_mut(size * width))
            .zip(library.par_chunks_mut(size))
            .zip(blocks.into_par_iter())
            .map(|(((logits, hidden), library), visits)| decoder.block(counts, visits, logits, hidden, library))
            .collect();
        for Made { sums, .. } in &made {
            value.log_likelihood += sums.log_likelihood;
            for (bias, sums) in value.bias.chunks_mut(genes.max(1)).zip(sums.bias.chunks(places.max(1))) {
                add(bias, sums);
            }
            add(&mut value.log_theta, &sums.theta);
        }
        let (gates, rates) = value.weight.split_at_mut(genes * width);
        let pairs = |half: usize| made.iter().map(|made| [&made.slopes[half], &made.hidden]).collect::<Vec<_>>();
        rayon::join(|| products::add_sums(gates, &pairs(0)), || products::add_sums(rates, &pairs(1)));
    }
    value.log_theta.iter_mut().zip(&decoder.genes.theta).for_each(|(d, theta)| *d *= theta);
    value
}

/// Adds what Γ functions add, once for every distinct cell, by how often it is visited; the derivative by θ, not by its
/// logarithm.
fn choose(genes: &Genes, counts: SparseRows<'_>, value: &mut Value) {
    let mut visits: Vec<usize> = (0..counts.rows.len()).collect();
    visits.sort_unstable_by_key(|&visit| counts.rows[visit]);
    let cells: Vec<&[usize]> = visits.chunk_by(|&a, &b| counts.rows[a] == counts.rows[b]).collect();
    let of_cells = |group: Range<usize>| {
        let (mut sum, mut by_theta) = (0.0, vec![0.0; genes.count()]);
        for visits in &cells[group] {
            let (columns, values) = counts.row(visits[0]);
            #[expect(clippy::cast_precision_loss, reason = "visits of a batch are far below 2^24")]
            let often = visits.len() as f32;
            for (&gene, &x) in columns.iter().zip(values).filter(|(_, x)| **x > 0.0) {
                let (log, slope) = genes.choose(gene as usize, x);
                sum += f64::from(often) * f64::from(log);
                by_theta[gene as usize] += often * slope;
            }
        }
        (sum, by_theta)
    };
    let parts: Vec<(f64, Vec<f32>)> = groups(cells.len()).into_par_iter().map(of_cells).collect();
    for (sum, by_theta) in &parts {
        value.log_likelihood += sum;
        add(&mut value.log_theta, by_theta);
    }
}

/// What all visits have in common.
struct Decoder<'a> {
    hidden: Rows<'a>,
    /// Numbers in a row of logits: gates, rates, and so many more that rows do not all fall on the same places of the cache.
    stride: usize,
    /// Of gates and of rates, for the way forward.
    forward: [Packed; 2],
    /// And for the way back.
    back: [Packed; 2],
    bias: Vec<f32>,
    log_library: &'a [f32],
    genes: Genes,
}

impl<'a> Decoder<'a> {
    fn new(inputs: &Inputs<'a>, width: usize) -> Self {
        /// Numbers in a line of the cache.
        const LINE: usize = 16;
        let genes = inputs.log_theta.len();
        let (gates, rates) = inputs.weight.split_at(genes * width);
        Self {
            hidden: Rows::new(inputs.hidden, width),
            stride: ((2 * padded(genes) / LINE) | 1) * LINE,
            forward: [gates, rates].map(|weight| Packed::transposed(weight, width, Terms::Three)),
            back: [gates, rates].map(|weight| Packed::new(weight, width, Terms::Two)),
            bias: padded_bias(inputs.bias),
            log_library: inputs.log_library,
            genes: Genes::new(inputs.log_theta),
        }
    }

    /// A block of visits: fills in the derivatives by h and ln xl. In `logits` is room for the logits.
    fn block(
        &self,
        counts: SparseRows<'_>,
        visits: Range<usize>,
        logits: &mut [f32],
        hidden: &mut [f32],
        library: &mut [f32],
    ) -> Made {
        let (width, stride) = (self.hidden.stride, self.stride);
        let places = self.bias.len() / 2;
        let genes = self.genes.count();
        for (half, weight) in self.forward.iter().enumerate() {
            products::times(&mut logits[half * places..], stride, self.hidden.some(visits.clone()), weight);
        }
        let (arch, mut sums, mut room) = (Arch::new(), Sums::new(genes), Room::new(genes));
        for ((visit, logits), slope) in visits.clone().zip(logits.chunks_exact_mut(stride)).zip(library) {
            let log_library = self.log_library[visit];
            let visit = Visit { genes: &self.genes, bias: &self.bias, log_library, counts: counts.row(visit) };
            let logits = &mut logits[..2 * places];
            *slope = arch.dispatch(Likelihood { visit, logits, sums: &mut sums, room: &mut room });
        }
        let slopes = [&*logits, &logits[places..]].map(|values| Rows { values, stride });
        products::times(hidden, width, slopes[0], &self.back[0]);
        products::add_times(hidden, width, slopes[1], &self.back[1]);
        let slopes = slopes.map(|slopes| Summand::first(slopes, genes, Terms::Two));
        Made { sums, slopes, hidden: Summand::second(self.hidden.some(visits), width, Terms::Two) }
    }
}

/// What a block leaves for the sums over all visits.
struct Made {
    sums: Sums,
    /// By gates and by rates.
    slopes: [Summand; 2],
    hidden: Summand,
}

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, Flex};
    use burn::tensor::{Tensor, activation::softmax};
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::density::zero_inflated_negative_binomial;

    type B = Autodiff<Flex>;

    /// Visits, genes, width.
    const SIZES: [(usize, usize, usize); 3] = [(3, 5, 4), (150, 37, 9), (1100, 16, 8)];

    #[test]
    fn value_and_derivatives_are_those_of_the_tensor_code() {
        for (visits, genes, width) in SIZES {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(visits as u64);
            let mut draw =
                |n: usize, low: f32, high: f32| -> Vec<f32> { (0..n).map(|_| rng.random_range(low..high)).collect() };
            let hidden = draw(visits * width, -1.0, 1.0);
            let weight = draw(2 * genes * width, -1.5, 1.5);
            let bias = draw(2 * genes, -1.0, 1.0);
            let log_library = draw(visits, 2.0, 6.0);
            let log_theta = draw(genes, -1.0, 5.0);
            // every third cell twice, counts mostly 0, some beyond the table
            let cells = visits.div_ceil(2);
            let dense: Vec<f32> =
                draw(cells * genes, -3.0, 2.0).into_iter().map(|v| (v * v * v * 5.0).max(0.0).floor()).collect();
            let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
            for row in dense.chunks_exact(genes) {
                for (gene, &count) in (0..).zip(row) {
                    if count > 0.0 || gene == 1 {
                        indices.push(gene);
                        values.push(count);
                    }
                }
                indptr.push(indices.len());
            }
            let rows: Vec<u32> = (0..u32::try_from(visits).unwrap()).map(|v| v / 2).collect();
            let counts = SparseRows { indptr: &indptr, indices: &indices, values: &values, rows: &rows };
            assert!(visits < 100 || values.iter().any(|&x| x > 16.0) && values.contains(&1.0) && values.contains(&0.0));
            let inputs = Inputs {
                hidden: &hidden,
                weight: &weight,
                bias: &bias,
                log_library: &log_library,
                log_theta: &log_theta,
            };
            let found = evaluate(inputs, counts);

            let tensor = |v: &[f32], shape: [usize; 2]| {
                let data = burn::tensor::TensorData::new(v.to_vec(), shape);
                Tensor::<B, 2>::from_data(data, &Default::default()).require_grad()
            };
            let (h, w) = (tensor(&hidden, [visits, width]), tensor(&weight, [2 * genes, width]));
            let (b, l, t) =
                (tensor(&bias, [1, 2 * genes]), tensor(&log_library, [visits, 1]), tensor(&log_theta, [1, genes]));
            let logits = h.clone().matmul(w.clone().transpose()) + b.clone();
            let (gate, m) = (logits.clone().narrow(1, 0, genes), logits.narrow(1, genes, genes));
            let rate = softmax(m, 1) * l.clone().exp();
            let theta = t.clone().exp();
            let eta = rate.add_scalar(1e-3).log() - theta.clone().add_scalar(1e-3).log();
            let x = tensor(&counts.dense(genes), [visits, genes]).detach();
            let sum = zero_inflated_negative_binomial(x, theta, eta, gate).sum_dim(1).sum();
            let expected = f64::from(sum.clone().into_scalar());
            assert!(
                (found.log_likelihood - expected).abs() < 2e-5 * expected.abs(),
                "{} {expected}",
                found.log_likelihood
            );
            let gradients = sum.backward();
            for (name, found, leaf) in [
                ("hidden", &found.hidden, &h),
                ("weight", &found.weight, &w),
                ("bias", &found.bias, &b),
                ("log_library", &found.log_library, &l),
                ("log_theta", &found.log_theta, &t),
            ] {
                let expected: Vec<f32> = leaf.grad(&gradients).unwrap().into_data().to_vec().unwrap();
                let largest = expected.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
                for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
                    assert!((a - b).abs() < 1e-4 * (largest + b.abs()), "{name}[{i}] of {visits}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn one_thread_and_two_give_the_same_bits() {
        let (visits, genes, width) = (700, 20, 6);
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
        let (hidden, weight, bias) = (draw(visits * width), draw(2 * genes * width), draw(2 * genes));
        let (log_library, log_theta) = (draw(visits), draw(genes));
        let rows: Vec<u32> = vec![0; visits];
        let counts = SparseRows { indptr: &[0, 2], indices: &[3, 9], values: &[2.0, 40.0], rows: &rows };
        let inputs =
            Inputs { hidden: &hidden, weight: &weight, bias: &bias, log_library: &log_library, log_theta: &log_theta };
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let value = pool.install(|| evaluate(inputs, counts));
            (value.log_likelihood.to_bits(), value.weight, value.hidden, value.log_theta)
        };
        assert_eq!(on(1), on(2));
    }
}
