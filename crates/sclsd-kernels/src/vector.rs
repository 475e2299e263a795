//! exp and ln in `f32`, without branches, so that loops over slices are vectorised for the CPU in use.
//!
//! Fused multiply–adds are written explicitly, so results have the same bits on every CPU, with or without an FMA
//! instruction (all CPUs of the last ten years have one).

use std::ops::{Add, Div, Mul, Neg, Sub};

use pulp::Simd;

/// Adding this number rounds to an integer, which is then in the lowest bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts. The first part has so few digits that its product with an integer is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// (ln(1 + t) − t + t²/2) / t³ for ½√2 ≤ 1 + t < √2. The coefficients are fitted for the least relative error of the
/// logarithm, which is far below rounding (10⁻⁹).
pub const LN: [f32; 9] = [
    0.333_333_13,
    -0.250_000_1,
    0.200_021_19,
    -0.166_679_96,
    0.142_195_5,
    -0.124_055_915,
    0.118_881_75,
    -0.116_756_41,
    0.067_466_01,
];
/// ln(1 + t) / t for 0 ≤ t ≤ 1, fitted in the same way (5·10⁻⁹).
const LN_1P: [f32; 10] = [
    1.0,
    -0.499_999,
    0.333_299_64,
    -0.249_541_33,
    0.196_759_37,
    -0.153_055_86,
    0.106_036_454,
    -0.056_959_44,
    0.019_851_41,
    -0.003_244_013_8,
];
/// For x below this bound, 1 + x is between ½√2 and √2, so ln(1 + x) is the series at x itself, without rounding 1 + x.
pub const SMALL: f32 = 0.41;
/// ½√2 in bits.
const LEAST: i32 = 0x3F35_04F3;

/// eˣ with a relative error of at most 2.4e-7 for −87 ≤ x ≤ 88; x is clamped to this range.
///
/// eˣ = 2ⁿ eʳ, with n the integer nearest to x / ln 2 and r the remainder, |r| ≤ ½ ln 2; eʳ is a Taylor polynomial.
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    let (power, r, s) = exp_parts(x.clamp(-87.0, 88.0));
    r.mul_add(s, 1.0) * power
}

/// ln x with an error of at most 2.4e-7 · max(1, |ln x|) for positive normal x; `NaN` if x is not finite.
///
/// x = 2ᵉ m with ½√2 ≤ m < √2, and ln m is a polynomial in m − 1. The polynomial is evaluated in two independent
/// halves, which keeps dependency chains short; there is no division.
#[inline(always)]
#[must_use]
pub fn ln(x: f32) -> f32 {
    let bits = x.to_bits().cast_signed();
    let e = (bits - LEAST) >> 23;
    let t = f32::from_bits((bits - (e << 23)).cast_unsigned()) - 1.0;
    let (q, c) = (t * t, LN);
    let low = q.mul_add(t.mul_add(c[3], c[2]), t.mul_add(c[1], c[0]));
    let high = q.mul_add(t.mul_add(c[7], c[6]), t.mul_add(c[5], c[4]));
    let series = (q * q).mul_add((q * q).mul_add(c[8], high), low);
    #[expect(clippy::cast_precision_loss, reason = "an exponent")]
    let e = e as f32;
    let not_finite = x * 0.0; // 0, or NaN
    let low = q.mul_add(t.mul_add(series, -0.5), e * LN_2_LOW);
    e.mul_add(LN_2_HIGH, t + low) + not_finite
}

