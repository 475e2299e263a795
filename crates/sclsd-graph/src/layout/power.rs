//! Powers in single precision with a relative error of 1e-5, which is accurate enough for forces in a layout.
//!
//! ```text
//! x^p = 2^(p log₂ x),   x = 2^e (1 + t),   log₂ x = e + log₂(1 + t)
//! ```
//!
//! Both functions are polynomials through Chebyshev nodes, so powers of several numbers can be computed at once (SIMD).

/// log₂(1 + t) / t on 0…1.
const LOG2: [f32; 7] = [1.442_693, -0.721_144_1, 0.477_496_36, -0.338_377_2, 0.213_943_22, -0.094_626_81, 0.020_016_65];
/// 2^t on −½…½.
const EXP2: [f32; 6] = [1.0, std::f32::consts::LN_2, 0.240_221_08, 0.055_503_57, 0.009_676_032, 0.001_339_086_3];
/// Added to a number below 2^22, this constant leaves the nearest integer in the lowest bits.
const ROUNDING: f32 = 12_582_912.0;

/// Numbers computed at once.
pub(super) const LANES: usize = 8;

/// `x^exponent` for numbers of at least 0. Results below 2^-126 become 0; results above 2^126 become 2^126.
// one short loop per operation, so that the compiler vectorises each
#[inline(always)]
#[expect(clippy::cast_precision_loss, clippy::cast_possible_wrap, reason = "an exponent has eight bits")]
#[expect(clippy::inline_always, reason = "the lanes stay in registers")]
pub(super) fn power(x: [f32; LANES], exponent: f32) -> [f32; LANES] {
    let (mut log2, mut t) = ([0.0; LANES], [0.0; LANES]);
    for i in 0..LANES {
        let bits = x[i].to_bits();
        log2[i] = ((bits >> 23) as i32 - 127) as f32;
        t[i] = f32::from_bits((bits & 0x007F_FFFF) | 0x3F80_0000) - 1.0;
    }
    let fraction = polynomial(LOG2, t);
    let (mut power, mut scale, mut rest) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for i in 0..LANES {
        power[i] = (exponent * (log2[i] + t[i] * fraction[i])).clamp(-126.0, 126.0);
        let rounded = power[i] + ROUNDING;
        scale[i] = f32::from_bits((rounded.to_bits() << 23).wrapping_add(0x3F80_0000));
        rest[i] = power[i] - (rounded - ROUNDING);
    }
    let mut value = polynomial(EXP2, rest);
    for i in 0..LANES {
        value[i] = if power[i] > -126.0 { scale[i] * value[i] } else { 0.0 };
    }
    value
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the lanes stay in registers")]
fn polynomial<const N: usize>(coefficients: [f32; N], at: [f32; LANES]) -> [f32; LANES] {
    let mut sum = [coefficients[N - 1]; LANES];
    for c in coefficients.iter().rev().skip(1) {
        for i in 0..LANES {
            sum[i] = sum[i] * at[i] + c;
        }
    }
    sum
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact where a limit is reached")]
mod tests {
    use super::{LANES, power};

    #[test]
    fn powers_are_those_of_the_standard_library() {
        for i in 1..4000_u16 {
            let x = 1.01_f32.powi(i32::from(i) - 2000);
            let found = power([x; LANES], 1.334_167);
            let expected = f64::from(x).powf(1.334_167);
            assert!((f64::from(found[i as usize % LANES]) - expected).abs() < 1e-5 * expected, "{x}: {found:?}");
        }
        assert_eq!(power([0.0; LANES], 1.3), [0.0; LANES]);
        assert_eq!(power([1.0; LANES], 1.3), [1.0; LANES]);
        assert!(power([f32::MAX; LANES], 1.3)[0].is_finite());
    }
}
