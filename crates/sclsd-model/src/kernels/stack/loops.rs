//! The element-wise loops of a layer, compiled for the vector width at hand.
//!
//! Rows are `width` long; a loop over one row at a time keeps what belongs to a column in a register or in the cache.

use pulp::{Arch, NullaryFnOnce};

use super::super::vector::{exp, ln};

/// ln(1 + eˣ).
#[inline(always)]
fn softplus(x: f32) -> f32 {
    x.max(0.0) + ln(1.0 + exp(-x.abs()))
}

/// σ(x) from y = ln(1 + eˣ): 1 − e⁻ʸ, by its series where that would cancel.
#[inline(always)]
fn slope_of_softplus(y: f32) -> f32 {
    let series = y * (1.0 - y * (0.5 - y * (1.0 / 6.0 - y * (1.0 / 24.0))));
    let direct = 1.0 - exp(-y);
    if y < 0.05 { series } else { direct }
}

/// `x ← x + b`, or its softplus.
pub(super) fn bias(rows: &mut [f32], bias: &[f32], activated: bool) {
    Arch::new().dispatch(Bias { rows, bias, activated });
}

struct Bias<'a> {
    rows: &'a mut [f32],
    bias: &'a [f32],
    activated: bool,
}

impl NullaryFnOnce for Bias<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for row in self.rows.chunks_exact_mut(self.bias.len()) {
            if self.activated {
                row.iter_mut().zip(self.bias).for_each(|(x, b)| *x = softplus(*x + b));
            } else {
                row.iter_mut().zip(self.bias).for_each(|(x, b)| *x += b);
            }
        }
    }
}

/// Through the softplus whose values are `out`, if there is one: `g ← g σ`; adds the rows to `sum`.
pub(super) fn bias_slope(slope: &mut [f32], out: &[f32], sum: &mut [f32], activated: bool) {
    Arch::new().dispatch(BiasSlope { slope, out, sum, activated });
}

struct BiasSlope<'a> {
    slope: &'a mut [f32],
    out: &'a [f32],
    sum: &'a mut [f32],
    activated: bool,
}

impl NullaryFnOnce for BiasSlope<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let width = self.sum.len();
        for (slope, out) in self.slope.chunks_exact_mut(width).zip(self.out.chunks_exact(width)) {
            if self.activated {
                slope.iter_mut().zip(out).for_each(|(g, y)| *g *= slope_of_softplus(*y));
            }
            self.sum.iter_mut().zip(slope).for_each(|(sum, g)| *sum += *g);
        }
    }
}

/// `Σ w x` or `Σ w (x − center)²` of every column.
pub(super) fn moment(rows: &[f32], weights: &[f32], center: Option<&[f32]>, sum: &mut [f32]) {
    Arch::new().dispatch(Moment { rows, weights, center, sum });
}

struct Moment<'a> {
    rows: &'a [f32],
    weights: &'a [f32],
    center: Option<&'a [f32]>,
    sum: &'a mut [f32],
}

impl NullaryFnOnce for Moment<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (row, &w) in self.rows.chunks_exact(self.sum.len()).zip(self.weights) {
            match self.center {
                None => self.sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += w * x),
                Some(center) => {
                    let columns = self.sum.iter_mut().zip(row).zip(center);
                    columns.for_each(|((sum, x), c)| *sum += w * (x - c) * (x - c));
                }
            }
        }
    }
}

/// `x ← (x − mean) / sd`, and `out = γ x + β` or its softplus.
pub(super) fn normalize(rows: &mut [f32], out: &mut [f32], norm: &Norm<'_>, activated: bool) {
    Arch::new().dispatch(Normalize { rows, out, norm, activated });
}

/// A normalisation: mean, 1/sd, γ and β of every column.
pub(super) struct Norm<'a> {
    pub mean: &'a [f32],
    pub inverse: &'a [f32],
    pub gamma: &'a [f32],
    pub beta: &'a [f32],
}

struct Normalize<'a> {
    rows: &'a mut [f32],
    out: &'a mut [f32],
    norm: &'a Norm<'a>,
    activated: bool,
}

impl NullaryFnOnce for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let n = self.norm;
        let width = n.mean.len();
        for (row, out) in self.rows.chunks_exact_mut(width).zip(self.out.chunks_exact_mut(width)) {
            let columns = row.iter_mut().zip(n.mean).zip(n.inverse);
            columns.for_each(|((x, mean), inverse)| *x = (*x - mean) * inverse);
            let columns = out.iter_mut().zip(&*row).zip(n.gamma).zip(n.beta);
            if self.activated {
                columns.for_each(|(((y, x), gamma), beta)| *y = softplus(gamma * x + beta));
            } else {
                columns.for_each(|(((y, x), gamma), beta)| *y = gamma * x + beta);
            }
        }
    }
}

/// Through the softplus whose values are `out`, if there is one; adds `g` and `g x̂` of every column to `sums`.
pub(super) fn norm_sums(slope: &mut [f32], normed: &[f32], out: &[f32], sums: [&mut [f32]; 2], activated: bool) {
    Arch::new().dispatch(NormSums { slope, normed, out, sums, activated });
}

struct NormSums<'a> {
    slope: &'a mut [f32],
    normed: &'a [f32],
    out: &'a [f32],
    sums: [&'a mut [f32]; 2],
    activated: bool,
}

impl NullaryFnOnce for NormSums<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let [sum, product] = self.sums;
        let width = sum.len();
        let rows = self.slope.chunks_exact_mut(width).zip(self.normed.chunks_exact(width));
        for ((slope, normed), out) in rows.zip(self.out.chunks_exact(width)) {
            if self.activated {
                slope.iter_mut().zip(out).for_each(|(g, y)| *g *= slope_of_softplus(*y));
            }
            sum.iter_mut().zip(&*slope).for_each(|(sum, g)| *sum += g);
            product.iter_mut().zip(&*slope).zip(normed).for_each(|((sum, g), x)| *sum += g * x);
        }
    }
}

/// Through the normalisation: `g ← γ/sd (g − w Σ g − w x̂ Σ g x̂)`, with w the weight of a row.
pub(super) fn norm_slope(slope: &mut [f32], normed: &[f32], weights: &[f32], scale: &[f32], sums: [&[f32]; 2]) {
    Arch::new().dispatch(NormSlope { slope, normed, weights, scale, sums });
}

struct NormSlope<'a> {
    slope: &'a mut [f32],
    normed: &'a [f32],
    weights: &'a [f32],
    scale: &'a [f32],
    sums: [&'a [f32]; 2],
}

impl NullaryFnOnce for NormSlope<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let width = self.scale.len();
        let [sum, product] = self.sums;
        let rows = self.slope.chunks_exact_mut(width).zip(self.normed.chunks_exact(width));
        for ((slope, normed), &w) in rows.zip(self.weights) {
            let columns = slope.iter_mut().zip(normed).zip(self.scale).zip(sum).zip(product);
            columns.for_each(|((((g, x), scale), sum), product)| *g = scale * (*g - w * (sum + x * product)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_softplus_follows_from_its_value() {
        for i in -300..300_i16 {
            let x = f64::from(i) * 0.1;
            #[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
            let y = x.exp().ln_1p() as f32;
            let (found, exact) = (f64::from(slope_of_softplus(y)), 1.0 / (1.0 + (-x).exp()));
            assert!((found - exact).abs() < 1e-6 * exact + 2e-7, "{x}: {found} {exact}");
            #[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
            let found = f64::from(softplus(x as f32));
            assert!((found - x.exp().ln_1p()).abs() < 3e-7 * (1.0 + found), "{x}: {found}");
        }
    }
}
