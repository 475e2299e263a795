//! The number types of states: `f32` and `f64`.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, SubAssign};

/// A number of a state: `f32`, or `f64` if rounding must not matter.
pub trait Real:
    Copy
    + Debug
    + PartialOrd
    + Add<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
    + SubAssign
    + Into<f64>
    + Send
    + Sync
    + 'static
{
    /// 0.
    const ZERO: Self;

    /// Converts to this type, rounding to nearest.
    fn nearest(x: f64) -> Self;
    /// |x|.
    #[must_use]
    fn abs(self) -> Self;
    /// The larger of two numbers.
    #[must_use]
    fn max(self, other: Self) -> Self;
    /// Whether the number is neither infinite nor `NaN`.
    fn is_finite(self) -> bool;
}

macro_rules! real {
    ($t:ty) => {
        impl Real for $t {
            const ZERO: Self = 0.0;

            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast, reason = "the nearest is meant")]
            fn nearest(x: f64) -> Self {
                x as Self
            }
            #[inline(always)]
            fn abs(self) -> Self {
                self.abs()
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                self.max(other)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                self.is_finite()
            }
        }
    };
}

real!(f32);
real!(f64);