/// tanh x and ln cosh x, with relative errors of at most 1e-6 and 4e-6, however small x is.
///
/// With e = exp(−2 |x|): tanh x = ± (1 − e) / (1 + e), ln cosh x = |x| + ln(1 + e) − ln 2. 1 − e is computed without
/// cancellation. Near 0, where ln cosh x is a small difference of large numbers, its series is used.
#[inline(always)]
#[must_use]
pub fn tanh_and_ln_cosh(x: f32) -> (f32, f32) {
    let (size, square) = (x.abs(), x * x);
    let (power, rest, series) = exp_parts((-2.0 * size).max(-87.0));
    let part = power * rest;
    let (e, less) = (part.mul_add(series, power), part.mul_add(-series, 1.0 - power));
    let near = square.mul_add(square.mul_add(-17.0 / 2520.0, 1.0 / 45.0), -1.0 / 12.0);
    let near = square * square.mul_add(near, 0.5);
    let c = LN_1P;
    let high = e.mul_add(e.mul_add(e.mul_add(e.mul_add(c[9], c[8]), c[7]), c[6]), c[5]);
    let ln_1p = e * e.mul_add(e.mul_add(e.mul_add(e.mul_add(e.mul_add(high, c[4]), c[3]), c[2]), c[1]), c[0]);
    let far = size + (ln_1p - std::f32::consts::LN_2);
    ((less / (1.0 + e)).copysign(x), if size < 0.2 { near } else { far })
}

/// 2ⁿ, r and s with eˣ = 2ⁿ (1 + r s).
#[inline(always)]
fn exp_parts(x: f32) -> (f32, f32, f32) {
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, x));
    let s = r.mul_add(1.0 / 5040.0, 1.0 / 720.0);
    let s = r.mul_add(r.mul_add(s, 1.0 / 120.0), 1.0 / 24.0);
    let s = r.mul_add(r.mul_add(s, 1.0 / 6.0), 0.5);
    let exponent = (shifted.to_bits() & 0xFF_FFFF).wrapping_sub(0x40_0000).wrapping_add(127) << 23;
    (f32::from_bits(exponent), r, r.mul_add(s, 1.0))
}

/// A SIMD register of `f32` lanes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lanes<S: Simd> {
    simd: S,
    /// The register in pulp's type.
    pub(crate) raw: S::f32s,
}

impl<S: Simd> Lanes<S> {
    #[inline(always)]
    pub(crate) fn new(simd: S, raw: S::f32s) -> Self {
        Self { simd, raw }
    }

    /// The same number in every lane.
    #[inline(always)]
    pub(crate) fn all(simd: S, value: f32) -> Self {
        Self { simd, raw: simd.splat_f32s(value) }
    }

    /// A constant in every lane, at the same SIMD level.
    #[inline(always)]
    pub(crate) fn same(self, value: f32) -> Self {
        Self::all(self.simd, value)
    }

    /// Loads the numbers of a row from `at` on; lanes beyond the end of the row are 0.
    #[inline(always)]
    pub(crate) fn from(simd: S, row: &[f32], at: usize) -> Self {
        let raw = match row[at..].split_at_checked(S::F32_LANES) {
            Some((whole, _)) => S::as_simd_f32s(whole).0[0],
            None => simd.partial_load_f32s(&row[at..]),
        };
        Self { simd, raw }
    }

    /// Stores the lanes to a row from `at` on; lanes beyond the end of the row are dropped.
    #[inline(always)]
    pub(crate) fn to(self, row: &mut [f32], at: usize) {
        match row[at..].split_at_mut_checked(S::F32_LANES) {
            Some((whole, _)) => S::as_mut_simd_f32s(whole).0[0] = self.raw,
            None => self.simd.partial_store_f32s(&mut row[at..], self.raw),
        }
    }

    #[inline(always)]
    fn with(self, raw: S::f32s) -> Self {
        Self { raw, ..self }
    }

    /// `self a + b`, rounded once (fused multiply–add).
    #[inline(always)]
    pub(crate) fn mul_add(self, a: Self, b: Self) -> Self {
        self.with(self.simd.mul_add_f32s(self.raw, a.raw, b.raw))
    }

    /// `self a + b`, rounded once (fused multiply–add).
    #[inline(always)]
    fn by(self, a: Self, b: f32) -> Self {
        self.mul_add(a, Self::all(self.simd, b))
    }

