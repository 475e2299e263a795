//! Log-densities, element by element, in nats.

use std::f64::consts::TAU;

use burn::tensor::{Tensor, activation::log_sigmoid, backend::Backend};

use crate::special::{gamma_series, ln_1p, ln_1p_ratio, ln_gamma, softplus};

/// ε, added to rates and inverse dispersions.
const EPSILON: f64 = 1e-3;

/// `ln Normal(x; location, scale)`.
///
/// # Shapes
/// All broadcast to one `[rows, n]`.
#[must_use]
pub fn normal<B: Backend>(x: Tensor<B, 2>, location: Tensor<B, 2>, scale: Tensor<B, 2>) -> Tensor<B, 2> {
    let deviation = (x - location) / scale.clone();
    (deviation.powi_scalar(2).mul_scalar(-0.5) - scale.log()).sub_scalar(0.5 * TAU.ln())
}

/// `ln Normal(x; location, scale)` at the draw `x = location + scale ⊙ noise`. The value depends on the scale only, and
/// so does its gradient, which is exact however narrow the density is. (If it were computed from x, the square of a
/// scale below 1e-19 would be 0 in `f32`.)
///
/// # Shapes
/// Both `[rows, n]`.
#[must_use]
pub fn normal_at_draw<B: Backend>(noise: Tensor<B, 2>, scale: Tensor<B, 2>) -> Tensor<B, 2> {
    (noise.powi_scalar(2).mul_scalar(-0.5) - scale.log()).sub_scalar(0.5 * TAU.ln())
}

/// `ln LogNormal(eˡ; location, scale)`, given l: `ln Normal(l; location, scale) − l`.
///
/// # Shapes
/// All broadcast to one `[rows, n]`.
#[must_use]
pub fn log_normal<B: Backend>(l: Tensor<B, 2>, location: Tensor<B, 2>, scale: Tensor<B, 2>) -> Tensor<B, 2> {
    normal(l.clone(), location, scale) - l
}

/// The zero-inflated negative binomial.
///
/// ```text
/// u = (r + ε) / (θ + ε)
/// ln NB(x) = x ln u − (x + θ) ln(1 + u) + ln Γ(x + θ) − ln Γ(θ) − ln Γ(x + 1)
/// ln p(0)  = ln σ(γ) + ln(1 + exp(NB(0) − γ))      (ln of π + (1 − π) NB(0), π = σ(γ))
/// ln p(x)  = ln σ(γ) − γ + ln NB(x)                 x > 0
/// ```
///
/// with θ the inverse dispersion, r the rate, γ the logits of the gate and ε = 1e-3.
///
/// For large θ, the part of ln NB that depends on θ is of order (r − x)² / θ, and the rest is of order 1. Both parts
/// are computed separately, so that the gradient with respect to θ is not a difference of large numbers.
///
/// # Shapes
/// - `x`, integer counts, `rate`, `gate`: `[rows, genes]`; `theta`: `[1, genes]`; out: `[rows, genes]`
///
/// Reference: `pyro.distributions.ZeroInflatedNegativeBinomial`, with `total_count` θ and `logits` ln u.
#[must_use]
pub fn zero_inflated_negative_binomial<B: Backend>(
    x: Tensor<B, 2>,
    theta: Tensor<B, 2>,
    rate: Tensor<B, 2>,
    gate: Tensor<B, 2>,
) -> Tensor<B, 2> {
    let rate = rate.add_scalar(EPSILON);
    let inverse = theta.clone().add_scalar(EPSILON).recip(); // 1 / (θ + ε), [1, genes]
    let u = rate.clone() * inverse.clone(); // [rows, genes]
    // −θ ln(1 + u) = −θ / (θ + ε) · r ln(1 + u) / u
    let share = inverse.mul_scalar(EPSILON).neg().add_scalar(1.0);
    let no_count = (share * rate.clone() * ln_1p_ratio(u.clone())).neg();
    let counts = x.clone() * (rate.log() - ln_1p(u)) + rising(&x, theta) - ln_gamma(x.clone().add_scalar(1.0));
    let zero = x.equal_elem(0.0);
    let something = no_count.clone() + counts - gate.clone();
    something.mask_where(zero, softplus(no_count - gate.clone())) + log_sigmoid(gate)
}

