//! The log-likelihood summed over visits and genes, with its gradients, computed in blocks of visits.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::genes::{Genes, padded};
use super::likelihood::{BuiltIn, Nb, Poisson, Scratch, Visit, VisitSums, Zinb, custom, padded_bias};
use crate::expression::SparseRows;
use crate::likelihood::{CountLikelihood, GeneLikelihood};
use crate::products::{self, PackedFactor, Rows, Summand, Terms};
use crate::rows::{BLOCK, add, blocks, filled_rows, groups};
use crate::simd::arch;

/// Inputs of the log-likelihood.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
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
    /// Distribution of the counts.
    pub likelihood: &'a CountLikelihood,
}

/// The sum over visits and genes, and its gradient with respect to every input.
#[derive(Debug, Clone)]
pub struct Value {
    /// Σ ln p.
    pub log_likelihood: f64,
    /// Gradient with respect to h, `visits × width`.
    pub hidden: Vec<f32>,
    /// Gradient with respect to W, `2 genes × width`.
    pub weight: Vec<f32>,
    /// Gradient with respect to b, `2 genes`.
    pub bias: Vec<f32>,
    /// Gradient with respect to ln xl, `visits`.
    pub log_library: Vec<f32>,
    /// Gradient with respect to ln θ, `genes`.
    pub log_theta: Vec<f32>,
}

/// Visits whose gradients with respect to the logits are held at a time, before they are turned into gradients with
/// respect to the weights: as many as fit the caches.
const CHUNK: usize = 512;

/// Computes Σ ln p and its gradients.
#[must_use]
pub fn log_likelihood(inputs: Inputs<'_>, counts: SparseRows<'_>) -> Value {
    let visits = inputs.log_library.len();
    let genes = inputs.log_theta.len();
    let width = inputs.hidden.len() / visits.max(1);
    let decoder = Decoder::new(&inputs, width);
    let (places, stride) = (padded(genes), decoder.stride);
    let mut value = Value {
        log_likelihood: 0.0,
        hidden: filled_rows(visits, width, BLOCK, |_, _| {}),
        weight: filled_rows(2 * genes, width, BLOCK, |_, _| {}),
        bias: vec![0.0; 2 * genes],
        log_library: vec![0.0; visits],
        log_theta: vec![0.0; genes],
    };
    if matches!(inputs.likelihood, CountLikelihood::BuiltIn(_)) {
        choose(&decoder.genes, counts, &mut value);
    }
    let mut logits = filled_rows(CHUNK.min(visits), stride, BLOCK, |_, _| {});
    for first in (0..visits).step_by(CHUNK) {
        let chunk = first..visits.min(first + CHUNK);
        let logits = &mut logits[..chunk.len() * stride];
        let hidden = &mut value.hidden[chunk.start * width..chunk.end * width];
        let library = &mut value.log_library[chunk.clone()];
        let blocks: Vec<_> = blocks(chunk.clone()).collect();
        let size = blocks[0].len();
        let filled_rows: Vec<BlockOutput> = logits
            .par_chunks_mut(size * stride)
            .zip(hidden.par_chunks_mut(size * width))
            .zip(library.par_chunks_mut(size))
            .zip(blocks.into_par_iter())
            .map(|(((logits, hidden), library), visits)| decoder.block(counts, visits, logits, hidden, library))
            .collect();
        for BlockOutput { sums, .. } in &filled_rows {
            value.log_likelihood += sums.log_likelihood;
            for (bias, sums) in value.bias.chunks_mut(genes.max(1)).zip(sums.bias.chunks(places.max(1))) {
                add(bias, sums);
            }
            add(&mut value.log_theta, &sums.theta);
        }
        let (gates, rates) = value.weight.split_at_mut(genes * width);
        let pairs = |half: usize| {
            filled_rows.iter().map(|filled_rows| [&filled_rows.grads[half], &filled_rows.hidden]).collect::<Vec<_>>()
        };
        rayon::join(|| products::add_sums(gates, &pairs(0)), || products::add_sums(rates, &pairs(1)));
    }
    value.log_theta.iter_mut().zip(&decoder.genes.theta).for_each(|(d, theta)| *d *= theta);
    value
}

