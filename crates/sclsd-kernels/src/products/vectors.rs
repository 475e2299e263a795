//! Matrix products with SIMD vectors: a micro-kernel accumulates a register tile of a few rows and two vectors of
//! columns.
//!
//! BLAS-like libraries pack both factors on every call. Here the rows of the first factor are read in place, with a
//! stride wider than their content if that keeps rows from mapping to the same cache sets. Measurements against the
//! crates gemm and faer are in `docs/performance.md`.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::factors::{Rows, fits};
use crate::simd::arch;

/// Vectors of columns in a register tile.
const SIDE: usize = 2;
/// Rows of a register tile: with 32 registers, and with 16 registers.
const MANY: usize = 8;
const FEW: usize = 6;
/// Depth that is accumulated in registers before the sums are stored: so much of a panel stays in the L1 cache.
const DEPTH: usize = 256;

/// A packed second factor, `inputs × outputs`.
#[derive(Debug)]
pub(super) struct Panels {
    inputs: usize,
    outputs: usize,
    /// Panels as wide as a register tile, `inputs × columns` each; the last panel is padded with zeros.
    panels: Vec<f32>,
}

impl Panels {
    /// Packs a matrix with rows of `outputs`.
    pub(super) fn new(matrix: &[f32], outputs: usize) -> Self {
        Self::of(matrix.len() / outputs, outputs, |panel, columns, side| {
            for (to, from) in panel.chunks_exact_mut(side).zip(matrix.chunks_exact(outputs)) {
                to[..columns.len()].copy_from_slice(&from[columns.clone()]);
            }
        })
    }

    /// Packs the transpose of a matrix with rows of `inputs`: the weights of a layer, for the forward pass.
    pub(super) fn transposed(matrix: &[f32], inputs: usize) -> Self {
        Self::of(inputs, matrix.len() / inputs, |panel, columns, side| {
            /// Numbers of a row that are copied before the next row, so that their destinations stay in the cache.
            const RUN: usize = 64;
            for first in (0..inputs).step_by(RUN) {
                let run = first..inputs.min(first + RUN);
                for (lane, column) in columns.clone().enumerate() {
                    let from = &matrix[column * inputs..(column + 1) * inputs][run.clone()];
                    let to = panel[run.start * side..].iter_mut().skip(lane).step_by(side);
                    to.zip(from).for_each(|(to, from)| *to = *from);
                }
            }
        })
    }

    fn of(inputs: usize, outputs: usize, fill: impl Fn(&mut [f32], Range<usize>, usize) + Sync) -> Self {
        let side = arch().dispatch(TileSize).columns;
        let mut panels = vec![0.0; outputs.div_ceil(side) * side * inputs];
        panels
            .par_chunks_mut((side * inputs).max(1))
            .enumerate()
            .for_each(|(at, panel)| fill(panel, at * side..outputs.min((at + 1) * side), side));
        Self { inputs, outputs, panels }
    }

    /// `out = a b` or `out += a b`.
    pub(super) fn product(&self, out: &mut [f32], stride: usize, a: Rows<'_>, add: bool) {
        assert!(a.hold(self.inputs) && fits(out.len(), stride, a.count(), self.outputs), "sizes that fit");
        let product = Product {
            out: out.as_mut_ptr(),
            stride,
            rows: a.count(),
            a: a.values.as_ptr(),
            a_tile: arch().dispatch(TileSize).rows * a.stride,
            steps: [a.stride, 1],
            depth: self.inputs,
            b: self.panels.as_ptr(),
            columns: self.outputs,
            add,
        };
        arch().dispatch(product);
    }
}

/// Some rows packed as a factor of a sum of products over these rows. A strip holds a register tile's rows or columns
/// of every row, one row after the other: `width / side × rows × side`. The last strip is padded with zeros.
#[derive(Debug)]
pub(super) struct Strips {
    values: Vec<f32>,
    rows: usize,
    width: usize,
}

