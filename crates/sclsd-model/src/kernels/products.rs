//! Products of matrices: sums in registers, over a few rows and two vectors of columns at a time.
//!
//! Libraries of products copy both factors into an order that suits them, every time. Here a layer's weights are packed once
//! for all blocks of rows ([`Packed`]), and rows are taken as they lie, wider than their content where that keeps them from
//! falling on the same places of the cache. Measured against the crates gemm, faer and rten-gemm: see `docs/performance.md`.
//!
//! Every product runs on the thread at hand and sums in the same order whatever the number of threads.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::rows::BLOCK;

/// Vectors of columns that are worked on at a time.
const SIDE: usize = 2;
/// And rows, where there are 32 registers, and where there are 16.
const MANY: usize = 8;
const FEW: usize = 4;
/// Rows of a sum of products that one thread makes at a time.
const PANEL: usize = 64;

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
    fn count(self) -> usize {
        self.values.len().div_ceil(self.stride.max(1))
    }
}

/// The second factor of products, `inputs × outputs`, in the order in which they need it.
#[derive(Debug)]
pub(crate) struct Packed {
    inputs: usize,
    outputs: usize,
    /// Panels of a tile's columns, `inputs × columns` each; the last is filled up with zeros.
    panels: Vec<f32>,
}

impl Packed {
    /// Of a matrix with rows of `outputs`.
    pub(crate) fn new(matrix: &[f32], outputs: usize) -> Self {
        Self::of(matrix.len() / outputs, outputs, |panel, columns, side| {
            for (to, from) in panel.chunks_exact_mut(side).zip(matrix.chunks_exact(outputs)) {
                to[..columns.len()].copy_from_slice(&from[columns.clone()]);
            }
        })
    }

