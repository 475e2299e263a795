//! The layout of AMX tiles, and how factors are packed into them.

use crate::products::Terms;

/// Rows of a tile, and columns of its accumulator.
pub(super) const SIDE: usize = 16;
/// Rows or columns of a register block: two tiles.
pub(super) const GROUP: usize = 2 * SIDE;
/// bf16 numbers in a row of a tile.
pub(crate) const DEPTH: usize = 32;

/// Sixteen rows of 32 bf16 numbers.
#[repr(align(64))]
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile(pub(super) [u32; SIDE * SIDE]);

/// How a factor is to be packed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packing {
    /// Whether this is the first factor.
    pub(crate) first: bool,
    /// Whether the summed dimension runs along the rows of the matrix.
    pub(crate) along: bool,
    /// Number of bf16 terms.
    pub(crate) terms: Terms,
}
