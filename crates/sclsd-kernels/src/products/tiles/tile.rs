//! What tiles are, and whether there are units for them.

use crate::products::Terms;

/// Rows of a tile, and columns of the sums in one.
pub(super) const SIDE: usize = 16;
/// Rows or columns that are worked on at a time.
pub(super) const GROUP: usize = 2 * SIDE;
/// Numbers of a row of a tile.
pub(crate) const DEPTH: usize = 32;

/// Sixteen rows of 32 numbers of bf16.
#[repr(align(64))]
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile(pub(super) [u32; SIDE * SIDE]);

/// How a factor is to be packed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packing {
    /// Whether it is the first factor.
    pub(crate) first: bool,
    /// Whether what is summed over lies along the rows of the matrix.
    pub(crate) along: bool,
    /// Into how many terms.
    pub(crate) terms: Terms,
}
