//! The log-likelihood of one visit and its gradients, with genes in SIMD lanes.
//!
//! Every formula holds for zero and positive counts, up to two or three selects, so that the genes of a visit are one
//! loop without branches. The terms with Γ functions ([`Genes::choose`]) are added separately, for positive counts
//! only.
//!
//! Vectors over genes are padded to whole SIMD vectors ([`padded`]), with numbers that add nothing to any sum.

use std::marker::PhantomData;

use pulp::{Simd, WithSimd};

use super::genes::{EPSILON, Genes, VECTOR, padded};
use crate::likelihood::{CountGradients, CountRow, Likelihood};
use crate::simd::arch;
use crate::vector::{Lanes, exp};

/// Number of factors, each between ½ and 2, that are multiplied before one logarithm is taken of their product.
const ONE_LOGARITHM: usize = 64;
/// Padding: the logit of a closed gate, and the logit of a rate of 0.
const NO_GENE: [f32; 2] = [1e30, -1e30];

/// Biases of the gates and of the rates, `2 genes`, each padded: `2 padded(genes)`.
pub(super) fn padded_bias(bias: &[f32]) -> Vec<f32> {
    let genes = bias.len() / 2;
    let mut row = Vec::with_capacity(2 * padded(genes));
    for (half, nothing) in bias.chunks(genes.max(1)).zip(NO_GENE) {
        row.extend_from_slice(half);
        row.resize(row.len().next_multiple_of(VECTOR), nothing);
    }
    row
}

/// Inputs of one visit.
#[derive(Clone, Copy)]
pub(super) struct Visit<'a> {
    pub(super) genes: &'a Genes,
    /// Biases from [`padded_bias`].
    pub(super) bias: &'a [f32],
    pub(super) log_library: f32,
    /// Genes with stored counts, and these counts.
    pub(super) counts: (&'a [u32], &'a [f32]),
}

/// Sums over visits, padded.
pub(super) struct VisitSums {
    pub(super) log_likelihood: f64,
    /// Gradient with respect to b.
    pub(super) bias: Vec<f32>,
    /// Gradient with respect to θ (not ln θ), without the part of [`Genes::choose`].
    pub(super) theta: Vec<f32>,
}

impl VisitSums {
    pub(super) fn new(genes: usize) -> Self {
        Self { log_likelihood: 0.0, bias: vec![0.0; 2 * padded(genes)], theta: vec![0.0; padded(genes)] }
    }
}

/// Scratch space for one visit.
pub(super) struct Scratch {
    share: Vec<f32>,
    /// All 0 between visits.
    count: Vec<f32>,
}

impl Scratch {
    pub(super) fn new(genes: usize) -> Self {
        Self { share: vec![0.0; padded(genes)], count: vec![0.0; padded(genes)] }
    }
}

/// Adds one visit to the sums and returns the gradient with respect to ln xl. `logits` holds W h, and is overwritten
/// with the gradient with respect to the logits.
pub(super) struct BuiltIn<'a, D> {
    pub(super) density: PhantomData<D>,
    pub(super) visit: Visit<'a>,
    pub(super) logits: &'a mut [f32],
    pub(super) sums: &'a mut VisitSums,
    pub(super) scratch: &'a mut Scratch,
}

