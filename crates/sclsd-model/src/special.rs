//! Functions that Burn lacks or computes in a way that overflows, as differentiable tensor operations.

use std::f64::consts::{LN_2, TAU};

use burn::tensor::{Tensor, activation, backend::Backend};

use sclsd_kernels::vector::{LN, SMALL};

/// `ln(1 + eˣ) = max(x, 0) + ln(1 + e⁻ˡˣˡ)`. It does not overflow, and neither the value nor the derivative `σ(x)`
/// underflows for x far below 0.
pub(crate) fn softplus<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let e = x.clone().detach().abs().neg().exp();
    let value = x.clone().detach().clamp_min(0.0) + ln_1p(e.clone());
    let above = e.clone().add_scalar(1.0);
    let sigmoid = e.mask_fill(x.clone().greater_equal_elem(0.0), 1.0) / above;
    with_derivative(x, value, sigmoid)
}

/// ln(1 + x) for x ≥ −0.29, exact to rounding. (Some backends compute `log1p` as the logarithm of the rounded sum.)
pub(crate) fn ln_1p<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let (value, ..) = ln_1p_parts(x.clone().detach());
    let derivative = x.clone().detach().add_scalar(1.0).recip();
    with_derivative(x, value, derivative)
}

/// ln(1 + x) / x for x ≥ −0.29, and 1 at 0. The derivative is exact to rounding too:
///
/// ```text
/// d/dx ln(1 + x)/x = −(ln(1 + x) − x/(1 + x)) / x² = −((ln(1 + x) − x)/x² + 1/(1 + x))
/// ```
pub(crate) fn ln_1p_ratio<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let (value, bend, small) = ln_1p_parts(x.clone().detach());
    let far = x.clone().detach().clamp_min(SMALL);
    let near = x.clone().detach().clamp_max(SMALL);
    let reciprocal = x.clone().detach().add_scalar(1.0).recip();
    let ratio = value / far.clone();
    let derivative = (reciprocal.clone() - ratio.clone()) / far;
    let derivative = derivative.mask_where(small.clone(), (bend.clone() + reciprocal).neg());
    with_derivative(x, ratio.mask_where(small, (near * bend).add_scalar(1.0)), derivative)
}

/// ln(1 + x), then (ln(1 + x) − x) / x² for small x, then a mask of where x is small.
fn ln_1p_parts<B: Backend, const D: usize>(
    x: Tensor<B, D>,
) -> (Tensor<B, D>, Tensor<B, D>, Tensor<B, D, burn::tensor::Bool>) {
    let small = x.clone().lower_elem(SMALL);
    let near = x.clone().clamp_max(SMALL);
    let zeros = near.zeros_like();
    let series = LN.iter().rev().fold(zeros, |sum, &c| (sum * near.clone()).add_scalar(c));
    let bend = (series * near.clone()).sub_scalar(0.5);
    let value = near.clone() + near.clone() * near * bend.clone();
    (x.clamp_min(SMALL).add_scalar(1.0).log().mask_where(small.clone(), value), bend, small)
}

/// A function with this value at x, whose derivative in Burn is `derivative`.
fn with_derivative<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    value: Tensor<B, D>,
    derivative: Tensor<B, D>,
) -> Tensor<B, D> {
    value + derivative * (x.clone() - x.detach())
}

/// `ln cosh x`, without overflow: `x − ln σ(2x) − ln 2`. Its derivative is `tanh x`.
pub(crate) fn log_cosh<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    x.clone() - activation::log_sigmoid(x.mul_scalar(2.0)).add_scalar(LN_2)
}

/// `ln Γ(x)` for positive x, to about 1e-6 relative to max(1, ln Γ) in `f32`.
///
/// Stirling's series at x + 6, where three terms suffice, minus the logarithm of x (x+1) … (x+5):
///
/// ```text
/// ln Γ(y) = (y − ½) ln y − y + ½ ln 2π + 1/(12 y) − 1/(360 y³) + 1/(1260 y⁵)
/// ```
///
/// The product is computed in two factors, so that it overflows only beyond 10¹².
pub(crate) fn ln_gamma<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let low = x.clone() * x.clone().add_scalar(1.0) * x.clone().add_scalar(2.0);
    let high = x.clone().add_scalar(3.0) * x.clone().add_scalar(4.0) * x.clone().add_scalar(5.0);
    let y = x.add_scalar(6.0);
    let series = gamma_series(y.clone());
    y.clone().sub_scalar(0.5) * y.clone().log() - y + 0.5 * TAU.ln() + series - low.log() - high.log()
}

