//! Products of row-major matrices, on the thread at hand: the one place that knows who multiplies.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

/// `out = a bᵀ`, with `a`: `m × k`, `b`: `n × k`, `out`: `m × n`.
pub(crate) fn times_transposed(out: &mut [f32], a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) {
    let b = MatRef::from_row_major_slice(b, n, k).transpose();
    matmul(MatMut::from_row_major_slice_mut(out, m, n), Accum::Replace, rows(a, m, k), b, 1.0, Par::Seq);
}

/// `out = a b`, with `a`: `m × k`, `b`: `k × n`, `out`: `m × n`.
pub(crate) fn times(out: &mut [f32], a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) {
    matmul(MatMut::from_row_major_slice_mut(out, m, n), Accum::Replace, rows(a, m, k), rows(b, k, n), 1.0, Par::Seq);
}

/// `out += a b`, with `a`: `m × k`, `b`: `k × n`, `out`: `m × n`.
pub(crate) fn add_times(out: &mut [f32], a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) {
    matmul(MatMut::from_row_major_slice_mut(out, m, n), Accum::Add, rows(a, m, k), rows(b, k, n), 1.0, Par::Seq);
}

/// `out += aᵀ b`, with `a`: `k × m`, `b`: `k × n`, `out`: `m × n`.
pub(crate) fn add_transposed_times(out: &mut [f32], a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) {
    assert_eq!(b.len(), k * n, "as many rows");
    add_columns_transposed_times(out, a, m, 0..m, b, n);
}

/// `out += aᵀ b` for some columns of `a`: `k × stride`; `b`: `k × n`, `out`: `columns × n`.
///
/// Measured, with k about [`BLOCK`](super::rows::BLOCK): the gemm crate is up to a fifth faster than faer here, and not in
/// the other products.
#[expect(
    unsafe_code,
    reason = "the gemm crate takes pointers; lengths are checked first, and tests compare the result"
)]
pub(crate) fn add_columns_transposed_times(
    out: &mut [f32],
    a: &[f32],
    stride: usize,
    columns: Range<usize>,
    b: &[f32],
    n: usize,
) {
    let (k, m) = (b.len() / n, columns.len());
    assert!(columns.end <= stride && a.len() == k * stride && b.len() == k * n && out.len() == m * n, "sizes that fit");
    let step = |n: usize| isize::try_from(n).expect("sizes are below 2^63");
    // SAFETY: by the assertion above every index (row below m, column below n, inner below k) with these strides is
    // inside its slice, and `out` is not one of the others
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            step(n),
            true,
            a.as_ptr().add(columns.start),
            step(stride),
            1,
            b.as_ptr(),
            1,
            step(n),
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// `aᵀ`, row-major, for `a` with rows of `width`.
pub(crate) fn transposed(a: &[f32], width: usize) -> Vec<f32> {
    /// Rows and columns of a tile that is moved at a time.
    const TILE: usize = 16;
    let rows = a.len() / width.max(1);
    let mut out = vec![0.0; a.len()];
    out.par_chunks_mut((TILE * rows).max(1)).enumerate().for_each(|(at, out)| {
        let first = at * TILE;
        for tile in (0..rows).step_by(TILE) {
            for (column, out) in out.chunks_exact_mut(rows).enumerate() {
                for row in tile..rows.min(tile + TILE) {
                    out[row] = a[row * width + first + column];
                }
            }
        }
    });
    out
}

fn rows(values: &[f32], rows: usize, columns: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(values, rows, columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_definition() {
        for [m, k, n] in [[1, 1, 1], [3, 5, 2], [17, 40, 33], [128, 130, 5]] {
            let fill = |count: usize, step: usize| -> Vec<f32> {
                (0..count).map(|i| f32::from(u16::try_from(i * step % 19).unwrap()) - 9.0).collect()
            };
            let (a, b) = (fill(m * k, 7), fill(k * n, 5));
            let exact: Vec<f32> =
                (0..m * n).map(|at| (0..k).map(|l| a[at / n * k + l] * b[l * n + at % n]).sum()).collect();
            let mut out = vec![9.0; m * n];
            times(&mut out, &a, &b, [m, k, n]);
            assert_eq!(out, exact);
            times_transposed(&mut out, &a, &transposed(&b, n), [m, k, n]);
            assert_eq!(out, exact);
            let twice: Vec<f32> = exact.iter().map(|v| 2.0 * v).collect();
            add_times(&mut out, &a, &b, [m, k, n]);
            assert_eq!(out, twice);
            let across = transposed(&a, k);
            let mut out = exact.clone();
            add_transposed_times(&mut out, &across, &b, [m, k, n]);
            assert_eq!(out, twice);
            let mut last = exact[(m - 1) * n..].to_vec();
            add_columns_transposed_times(&mut last, &across, m, m - 1..m, &b, n);
            assert_eq!(last, twice[(m - 1) * n..]);
        }
    }

    #[test]
    fn a_transposed_matrix_has_its_rows_for_columns() {
        for (rows, width) in [(1, 1), (3, 40), (33, 17)] {
            let a: Vec<f32> = (0_u16..).take(rows * width).map(f32::from).collect();
            let t = transposed(&a, width);
            let back: Vec<f32> = (0..rows * width).map(|i| t[(i % width) * rows + i / width]).collect();
            assert_eq!(back, a);
        }
    }
}