impl<D: Density> WithSimd for BuiltIn<'_, D> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let Self { visit, logits, sums, scratch, .. } = self;
        let places = scratch.share.len();
        let (gate, rate) = logits.split_at_mut(places);
        let (gate_bias, rate_bias) = visit.bias.split_at(places);
        let (grad_gate_bias, grad_rate_bias) = sums.bias.split_at_mut(places);
        let scale = exponentials(simd, rate, rate_bias, &mut scratch.share);

        let (genes, counts) = visit.counts;
        for i in 0..genes.len() {
            scratch.count[genes[i] as usize] = counts[i];
        }

        let vectors = places / S::F32_LANES;
        let (gate, rate) = (&mut of_mut::<S>(gate)[..vectors], &mut of_mut::<S>(rate)[..vectors]);
        let (grad_theta, grad_gate_bias) = (&mut of_mut::<S>(&mut sums.theta)[..vectors], of_mut::<S>(grad_gate_bias));
        let (grad_gate_bias, grad_rate_bias) =
            (&mut grad_gate_bias[..vectors], &mut of_mut::<S>(grad_rate_bias)[..vectors]);
        let (gate_bias, share, count) = (of::<S>(gate_bias), of::<S>(&scratch.share), of::<S>(&scratch.count));
        let (gate_bias, share, count) = (&gate_bias[..vectors], &share[..vectors], &count[..vectors]);
        let (theta, inverse) = (of::<S>(&visit.genes.theta), of::<S>(&visit.genes.inverse));
        let (theta, inverse) = (&theta[..vectors], &inverse[..vectors]);
        let lanes = |raw: S::f32s| Lanes::new(simd, raw);
        let library = scale * exp(visit.log_library);
        let (mut value, mut softmax_sum) = (Lanes::all(simd, 0.0), Lanes::all(simd, 0.0));
        let mut product = Lanes::all(simd, 1.0);
        for i in 0..vectors {
            let term = D::term(
                lanes(gate[i]) + lanes(gate_bias[i]),
                lanes(share[i]) * library,
                lanes(theta[i]),
                lanes(inverse[i]),
                lanes(count[i]),
            );
            value = value + term.value;
            product = product * term.of_logarithm;
            if i % ONE_LOGARITHM == ONE_LOGARITHM - 1 {
                value = value + product.ln();
                product = Lanes::all(simd, 1.0);
            }
            softmax_sum = softmax_sum + term.grad_log_rate;
            (gate[i], rate[i]) = (term.grad_gate.raw, term.grad_log_rate.raw);
            grad_theta[i] = (lanes(grad_theta[i]) + term.grad_theta).raw;
            grad_gate_bias[i] = (lanes(grad_gate_bias[i]) + term.grad_gate).raw;
        }
        value = value + product.ln();
        let softmax_sum = softmax_sum.sum();
        let through_softmax = Lanes::all(simd, -scale * softmax_sum);
        for i in 0..vectors {
            let grad = lanes(share[i]).mul_add(through_softmax, lanes(rate[i]));
            rate[i] = grad.raw;
            grad_rate_bias[i] = (lanes(grad_rate_bias[i]) + grad).raw;
        }
        sums.log_likelihood += f64::from(value.sum());
        scratch.count.fill(0.0);
        softmax_sum
    }
}

/// The same as [`BuiltIn`] for a user-defined distribution, without SIMD.
pub(super) fn custom(
    likelihood: &dyn Likelihood,
    visit: Visit<'_>,
    logits: &mut [f32],
    sums: &mut VisitSums,
    scratch: &mut Scratch,
) -> f32 {
    let genes = visit.genes.count;
    let places = scratch.share.len();
    let (gate, rate) = logits.split_at_mut(places);
    let (gate_bias, rate_bias) = visit.bias.split_at(places);
    let scale = arch().dispatch(Exponentials { logits: rate, bias: rate_bias, out: &mut scratch.share });
    for (&gene, &count) in visit.counts.0.iter().zip(visit.counts.1) {
        scratch.count[gene as usize] = count;
    }
    let library = visit.log_library.exp();
    scratch.share[..genes].iter_mut().for_each(|share| *share *= scale);
    let rates: Vec<f32> = scratch.share[..genes].iter().map(|share| share * library).collect();
    let gates: Vec<f32> = gate.iter().zip(gate_bias).take(genes).map(|(gate, bias)| gate + bias).collect();
    gate.fill(0.0);
    rate.fill(0.0);
    let mut log_theta = vec![0.0; genes];
    let theta = &visit.genes.theta[..genes];
    let row = CountRow { counts: &scratch.count[..genes], rates: &rates, gates: &gates, theta };
    let grads = CountGradients { log_rates: &mut rate[..genes], gates: &mut gate[..genes], log_theta: &mut log_theta };
    sums.log_likelihood += likelihood.log_density(row, grads);
    scratch.count.fill(0.0);
    #[expect(clippy::cast_possible_truncation, reason = "logits are f32")]
    let softmax_sum = rate[..genes].iter().map(|v| f64::from(*v)).sum::<f64>() as f32;
    let (grad_gate_bias, grad_rate_bias) = sums.bias.split_at_mut(places);
    for gene in 0..genes {
        rate[gene] -= scratch.share[gene] * softmax_sum;
        grad_gate_bias[gene] += gate[gene];
        grad_rate_bias[gene] += rate[gene];
        // the sums are gradients with respect to θ, not to ln θ
        sums.theta[gene] += if theta[gene] > 0.0 { log_theta[gene] / theta[gene] } else { 0.0 };
    }
    softmax_sum
}

