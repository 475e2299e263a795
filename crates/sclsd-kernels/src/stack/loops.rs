//! The element-wise loops of a layer, with SIMD.
//!
//! Matrices are row-major with rows of `width`. Loops run row by row, so that the numbers of each column stay in the
//! cache.

use pulp::{Simd, WithSimd};

use crate::simd::arch;
use crate::vector::Lanes;

/// ln(1 + eˣ).
#[inline(always)]
fn softplus<S: Simd>(x: Lanes<S>) -> Lanes<S> {
    x.max(x.same(0.0)) + (-x.abs()).exp().ln_1p()
}

/// σ(x) from y = ln(1 + eˣ): 1 − e⁻ʸ.
#[inline(always)]
fn softplus_grad<S: Simd>(y: Lanes<S>) -> Lanes<S> {
    y.one_minus_exp()
}

/// `x ← x + b`, or its softplus.
pub(super) fn bias(rows: &mut [f32], bias: &[f32], activated: bool) {
    arch().dispatch(Bias { rows, bias, activated });
}

struct Bias<'a> {
    rows: &'a mut [f32],
    bias: &'a [f32],
    activated: bool,
}

impl WithSimd for Bias<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.bias.len();
        for row in self.rows.chunks_exact_mut(width) {
            for at in (0..width).step_by(S::F32_LANES) {
                let sum = Lanes::from(simd, row, at) + Lanes::from(simd, self.bias, at);
                if self.activated { softplus(sum).to(row, at) } else { sum.to(row, at) }
            }
        }
    }
}

/// Backward pass through the bias and, if `activated`, the softplus whose values are `out`: `g ← g σ`, in place. Adds
/// the rows of `g` to `sum`.
pub(super) fn bias_grad(grad: &mut [f32], out: &[f32], sum: &mut [f32], activated: bool) {
    arch().dispatch(BiasGradient { grad, out, sum, activated });
}

struct BiasGradient<'a> {
    grad: &'a mut [f32],
    out: &'a [f32],
    sum: &'a mut [f32],
    activated: bool,
}

impl WithSimd for BiasGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.sum.len();
        for (grad, out) in self.grad.chunks_exact_mut(width).zip(self.out.chunks_exact(width)) {
            for at in (0..width).step_by(S::F32_LANES) {
                let mut g = Lanes::from(simd, grad, at);
                if self.activated {
                    g = g * softplus_grad(Lanes::from(simd, out, at));
                    g.to(grad, at);
                }
                (Lanes::from(simd, self.sum, at) + g).to(self.sum, at);
            }
        }
    }
}

/// Adds `Σ w x` or `Σ w (x − center)²` of every column to `sum`.
pub(super) fn moment(rows: &[f32], weights: &[f32], center: Option<&[f32]>, sum: &mut [f32]) {
    arch().dispatch(Moment { rows, weights, center, sum });
}

struct Moment<'a> {
    rows: &'a [f32],
    weights: &'a [f32],
    center: Option<&'a [f32]>,
    sum: &'a mut [f32],
}

impl WithSimd for Moment<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.sum.len();
        for (row, &w) in self.rows.chunks_exact(width).zip(self.weights) {
            let w = Lanes::all(simd, w);
            for at in (0..width).step_by(S::F32_LANES) {
                let (x, sum) = (Lanes::from(simd, row, at), Lanes::from(simd, self.sum, at));
                let sum = match self.center {
                    None => w.mul_add(x, sum),
                    Some(center) => {
                        let x = x - Lanes::from(simd, center, at);
                        (w * x).mul_add(x, sum)
                    }
                };
                sum.to(self.sum, at);
            }
        }
    }
}

/// Mean and 1 / sd of every column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Center<'a> {
    pub mean: &'a [f32],
    pub inverse: &'a [f32],
}

impl Center<'_> {
    /// x̂ of a row, from column `at` on.
    #[inline(always)]
    fn normed<S: Simd>(self, simd: S, row: &[f32], at: usize) -> Lanes<S> {
        (Lanes::from(simd, row, at) - Lanes::from(simd, self.mean, at)) * Lanes::from(simd, self.inverse, at)
    }
}

/// `out = γ x̂ + β` or its softplus.
pub(super) fn normalize(rows: &[f32], out: &mut [f32], center: Center<'_>, norm: (&[f32], &[f32]), activated: bool) {
    arch().dispatch(Normalize { rows, out, center, norm, activated });
}

