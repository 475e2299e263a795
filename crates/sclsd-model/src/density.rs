//! Log-densities, element by element, in nats.

use std::f64::consts::TAU;

use burn::tensor::{Tensor, activation::log_sigmoid, backend::Backend};

use crate::special::{ln_gamma, softplus};

/// `ln Normal(x; location, scale)`.
///
/// # Shapes
/// All broadcast to one `[rows, n]`.
#[must_use]
pub fn normal<B: Backend>(x: Tensor<B, 2>, location: Tensor<B, 2>, scale: Tensor<B, 2>) -> Tensor<B, 2> {
    let deviation = (x - location) / scale.clone();
    (deviation.powi_scalar(2).mul_scalar(-0.5) - scale.log()).sub_scalar(0.5 * TAU.ln())
}

/// `ln Normal(x; location, scale)` at the draw `x = location + scale ⊙ noise`: it depends on the scale alone, and so does its
/// derivative, which stays exact however narrow the density is. (By way of x, the square of a scale below 1e-19 is 0 in `f32`.)
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
/// ln NB(x) = (θ + x) ln σ(−η) + x η + ln Γ(x + θ) − ln Γ(θ) − ln Γ(x + 1)
/// ln p(0)  = ln σ(γ) + ln(1 + exp(NB(0) − γ))      (ln of π + (1 − π) NB(0), π = σ(γ))
/// ln p(x)  = ln σ(γ) − γ + ln NB(x)                 x > 0
/// ```
///
/// with θ the total count (inverse dispersion), η the logits and γ the logits of the gate.
///
/// # Shapes
/// - `x`, `logits`, `gate`: `[rows, genes]`; `total`: `[1, genes]`; out: `[rows, genes]`
///
/// Reference: `pyro.distributions.ZeroInflatedNegativeBinomial`.
#[must_use]
pub fn zero_inflated_negative_binomial<B: Backend>(
    x: Tensor<B, 2>,
    total: Tensor<B, 2>,
    logits: Tensor<B, 2>,
    gate: Tensor<B, 2>,
) -> Tensor<B, 2> {
    let grown = x.clone() + total.clone(); // [rows, genes]
    let negative_binomial = grown.clone() * log_sigmoid(logits.clone().neg()) + x.clone() * logits + ln_gamma(grown)
        - ln_gamma(total)
        - ln_gamma(x.clone().add_scalar(1.0));
    let ungated = negative_binomial - gate.clone();
    let zero = x.equal_elem(0.0);
    ungated.clone().mask_where(zero, softplus(ungated)) + log_sigmoid(gate)
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;

    fn zinb(count: f32, total: f32, logits: f32, gate: f32) -> f64 {
        let t = |v: f32| Tensor::<Flex, 2>::from_floats([[v]], &Default::default());
        f64::from(zero_inflated_negative_binomial(t(count), t(total), t(logits), t(gate)).into_scalar())
    }

    #[test]
    fn zero_inflated_negative_binomial_sums_to_one() {
        for (total, logits, gate) in [(2.0, 0.5, -1.0), (100.0, -3.0, 0.0), (0.3, 1.0, 2.0)] {
            let sum: f64 = (0..2000_u16).map(|n| zinb(f32::from(n), total, logits, gate).exp()).sum();
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
        let slope = narrow.grad(&gradients).unwrap().into_scalar();
        assert!((slope * -1.9e-23 - 1.0).abs() < 1e-5, "{slope}");
    }
}
