//! ln p(x | z, xl) of a block of visits with its gradients, given the decoder's logits: one cube per visit.
//!
//! The formulas are those of [`reconstruction`](sclsd_kernels::reconstruction), which is the oracle.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use sclsd_kernels::reconstruction::EPSILON;
use sclsd_kernels::vector::{LN, SMALL};

/// Units of a cube.
pub(super) const UNITS: usize = 256;
/// Largest count for which ratios of Γ functions are computed as products.
const SMALL_COUNT: f32 = 64.0;

/// The sum, or the maximum, of one number per unit.
#[cube]
pub(super) fn reduce<F: Float>(value: F, scratch: &mut SharedMemory<F>, #[comptime] largest: bool) -> F {
    let unit = UNIT_POS as usize;
    sync_cube(); // all units have read the previous result
    scratch[unit] = value;
    sync_cube();
    #[unroll]
    for halving in 0..comptime!(UNITS.ilog2() as usize) {
        let half = comptime!(UNITS >> (halving + 1));
        if unit < half {
            if largest {
                scratch[unit] = F::max(scratch[unit], scratch[unit + half]);
            } else {
                scratch[unit] = scratch[unit] + scratch[unit + half];
            }
        }
        sync_cube();
    }
    scratch[0]
}

/// (ln(1 + x) − x) / x² for 0 ≤ x ≤ SMALL.
#[cube]
fn bend<F: Float>(x: F) -> F {
    let mut sum = F::new(0.0);
    #[unroll]
    for i in 0..9usize {
        sum = sum * x + F::new(comptime!(LN[8 - i]));
    }
    sum * x - F::new(0.5)
}

/// ln(1 + x) for x ≥ 0, exact to rounding however small x is. (The ln(1 + x) of some devices rounds 1 + x first.)
#[cube]
fn ln_1p<F: Float>(x: F) -> F {
    let near = F::min(x, F::new(SMALL));
    select(x < F::new(SMALL), near + near * near * bend::<F>(near), F::ln(F::new(1.0) + x))
}

/// ln(1 + x) − x, exact to rounding in the same way.
#[cube]
fn ln_1p_less_x<F: Float>(x: F) -> F {
    let near = F::min(x, F::new(SMALL));
    select(x < F::new(SMALL), near * near * bend::<F>(near), F::ln(F::new(1.0) + x) - x)
}

/// ln(1 + x) − x / (1 + x), exact to rounding in the same way.
#[cube]
fn excess<F: Float>(x: F) -> F {
    let near = F::min(x, F::new(SMALL));
    let reciprocal = F::new(1.0) / (F::new(1.0) + x);
    let small = near * near * (bend::<F>(near) + reciprocal);
    select(x < F::new(SMALL), small, F::ln(F::new(1.0) + x) - x * reciprocal)
}

/// c(y) of Stirling's series ln Γ(y) = (y − ½) ln y − y + ½ ln 2π + c(y), for y ≥ 8.
#[cube]
fn series<F: Float>(y: F) -> F {
    let q = F::new(1.0) / (y * y);
    (F::new(1.0 / 12.0) - q * (F::new(1.0 / 360.0) - q * F::new(1.0 / 1260.0))) / y
}

/// ln y − 1/(2y) − ψ(y), for y ≥ 8.
#[cube]
fn series_derivative<F: Float>(y: F) -> F {
    let q = F::new(1.0) / (y * y);
    q * (F::new(1.0 / 12.0) - q * (F::new(1.0 / 120.0) - q * F::new(1.0 / 252.0)))
}