impl Strips {
    /// Packs the rows as the first or the second factor.
    pub(super) fn new(from: Rows<'_>, width: usize, first: bool) -> Self {
        let tile = arch().dispatch(TileSize);
        let (rows, side) = (from.count(), if first { tile.rows } else { tile.columns });
        let mut values = vec![0.0; width.div_ceil(side) * side * rows];
        for (to, column) in values.chunks_exact_mut((side * rows).max(1)).zip((0..width).step_by(side)) {
            match side {
                // sizes that are constants for the compiler: library calls for such short copies would dominate the
                // time
                MANY if column + MANY <= width => strip::<MANY>(to, from, column),
                FEW if column + FEW <= width => strip::<FEW>(to, from, column),
                16 if column + 16 <= width => strip::<16>(to, from, column),
                32 if column + 32 <= width => strip::<32>(to, from, column),
                _ => {
                    let present = side.min(width - column);
                    for (row, to) in to.chunks_exact_mut(side).enumerate() {
                        let from = &from.values[row * from.stride + column..];
                        to[..present].copy_from_slice(&from[..present]);
                    }
                }
            }
        }
        Self { values, rows, width }
    }

    /// Adds `aᵀ b` to `sum`, for a range of columns of `a` (this factor) that begins at the start of a register tile.
    pub(super) fn add_sum(&self, sum: &mut [f32], columns: Range<usize>, b: &Self) {
        let tile = arch().dispatch(TileSize);
        assert!(columns.start.is_multiple_of(tile.rows) && columns.end <= self.width, "whole tiles");
        assert!(self.rows == b.rows && sum.len() == columns.len() * b.width, "sizes that fit");
        let product = Product {
            out: sum.as_mut_ptr(),
            stride: b.width,
            rows: columns.len(),
            a: self.values[columns.start * self.rows..].as_ptr(),
            a_tile: tile.rows * self.rows,
            steps: [1, tile.rows],
            depth: self.rows,
            b: b.values.as_ptr(),
            columns: b.width,
            add: true,
        };
        arch().dispatch(product);
    }
}

/// Copies `SIDE` columns of every row, row after row.
fn strip<const SIDE: usize>(to: &mut [f32], from: Rows<'_>, column: usize) {
    for (row, to) in to.as_chunks_mut::<SIDE>().0.iter_mut().enumerate() {
        let from = from.values[row * from.stride + column..].first_chunk::<SIDE>();
        *to = *from.expect("columns that there are");
    }
}

/// `aᵀ b` over some rows, for few columns of `a`: `columns × width`. Nothing is packed; the sums stay in the cache.
pub(super) fn sum(a: Rows<'_>, columns: usize, b: Rows<'_>, width: usize, rows: Range<usize>) -> Vec<f32> {
    let mut sums = vec![0.0; columns * width];
    arch().dispatch(Narrow { sums: &mut sums, a, columns, b, width, rows });
    sums
}

struct Narrow<'a> {
    sums: &'a mut [f32],
    a: Rows<'a>,
    columns: usize,
    b: Rows<'a>,
    width: usize,
    rows: Range<usize>,
}

impl WithSimd for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        /// Rows whose numbers stay in the L1 cache.
        const RUN: usize = 16;
        let Self { sums, a, columns, b, width, rows } = self;
        for first in rows.clone().step_by(RUN) {
            let (a, b) = (a.some(first..rows.end.min(first + RUN)), b.some(first..rows.end.min(first + RUN)));
            for at in (0..width).step_by(S::F32_LANES) {
                let part = Part { simd, a, b, width, vector: at..width.min(at + S::F32_LANES) };
                let whole = columns - columns % MANY_SUMS;
                for column in (0..whole).step_by(MANY_SUMS) {
                    part.add::<MANY_SUMS>(sums, column);
                }
                for column in whole..columns {
                    part.add::<1>(sums, column);
                }
            }
        }
    }
}

/// Columns of the first factor whose accumulators are in registers at a time.
const MANY_SUMS: usize = 8;

/// Some rows of both factors, restricted to one SIMD vector of columns of the second factor.
struct Part<'a, S> {
    simd: S,
    a: Rows<'a>,
    b: Rows<'a>,
    width: usize,
    vector: Range<usize>,
}

