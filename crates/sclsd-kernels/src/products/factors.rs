//! Factors of matrix products: strided rows, and the precision of a product.

use std::ops::Range;

/// A row-major matrix whose rows begin `stride` numbers apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
}

impl<'a> Rows<'a> {
    /// Contiguous rows of `width`.
    pub(crate) fn new(values: &'a [f32], width: usize) -> Self {
        Self { values, stride: width }
    }

    /// A range of the rows.
    pub(crate) fn some(self, rows: Range<usize>) -> Self {
        Self { values: &self.values[rows.start * self.stride..self.values.len().min(rows.end * self.stride)], ..self }
    }

    /// Number of rows. The last row may be shorter than `stride`.
    pub(super) fn count(self) -> usize {
        self.values.len().div_ceil(self.stride.max(1))
    }

    /// Whether every row has at least `width` numbers.
    pub(super) fn hold(self, width: usize) -> bool {
        fits(self.values.len(), self.stride, self.count(), width)
    }
}

/// Number of bf16 terms into which AMX tiles split every `f32`. Products with SIMD vectors ignore this and are always
/// computed in `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terms {
    /// All 24 bits of the significand, for the forward pass: products as in single precision.
    Three,
    /// 16 of the 24 bits, for the backward pass: products to five digits (4·10⁻⁶ of their norm), in half the time.
    Two,
}

impl Terms {
    /// The number of terms.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn count(self) -> usize {
        match self {
            Self::Three => 3,
            Self::Two => 2,
        }
    }
}

/// Whether `len` numbers hold `rows` rows of `width`; the last row may be shorter than `stride`.
pub(super) fn fits(len: usize, stride: usize, rows: usize, width: usize) -> bool {
    rows == 0 || stride >= width && len >= (rows - 1) * stride + width
}