/// Adds the terms with Γ functions, once for every distinct cell times its number of visits. The gradient is with
/// respect to θ, not to ln θ.
fn choose(genes: &Genes, counts: SparseRows<'_>, value: &mut Value) {
    let mut visits: Vec<usize> = (0..counts.rows.len()).collect();
    visits.sort_unstable_by_key(|&visit| counts.rows[visit]);
    let cells: Vec<&[usize]> = visits.chunk_by(|&a, &b| counts.rows[a] == counts.rows[b]).collect();
    let of_cells = |group: Range<usize>| {
        let (mut sum, mut grad_theta) = (0.0, vec![0.0; genes.count]);
        for visits in &cells[group] {
            let (columns, values) = counts.row(visits[0]);
            #[expect(clippy::cast_precision_loss, reason = "visits of a batch are far below 2^24")]
            let often = visits.len() as f32;
            for (&gene, &x) in columns.iter().zip(values).filter(|(_, x)| **x > 0.0) {
                let (log, grad) = genes.choose(gene as usize, x);
                sum += f64::from(often) * f64::from(log);
                grad_theta[gene as usize] += often * grad;
            }
        }
        (sum, grad_theta)
    };
    let parts: Vec<(f64, Vec<f32>)> = groups(cells.len()).into_par_iter().map(of_cells).collect();
    for (sum, grad_theta) in &parts {
        value.log_likelihood += sum;
        add(&mut value.log_theta, grad_theta);
    }
}

/// What all visits share.
struct Decoder<'a> {
    hidden: Rows<'a>,
    /// Numbers in a row of logits: gates, rates, and padding that keeps rows from mapping to the same cache sets.
    stride: usize,
    /// Weights of the gates and of the rates, packed for the forward pass.
    forward: [PackedFactor; 2],
    /// The same weights, packed for the backward pass.
    back: [PackedFactor; 2],
    bias: Vec<f32>,
    log_library: &'a [f32],
    genes: Genes,
    likelihood: &'a CountLikelihood,
}

impl<'a> Decoder<'a> {
    fn new(inputs: &Inputs<'a>, width: usize) -> Self {
        /// Numbers in a cache line.
        const LINE: usize = 16;
        let genes = inputs.log_theta.len();
        let (gates, rates) = inputs.weight.split_at(genes * width);
        Self {
            hidden: Rows::new(inputs.hidden, width),
            stride: ((2 * padded(genes) / LINE) | 1) * LINE,
            forward: [gates, rates].map(|weight| PackedFactor::transposed(weight, width, Terms::Three)),
            back: [gates, rates].map(|weight| PackedFactor::new(weight, width, Terms::Two)),
            bias: padded_bias(inputs.bias),
            log_library: inputs.log_library,
            genes: Genes::new(
                inputs.log_theta,
                !matches!(inputs.likelihood, CountLikelihood::BuiltIn(GeneLikelihood::Poisson)),
            ),
            likelihood: inputs.likelihood,
        }
    }