struct Exponentials<'a> {
    logits: &'a mut [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Exponentials<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        exponentials(simd, self.logits, self.bias, self.out)
    }
}

/// Writes `exp(logit + bias − largest)` to `out`; returns the factor that normalizes `out` to a softmax.
#[inline(always)]
fn exponentials<S: Simd>(simd: S, logits: &mut [f32], bias: &[f32], out: &mut [f32]) -> f32 {
    let (logits, bias, out) = (of_mut::<S>(logits), of::<S>(bias), of_mut::<S>(out));
    let mut largest = Lanes::all(simd, f32::NEG_INFINITY);
    for (logit, bias) in logits.iter_mut().zip(bias) {
        let sum = Lanes::new(simd, *logit) + Lanes::new(simd, *bias);
        *logit = sum.raw;
        largest = largest.max(sum);
    }
    let (largest, mut total) = (largest.largest(), Lanes::all(simd, 0.0));
    for (logit, out) in logits.iter().zip(out) {
        let exponential = (Lanes::new(simd, *logit) - largest).exp();
        *out = exponential.raw;
        total = total + exponential;
    }
    1.0 / total.sum()
}

#[inline(always)]
fn of<S: Simd>(row: &[f32]) -> &[S::f32s] {
    S::as_simd_f32s(row).0
}

#[inline(always)]
fn of_mut<S: Simd>(row: &mut [f32]) -> &mut [S::f32s] {
    S::as_mut_simd_f32s(row).0
}

/// ln p of counts without the part of [`Genes::choose`], and its derivatives.
pub(super) struct Term<S: Simd> {
    /// ln p, minus ln `of_logarithm`.
    value: Lanes<S>,
    /// A factor between ½ and 2.
    of_logarithm: Lanes<S>,
    grad_gate: Lanes<S>,
    grad_log_rate: Lanes<S>,
    grad_theta: Lanes<S>,
}

/// A distribution of counts in SIMD lanes.
pub(super) trait Density {
    /// γ is the gate, r the rate, and `inverse` is 1 / (θ + ε).
    fn term<S: Simd>(gate: Lanes<S>, rate: Lanes<S>, theta: Lanes<S>, inverse: Lanes<S>, x: Lanes<S>) -> Term<S>;
}

/// Above this rate, ε is below the rounding of `f32`; products with this number stay finite.
const LARGE: f32 = 1e6;

/// The zero-inflated negative binomial.
///
/// γ is the gate, r the rate, and `inverse` is 1 / (θ + ε).
///
/// With s the posterior probability that the count does not come from the gate, v = u / (1 + u) and w = (x − s θ u) /
/// (1 + u):
///
/// ```text
/// ln NB(x) = x ln(r + ε) − x ln(1 + u) − θ ln(1 + u) + the part of Genes::choose
/// ∂/∂ln r  = w r / (r + ε)
/// ∂/∂θ     = −s ln(1 + u) − w / (θ + ε)                                              x ≥ θ
///          = −s (ln(1 + u) − v) + v (x − s ε) / (θ + ε)   and x / (θ + ε)            x < θ
/// ```
///
/// For large θ, ln(1 + u) and v agree in all digits of `f32`. Their difference is computed directly, and x / (θ + ε) is
/// left to [`Genes::choose`], where it cancels in `f64`.
pub(super) struct Zinb;