struct Normalize<'a> {
    rows: &'a [f32],
    out: &'a mut [f32],
    center: Center<'a>,
    norm: (&'a [f32], &'a [f32]),
    activated: bool,
}

impl WithSimd for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (gamma, beta) = self.norm;
        let width = gamma.len();
        for (row, out) in self.rows.chunks_exact(width).zip(self.out.chunks_exact_mut(width)) {
            for at in (0..width).step_by(S::F32_LANES) {
                let normed = self.center.normed(simd, row, at);
                let y = normed.mul_add(Lanes::from(simd, gamma, at), Lanes::from(simd, beta, at));
                if self.activated { softplus(y).to(out, at) } else { y.to(out, at) }
            }
        }
    }
}

/// What the backward pass of a layer's normalisation needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Normed<'a> {
    /// Input of the normalisation.
    pub rows: &'a [f32],
    pub center: Center<'a>,
    /// Output of the normalisation and the activation.
    pub out: &'a [f32],
    pub activated: bool,
}

/// Backward pass through the softplus, if there is one. Adds `g` and `g x̂` of every column to `sums`.
pub(super) fn norm_grad_sums(grad: &mut [f32], normed: Normed<'_>, sums: [&mut [f32]; 2]) {
    arch().dispatch(NormGradientSums { grad, normed, sums });
}

struct NormGradientSums<'a> {
    grad: &'a mut [f32],
    normed: Normed<'a>,
    sums: [&'a mut [f32]; 2],
}

impl WithSimd for NormGradientSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let ([sum, product], normed) = (self.sums, self.normed);
        let width = sum.len();
        let rows = self.grad.chunks_exact_mut(width).zip(normed.rows.chunks_exact(width));
        for ((grad, row), out) in rows.zip(normed.out.chunks_exact(width)) {
            for at in (0..width).step_by(S::F32_LANES) {
                let mut g = Lanes::from(simd, grad, at);
                if normed.activated {
                    g = g * softplus_grad(Lanes::from(simd, out, at));
                    g.to(grad, at);
                }
                (Lanes::from(simd, sum, at) + g).to(sum, at);
                let x = normed.center.normed(simd, row, at);
                g.mul_add(x, Lanes::from(simd, product, at)).to(product, at);
            }
        }
    }
}

/// Backward pass through the normalisation, in place: `g ← γ/sd (g − w Σ g − w x̂ Σ g x̂)`, with w the weight of a row.
pub(super) fn norm_grad(
    grad: &mut [f32],
    rows: &[f32],
    center: Center<'_>,
    weights: &[f32],
    scale: &[f32],
    sums: [&[f32]; 2],
) {
    arch().dispatch(NormGradient { grad, rows, center, weights, scale, sums });
}

struct NormGradient<'a> {
    grad: &'a mut [f32],
    rows: &'a [f32],
    center: Center<'a>,
    weights: &'a [f32],
    scale: &'a [f32],
    sums: [&'a [f32]; 2],
}

impl WithSimd for NormGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.scale.len();
        let [sum, product] = self.sums;
        let rows = self.grad.chunks_exact_mut(width).zip(self.rows.chunks_exact(width));
        for ((grad, row), &w) in rows.zip(self.weights) {
            let w = Lanes::all(simd, -w);
            for at in (0..width).step_by(S::F32_LANES) {
                let x = self.center.normed(simd, row, at);
                let common = x.mul_add(Lanes::from(simd, product, at), Lanes::from(simd, sum, at));
                let g = w.mul_add(common, Lanes::from(simd, grad, at));
                (g * Lanes::from(simd, self.scale, at)).to(grad, at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_of_softplus_follows_from_its_value() {
        let x: Vec<f32> = (-300..301_i16).map(|i| f32::from(i) * 0.1).collect();
        let (mut y, mut grad, mut sum) = (x.clone(), vec![1.0; x.len()], vec![0.0; x.len()]);
        bias(&mut y, &vec![0.0; x.len()], true);
        bias_grad(&mut grad, &y, &mut sum, true);
        assert_eq!(grad, sum);
        for ((x, y), grad) in x.into_iter().zip(y).zip(grad) {
            let exact = f64::from(x).exp().ln_1p();
            assert!((f64::from(y) - exact).abs() < 4e-7 * exact, "{x}: {y}");
            let exact = 1.0 / (1.0 + f64::from(-x).exp());
            assert!((f64::from(grad) - exact).abs() < 8e-7 * exact, "{x}: {grad}");
        }
    }
}