    /// Processes a block of visits: fills in the gradients with respect to h and ln xl. `logits` is scratch space.
    fn block(
        &self,
        counts: SparseRows<'_>,
        visits: Range<usize>,
        logits: &mut [f32],
        hidden: &mut [f32],
        library: &mut [f32],
    ) -> BlockOutput {
        let (width, stride) = (self.hidden.stride, self.stride);
        let places = self.bias.len() / 2;
        let genes = self.genes.count;
        for (half, weight) in self.forward.iter().enumerate() {
            products::times(&mut logits[half * places..], stride, self.hidden.some(visits.clone()), weight);
        }
        let (arch, mut sums, mut scratch) = (arch(), VisitSums::new(genes), Scratch::new(genes));
        for ((visit, logits), grad) in visits.clone().zip(logits.chunks_exact_mut(stride)).zip(library) {
            let log_library = self.log_library[visit];
            let visit = Visit { genes: &self.genes, bias: &self.bias, log_library, counts: counts.row(visit) };
            let logits = &mut logits[..2 * places];
            let (sums, scratch) = (&mut sums, &mut scratch);
            *grad = match self.likelihood {
                CountLikelihood::BuiltIn(GeneLikelihood::Zinb) => {
                    arch.dispatch(BuiltIn { density: PhantomData::<Zinb>, visit, logits, sums, scratch })
                }
                CountLikelihood::BuiltIn(GeneLikelihood::Nb) => {
                    arch.dispatch(BuiltIn { density: PhantomData::<Nb>, visit, logits, sums, scratch })
                }
                CountLikelihood::BuiltIn(GeneLikelihood::Poisson) => {
                    arch.dispatch(BuiltIn { density: PhantomData::<Poisson>, visit, logits, sums, scratch })
                }
                CountLikelihood::Custom(likelihood) => custom(&**likelihood, visit, logits, sums, scratch),
            };
        }
        let grads = [&*logits, &logits[places..]].map(|values| Rows { values, stride });
        products::times(hidden, width, grads[0], &self.back[0]);
        products::add_times(hidden, width, grads[1], &self.back[1]);
        let grads = grads.map(|grads| Summand::first(grads, genes, Terms::Two));
        BlockOutput { sums, grads, hidden: Summand::second(self.hidden.some(visits), width, Terms::Two) }
    }
}

/// What a block contributes to the sums over all visits.
struct BlockOutput {
    sums: VisitSums,
    /// Gradients with respect to the gate logits and the rate logits.
    grads: [Summand; 2],
    hidden: Summand,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::likelihood::{CountGradients, CountRow, Likelihood};
    use crate::oracle::{self, Count, assert_close, linear, wide};

    /// Visits, genes, width.
    const SIZES: [(usize, usize, usize); 3] = [(3, 5, 4), (150, 37, 9), (1100, 16, 8)];

    fn built_in() -> [GeneLikelihood; 3] {
        [GeneLikelihood::Zinb, GeneLikelihood::Nb, GeneLikelihood::Poisson]
    }

    fn oracle(kind: GeneLikelihood, x: u32, theta: f64, rate: f64, gate: f64) -> Count {
        match kind {
            GeneLikelihood::Zinb => oracle::zinb(x, theta, rate, gate),
            GeneLikelihood::Nb => oracle::nb(x, theta, rate),
            GeneLikelihood::Poisson => oracle::poisson(x, rate),
        }
    }

    /// The oracle, as a user-defined likelihood.
    #[derive(Debug)]
    struct Own(GeneLikelihood);