    /// The larger number of every lane.
    #[inline(always)]
    pub(crate) fn max(self, other: Self) -> Self {
        self.with(self.simd.max_f32s(self.raw, other.raw))
    }

    /// The smaller number of every lane.
    #[inline(always)]
    pub(crate) fn min(self, other: Self) -> Self {
        self.with(self.simd.min_f32s(self.raw, other.raw))
    }

    /// The magnitude of every lane.
    #[inline(always)]
    pub(crate) fn abs(self) -> Self {
        self.max(-self)
    }

    /// `yes` in the lanes above the bound, `no` in the others.
    #[inline(always)]
    pub(crate) fn above(self, bound: f32, yes: Self, no: Self) -> Self {
        let mask = self.simd.greater_than_f32s(self.raw, self.simd.splat_f32s(bound));
        self.with(self.simd.select_f32s(mask, yes.raw, no.raw))
    }

    /// `yes` in the lanes below the bound, `no` in the others.
    #[inline(always)]
    pub(crate) fn below(self, bound: f32, yes: Self, no: Self) -> Self {
        let mask = self.simd.less_than_f32s(self.raw, self.simd.splat_f32s(bound));
        self.with(self.simd.select_f32s(mask, yes.raw, no.raw))
    }

    /// The sum of all lanes.
    #[inline(always)]
    pub(crate) fn sum(self) -> f32 {
        self.simd.reduce_sum_f32s(self.raw)
    }

    /// The largest of all lanes.
    #[inline(always)]
    pub(crate) fn largest(self) -> f32 {
        self.simd.reduce_max_f32s(self.raw)
    }

    /// [`exp`] of every lane, for x ≤ 88 and for NaN.
    #[inline(always)]
    pub(crate) fn exp(self) -> Self {
        // a comparison instead of `max`, which loses NaN on some CPUs
        let (power, rest, series) = self.below(-87.0, self.same(-87.0), self).exp_parts();
        rest.by(series, 1.0) * power
    }

    /// 1 − e⁻ˣ of every lane for x ≥ 0, with a relative error of at most 2.4e-7.
    #[inline(always)]
    pub(crate) fn one_minus_exp(self) -> Self {
        let (power, rest, series) = self.above(87.0, self.same(-87.0), -self).exp_parts();
        // (1 − 2ⁿ) − 2ⁿ r s, where the first term is exact
        -(power * rest).mul_add(series, power - 1.0)
    }

    /// 2ⁿ, r and s with eˣ = 2ⁿ (1 + r s).
    #[inline(always)]
    fn exp_parts(self) -> (Self, Self, Self) {
        let simd = self.simd;
        let shifted = self.by(self.same(std::f32::consts::LOG2_E), ROUND);
        let n = shifted - ROUND;
        let r = n.mul_add(self.same(-LN_2_LOW), n.mul_add(self.same(-LN_2_HIGH), self));
        let s = r.by(self.same(1.0 / 5040.0), 1.0 / 720.0);
        let s = r.by(r.by(s, 1.0 / 120.0), 1.0 / 24.0);
        let s = r.by(r.by(r.by(s, 1.0 / 6.0), 0.5), 1.0);
        // the shift removes all but the lowest bits
        let exponent = simd.add_u32s(simd.transmute_u32s_f32s(shifted.raw), simd.splat_u32s(127));
        let exponent = simd.wrapping_dyn_shl_u32s(exponent, simd.splat_u32s(23));
        (self.with(simd.transmute_f32s_u32s(exponent)), r, s)
    }

    /// ln(1 + x) of every lane for 0 ≤ x ≤ 1, with a relative error of at most 2.4e-7.
    #[inline(always)]
    pub(crate) fn ln_1p(self) -> Self {
        let (t, c) = (self, LN_1P);
        let high = t.by(t.by(t.by(t.by(self.same(c[9]), c[8]), c[7]), c[6]), c[5]);
        t * t.by(t.by(t.by(t.by(t.by(high, c[4]), c[3]), c[2]), c[1]), c[0])
    }