impl<S: Simd> Part<'_, S> {
    /// Accumulates `N` columns of `a`, beginning at `column`.
    #[inline(always)]
    fn add<const N: usize>(&self, sums: &mut [f32], column: usize) {
        let Self { simd, a, b, width, .. } = *self;
        let mut lanes = [simd.splat_f32s(0.0); N];
        for i in 0..N {
            lanes[i] = load(simd, &sums[(column + i) * width..][self.vector.clone()]);
        }
        for row in 0..b.count() {
            let right = load(simd, &b.values[row * b.stride..][self.vector.clone()]);
            let left = &a.values[row * a.stride + column..][..N];
            for i in 0..N {
                lanes[i] = simd.mul_add_f32s(simd.splat_f32s(left[i]), right, lanes[i]);
            }
        }
        for i in 0..N {
            let sums = &mut sums[(column + i) * width..][self.vector.clone()];
            match S::as_mut_simd_f32s(sums) {
                ([sums], _) => *sums = lanes[i],
                _ => simd.partial_store_f32s(sums, lanes[i]),
            }
        }
    }
}

/// Loads a vector; if there are fewer numbers than lanes, the other lanes are 0.
#[inline(always)]
fn load<S: Simd>(simd: S, numbers: &[f32]) -> S::f32s {
    match S::as_simd_f32s(numbers) {
        ([vector], _) => *vector,
        _ => simd.partial_load_f32s(numbers),
    }
}

/// Rows and columns of a register tile.
#[derive(Clone, Copy)]
struct Tile {
    rows: usize,
    columns: usize,
}

/// The size of a register tile on this CPU.
struct TileSize;

impl WithSimd for TileSize {
    type Output = Tile;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Tile {
        Tile { rows: if S::REGISTER_COUNT >= 32 { MANY } else { FEW }, columns: SIDE * S::F32_LANES }
    }
}

/// Rows of a sum of products that are a multiple of the register tile: 24 or 32. 32 is a multiple of AMX tiles too.
pub(super) fn rows_per_full_tile() -> usize {
    4 * arch().dispatch(TileSize).rows
}

/// `out = a b` or `out += a b`. The safe callers check that all accesses are within their slices.
#[derive(Clone, Copy)]
struct Product {
    /// `rows × columns`; rows begin `stride` numbers apart.
    out: *mut f32,
    stride: usize,
    rows: usize,
    /// `rows × depth`. `a_tile` is the distance to the next tile; `steps` are the distances to the next row of a tile
    /// and to the next number of a row.
    a: *const f32,
    a_tile: usize,
    steps: [usize; 2],
    depth: usize,
    /// Panels as wide as a register tile, `depth × columns` each.
    b: *const f32,
    columns: usize,
    add: bool,
}

impl WithSimd for Product {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::REGISTER_COUNT >= 32 { self.panels::<S, MANY>(simd) } else { self.panels::<S, FEW>(simd) }
    }
}

#[expect(unsafe_code, reason = "checked once per product, not once per number")]
impl Product {
    #[inline(always)]
    fn panels<S: Simd, const ROWS: usize>(self, simd: S) {
        for panel in 0..self.columns.div_ceil(SIDE * S::F32_LANES) {
            for first in (0..self.depth.max(1)).step_by(DEPTH) {
                let steps = first..self.depth.min(first + DEPTH);
                let whole = self.rows / ROWS;
                for tile in 0..whole {
                    // SAFETY: the tile is within the rows, and the panel within the columns
                    unsafe { self.tile::<S, ROWS>(simd, tile * ROWS, tile * self.a_tile, panel, steps.clone()) };
                }
                let (mut row, mut at) = (whole * ROWS, whole * self.a_tile);
                while row < self.rows {
                    let rest = self.rows - row;
                    // SAFETY: as above
                    let done = unsafe {
                        if ROWS > 4 && rest >= 4 {
                            self.tile::<S, 4>(simd, row, at, panel, steps.clone());
                            4
                        } else if rest >= 2 {
                            self.tile::<S, 2>(simd, row, at, panel, steps.clone());
                            2
                        } else {
                            self.tile::<S, 1>(simd, row, at, panel, steps.clone());
                            1
                        }
                    };
                    row += done;
                    at += done * self.steps[0];
                }
            }
        }
    }

