//! Functions that Burn lacks or computes in a way that overflows, as tensor code that can be differentiated.

use std::f64::consts::{LN_2, TAU};

use burn::tensor::{Tensor, activation, backend::Backend};

/// `ln(1 + eˣ)`, without overflow: `−ln σ(−x)`.
pub(crate) fn softplus<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    activation::log_sigmoid(x.neg()).neg()
}

/// `ln cosh x`, without overflow: `x − ln σ(2x) − ln 2`. Its derivative is `tanh x`.
pub(crate) fn log_cosh<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    x.clone() - activation::log_sigmoid(x.mul_scalar(2.0)).add_scalar(LN_2)
}

/// `ln Γ(x)` for positive x, to about 1e-6 relative to max(1, ln Γ) in `f32`.
///
/// Stirling's series at x + 6, where its first three terms suffice, less the logarithm of x (x+1) … (x+5):
///
/// ```text
/// ln Γ(y) = (y − ½) ln y − y + ½ ln 2π + 1/(12 y) − 1/(360 y³) + 1/(1260 y⁵)
/// ```
///
/// The product is split in two so that it overflows only beyond 10¹².
pub(crate) fn ln_gamma<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let low = x.clone() * x.clone().add_scalar(1.0) * x.clone().add_scalar(2.0);
    let high = x.clone().add_scalar(3.0) * x.clone().add_scalar(4.0) * x.clone().add_scalar(5.0);
    let y = x.add_scalar(6.0);
    let inverse = y.clone().recip();
    let square = inverse.clone() * inverse.clone();
    let series = ((square.clone().mul_scalar(1.0 / 1260.0) - 1.0 / 360.0) * square + 1.0 / 12.0) * inverse;
    y.clone().sub_scalar(0.5) * y.clone().log() - y + 0.5 * TAU.ln() + series - low.log() - high.log()
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