    /// [`ln`] of every lane.
    #[inline(always)]
    pub(crate) fn ln(self) -> Self {
        let (e, t) = self.ln_parts();
        let (_, ln) = e.ln_of_parts(t);
        ln + self * 0.0 // adds NaN if x is not finite
    }

    /// ln(1 + x) of every lane for x ≥ 0, with a relative error of at most 2.4e-7 however small x is. Also returns what
    /// [`Lanes::excess`] needs.
    #[inline(always)]
    pub(crate) fn ln_1p_any(self) -> (Self, Self) {
        let above = self + 1.0;
        let (e, t) = above.ln_parts();
        let (bend, ln) = e.ln_of_parts(self.below(SMALL, self, t));
        (ln + above * 0.0, bend)
    }

    /// ln(1 + x) − x / (1 + x) of every lane for x ≥ 0, with a relative error of at most 1e-6 however small x is. Takes
    /// both results of [`Lanes::ln_1p_any`] and 1 / (1 + x).
    ///
    /// Uses (ln(1 + x) − x) / x², which is known for small x:
    ///
    /// ```text
    /// ln(1 + x) − x / (1 + x) = x² ((ln(1 + x) − x) / x² + 1 / (1 + x))
    /// ```
    #[inline(always)]
    pub(crate) fn excess(self, (ln, bend): (Self, Self), reciprocal: Self) -> Self {
        self.below(SMALL, self * self * (bend + reciprocal), ln - self * reciprocal)
    }

    /// e and t with x = 2ᵉ (1 + t) and ½√2 ≤ 1 + t < √2.
    #[inline(always)]
    fn ln_parts(self) -> (Self, Self) {
        /// Added to the bits, this number makes exponents positive.
        const ABOVE: u32 = 0x4000_0000;
        /// Bits of 2²³; an integer in the lowest bits adds its value.
        const WHOLE: u32 = 0x4B00_0000;
        let simd = self.simd;
        let (bits, shift) = (simd.transmute_u32s_f32s(self.raw), simd.splat_u32s(23));
        let e = simd.add_u32s(bits, simd.splat_u32s(ABOVE - LEAST.cast_unsigned()));
        let e = simd.wrapping_dyn_shr_u32s(e, shift);
        let m = simd.sub_u32s(bits, simd.wrapping_dyn_shl_u32s(e, shift));
        let m = self.with(simd.transmute_f32s_u32s(simd.add_u32s(m, simd.splat_u32s(ABOVE))));
        let e = self.with(simd.transmute_f32s_u32s(simd.or_u32s(e, simd.splat_u32s(WHOLE)))) - (8_388_608.0 + 128.0);
        (e, m - 1.0)
    }

    /// (ln(1 + t) − t) / t² and e ln 2 + ln(1 + t), where `self` is e.
    #[inline(always)]
    fn ln_of_parts(self, t: Self) -> (Self, Self) {
        let (e, q, c) = (self, t * t, LN.map(|c| self.same(c)));
        let low = q.mul_add(t.mul_add(c[3], c[2]), t.mul_add(c[1], c[0]));
        let high = q.mul_add(t.mul_add(c[7], c[6]), t.mul_add(c[5], c[4]));
        let series = (q * q).mul_add((q * q).mul_add(c[8], high), low);
        let bend = t.by(series, -0.5);
        let low = q.mul_add(bend, e * LN_2_LOW);
        (bend, e.mul_add(self.same(LN_2_HIGH), t + low))
    }
}

/// Defines an operator on two registers, and on a register and a number.
macro_rules! operator {
    ($trait:ident, $function:ident, $of_lanes:ident) => {
        impl<S: Simd> $trait for Lanes<S> {
            type Output = Self;

            #[inline(always)]
            fn $function(self, other: Self) -> Self {
                self.with(self.simd.$of_lanes(self.raw, other.raw))
            }
        }

        impl<S: Simd> $trait<f32> for Lanes<S> {
            type Output = Self;

            #[inline(always)]
            fn $function(self, other: f32) -> Self {
                self.$function(Self::all(self.simd, other))
            }
        }
    };
}

