//! The part of the likelihood that depends on counts and θ only: ratios of Γ functions, tabulated for small counts.

use rayon::prelude::*;

/// ε of the rates.
pub const EPSILON: f32 = 1e-3;

/// A multiple of the SIMD width of every CPU.
pub(super) const VECTOR: usize = 16;

/// Length of a vector of `genes`, padded to whole SIMD vectors.
pub(super) fn padded(genes: usize) -> usize {
    genes.next_multiple_of(VECTOR)
}

/// Largest count that is tabulated for every gene.
const TABLE: usize = 16;

/// What is computed once per gene, before any visit.
pub(super) struct Genes {
    /// Number of genes.
    pub(super) count: usize,
    /// θ, padded with 0.
    pub(super) theta: Vec<f32>,
    /// 1 / (θ + ε), padded with 1.
    pub(super) inverse: Vec<f32>,
    /// Whether the distribution depends on θ. If it does not (Poisson), only −ln x! is left of the Γ functions.
    dispersed: bool,
    /// [`Genes::choose`] for x = 0 … TABLE, gene after gene.
    table: Vec<(f32, f32)>,
}

impl Genes {
    pub(super) fn new(log_theta: &[f32], dispersed: bool) -> Self {
        let count = log_theta.len();
        let mut theta: Vec<f32> = log_theta.iter().map(|l| l.exp()).collect();
        let row = |&theta: &f32| {
            let theta = f64::from(theta);
            let (mut log, mut psi, mut less) = (0.0, 0.0, 0.0);
            (0..=TABLE).map(move |x| {
                #[expect(clippy::cast_precision_loss, reason = "a small count")]
                let k = x as f64;
                #[expect(clippy::cast_possible_truncation, reason = "kept in f32")]
                let entry = (log as f32, if k < theta { less as f32 } else { psi as f32 });
                if dispersed {
                    log += ((theta + k) / ((k + 1.0) * (theta + E))).ln();
                    psi += 1.0 / (theta + k);
                    less += (E - k) / ((theta + k) * (theta + E));
                } else {
                    log -= (k + 1.0).ln();
                }
                entry
            })
        };
        let table = theta.par_iter().flat_map_iter(row).collect();
        let mut inverse: Vec<f32> = theta.iter().map(|theta| 1.0 / (theta + EPSILON)).collect();
        theta.resize(padded(count), 0.0);
        inverse.resize(padded(count), 1.0);
        Self { count, theta, inverse, dispersed, table }
    }

    /// The terms with Γ functions of ln p, minus x ln(θ + ε), and their derivative with respect to θ. If θ > x, the
    /// term x / (θ + ε) is subtracted from the derivative. Both numbers stay small for large θ:
    ///
    /// ```text
    /// ln Γ(x + θ) − ln Γ(θ) − ln Γ(x + 1) − x ln(θ + ε)
    /// ψ(x + θ) − ψ(θ)                      x ≥ θ
    /// ψ(x + θ) − ψ(θ) − x / (θ + ε)        x < θ
    /// ```
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "a small count"
    )]
    #[inline(always)]
    pub(super) fn choose(&self, gene: usize, x: f32) -> (f32, f32) {
        let whole = x as i32; // a single instruction
        #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "compared with what it comes from")]
        if whole as f32 == x && (0..=TABLE as i32).contains(&whole) {
            return self.table[gene * (TABLE + 1) + whole as usize];
        }
        if !self.dispersed {
            return (-ln_factorial(f64::from(x)) as f32, 0.0);
        }
        let (log, psi) = rising(f64::from(x), f64::from(self.theta[gene]));
        ((log - ln_factorial(f64::from(x))) as f32, psi as f32)
    }
}

/// ε of the rates, rounded to `f32`.
const E: f64 = EPSILON as f64;

