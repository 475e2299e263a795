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
//! later their derivatives by the logits become those by the weights. Nothing of all visits × genes is ever held. Every count is first taken for 0, which makes one loop without branches;
//! the few that are not are then put right. Derivatives of the sum over visits and genes are returned with it.
//!
//! The tensor code for the same is [`zero_inflated_negative_binomial`](crate::density::zero_inflated_negative_binomial)
//! after a linear layer and a softmax.

mod decoder;
mod fold;
mod genes;
mod term;

pub(crate) use decoder::{Decoded, reconstruct};

use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::expression::SparseRows;
use super::products;
use super::rows::{BLOCK, add, blocks};
use super::vector::exp;
use genes::Genes;
use term::{Counts, nothings, somethings};

/// ε of the rates.
pub(crate) const EPSILON: f32 = 1e-3;
/// Genes handled side by side.
const LANES: usize = 64;

/// What the likelihood depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    /// h, `visits × width`.
    pub hidden: &'a [f32],
    /// W, `2 genes × width`.
    pub weight: &'a [f32],
    /// Wᵀ, `width × 2 genes`: what a product of rows runs through fastest.
    pub transposed: &'a [f32],
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

/// Visits whose derivatives by the logits are kept until those by the weights are made of them.
const CHUNK: usize = 1024;
/// Rows of the weights that are worked on by one thread while they are in its cache.
const PANEL: usize = 256;

/// Evaluates it.
pub(crate) fn evaluate(inputs: Inputs<'_>, counts: SparseRows<'_>) -> Value {
    let visits = inputs.log_library.len();
    let genes = inputs.log_theta.len();
    let width = inputs.hidden.len() / visits.max(1);
    let tables = Genes::new(inputs.log_theta);
    let mut value = Value {
        log_likelihood: 0.0,
        hidden: vec![0.0; inputs.hidden.len()],
        weight: vec![0.0; 2 * genes * width],
        bias: vec![0.0; 2 * genes],
        log_library: vec![0.0; visits],
        log_theta: vec![0.0; genes],
    };
    let mut logits = vec![0.0; CHUNK.min(visits) * 2 * genes];
    for first in (0..visits).step_by(CHUNK) {
        let chunk = first..visits.min(first + CHUNK);
        let logits = &mut logits[..chunk.len() * 2 * genes];
        let hidden = &mut value.hidden[chunk.start * width..chunk.end * width];
        let library = &mut value.log_library[chunk.clone()];
        let blocks: Vec<_> = blocks(chunk.clone()).collect();
        let size = blocks[0].len();
        let sums: Vec<Sums> = logits
            .par_chunks_mut(size * 2 * genes)
            .zip(hidden.par_chunks_mut(size * width))
            .zip(library.par_chunks_mut(size))
            .zip(blocks.into_par_iter())
            .map(|(((logits, hidden), library), visits)| {
                let mut sums = Sums::new(genes);
                sums.block(&inputs, &tables, counts, visits, logits, hidden, library);
                sums
            })
            .collect();
        for sums in &sums {
            value.log_likelihood += sums.log_likelihood;
            add(&mut value.bias, &sums.bias);
            add(&mut value.log_theta, &sums.theta);
        }
        let h = &inputs.hidden[chunk.start * width..chunk.end * width];
        value.weight.par_chunks_mut(PANEL * width).enumerate().for_each(|(panel, weight)| {
            let columns = panel * PANEL..panel * PANEL + weight.len() / width;
            for (slopes, h) in logits.chunks(BLOCK * 2 * genes).zip(h.chunks(BLOCK * width)) {
                products::add_columns_transposed_times(weight, slopes, 2 * genes, columns.clone(), h, width);
            }
        });
    }
    value.log_theta.iter_mut().zip(&tables.theta).for_each(|(d, theta)| *d *= theta);
    value
}

