//! What a gene's inverse dispersion determines by itself: ratios of Γ functions, tabulated for small counts.

use rayon::prelude::*;

use super::EPSILON;
use super::likelihood::padded;

/// Counts up to which ln Γ(x + θ) − ln Γ(θ) is tabulated for every gene.
const TABLE: usize = 16;

/// What is known of every gene before any visit.
pub(super) struct Genes {
    /// θ, in a row with places for all genes, 0 where there is none.
    pub(super) theta: Vec<f32>,
    /// 1 / (θ + ε), in such a row.
    pub(super) inverse: Vec<f32>,
    /// ln Γ(θ) and ψ(θ).
    gamma: Vec<(f64, f64)>,
    /// ln Γ(x + θ) − ln Γ(θ) − ln Γ(x + 1) and ψ(x + θ) − ψ(θ), for x = 0 … TABLE, gene after gene.
    table: Vec<(f32, f32)>,
}

impl Genes {
    pub(super) fn new(log_theta: &[f32]) -> Self {
        let mut theta: Vec<f32> = log_theta.iter().map(|l| l.exp()).collect();
        let row = |&theta: &f32| {
            let theta = f64::from(theta);
            let (mut log, mut psi) = (0.0, 0.0);
            (0..=TABLE).map(move |x| {
                #[expect(clippy::cast_possible_truncation, reason = "kept in f32")]
                let entry = (log as f32, psi as f32);
                #[expect(clippy::cast_precision_loss, reason = "a small count")]
                let k = x as f64;
                log += ((theta + k) / (k + 1.0)).ln();
                psi += 1.0 / (theta + k);
                entry
            })
        };
        let table = theta.par_iter().flat_map_iter(row).collect();
        let mut inverse: Vec<f32> = theta.iter().map(|theta| 1.0 / (theta + EPSILON)).collect();
        let gamma = theta.iter().map(|theta| ln_gamma_and_digamma(f64::from(*theta))).collect();
        theta.resize(padded(log_theta.len()), 0.0);
        inverse.resize(padded(log_theta.len()), 1.0);
        Self { theta, inverse, gamma, table }
    }

    /// Number of genes.
    pub(super) fn count(&self) -> usize {
        self.gamma.len()
    }

    /// ln Γ(x + θ) − ln Γ(θ) − ln Γ(x + 1) and its derivative by θ.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "a small count"
    )]
    #[inline(always)]
    pub(super) fn choose(&self, gene: usize, x: f32) -> (f32, f32) {
        let whole = x as i32; // one instruction
        #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "compared with what it comes from")]
        if whole as f32 == x && (0..=TABLE as i32).contains(&whole) {
            return self.table[gene * (TABLE + 1) + whole as usize];
        }
        self.choose_large(gene, x)
    }

    #[expect(clippy::cast_possible_truncation, reason = "kept in f32")]
    fn choose_large(&self, gene: usize, x: f32) -> (f32, f32) {
        let (x, (log_of_theta, psi_of_theta)) = (f64::from(x), self.gamma[gene]);
        let (log, psi) = ln_gamma_and_digamma(x + f64::from(self.theta[gene]));
        let (log_factorial, _) = ln_gamma_and_digamma(x + 1.0);
        ((log - log_of_theta - log_factorial) as f32, (psi - psi_of_theta) as f32)
    }
}

/// ln Γ(x) and its derivative ψ(x), for x > 0: Stirling's series, at x + 8 where x is small, less what leads there.
fn ln_gamma_and_digamma(x: f64) -> (f64, f64) {
    let (y, log_product, sum) = if x < 8.0 {
        let (product, sum) = (0..8).map(|k| x + f64::from(k)).fold((1.0, 0.0), |(p, s), v| (p * v, s + 1.0 / v));
        (x + 8.0, product.ln(), sum)
    } else {
        (x, 0.0, 0.0)
    };
    let (inverse, log) = (1.0 / y, y.ln());
    let q = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - q * (1.0 / 360.0 - q * (1.0 / 1260.0 - q / 1680.0)));
    let slope = q * (1.0 / 12.0 - q * (1.0 / 120.0 - q * (1.0 / 252.0 - q / 240.0)));
    let ln_gamma = (y - 0.5) * log - y + 0.5 * std::f64::consts::TAU.ln() + series - log_product;
    (ln_gamma, log - 0.5 * inverse - slope - sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln_gamma_and_digamma_are_exact_to_rounding() {
        let (mut ln_factorial, mut harmonic) = (0.0, -0.577_215_664_901_532_9);
        for n in 1..300_u16 {
            let x = f64::from(n);
            let (log, psi) = ln_gamma_and_digamma(x);
            assert!((log - ln_factorial).abs() < 1e-10 * ln_factorial.max(1.0), "{n}");
            assert!((psi - harmonic).abs() < 1e-10, "{n}");
            ln_factorial += x.ln();
            harmonic += 1.0 / x;
        }
    }
}