/// ln Γ(x + θ) − ln Γ(θ) − x ln(θ + ε) and ψ(x + θ) − ψ(θ), for positive x and θ. If θ > x, x / (θ + ε) is subtracted
/// from the second number.
///
/// Computed as differences of Stirling's series at y = θ, or at y = θ + 8 if θ < 8, corrected by the recurrence from θ
/// to y. Differences of logarithms are logarithms of ratios, so that nothing cancels for large θ:
///
/// ```text
/// ln Γ(x + y) − ln Γ(y) = (y + x − ½) ln(1 + x/y) + x ln y − x + c(y + x) − c(y)
/// ψ(x + y) − ψ(y)       = ln(1 + x/y) + x / (2 y (y + x)) − s(y + x) + s(y)
/// ```
fn rising(x: f64, theta: f64) -> (f64, f64) {
    let (y, log_ratio, sum) = if theta < 8.0 {
        let at = (0..8).map(|k| theta + f64::from(k));
        let (ratio, sum) = at.fold((1.0, 0.0), |(r, s), y| (r * (y / (x + y)), s + x / (y * (x + y))));
        (theta + 8.0, ratio.ln(), sum)
    } else {
        (theta, 0.0, 0.0)
    };
    let log = (x / y).ln_1p();
    let ((low, low_grad), (high, high_grad)) = (series(y), series(y + x));
    let shift = x * ((y - theta - E) / (theta + E)).ln_1p(); // x ln(y / (θ + ε))
    let linear = if x < theta { x / (theta + E) } else { 0.0 };
    let psi = log - linear + x / (2.0 * y * (y + x)) - (high_grad - low_grad) + sum;
    ((y + x - 0.5) * log - x + shift + (high - low) + log_ratio, psi)
}

/// ln x! = ln Γ(x + 1).
fn ln_factorial(x: f64) -> f64 {
    let y = x + 1.0;
    let (y, log_product) =
        if y < 8.0 { (y + 8.0, (0..8).map(|k| y + f64::from(k)).product::<f64>().ln()) } else { (y, 0.0) };
    (y - 0.5) * y.ln() - y + 0.5 * std::f64::consts::TAU.ln() + series(y).0 - log_product
}

/// c(y) and s(y) of Stirling's series ln Γ(y) = (y − ½) ln y − y + ½ ln 2π + c(y) and ψ(y) = ln y − 1/(2y) − s(y), for
/// y ≥ 8.
fn series(y: f64) -> (f64, f64) {
    let inverse = 1.0 / y;
    let q = inverse * inverse;
    let log = inverse * (1.0 / 12.0 - q * (1.0 / 360.0 - q * (1.0 / 1260.0 - q / 1680.0)));
    (log, q * (1.0 / 12.0 - q * (1.0 / 120.0 - q * (1.0 / 252.0 - q / 240.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gamma_functions_add_is_exact_to_rounding_for_every_count_and_dispersion() {
        for exponent in -30..60_i8 {
            let theta = f64::from(f32::exp(0.25 * f32::from(exponent)));
            let genes = Genes::new(&[0.25 * f32::from(exponent)], true);
            let (mut log, mut psi, mut less, mut ln_factorial) = (0.0, 0.0, 0.0, 0.0_f64);
            for x in 0..300_u16 {
                let k = f64::from(x);
                let found = genes.choose(0, f32::from(x));
                let far = |found: f32, exact: f64, size: f64| (f64::from(found) - exact).abs() > 1e-6 * size;
                assert!(!far(found.0, log - ln_factorial, 1e-6 + log.abs() + ln_factorial), "{x} {theta}: {found:?}");
                let exact: f64 = if k < theta { less } else { psi };
                assert!(!far(found.1, exact, exact.abs()), "{x} at {theta}: {found:?} {exact}");
                log += ((theta + k) / (theta + E)).ln();
                psi += 1.0 / (theta + k);
                less += (E - k) / ((theta + k) * (theta + E));
                ln_factorial += (k + 1.0).ln();
            }
        }
    }
}