/// Sums over the visits of a block.
struct Sums {
    log_likelihood: f64,
    bias: Vec<f32>,
    /// By θ, not by its logarithm.
    theta: Vec<f32>,
}

impl Sums {
    fn new(genes: usize) -> Self {
        Self { log_likelihood: 0.0, bias: vec![0.0; 2 * genes], theta: vec![0.0; genes] }
    }

    /// A block of visits: leaves the derivatives by the logits in `logits`, and fills in those by h and ln xl.
    #[expect(clippy::too_many_arguments, reason = "one block's slices")]
    fn block(
        &mut self,
        inputs: &Inputs<'_>,
        genes: &Genes,
        counts: SparseRows<'_>,
        visits: std::ops::Range<usize>,
        logits: &mut [f32],
        hidden: &mut [f32],
        library: &mut [f32],
    ) {
        let (n, n_genes) = (visits.len(), genes.theta.len());
        let width = hidden.len() / n;
        let h = &inputs.hidden[visits.start * width..visits.end * width];
        products::times(logits, h, inputs.transposed, [n, width, 2 * n_genes]);

        let arch = Arch::new();
        let room = || vec![0.0; n_genes];
        let mut scratch = Scratch { gate: room(), share: room(), value: room(), by_theta: room() };
        for (i, visit) in visits.enumerate() {
            let (gate, rate) = logits[i * 2 * n_genes..(i + 1) * 2 * n_genes].split_at_mut(n_genes);
            let (theta, log_library) = (&mut self.theta, inputs.log_library[visit]);
            let row = Row { genes, bias: inputs.bias, log_library, counts: counts.row(visit) };
            let scratch = &mut scratch;
            let (value, slope) = arch.dispatch(Likelihood { row: &row, gate, rate, by_theta: theta, scratch });
            self.log_likelihood += value;
            library[i] = slope;
        }
        for row in logits.chunks_exact(2 * n_genes) {
            add(&mut self.bias, row);
        }
        products::times(hidden, logits, inputs.weight, [n, 2 * n_genes, width]);
    }
}

/// One visit.
struct Row<'a> {
    genes: &'a Genes,
    bias: &'a [f32],
    log_library: f32,
    counts: (&'a [u32], &'a [f32]),
}

/// Room for what a visit needs on the way.
struct Scratch {
    gate: Vec<f32>,
    share: Vec<f32>,
    value: Vec<f32>,
    by_theta: Vec<f32>,
}

/// [`Row::likelihood`] as something that can be compiled for the vector width at hand: a closure would not be.
struct Likelihood<'a> {
    row: &'a Row<'a>,
    gate: &'a mut [f32],
    rate: &'a mut [f32],
    by_theta: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl NullaryFnOnce for Likelihood<'_> {
    type Output = (f64, f32);

    #[inline(always)]
    fn call(self) -> Self::Output {
        self.row.likelihood(self.gate, self.rate, self.by_theta, self.scratch)
    }
}

