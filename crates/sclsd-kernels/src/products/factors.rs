//! Factors of products: rows of numbers, and how exactly they are taken.

use std::ops::Range;

/// Rows of numbers, `stride` apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
}

impl<'a> Rows<'a> {
    /// Rows of `width` one after the other.
    pub(crate) fn new(values: &'a [f32], width: usize) -> Self {
        Self { values, stride: width }
    }

    /// Some of the rows.
    pub(crate) fn some(self, rows: Range<usize>) -> Self {
        Self { values: &self.values[rows.start * self.stride..self.values.len().min(rows.end * self.stride)], ..self }
    }

    /// How many there are; the last may end with its content.
    pub(super) fn count(self) -> usize {
        self.values.len().div_ceil(self.stride.max(1))
    }

    /// Whether each has so many numbers.
    pub(super) fn hold(self, width: usize) -> bool {
        fits(self.values.len(), self.stride, self.count(), width)
    }
}

/// Numbers of bf16 that AMX tiles make of each of `f32`. Products by vectors are those of `f32`, whichever is asked
/// for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terms {
    /// All of its digits, for values: products as in single precision.
    Three,
    /// Two thirds of them, for derivatives: products to five digits (4·10⁻⁶ of their norm), in half the time.
    Two,
}

impl Terms {
    /// How many.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn count(self) -> usize {
        match self {
            Self::Three => 3,
            Self::Two => 2,
        }
    }
}

/// Whether numbers are enough for so many rows, the last of which may end with its content.
pub(super) fn fits(len: usize, stride: usize, rows: usize, width: usize) -> bool {
    rows == 0 || stride >= width && len >= (rows - 1) * stride + width
}