    /// Of the transpose of a matrix with rows of `inputs`: of a layer's weights, for the way forward.
    pub(crate) fn transposed(matrix: &[f32], inputs: usize) -> Self {
        Self::of(inputs, matrix.len() / inputs, |panel, columns, side| {
            /// Numbers of a row that are moved before the next row's, so that what they go to stays in the cache.
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
        let side = Arch::new().dispatch(TileSize).columns;
        let mut panels = vec![0.0; outputs.div_ceil(side) * side * inputs];
        panels
            .par_chunks_mut((side * inputs).max(1))
            .enumerate()
            .for_each(|(at, panel)| fill(panel, at * side..outputs.min((at + 1) * side), side));
        Self { inputs, outputs, panels }
    }
}

/// `out = a b`, with rows of `out` `stride` apart.
pub(crate) fn times(out: &mut [f32], stride: usize, a: Rows<'_>, b: &Packed) {
    product(out, stride, a, b, false);
}

/// `out += a b`, with rows of `out` `stride` apart.
pub(crate) fn add_times(out: &mut [f32], stride: usize, a: Rows<'_>, b: &Packed) {
    product(out, stride, a, b, true);
}

fn product(out: &mut [f32], stride: usize, a: Rows<'_>, b: &Packed, add: bool) {
    let rows = a.count();
    let fits =
        |len: usize, stride: usize, width: usize| rows == 0 || stride >= width && len >= (rows - 1) * stride + width;
    assert!(fits(a.values.len(), a.stride, b.inputs) && fits(out.len(), stride, b.outputs), "sizes that fit");
    let product = Product {
        out: out.as_mut_ptr(),
        stride,
        rows,
        a: a.values.as_ptr(),
        a_tile: Arch::new().dispatch(TileSize).rows * a.stride,
        steps: [a.stride, 1],
        depth: b.inputs,
        b: b.panels.as_ptr(),
        columns: b.outputs,
        add,
    };
    Arch::new().dispatch(product);
}

/// `aᵀ b` for the columns of `a` and all of `b`, both with as many rows; `columns × width`.
pub(crate) fn sum_of_products(a: Rows<'_>, columns: usize, b: Rows<'_>, width: usize) -> Vec<f32> {
    let mut sum = vec![0.0; columns * width];
    add_sum_of_products(&mut sum, a, columns, b, width);
    sum
}

/// Adds [`sum_of_products`] to `sum`.
pub(crate) fn add_sum_of_products(sum: &mut [f32], a: Rows<'_>, columns: usize, b: Rows<'_>, width: usize) {
    let count = a.count();
    let fits = |rows: Rows<'_>, width: usize| {
        count == 0 || rows.stride >= width && rows.values.len() >= (count - 1) * rows.stride + width
    };
    assert!(b.count() == count && fits(a, columns) && fits(b, width) && sum.len() == columns * width, "sizes that fit");
    let tile = Arch::new().dispatch(TileSize);
    let blocks: Vec<Range<usize>> = (0..count).step_by(BLOCK).map(|first| first..count.min(first + BLOCK)).collect();
    let packed: Vec<Vec<f32>> = blocks.par_iter().map(|rows| pack(b, rows.clone(), 0..width, tile.columns)).collect();
    sum.par_chunks_mut((PANEL * width).max(1)).enumerate().for_each(|(panel, sum)| {
        let columns = panel * PANEL..panel * PANEL + sum.len() / width;
        for (rows, b) in blocks.iter().zip(&packed) {
            let (a, depth) = (pack(a, rows.clone(), columns.clone(), tile.rows), rows.len());
            let product = Product {
                out: sum.as_mut_ptr(),
                stride: width,
                rows: columns.len(),
                a: a.as_ptr(),
                a_tile: tile.rows * depth,
                steps: [1, tile.rows],
                depth,
                b: b.as_ptr(),
                columns: width,
                add: true,
            };
            Arch::new().dispatch(product);
        }
    });
}

/// Some columns of some rows, `side` of them after the other, each filled up with zeros: `columns / side × rows × side`.
fn pack(from: Rows<'_>, rows: Range<usize>, columns: Range<usize>, side: usize) -> Vec<f32> {
    let mut panels = vec![0.0; columns.len().div_ceil(side) * side * rows.len()];
    for (to, panel) in panels.chunks_exact_mut((side * rows.len()).max(1)).zip(columns.clone().step_by(side)) {
        let present = panel..columns.end.min(panel + side);
        for (to, row) in to.chunks_exact_mut(side).zip(rows.clone()) {
            let first = row * from.stride;
            to[..present.len()].copy_from_slice(&from.values[first + present.start..first + present.end]);
        }
    }
    panels
}

/// Derivatives by the weights, `outputs × inputs`, and by the input `x` of a linear layer, given those by its output.
pub(crate) fn linear_slopes(weight: &[f32], inputs: usize, x: &[f32], slope: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let outputs = weight.len() / inputs;
    let by_weight = sum_of_products(Rows::new(slope, outputs), outputs, Rows::new(x, inputs), inputs);
    let weight = Packed::new(weight, inputs);
    let mut by_input = vec![0.0; x.len()];
    let blocks = by_input.par_chunks_mut(BLOCK * inputs).zip(slope.par_chunks(BLOCK * outputs));
    blocks.for_each(|(by_input, slope)| times(by_input, inputs, Rows::new(slope, outputs), &weight));
    (by_weight, by_input)
}

/// Rows and columns whose sums are in registers at a time.
#[derive(Clone, Copy)]
struct Tile {
    rows: usize,
    columns: usize,
}

/// A [`Tile`] with the registers at hand.
struct TileSize;

impl WithSimd for TileSize {
    type Output = Tile;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Tile {
        Tile { rows: if S::REGISTER_COUNT >= 32 { MANY } else { FEW }, columns: SIDE * S::F32_LANES }
    }
}

/// `out = a b` or `out += a b`; [`product`] and [`add_sum_of_products`] see to it that all places are inside their slices.
#[derive(Clone, Copy)]
struct Product {
    /// `rows × columns`, rows `stride` apart.
    out: *mut f32,
    stride: usize,
    rows: usize,
    /// `rows × depth`: so far to the next tile, to the next row in it and to the next number of a row.
    a: *const f32,
    a_tile: usize,
    steps: [usize; 2],
    depth: usize,
    /// Panels of a tile's columns, `depth × columns` each.
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
            for tile in 0..self.rows / ROWS {
                // SAFETY: rows and columns that there are
                unsafe { self.tile::<S, ROWS>(simd, tile * ROWS, tile * self.a_tile, panel) };
            }
            for row in self.rows - self.rows % ROWS..self.rows {
                // SAFETY: as above
                unsafe { self.tile::<S, 1>(simd, row, row / ROWS * self.a_tile + row % ROWS * self.steps[0], panel) };
            }
        }
    }

    /// Some rows of a panel; the first begins at `at` in `a`.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "with iterators the sums are not kept in registers")]
    unsafe fn tile<S: Simd, const ROWS: usize>(self, simd: S, row: usize, at: usize, panel: usize) {
        let lanes = S::F32_LANES;
        let side = SIDE * lanes;
        let mut sums = [[simd.splat_f32s(0.0); SIDE]; ROWS];
        // SAFETY: the caller's
        let (a, b) = unsafe { (self.a.add(at), self.b.add(panel * side * self.depth)) };
        for step in 0..self.depth {
            let mut right = [simd.splat_f32s(0.0); SIDE];
            for vector in 0..SIDE {
                // SAFETY: panels are whole
                right[vector] = unsafe { b.add(step * side + vector * lanes).cast::<S::f32s>().read_unaligned() };
            }
            for row in 0..ROWS {
                // SAFETY: a row and a number of it that there are
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
                // SAFETY: as many columns as are present
                let out = unsafe {
                    std::slice::from_raw_parts_mut(self.out.add((row + tile_row) * self.stride + first), present)
                };
                let sum = sums[tile_row][vector];
                if present == lanes {
                    let out = &mut S::as_mut_simd_f32s(out).0[0];
                    *out = if self.add { simd.add_f32s(*out, sum) } else { sum };
                } else {
                    let sum = if self.add { simd.add_f32s(simd.partial_load_f32s(out), sum) } else { sum };
                    simd.partial_store_f32s(out, sum);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers, whose sums are exact.
    fn fill(count: usize, step: usize) -> Vec<f32> {
        (0..count).map(|i| f32::from(u16::try_from(i * step % 19).unwrap()) - 9.0).collect()
    }

    /// Rows of `width` copied to rows of `stride`.
    fn spread(values: &[f32], width: usize, stride: usize) -> Vec<f32> {
        values.chunks_exact(width).flat_map(|row| row.iter().copied().chain(vec![77.0; stride - width])).collect()
    }

    #[test]
    fn products_are_those_of_the_definition() {
        for [m, k, n] in [[1, 1, 1], [3, 5, 2], [17, 40, 33], [128, 130, 5], [9, 300, 64], [70, 3, 100]] {
            let (a, b) = (fill(m * k, 7), fill(k * n, 5));
            let exact: Vec<f32> =
                (0..m * n).map(|at| (0..k).map(|l| a[at / n * k + l] * b[l * n + at % n]).sum()).collect();
            let twice: Vec<f32> = exact.iter().map(|v| 2.0 * v).collect();
            let across: Vec<f32> = (0..n * k).map(|at| b[at % k * n + at / k]).collect();
            for packed in [Packed::new(&b, n), Packed::transposed(&across, k)] {
                let mut out = vec![9.0; m * n];
                times(&mut out, n, Rows::new(&a, k), &packed);
                assert_eq!(out, exact);
                add_times(&mut out, n, Rows::new(&a, k), &packed);
                assert_eq!(out, twice);
                let mut out = vec![77.0; m * (n + 3)];
                times(&mut out, n + 3, Rows { values: &spread(&a, k, k + 2), stride: k + 2 }, &packed);
                assert_eq!(out, spread(&exact, n, n + 3));
            }
            let a_across: Vec<f32> = (0..m * k).map(|at| a[at % m * k + at / m]).collect();
            let mut sum = sum_of_products(Rows::new(&a_across, m), m, Rows::new(&b, n), n);
            assert_eq!(sum, exact);
            let (a, b) = (spread(&a_across, m, m + 1), spread(&b, n, n + 5));
            let (a, b) = (Rows { values: &a, stride: m + 1 }, Rows { values: &b, stride: n + 5 });
            add_sum_of_products(&mut sum, a, m, b, n);
            assert_eq!(sum, twice);
        }
    }
}
