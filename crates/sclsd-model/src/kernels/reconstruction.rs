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
        let (mut sum, mut by_theta) = (0.0, vec![0.0; genes.count]);
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
        let genes = self.genes.count;
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
            let x = tensor(&counts.dense(genes), [visits, genes]).detach();
            let sum = zero_inflated_negative_binomial(x, theta, rate, gate).sum_dim(1).sum();
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

    /// ln p(x), and its derivatives by γ, ln r and ln θ, with the sums of the magnitudes that the last two are made of.
    struct Oracle {
        value: f64,
        by_gate: f64,
        by_log_rate: f64,
        rate_size: f64,
        by_log_theta: f64,
        size: f64,
    }

    /// In `f64`, whose digits suffice for these sums as they stand.
    fn oracle(x: u32, theta: f64, rate: f64, gate: f64) -> Oracle {
        const E: f64 = 1e-3;
        let u = (rate + E) / (theta + E);
        let terms = (0..x).map(f64::from);
        let choose: f64 = terms.clone().map(|k| ((theta + k) / (k + 1.0)).ln()).sum();
        let psi: f64 = terms.map(|k| 1.0 / (theta + k)).sum();
        let count = f64::from(x);
        let negative_binomial = count * u.ln() - (count + theta) * u.ln_1p() + choose;
        let w = (count - theta * u) / (1.0 + u);
        let by_theta = psi - u.ln_1p() - w / (theta + E);
        let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
        let softplus = |v: f64| v.max(0.0) + (-v.abs()).exp().ln_1p();
        let d = negative_binomial - gate;
        let (share, value, by_gate) = match x {
            0 => (sigmoid(d), softplus(d) - softplus(-gate), sigmoid(-gate) - sigmoid(d)),
            _ => (1.0, negative_binomial - softplus(gate), -sigmoid(gate)),
        };
        Oracle {
            value,
            by_gate,
            by_log_rate: share * w * rate / (rate + E),
            rate_size: share * (count + theta * u) / (1.0 + u) * rate / (rate + E),
            by_log_theta: share * by_theta * theta,
            // where θ is large its parts are of x² / θ², r² / θ² and so on
            size: share
                * theta
                * if count < theta {
                    u.ln_1p() - u / (1.0 + u)
                        + (count + E) * u / (1.0 + u) / (theta + E)
                        + (psi - count / (theta + E)).abs()
                } else {
                    u.ln_1p() + w.abs() / (theta + E) + psi
                },
        }
    }

    /// Inverse dispersions, rates, gates and counts of a grid.
    fn grid() -> (Vec<f32>, Vec<f32>, [f32; 3], [u32; 7]) {
        let thetas = [0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5];
        let rates = [1e-4, 1e-3, 1e-2, 0.1, 1.0, 30.0, 500.0];
        (thetas.to_vec(), rates.to_vec(), [-4.0, 0.0, 4.0], [0, 1, 2, 5, 16, 40, 700])
    }

    /// Whether a derivative is as exact as all derivatives must be.
    fn close(found: f32, exact: f64, size: f64) -> bool {
        (f64::from(found) - exact).abs() <= 1e-5 * size + 1e-30
    }

    /// A gene for every inverse dispersion, in one visit after another with the same rates: both ways of computing it.
    #[test]
    fn value_and_derivatives_are_those_of_an_oracle_for_every_inverse_dispersion_and_rate() {
        let (thetas, rates, gates, counts) = grid();
        let log_theta: Vec<f32> = thetas.iter().map(|theta| theta.ln()).collect();
        let genes = thetas.len();
        let indices: Vec<u32> = (0..7).collect();
        let gates_and_counts: Vec<(f32, u32)> =
            gates.iter().flat_map(|&gate| counts.map(|count| (gate, count))).collect();
        let cases =
            rates.iter().flat_map(|&rate| gates_and_counts.iter().map(move |&(gate, count)| (rate, gate, count)));
        for (rate, gate, count) in cases {
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let (values, library) = (vec![count as f32; genes], rate * genes as f32);
            let counts = SparseRows { indptr: &[0, genes], indices: &indices, values: &values, rows: &[0] };
            let bias: Vec<f32> = [vec![gate; genes], vec![0.0; genes]].concat();
            let (weight, log_library) = (vec![0.0; 2 * genes], [library.ln()]);
            let inputs = Inputs {
                hidden: &[0.0],
                weight: &weight,
                bias: &bias,
                log_library: &log_library,
                log_theta: &log_theta,
            };
            let found = evaluate(inputs, counts);

            let rates: Vec<f64> = vec![f64::from(log_library[0]).exp() / 7.0; genes];
            let exact: Vec<Oracle> = (0..genes)
                .map(|gene| oracle(count, f64::from(log_theta[gene].exp()), rates[gene], f64::from(gate)))
                .collect();
            let case =
                |what: &str, gene: usize| format!("{what} of {count} at {} and {rate}, gate {gate}", thetas[gene]);
            let value: f64 = exact.iter().map(|o| o.value).sum();
            // logarithms are taken of numbers of order 1
            let size: f64 = exact.iter().map(|o| 1.0 + o.value.abs() + f64::from(gate.abs()) + f64::from(count)).sum();
            assert!((found.log_likelihood - value).abs() < 5e-7 * size, "{} {value}", found.log_likelihood);
            let by_library: f64 = exact.iter().map(|o| o.by_log_rate).sum();
            let scale: f64 = exact.iter().map(|o| o.rate_size).sum();
            assert!(close(found.log_library[0], by_library, scale), "{}", case("by library", 0));
            for (gene, exact) in exact.iter().enumerate() {
                let theta = (found.log_theta[gene], exact.by_log_theta, exact.size);
                assert!(close(theta.0, theta.1, theta.2), "{}: {theta:?}", case("by theta", gene));
                let by_gate = (found.bias[gene], exact.by_gate);
                // 1 - sigma(gate) and sigma(d) are of order 1
                assert!(close(by_gate.0, by_gate.1, by_gate.1.abs() + 0.02), "{}: {by_gate:?}", case("by gate", gene));
                let by_rate = exact.by_log_rate - by_library / 7.0;
                assert!(close(found.bias[genes + gene], by_rate, scale), "{}", case("by rate", gene));
            }
        }
    }

    #[test]
    fn the_tensor_code_has_the_derivatives_of_the_oracle_for_every_inverse_dispersion_and_rate() {
        let (thetas, rates, gates, counts) = grid();
        let row = |values: Vec<f32>| {
            let shape = [1, values.len()];
            let data = burn::tensor::TensorData::new(values, shape);
            Tensor::<B, 2>::from_data(data, &Default::default()).require_grad()
        };
        for (&theta, &gate) in thetas.iter().flat_map(|t| gates.iter().map(move |g| (t, g))) {
            let cases: Vec<(f32, u32)> = rates.iter().flat_map(|&r| counts.map(|c| (r, c))).collect();
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let x = row(cases.iter().map(|case| case.1 as f32).collect()).detach();
            let rate = row(cases.iter().map(|case| case.0).collect());
            let log_theta = row(vec![theta.ln(); cases.len()]);
            let gates = row(vec![gate; cases.len()]);
            let each = zero_inflated_negative_binomial(x, log_theta.clone().exp(), rate.clone(), gates.clone());
            let values: Vec<f32> = each.clone().into_data().to_vec().unwrap();
            let gradients = each.sum().backward();
            let of = |leaf: &Tensor<B, 2>| leaf.grad(&gradients).unwrap().into_data().to_vec::<f32>().unwrap();
            let (by_theta, by_rate, by_gate) = (of(&log_theta), of(&rate), of(&gates));
            for (i, &(rate, count)) in cases.iter().enumerate() {
                let exact = oracle(count, f64::from(theta.ln().exp()), f64::from(rate), f64::from(gate));
                let case = format!("{count} at {theta} and {rate}, gate {gate}");
                let size = 0.1 + exact.value.abs() + f64::from(gate.abs()) + f64::from(count);
                assert!(
                    (f64::from(values[i]) - exact.value).abs() < 1e-5 * size,
                    "{case}: {} {}",
                    values[i],
                    exact.value
                );
                let found = (by_theta[i], exact.by_log_theta, exact.size);
                assert!(close(found.0, found.1, 3.0 * found.2), "by theta, {case}: {found:?}");
                let found = (by_rate[i] * rate, exact.by_log_rate);
                // x less x u / (1 + u), where the host knows x / (1 + u)
                let size = exact.rate_size + 0.1 * f64::from(count);
                assert!(close(found.0, found.1, size), "by rate, {case}: {found:?}");
                assert!(close(by_gate[i], exact.by_gate, exact.by_gate.abs() + 0.02), "by gate, {case}");
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