    /// Computes `ROWS` rows of a panel; the first row begins at offset `at` in `a`.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "with iterators the sums are not kept in registers")]
    unsafe fn tile<S: Simd, const ROWS: usize>(
        self,
        simd: S,
        row: usize,
        at: usize,
        panel: usize,
        steps: Range<usize>,
    ) {
        let lanes = S::F32_LANES;
        let side = SIDE * lanes;
        let mut sums = [[simd.splat_f32s(0.0); SIDE]; ROWS];
        // SAFETY: guaranteed by the caller
        let (a, b) = unsafe { (self.a.add(at), self.b.add(panel * side * self.depth)) };
        let add = self.add || steps.start > 0;
        for step in steps {
            let mut right = [simd.splat_f32s(0.0); SIDE];
            for vector in 0..SIDE {
                // SAFETY: panels are padded to full width
                right[vector] = unsafe { b.add(step * side + vector * lanes).cast::<S::f32s>().read_unaligned() };
            }
            for row in 0..ROWS {
                // SAFETY: the row and the step are within `a`
                let left = simd.splat_f32s(unsafe { *a.add(row * self.steps[0] + step * self.steps[1]) });
                for vector in 0..SIDE {
                    sums[row][vector] = simd.mul_add_f32s(left, right[vector], sums[row][vector]);
                }
            }
        }
        for tile_row in 0..ROWS {
            for vector in 0..SIDE {
                let first = panel * side + vector * lanes;
                let present = self.columns.saturating_sub(first).min(lanes);
                if present == 0 {
                    continue;
                }
                // SAFETY: only the columns that are present
                let out = unsafe {
                    std::slice::from_raw_parts_mut(self.out.add((row + tile_row) * self.stride + first), present)
                };
                let sum = sums[tile_row][vector];
                if present == lanes {
                    let out = &mut S::as_mut_simd_f32s(out).0[0];
                    *out = if add { simd.add_f32s(*out, sum) } else { sum };
                } else {
                    let sum = if add { simd.add_f32s(simd.partial_load_f32s(out), sum) } else { sum };
                    simd.partial_store_f32s(out, sum);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Integers, whose sums are exact.
    fn fill(count: usize, step: usize) -> Vec<f32> {
        (0..count).map(|i| f32::from(u16::try_from(i * step % 19).unwrap()) - 9.0).collect()
    }

    /// On CPUs with AMX most products do not take this path, so this test calls it directly.
    #[test]
    fn panels_strips_and_narrow_sums_are_those_of_the_definition() {
        for [m, k, n] in [[1, 1, 1], [17, 40, 33], [130, 70, 100], [64, 256, 65], [9, 300, 64], [11, 513, 35]] {
            let (a, b) = (fill(m * k, 7), fill(k * n, 5));
            let exact: Vec<f32> =
                (0..m * n).map(|at| (0..k).map(|l| a[at / n * k + l] * b[l * n + at % n]).sum()).collect();
            let twice: Vec<f32> = exact.iter().map(|v| 2.0 * v).collect();
            let mut out = vec![9.0; m * n];
            let panels = Panels::new(&b, n);
            panels.product(&mut out, n, Rows::new(&a, k), false);
            assert_eq!(out, exact);
            panels.product(&mut out, n, Rows::new(&a, k), true);
            assert_eq!(out, twice);
            let across: Vec<f32> = (0..m * k).map(|at| a[at % m * k + at / m]).collect();
            let (first, second) =
                (Strips::new(Rows::new(&across, m), m, true), Strips::new(Rows::new(&b, n), n, false));
            let mut sum = vec![0.0; m * n];
            first.add_sum(&mut sum, 0..m, &second);
            first.add_sum(&mut sum, 0..m, &second);
            assert_eq!(sum, twice);
            assert_eq!(super::sum(Rows::new(&across, m), m, Rows::new(&b, n), n, 0..k), exact);
        }
    }
}