    impl Likelihood for Own {
        fn name(&self) -> &'static str {
            "own"
        }

        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
        fn log_density(&self, row: CountRow<'_>, grads: CountGradients<'_>) -> f64 {
            let mut sum = 0.0;
            for gene in 0..row.counts.len() {
                let [theta, rate, gate] = [row.theta, row.rates, row.gates].map(|values| f64::from(values[gene]));
                let found = oracle(self.0, row.counts[gene] as u32, theta, rate, gate);
                grads.log_rates[gene] = found.grad_log_rate as f32;
                grads.gates[gene] = found.grad_gate as f32;
                grads.log_theta[gene] = found.grad_log_theta as f32;
                sum += found.value;
            }
            sum
        }
    }

    /// The complete function and its gradients in `f64`: layer, softmax, counts, and the backward pass.
    struct Exact {
        value: f64,
        hidden: Vec<f64>,
        weight: Vec<f64>,
        bias: Vec<f64>,
        log_library: Vec<f64>,
        log_theta: Vec<f64>,
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
    fn exact(inputs: &Inputs<'_>, counts: &[f32], kind: GeneLikelihood) -> Exact {
        let (visits, genes) = (inputs.log_library.len(), inputs.log_theta.len());
        let [hidden, weight, bias] = [inputs.hidden, inputs.weight, inputs.bias].map(wide);
        let width = hidden.len() / visits;
        let logits = linear(&hidden, &weight, &bias);
        let mut found = Exact {
            value: 0.0,
            hidden: vec![0.0; hidden.len()],
            weight: vec![0.0; weight.len()],
            bias: vec![0.0; bias.len()],
            log_library: vec![0.0; visits],
            log_theta: vec![0.0; genes],
        };
        for visit in 0..visits {
            let (gates, rates) = logits[visit * 2 * genes..(visit + 1) * 2 * genes].split_at(genes);
            let total: f64 = rates.iter().map(|m| m.exp()).sum();
            let shares: Vec<f64> = rates.iter().map(|m| m.exp() / total).collect();
            let library = f64::from(inputs.log_library[visit]).exp();
            let each: Vec<Count> = (0..genes)
                .map(|g| {
                    let theta = f64::from(inputs.log_theta[g]).exp();
                    oracle(kind, counts[visit * genes + g] as u32, theta, shares[g] * library, gates[g])
                })
                .collect();
            let softmax_sum: f64 = each.iter().map(|c| c.grad_log_rate).sum();
            found.log_library[visit] = softmax_sum;
            let grad_rates = each.iter().zip(&shares).map(|(c, share)| c.grad_log_rate - share * softmax_sum);
            let grad_logits: Vec<f64> = each.iter().map(|c| c.grad_gate).chain(grad_rates).collect();
            for (o, by) in grad_logits.iter().enumerate() {
                found.bias[o] += by;
                for i in 0..width {
                    found.weight[o * width + i] += by * hidden[visit * width + i];
                    found.hidden[visit * width + i] += by * weight[o * width + i];
                }
            }
            for (g, count) in each.iter().enumerate() {
                found.value += count.value;
                found.log_theta[g] += count.grad_log_theta;
            }
        }
        found
    }

    #[test]
    fn value_and_derivatives_are_those_of_the_oracle_for_every_likelihood_and_for_ones_own() {
        for (visits, genes, width) in SIZES {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(visits as u64);
            let mut draw =
                |n: usize, low: f32, high: f32| -> Vec<f32> { (0..n).map(|_| rng.random_range(low..high)).collect() };
            let hidden = draw(visits * width, -1.0, 1.0);
            let weight = draw(2 * genes * width, -1.5, 1.5);
            let bias = draw(2 * genes, -1.0, 1.0);
            let log_library = draw(visits, 2.0, 6.0);
            let log_theta = draw(genes, -1.0, 5.0);
            // every cell twice; counts mostly 0, some beyond the table
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
            for kind in built_in() {
                for likelihood in [CountLikelihood::BuiltIn(kind), CountLikelihood::Custom(Arc::new(Own(kind)))] {
                    let inputs = Inputs {
                        hidden: &hidden,
                        weight: &weight,
                        bias: &bias,
                        log_library: &log_library,
                        log_theta: &log_theta,
                        likelihood: &likelihood,
                    };
                    let (found, exact) = (log_likelihood(inputs, counts), exact(&inputs, &counts.dense(genes), kind));
                    let far = (found.log_likelihood - exact.value).abs();
                    assert!(far < 2e-6 * exact.value.abs(), "{} {}", found.log_likelihood, exact.value);
                    for (name, found, exact) in [
                        ("hidden", &found.hidden, &exact.hidden),
                        ("weight", &found.weight, &exact.weight),
                        ("bias", &found.bias, &exact.bias),
                        ("log_library", &found.log_library, &exact.log_library),
                        ("log_theta", &found.log_theta, &exact.log_theta),
                    ] {
                        assert_close(found, exact, 2e-5, &format!("{likelihood:?} {name} of {visits}"));
                    }
                }
            }
        }
    }

    /// A grid of inverse dispersions, rates, gates and counts.
    fn grid() -> (Vec<f32>, Vec<f32>, [f32; 3], [u32; 7]) {
        let thetas = [0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5];
        let rates = [1e-4, 1e-3, 1e-2, 0.1, 1.0, 30.0, 500.0];
        (thetas.to_vec(), rates.to_vec(), [-4.0, 0.0, 4.0], [0, 1, 2, 5, 16, 40, 700])
    }

    /// Whether a derivative is within the tolerance for all derivatives.
    fn close(found: f32, exact: f64, size: f64) -> bool {
        (f64::from(found) - exact).abs() <= 1e-5 * size + 1e-30
    }

    /// Every inverse dispersion is a gene; the cases are visits with the same rate for all genes.
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
        for ((rate, gate, count), kind) in cases.flat_map(|case| built_in().map(|kind| (case, kind))) {
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let (values, library) = (vec![count as f32; genes], rate * genes as f32);
            let counts = SparseRows { indptr: &[0, genes], indices: &indices, values: &values, rows: &[0] };
            let bias: Vec<f32> = [vec![gate; genes], vec![0.0; genes]].concat();
            let (weight, log_library) = (vec![0.0; 2 * genes], [library.ln()]);
            let likelihood = CountLikelihood::BuiltIn(kind);
            let inputs = Inputs {
                hidden: &[0.0],
                weight: &weight,
                bias: &bias,
                log_library: &log_library,
                log_theta: &log_theta,
                likelihood: &likelihood,
            };
            let found = log_likelihood(inputs, counts);

            let rates: Vec<f64> = vec![f64::from(log_library[0]).exp() / 7.0; genes];
            let exact: Vec<Count> = (0..genes)
                .map(|gene| oracle(kind, count, f64::from(log_theta[gene].exp()), rates[gene], f64::from(gate)))
                .collect();
            let case = |what: &str, gene: usize| {
                format!("{what} of {count} at {} and {rate}, gate {gate}, {kind:?}", thetas[gene])
            };
            let value: f64 = exact.iter().map(|o| o.value).sum();
            // logarithms are taken of numbers of order 1
            let parts = exact.iter().map(|o| 1.0 + o.value.abs() + f64::from(gate.abs()) + f64::from(count));
            let size: f64 = parts.sum();
            assert!(
                (found.log_likelihood - value).abs() < 5e-7 * size,
                "{}: {} {value}",
                case("value", 0),
                found.log_likelihood
            );
            let grad_library: f64 = exact.iter().map(|o| o.grad_log_rate).sum();
            let scale: f64 = exact.iter().map(|o| o.rate_size).sum();
            assert!(close(found.log_library[0], grad_library, scale), "{}", case("by library", 0));
            for (gene, exact) in exact.iter().enumerate() {
                let theta = (found.log_theta[gene], exact.grad_log_theta, exact.theta_size);
                assert!(close(theta.0, theta.1, theta.2), "{}: {theta:?}", case("by theta", gene));
                let grad_gate = (found.bias[gene], exact.grad_gate);
                // 1 - sigma(gate) and sigma(d) are of order 1
                assert!(
                    close(grad_gate.0, grad_gate.1, grad_gate.1.abs() + 0.02),
                    "{}: {grad_gate:?}",
                    case("by gate", gene)
                );
                let grad_rate = exact.grad_log_rate - grad_library / 7.0;
                assert!(close(found.bias[genes + gene], grad_rate, scale), "{}", case("by rate", gene));
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
        for likelihood in built_in().map(CountLikelihood::BuiltIn) {
            let inputs = Inputs {
                hidden: &hidden,
                weight: &weight,
                bias: &bias,
                log_library: &log_library,
                log_theta: &log_theta,
                likelihood: &likelihood,
            };
            let on = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let value = pool.install(|| log_likelihood(inputs, counts));
                (value.log_likelihood.to_bits(), value.weight, value.hidden, value.log_theta)
            };
            assert_eq!(on(1), on(2));
        }
    }
}