impl Density for Zinb {
    #[inline(always)]
    fn term<S: Simd>(gate: Lanes<S>, rate: Lanes<S>, theta: Lanes<S>, inverse: Lanes<S>, x: Lanes<S>) -> Term<S> {
        let (zero, one) = (gate.same(0.0), gate.same(1.0));
        let bounded_rate = rate.below(LARGE, rate, gate.same(LARGE));
        let (rate, bounded) = (rate + EPSILON, bounded_rate + EPSILON);
        let u = rate * inverse;
        let above = u + 1.0;
        let (log, bend) = u.ln_1p_any();
        let theta_log = theta * log;
        let d = -(theta_log + gate); // ln NB(0) − γ
        let (a, b) = ((-gate.abs()).exp(), (-d.abs()).exp());
        let (one_plus_a, one_plus_b) = (a + 1.0, b + 1.0);
        // one division for four reciprocals
        let both = one_plus_a * one_plus_b;
        let three = both * above;
        let all = one / (three * bounded);
        let (of_bounded, of_three) = (all * three, all * bounded);
        let (of_above, of_both) = (of_three * both, of_three * above);
        let (of_a, of_b) = (of_both * one_plus_b, of_both * one_plus_a);
        let sigmoid = gate.below(0.0, a, one) * of_a; // σ(γ)
        let not_gate = gate.below(0.0, one, a) * of_a; // 1 − σ(γ)
        let share = x.above(0.0, one, d.below(0.0, b, one) * of_b); // probability that it is not the gate: σ(d), or 1
        // ln σ(γ) = min(γ, 0) − ln(1 + a);  ln(1 + eᵈ) = max(d, 0) + ln(1 + b);  ln σ(−γ) = −max(γ, 0) − ln(1 + a)
        let of_logarithm = x.above(0.0, of_a, one_plus_b * of_a);
        let nothing = gate.min(zero) + d.max(zero);
        let something = x.mul_add((rate * of_above).ln(), -theta_log) - gate.max(zero);
        let w = of_above * (x - share * theta * u);
        let excess = u.excess((log, bend), of_above);
        let flat = (u * of_above * inverse).mul_add(share.mul_add(gate.same(-EPSILON), x), -(share * excess));
        let steep = -(share * log) - w * inverse;
        Term {
            value: x.above(0.0, something, nothing),
            of_logarithm,
            grad_gate: x.above(0.0, -sigmoid, not_gate - share),
            grad_log_rate: w * bounded_rate * of_bounded,
            grad_theta: (x - theta).below(0.0, flat, steep),
        }
    }
}

/// The negative binomial: as above with a closed gate, s = 1.
pub(super) struct Nb;

impl Density for Nb {
    #[inline(always)]
    fn term<S: Simd>(gate: Lanes<S>, rate: Lanes<S>, theta: Lanes<S>, inverse: Lanes<S>, x: Lanes<S>) -> Term<S> {
        let (zero, one) = (gate.same(0.0), gate.same(1.0));
        let bounded_rate = rate.below(LARGE, rate, gate.same(LARGE));
        let (rate, bounded) = (rate + EPSILON, bounded_rate + EPSILON);
        let u = rate * inverse;
        let above = u + 1.0;
        let (log, bend) = u.ln_1p_any();
        let all = one / (above * bounded);
        let (of_bounded, of_above) = (all * above, all * bounded);
        let w = of_above * (x - theta * u);
        let excess = u.excess((log, bend), of_above);
        let flat = (u * of_above * inverse).mul_add(x - EPSILON, -excess);
        let steep = -log - w * inverse;
        Term {
            value: x.mul_add((rate * of_above).ln(), -(theta * log)),
            of_logarithm: one,
            grad_gate: zero,
            grad_log_rate: w * bounded_rate * of_bounded,
            grad_theta: (x - theta).below(0.0, flat, steep),
        }
    }
}

/// Poisson counts with mean r + ε: ln p(x) = x ln(r + ε) − (r + ε) − ln x!. In the padding θ is 0.
pub(super) struct Poisson;

impl Density for Poisson {
    #[inline(always)]
    fn term<S: Simd>(gate: Lanes<S>, rate: Lanes<S>, theta: Lanes<S>, _: Lanes<S>, x: Lanes<S>) -> Term<S> {
        let (zero, one) = (gate.same(0.0), gate.same(1.0));
        let mean = rate + EPSILON;
        Term {
            value: theta.above(0.0, x.mul_add(mean.ln(), -mean), zero),
            of_logarithm: one,
            grad_gate: zero,
            grad_log_rate: (x / mean - 1.0) * rate,
            grad_theta: zero,
        }
    }
}