/// Computes, for every visit of a block, the gradients with respect to both logits of every gene, to θ and to ln xl,
/// and the value.
#[cube(launch)]
pub(super) fn likelihood_kernel<F: Float>(
    logits: &Array<F>,
    bias: &Array<F>,
    theta: &Array<F>,
    log_library: &Array<F>,
    counts: &Array<F>,
    cells: &Array<u32>,
    grads: &mut Array<F>,
    grad_theta: &mut Array<F>,
    grad_library: &mut Array<F>,
    value: &mut Array<F>,
    #[comptime] genes: usize,
) {
    let visit = CUBE_POS;
    if visit >= value.len() {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let gates = visit * comptime!(2 * genes);
    let rates = gates + genes;
    let seen = cells[visit] as usize * genes;
    let library = F::exp(log_library[visit]);
    let epsilon = F::new(EPSILON);
    let one = F::new(1.0);
    let zero = F::new(0.0);
    let mut scratch = SharedMemory::<F>::new(UNITS);

    let mut largest = F::new(f32::MIN);
    for gene in range_stepped(unit, genes, UNITS) {
        largest = F::max(largest, logits[rates + gene] + bias[genes + gene]);
    }
    let largest = reduce::<F>(largest, &mut scratch, true);
    let mut sum = F::new(0.0);
    for gene in range_stepped(unit, genes, UNITS) {
        sum += F::exp(logits[rates + gene] + bias[genes + gene] - largest);
    }
    let scale = one / reduce::<F>(sum, &mut scratch, false);

    let mut softmax_sum = F::new(0.0);
    let mut total = F::new(0.0);
    for gene in range_stepped(unit, genes, UNITS) {
        let gate = logits[gates + gene] + bias[gene];
        let share = F::exp(logits[rates + gene] + bias[genes + gene] - largest) * scale;
        let rate = share * library;
        let t = theta[gene];
        let inverse = one / (t + epsilon);
        let x = counts[seen + gene];
        let grown = rate + epsilon;
        let u = grown * inverse;
        let of_above = one / (one + u);
        let v = u * of_above;
        let log = ln_1p::<F>(u);
        let a = F::exp(zero - F::abs(gate));
        if x > zero {
            // ln Γ(x + θ) − ln Γ(θ) − ln Γ(x + 1) − x ln(θ + ε), and the derivative with respect to θ: of all terms if
            // x < θ, else of the first two
            let below = x < t;
            let mut choose = F::new(0.0);
            let mut grad_t = F::new(0.0);
            if x <= F::new(SMALL_COUNT) && F::floor(x) == x {
                for i in 0..u32::cast_from(x) {
                    let k = F::cast_from(i);
                    choose += F::ln((t + k) * inverse / (k + one));
                    grad_t += select(below, (epsilon - k) * inverse, one) / (t + k);
                }
            } else {
                // at y = θ + 8, corrected by the recurrence, with differences that do not cancel for large θ
                let eight = F::new(8.0);
                let y = t + eight;
                let mut ahead = F::new(0.0);
                for i in 0..8u32 {
                    let k = F::cast_from(i);
                    ahead += F::ln(x + one + k) - ln_1p::<F>(x / (t + k));
                    grad_t += x / ((t + k) * (x + t + k));
                }
                let log_y = ln_1p::<F>(x / y);
                let less = ln_1p_less_x::<F>(x / y);
                let half = F::new(0.5);
                let n = x + one + eight;
                let factorial = (n - half) * F::ln(n) - n + F::new(0.918_938_5) + series::<F>(n);
                let flat = (y + x - half) * less + x * (x - half) / y;
                choose = select(below, flat, (y + x - half) * log_y - x)
                    + x * ln_1p::<F>((eight - epsilon) * inverse)
                    + series::<F>(y + x)
                    - series::<F>(y)
                    + ahead
                    - factorial;
                grad_t += select(below, less - x * (eight - epsilon) * inverse / y, log_y) + half * x / (y * (y + x))
                    - (series_derivative::<F>(y + x) - series_derivative::<F>(y));
            }
            total += zero - F::max(gate, zero) - F::ln(one + a) + x * F::ln(grown * of_above) - t * log + choose;
            grads[gates + gene] = zero - select(gate >= zero, one, a) / (one + a);
            let grad_rate = (x - t * u) * of_above * rate / grown;
            grads[rates + gene] = grad_rate;
            let flat = v * inverse * (x - epsilon) - excess::<F>(u);
            let steep = zero - log - (x - t * u) * of_above * inverse;
            grad_theta[visit * genes + gene] = grad_t + select(below, flat, steep);
            softmax_sum += grad_rate;
        } else {
            let d = zero - t * log - gate; // ln NB(0) − γ
            let b = F::exp(zero - F::abs(d));
            total += F::min(gate, zero) + F::max(d, zero) + F::ln((one + b) / (one + a));
            let shut = select(gate >= zero, a, one) / (one + a); // 1 − σ(γ)
            let none = select(d >= zero, one, b) / (one + b); // σ(d)
            grads[gates + gene] = shut - none;
            let grad_rate = zero - none * t * v * rate / grown;
            grads[rates + gene] = grad_rate;
            grad_theta[visit * genes + gene] = zero - none * (epsilon * v * inverse + excess::<F>(u));
            softmax_sum += grad_rate;
        }
    }
    let softmax_sum = reduce::<F>(softmax_sum, &mut scratch, false);
    let total = reduce::<F>(total, &mut scratch, false);
    // backward pass through the softmax
    for gene in range_stepped(unit, genes, UNITS) {
        let share = F::exp(logits[rates + gene] + bias[genes + gene] - largest) * scale;
        grads[rates + gene] -= share * softmax_sum;
    }
    if unit == 0 {
        grad_library[visit] = softmax_sum;
        value[visit] = total;
    }
}