impl Row<'_> {
    /// ln p of the visit and its derivative by ln xl. Takes W h in `gate` and `rate` and leaves the derivatives by the
    /// logits there; adds those by θ to `by_theta`.
    #[inline(always)]
    fn likelihood(
        &self,
        gate: &mut [f32],
        rate: &mut [f32],
        by_theta: &mut [f32],
        scratch: &mut Scratch,
    ) -> (f64, f32) {
        let n = gate.len();
        let (gate_bias, rate_bias) = self.bias.split_at(n);
        let (gate_bias, rate_bias, rate, by_theta) =
            (&gate_bias[..n], &rate_bias[..n], &mut rate[..n], &mut by_theta[..n]);
        let (theta, inverse) = (&self.genes.theta[..n], &self.genes.inverse[..n]);
        let (logits, share, value) = (&mut scratch.gate[..n], &mut scratch.share[..n], &mut scratch.value[..n]);
        let slopes = &mut scratch.by_theta[..n];
        for i in 0..n {
            logits[i] = gate[i] + gate_bias[i];
            rate[i] += rate_bias[i];
        }
        let largest = fold(rate, f32::max, f32::NEG_INFINITY);
        for i in 0..n {
            share[i] = exp(rate[i] - largest);
        }
        let (scale, library) = (1.0 / fold(share, |a, b| a + b, 0.0), exp(self.log_library));

        // as if every count were 0
        for first in (0..n).step_by(LANES) {
            let span = first..n.min(first + LANES);
            let terms = nothings(
                &logits[span.clone()],
                &mut share[span.clone()],
                scale,
                library,
                &theta[span.clone()],
                &inverse[span.clone()],
            );
            let len = span.len();
            value[span.clone()].copy_from_slice(&terms.value[..len]);
            gate[span.clone()].copy_from_slice(&terms.by_gate[..len]);
            rate[span.clone()].copy_from_slice(&terms.by_log_rate[..len]);
            slopes[span].copy_from_slice(&terms.by_theta[..len]);
        }
        self.something(gate, rate, scratch, library);
        by_theta.iter_mut().zip(&scratch.by_theta[..n]).for_each(|(sum, d)| *sum += d);
        let (share, value) = (&scratch.share[..n], &scratch.value[..n]);
        let pull = fold(rate, |a, b| a + b, 0.0);
        for i in 0..n {
            rate[i] -= share[i] * pull; // through the softmax
        }
        (f64::from(fold(value, |a, b| a + b, 0.0)), pull)
    }
}

impl Row<'_> {
    /// Puts right what was taken for 0 and is not, brought together so that it is vector code too.
    #[inline(always)]
    fn something(&self, gate: &mut [f32], rate: &mut [f32], scratch: &mut Scratch, library: f32) {
        let (genes, counts) = self.counts;
        for (genes, counts) in genes.chunks(LANES).zip(counts.chunks(LANES)) {
            let mut some = Counts::none();
            for (lane, (&gene, &x)) in genes.iter().zip(counts).enumerate() {
                let i = gene as usize;
                some.gate[lane] = scratch.gate[i];
                some.rate[lane] = scratch.share[i] * library;
                some.theta[lane] = self.genes.theta[i];
                some.inverse[lane] = self.genes.inverse[i];
                some.count[lane] = x;
                (some.choose[lane], some.by_theta[lane]) = self.genes.choose(i, x);
            }
            let terms = somethings(&some);
            for (lane, (&gene, _)) in genes.iter().zip(counts).enumerate().filter(|(_, (_, x))| **x > 0.0) {
                let i = gene as usize;
                scratch.value[i] = terms.value[lane];
                gate[i] = terms.by_gate[lane];
                rate[i] = terms.by_log_rate[lane];
                scratch.by_theta[i] = terms.by_theta[lane];
            }
        }
    }
}

/// Folds eight lanes side by side, then them, then the rest.
#[inline(always)]
fn fold(values: &[f32], f: impl Fn(f32, f32) -> f32, start: f32) -> f32 {
    let mut lanes = [start; 8];
    let (chunks, rest) = values.as_chunks::<8>();
    for chunk in chunks {
        for lane in 0..8 {
            lanes[lane] = f(lanes[lane], chunk[lane]);
        }
    }
    rest.iter().chain(&lanes).fold(start, |a, &b| f(a, b))
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
            let transposed = products::transposed(&weight, width);
            let inputs = Inputs {
                hidden: &hidden,
                weight: &weight,
                transposed: &transposed,
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
        let transposed = products::transposed(&weight, width);
        let inputs = Inputs {
            hidden: &hidden,
            weight: &weight,
            transposed: &transposed,
            bias: &bias,
            log_library: &log_library,
            log_theta: &log_theta,
        };
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let value = pool.install(|| evaluate(inputs, counts));
            (value.log_likelihood.to_bits(), value.weight, value.hidden, value.log_theta)
        };
        assert_eq!(on(1), on(2));
    }
}