operator!(Add, add, add_f32s);
operator!(Sub, sub, sub_f32s);
operator!(Mul, mul, mul_f32s);
operator!(Div, div, div_f32s);

impl<S: Simd> Neg for Lanes<S> {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        // pulp's own negation is not always inlined into the loop
        self.same(0.0) - self
    }
}

#[cfg(test)]
mod tests {
    use pulp::{Arch, WithSimd};

    use super::*;

    #[test]
    fn tanh_and_ln_cosh_are_exact_however_small_their_argument() {
        for i in 0..4000_u16 {
            let x = 1e-12 * f32::exp(0.0078 * f32::from(i));
            for x in [x, -x] {
                let (tanh, ln_cosh) = tanh_and_ln_cosh(x);
                let wide = f64::from(x);
                let exact = (
                    wide.tanh(),
                    if wide.abs() < 1e-3 { wide * wide / 2.0 - wide.powi(4) / 12.0 } else { wide.cosh().ln() },
                );
                let exact = if wide.abs() > 300.0 { (exact.0, wide.abs() - std::f64::consts::LN_2) } else { exact };
                assert!((f64::from(tanh) - exact.0).abs() <= 1e-6 * exact.0.abs(), "{x}: {tanh} {}", exact.0);
                assert!(
                    (f64::from(ln_cosh) - exact.1).abs() <= 4e-6 * exact.1.abs() + 1e-37,
                    "{x}: {ln_cosh} {}",
                    exact.1
                );
            }
        }
    }

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

