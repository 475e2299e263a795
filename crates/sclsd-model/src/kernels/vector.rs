//! exp and ln in `f32`, without branches, so that loops over slices become vector code on the machine at hand.
//!
//! Fused multiplications are written as such: their result is the same everywhere, whether a processor has an instruction
//! for them (all of the last ten years do) or not.

/// eˣ to within 2.4e-7 of itself for −87 ≤ x ≤ 88; x is clamped to that.
///
/// eˣ = 2ⁿ eʳ with n the nearest whole number to x / ln 2 and r the rest, |r| ≤ ½ ln 2, by its Taylor polynomial.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Adding it rounds to a whole number, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    // ln 2 in two parts, the first with so few digits that n times it is exact
    let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_4, x));
    let p = r.mul_add(1.0 / 5040.0, 1.0 / 720.0);
    let p = r.mul_add(r.mul_add(p, 1.0 / 120.0), 1.0 / 24.0);
    let p = r.mul_add(r.mul_add(p, 1.0 / 6.0), 0.5);
    let p = r.mul_add(r.mul_add(p, 1.0), 1.0);
    let exponent = (shifted.to_bits() & 0xFF_FFFF).wrapping_sub(0x40_0000).wrapping_add(127) << 23;
    p * f32::from_bits(exponent)
}

/// ln x to within 2.4e-7 · max(1, |ln x|) for positive normal x; `NaN` for what is not finite.
///
/// x = 2ᵉ m with ½√2 ≤ m < √2, and ln m = 2 artanh(s), s = (m − 1) / (m + 1), by its series.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    /// ½√2 in bits.
    const LEAST: i32 = 0x3F35_04F3;
    let bits = x.to_bits().cast_signed();
    let e = (bits - LEAST) >> 23;
    let m = f32::from_bits((bits - (e << 23)).cast_unsigned());
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let series = q.mul_add(q.mul_add(q.mul_add(1.0 / 9.0, 1.0 / 7.0), 1.0 / 5.0), 1.0 / 3.0);
    #[expect(clippy::cast_precision_loss, reason = "an exponent")]
    let e = e as f32;
    let not_finite = x * 0.0; // 0, or NaN
    let low = (2.0 * s * q).mul_add(series, e * -2.121_944_4e-4);
    e.mul_add(0.693_359_4, 2.0f32.mul_add(s, low)) + not_finite
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_ln_are_exact_to_rounding() {
        let (mut worst_exp, mut worst_ln) = (0.0_f64, 0.0_f64);
        for i in 0..=u16::MAX {
            let x = -86.0 + f32::from(i) * (174.0 / 65_535.0);
            let exact = f64::from(x).exp();
            worst_exp = worst_exp.max((f64::from(exp(x)) - exact).abs() / exact);
            let (y, exact) = (exp(x), f64::from(exp(x)).ln());
            worst_ln = worst_ln.max((f64::from(ln(y)) - exact).abs() / exact.abs().max(1.0));
        }
        let unit = f64::from(f32::EPSILON);
        assert!(worst_exp < 2.0 * unit, "exp: {} units", worst_exp / unit);
        assert!(worst_ln < 2.0 * unit, "ln: {} units", worst_ln / unit);
        assert_eq!((exp(-1000.0), ln(1.0)), (exp(-87.0), 0.0));
        assert!(exp(f32::NAN).is_nan() && ln(f32::NAN).is_nan() && ln(f32::INFINITY).is_nan(), "nothing is hidden");
    }
}
