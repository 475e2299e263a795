//! Products of row-major matrices, on the thread at hand: the one place that knows who multiplies.

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
    let a = rows(a, k, m).transpose();
    matmul(MatMut::from_row_major_slice_mut(out, m, n), Accum::Add, a, rows(b, k, n), 1.0, Par::Seq);
}

/// `out += aᵀ b` for some columns of `a`: `k × stride`; `b`: `k × n`, `out`: `columns × n`.
pub(crate) fn add_columns_transposed_times(
    out: &mut [f32],
    a: &[f32],
    stride: usize,
    columns: std::ops::Range<usize>,
    b: &[f32],
    n: usize,
) {
    let k = b.len() / n;
    let a = rows(a, k, stride).subcols(columns.start, columns.len()).transpose();
    matmul(MatMut::from_row_major_slice_mut(out, columns.len(), n), Accum::Add, a, rows(b, k, n), 1.0, Par::Seq);
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
    fn a_transposed_matrix_has_its_rows_for_columns() {
        for (rows, width) in [(1, 1), (3, 40), (33, 17)] {
            let a: Vec<f32> = (0_u16..).take(rows * width).map(f32::from).collect();
            let t = transposed(&a, width);
            let back: Vec<f32> = (0..rows * width).map(|i| t[(i % width) * rows + i / width]).collect();
            assert_eq!(back, a);
        }
    }
}