/// The remainder of Stirling's series after `½ ln 2π`, for y ≥ 6: `1/(12 y) − 1/(360 y³) + 1/(1260 y⁵)`.
pub(crate) fn gamma_series<B: Backend, const D: usize>(y: Tensor<B, D>) -> Tensor<B, D> {
    let inverse = y.recip();
    let square = inverse.clone() * inverse.clone();
    ((square.clone().mul_scalar(1.0 / 1260.0) - 1.0 / 360.0) * square + 1.0 / 12.0) * inverse
}

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, Flex};

    use super::*;

    type B = Autodiff<Flex>;

    /// Value and derivative of `f` at each x.
    fn both(f: impl Fn(Tensor<B, 1>) -> Tensor<B, 1>, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let x = Tensor::<B, 1>::from_floats(x, &Default::default()).require_grad();
        let y = f(x.clone());
        let grads = y.clone().sum().backward();
        (y.into_data().to_vec().unwrap(), x.grad(&grads).unwrap().into_data().to_vec().unwrap())
    }

    #[test]
    fn softplus_and_log_cosh_do_not_overflow_and_have_their_derivatives() {
        let (y, dy) = both(softplus, &[-200.0, 0.0, 200.0]);
        assert!(y[0].abs() < 1e-30 && (y[1] - 2_f32.ln()).abs() < 1e-6 && (y[2] - 200.0).abs() < 1e-4);
        assert!(dy[0].abs() < 1e-30 && (dy[1] - 0.5).abs() < 1e-6 && (dy[2] - 1.0).abs() < 1e-6);
        let (y, dy) = both(log_cosh, &[-90.0, -0.3, 0.0, 2.0, 90.0]);
        for (i, x) in [-90.0_f64, -0.3, 0.0, 2.0, 90.0].into_iter().enumerate() {
            assert!((f64::from(y[i]) - x.cosh().ln()).abs() < 1e-5 * (1.0 + x.abs()), "{x}: {}", y[i]);
            assert!((f64::from(dy[i]) - x.tanh()).abs() < 1e-6, "{x}: {}", dy[i]);
        }
    }

    #[test]
    fn softplus_does_not_vanish_far_below_0_nor_does_its_derivative() {
        for x in [-80.0_f32, -40.0, -20.0, -17.5, -5.0, -1.0] {
            let (y, dy) = both(softplus, &[x]);
            let exact = f64::from(x).exp().ln_1p();
            let sigmoid = f64::from(x).exp() / (1.0 + f64::from(x).exp());
            assert!((f64::from(y[0]) - exact).abs() < 1e-6 * exact, "{x}: {} {exact}", y[0]);
            assert!((f64::from(dy[0]) - sigmoid).abs() < 1e-6 * sigmoid, "{x}: {} {sigmoid}", dy[0]);
        }
    }

    #[test]
    fn ln_1p_and_its_ratio_are_exact_to_rounding_however_small_their_argument_is() {
        let series = |x: f64| -(0.5 - x * (2.0 / 3.0 - x * (0.75 - 0.8 * x)));
        for exponent in -120..100_i8 {
            let x = f32::exp(0.25 * f32::from(exponent));
            let (logs, reciprocals) = both(ln_1p, &[x]);
            let (ratios, grads) = both(ln_1p_ratio, &[x]);
            let x = f64::from(x);
            let log = x.ln_1p();
            let grad = if x < 1e-3 { series(x) } else { (x / (1.0 + x) - log) / (x * x) };
            for (found, exact) in
                [(logs[0], log), (reciprocals[0], 1.0 / (1.0 + x)), (ratios[0], log / x), (grads[0], grad)]
            {
                assert!((f64::from(found) - exact).abs() < 2e-6 * exact.abs(), "{x}: {found} {exact}");
            }
        }
        assert_eq!(both(ln_1p_ratio, &[0.0]), (vec![1.0], vec![-0.5]));
    }

    #[test]
    fn ln_gamma_is_the_logarithm_of_the_factorial() {
        let mut ln_factorial = 0.0_f64; // ln (n − 1)! = ln Γ(n)
        let mut harmonic = -0.577_215_664_901_532_9_f64; // ψ(n)
        for n in 1..200_u16 {
            let (y, dy) = both(ln_gamma, &[f32::from(n)]);
            assert!((f64::from(y[0]) - ln_factorial).abs() < 2e-6 * ln_factorial.max(1.0), "{n}: {}", y[0]);
            assert!((f64::from(dy[0]) - harmonic).abs() < 5e-6, "{n}: {} {harmonic}", dy[0]);
            ln_factorial += f64::from(n).ln();
            harmonic += 1.0 / f64::from(n);
        }
        let (y, _) = both(ln_gamma, &[0.5, 1e4, 1e6]);
        for (y, expected) in y.into_iter().zip([0.572_364_942_924_700_1, 82_099.717_496_442_3, 12_815_504.569_147_9]) {
            assert!((f64::from(y) - expected).abs() < 2e-6 * expected.max(1.0), "{y} {expected}");
        }
    }
}