/// `ln Γ(x + θ) − ln Γ(θ) − x ln(θ + ε)` for integer x ≥ 1. For large θ the value and its derivative tend to 0.
///
/// With n = x − 1 and y = θ + 7, by Stirling's series c:
///
/// ```text
/// ln Γ(x + θ) − ln Γ(θ) = ln θ + ln Γ(n + θ + 1) − ln Γ(θ + 1)
/// ln Γ(n + θ + 1) − ln Γ(θ + 1) = (y + n − ½) ln(1 + n/y) + n ln y − n + c(y + n) − c(y) − Σ_{k=1}^{6} ln(1 + n/(θ + k))
/// ```
fn rising<B: Backend>(x: &Tensor<B, 2>, theta: Tensor<B, 2>) -> Tensor<B, 2> {
    let n = x.clone().clamp_min(1.0).sub_scalar(1.0); // [rows, genes]
    let factor = |k: f64| (n.clone() / theta.clone().add_scalar(k)).add_scalar(1.0);
    // in two factors, so that they overflow only beyond 10¹²
    let low = factor(1.0) * factor(2.0) * factor(3.0);
    let high = factor(4.0) * factor(5.0) * factor(6.0);
    let y = theta.clone().add_scalar(7.0);
    let v = n.clone() / y.clone();
    let stirling = n.clone() * ln_1p_ratio(v.clone()).sub_scalar(1.0) + (n.clone() - 0.5) * ln_1p(v);
    let series = gamma_series(y.clone() + n.clone()) - gamma_series(y);
    let inverse = theta.clone().add_scalar(EPSILON).recip();
    let of_theta = ln_1p(theta.recip().mul_scalar(EPSILON)).neg(); // ln(θ / (θ + ε))
    let shift = n * ln_1p(inverse.mul_scalar(7.0 - EPSILON)); // n ln(y / (θ + ε))
    stirling + series + shift + of_theta - low.log() - high.log()
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;

    fn zinb(count: f32, theta: f32, rate: f32, gate: f32) -> f64 {
        let t = |v: f32| Tensor::<Flex, 2>::from_floats([[v]], &Default::default());
        f64::from(zero_inflated_negative_binomial(t(count), t(theta), t(rate), t(gate)).into_scalar())
    }

    #[test]
    fn zero_inflated_negative_binomial_sums_to_one() {
        for (theta, rate, gate) in [(2.0, 3.3, -1.0), (100.0, 5.0, 0.0), (0.3, 0.8, 2.0), (1e4, 12.0, 0.5)] {
            let sum: f64 = (0..2000_u16).map(|n| zinb(f32::from(n), theta, rate, gate).exp()).sum();
            assert!((sum - 1.0).abs() < 2e-4, "{sum}");
        }
    }

    #[test]
    fn normal_and_log_normal_match_their_formulas() {
        let t = |v: f32| Tensor::<Flex, 2>::from_floats([[v]], &Default::default());
        let expected = -0.5 * ((1.3_f64 - 0.4) / 0.7).powi(2) - 0.7_f64.ln() - 0.5 * TAU.ln();
        assert!((f64::from(normal(t(1.3), t(0.4), t(0.7)).into_scalar()) - expected).abs() < 1e-6);
        assert!((f64::from(log_normal(t(1.3), t(0.4), t(0.7)).into_scalar()) - expected + 1.3).abs() < 1e-6);
    }

    #[test]
    fn a_draw_has_the_density_of_its_place_and_a_derivative_however_narrow_it_is() {
        type Ad = burn::backend::Autodiff<Flex>;
        let t = |v: f32| Tensor::<Flex, 2>::from_floats([[v]], &Default::default());
        let by_place = normal(t(0.4 + 0.7 * 1.3), t(0.4), t(0.7)).into_scalar();
        assert!((normal_at_draw(t(1.3), t(0.7)).into_scalar() - by_place).abs() < 1e-6);
        let narrow = Tensor::<Ad, 2>::from_floats([[1.9e-23]], &Default::default()).require_grad();
        let noise = Tensor::from_floats([[1.3]], &Default::default());
        let gradients = normal_at_draw(noise, narrow.clone()).backward();
        let grad = narrow.grad(&gradients).unwrap().into_scalar();
        assert!((grad * -1.9e-23 - 1.0).abs() < 1e-5, "{grad}");
    }
}
