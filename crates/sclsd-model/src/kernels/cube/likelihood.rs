//! ln p(x | z, xl) of a block of visits with its derivatives, given the decoder's logits: one cube a visit.
//!
//! Formulas are those of [`reconstruction`](crate::kernels::reconstruction), which is the oracle.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use crate::kernels::reconstruction::EPSILON;

/// Units of a cube.
pub(super) const UNITS: usize = 256;
/// Counts up to which ratios of Γ functions are products.
const SMALL: f32 = 64.0;

/// The sum, or the largest, of a number of every unit.
#[cube]
pub(super) fn reduce<F: Float>(value: F, room: &mut SharedMemory<F>, #[comptime] largest: bool) -> F {
    let unit = UNIT_POS as usize;
    sync_cube(); // all have read what was there
    room[unit] = value;
    sync_cube();
    #[unroll]
    for halving in 0..comptime!(UNITS.ilog2() as usize) {
        let half = comptime!(UNITS >> (halving + 1));
        if unit < half {
            if largest {
                room[unit] = F::max(room[unit], room[unit + half]);
            } else {
                room[unit] = room[unit] + room[unit + half];
            }
        }
        sync_cube();
    }
    room[0]
}

/// ln Γ(y) at y = x + 8, as Stirling's series; the factors that lead there are the caller's.
#[cube]
fn stirling<F: Float>(y: F) -> F {
    let q = F::new(1.0) / (y * y);
    (y - F::new(0.5)) * F::ln(y) - y
        + F::new(0.918_938_5)
        + (F::new(1.0 / 12.0) - q * (F::new(1.0 / 360.0) - q * F::new(1.0 / 1260.0))) / y
}

/// ψ(y) at y = x + 8, likewise.
#[cube]
fn stirling_slope<F: Float>(y: F) -> F {
    let q = F::new(1.0) / (y * y);
    F::ln(y) - F::new(0.5) / y - q * (F::new(1.0 / 12.0) - q * (F::new(1.0 / 120.0) - q * F::new(1.0 / 252.0)))
}

/// Slopes by both logits of every gene, by θ, by ln xl, and the value of every visit of a block.
#[cube(launch)]
pub(super) fn likelihood_kernel<F: Float>(
    logits: &Array<F>,
    bias: &Array<F>,
    theta: &Array<F>,
    log_library: &Array<F>,
    counts: &Array<F>,
    cells: &Array<u32>,
    slopes: &mut Array<F>,
    by_theta: &mut Array<F>,
    by_library: &mut Array<F>,
    value: &mut Array<F>,
    #[comptime] genes: usize,
) {
    let visit = CUBE_POS as usize;
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
    let mut room = SharedMemory::<F>::new(UNITS);

    let mut largest = F::new(f32::MIN);
    for gene in range_stepped(unit, genes, UNITS) {
        largest = F::max(largest, logits[rates + gene] + bias[genes + gene]);
    }
    let largest = reduce::<F>(largest, &mut room, true);
    let mut sum = F::new(0.0);
    for gene in range_stepped(unit, genes, UNITS) {
        sum += F::exp(logits[rates + gene] + bias[genes + gene] - largest);
    }
    let scale = one / reduce::<F>(sum, &mut room, false);

    let mut pull = F::new(0.0);
    let mut total = F::new(0.0);
    for gene in range_stepped(unit, genes, UNITS) {
        let gate = logits[gates + gene] + bias[gene];
        let share = F::exp(logits[rates + gene] + bias[genes + gene] - largest) * scale;
        let rate = share * library;
        let t = theta[gene];
        let inverse = one / (t + epsilon);
        let x = counts[seen + gene];
        let u = (rate + epsilon) * inverse;
        let log = F::ln(one + u);
        let a = F::exp(zero - F::abs(gate));
        if x > zero {
            // ln Γ(x + θ) − ln Γ(θ) − ln Γ(x + 1), and its derivative by θ
            let mut choose = F::new(0.0);
            let mut by_t = F::new(0.0);
            if x <= F::new(SMALL) && F::floor(x) == x {
                for i in 0..u32::cast_from(x) {
                    let k = F::cast_from(i);
                    choose += F::ln((t + k) / (k + one));
                    by_t += one / (t + k);
                }
            } else {
                let mut ahead = F::new(0.0); // ln of the factors by which the three differ at + 8
                for i in 0..8u32 {
                    let k = F::cast_from(i);
                    ahead += F::ln((t + k) / (x + t + k) * (x + one + k));
                    by_t += one / (t + k) - one / (x + t + k);
                }
                let eight = F::new(8.0);
                choose =
                    ahead + stirling::<F>(x + t + eight) - stirling::<F>(t + eight) - stirling::<F>(x + one + eight);
                by_t += stirling_slope::<F>(x + t + eight) - stirling_slope::<F>(t + eight);
            }
            let by_u = x / u - (x + t) / (one + u);
            total += zero - F::max(gate, zero) - F::ln(one + a) + x * F::ln(u) - (x + t) * log + choose;
            slopes[gates + gene] = zero - select(gate >= zero, one, a) / (one + a);
            let by_rate = by_u * inverse * rate;
            slopes[rates + gene] = by_rate;
            by_theta[visit * genes + gene] = by_t - log - by_u * u * inverse;
            pull += by_rate;
        } else {
            let d = zero - t * log - gate; // ln NB(0) − γ
            let b = F::exp(zero - F::abs(d));
            total += F::min(gate, zero) + F::max(d, zero) + F::ln((one + b) / (one + a));
            let shut = select(gate >= zero, a, one) / (one + a); // 1 − σ(γ)
            let none = select(d >= zero, one, b) / (one + b); // σ(d)
            let by_u = zero - none * t / (one + u);
            slopes[gates + gene] = shut - none;
            let by_rate = by_u * inverse * rate;
            slopes[rates + gene] = by_rate;
            by_theta[visit * genes + gene] = zero - none * log - by_u * u * inverse;
            pull += by_rate;
        }
    }
    let pull = reduce::<F>(pull, &mut room, false);
    let total = reduce::<F>(total, &mut room, false);
    // through the softmax
    for gene in range_stepped(unit, genes, UNITS) {
        let share = F::exp(logits[rates + gene] + bias[genes + gene] - largest) * scale;
        slopes[rates + gene] -= share * pull;
    }
    if unit == 0 {
        by_library[visit] = pull;
        value[visit] = total;
    }
}