    /// Computes ln(1 + x) and 1 − e⁻ˣ of a slice.
    struct NearOne<'a>(&'a [f32], [&'a mut [f32]; 2]);

    impl WithSimd for NearOne<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let [ln_1p, one_minus_exp] = self.1;
            for at in (0..self.0.len()).step_by(S::F32_LANES) {
                let value = Lanes::from(simd, self.0, at);
                value.ln_1p().to(ln_1p, at);
                value.one_minus_exp().to(one_minus_exp, at);
            }
        }
    }

    #[test]
    fn functions_of_what_is_near_1_are_exact_to_rounding_and_so_are_rows_of_any_length() {
        let mut values: Vec<f32> = (0..=u16::MAX).map(|i| f32::from(i) / 65_535.0).collect();
        values.extend((0..1000_i16).map(|i| (f32::from(i) * -0.05).exp2()));
        let (mut ln_1p, mut one_minus_exp) = (vec![9.0; values.len()], vec![9.0; values.len()]);
        Arch::new().dispatch(NearOne(&values, [&mut ln_1p, &mut one_minus_exp]));
        let unit = f64::from(f32::EPSILON);
        for ((&x, &l), &e) in values.iter().zip(&ln_1p).zip(&one_minus_exp) {
            let (exact_l, exact_e) = (f64::from(x).ln_1p(), -f64::from(-x).exp_m1());
            assert!((f64::from(l) - exact_l).abs() <= 2.0 * unit * exact_l, "ln(1 + {x}): {l}");
            assert!((f64::from(e) - exact_e).abs() <= 2.0 * unit * exact_e, "1 - exp(-{x}): {e}");
        }
        let far = [0.0, 1.5, 30.0, 90.0, 1e30, f32::INFINITY, f32::NAN];
        let (mut ln_1p, mut one_minus_exp) = ([9.0; 7], [9.0; 7]);
        Arch::new().dispatch(NearOne(&far, [&mut ln_1p, &mut one_minus_exp]));
        for (x, found) in far.into_iter().zip(one_minus_exp).take(6) {
            assert!((f64::from(found) + f64::from(-x).exp_m1()).abs() < 2.0 * unit, "1 - exp(-{x}): {found}");
        }
        assert!(one_minus_exp[6].is_nan() && ln_1p[6].is_nan(), "nothing is hidden");
    }

    /// Computes ln(1 + x) and ln(1 + x) − x / (1 + x) of a slice.
    struct Above<'a>(&'a [f32], [&'a mut [f32]; 2]);

    impl WithSimd for Above<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let [ln, excess] = self.1;
            for at in (0..self.0.len()).step_by(S::F32_LANES) {
                let value = Lanes::from(simd, self.0, at);
                let both = value.ln_1p_any();
                both.0.to(ln, at);
                value.excess(both, value.same(1.0) / (value + 1.0)).to(excess, at);
            }
        }
    }

    #[test]
    fn the_logarithm_of_what_is_just_above_1_and_its_excess_are_exact_to_rounding() {
        let values: Vec<f32> = (-6000_i16..9000).map(|i| (f32::from(i) * 0.0083).exp2() * 1e-3).collect();
        let (mut ln, mut excess) = (vec![9.0; values.len()], vec![9.0; values.len()]);
        Arch::new().dispatch(Above(&values, [&mut ln, &mut excess]));
        let unit = f64::from(f32::EPSILON);
        for ((&x, &l), &e) in values.iter().zip(&ln).zip(&excess) {
            let x = f64::from(x);
            // below 1e-3 the difference cancels in f64 too
            let exact = if x < 1e-3 { x * x * (0.5 - x * (2.0 / 3.0 - 0.75 * x)) } else { x.ln_1p() - x / (1.0 + x) };
            assert!((f64::from(l) - x.ln_1p()).abs() <= 2.0 * unit * x.ln_1p(), "ln(1 + {x}): {l}");
            assert!((f64::from(e) - exact).abs() <= 10.0 * unit * exact, "ln(1 + {x}) - {x}/(1 + {x}): {e} {exact}");
        }
        let far = [0.0, f32::INFINITY, f32::NAN];
        let (mut ln, mut excess) = ([9.0; 3], [9.0; 3]);
        Arch::new().dispatch(Above(&far, [&mut ln, &mut excess]));
        assert_eq!((ln[0], excess[0]), (0.0, 0.0));
        assert!(ln[1..].iter().chain(&excess[1..]).all(|v| v.is_nan()), "nothing is hidden");
    }

    /// Computes `exp` and `ln` of a slice with SIMD.
    struct Both<'a>(&'a [f32], [&'a mut [f32]; 2]);

    impl WithSimd for Both<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let [exp, ln] = self.1.map(|out| S::as_mut_simd_f32s(out).0);
            for ((value, exp), ln) in S::as_simd_f32s(self.0).0.iter().zip(exp).zip(ln) {
                let value = Lanes::new(simd, *value);
                (*exp, *ln) = (value.exp().raw, value.ln().raw);
            }
        }
    }

    #[test]
    fn lanes_have_the_bits_of_one_number() {
        let mut values: Vec<f32> = (0..1 << 12).map(|i| f32::from_bits(i << 19)).filter(|v| v.is_normal()).collect();
        values.extend((0..4000_i16).map(|i| f32::from(i) * 0.05 - 100.0));
        values.extend([f32::NAN, f32::INFINITY, 1.0, -0.0, 87.5, 88.0]);
        values.resize(values.len().next_multiple_of(64), f32::NAN);
        let (mut exps, mut logs) = (vec![0.0; values.len()], vec![0.0; values.len()]);
        Arch::new().dispatch(Both(&values, [&mut exps, &mut logs]));
        let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        for ((&x, &e), &l) in values.iter().zip(&exps).zip(&logs) {
            assert!(x > 88.0 || same(exp(x), e), "exp {x}: {} {e}", exp(x));
            assert!(x <= 0.0 || x.is_subnormal() || same(ln(x), l), "ln {x}: {} {l}", ln(x));
        }
    }
}
