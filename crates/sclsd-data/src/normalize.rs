//! Total-count normalisation and logarithm, as `scanpy.pp.normalize_total` and `log1p` do them.

use std::ops::ControlFlow;
use std::sync::Arc;

use rayon::prelude::*;

use crate::windows::{Window, Windows};
use crate::{Csr, H5adError};

/// Library size: sum of the counts of every cell.
#[must_use]
pub fn library_sizes(counts: &Csr) -> Vec<f64> {
    counts.row_sums()
}

/// `ln(1 + target_sum · count / library size of the cell)`, with the pattern of the counts. Cells without counts remain
/// empty.
#[must_use]
pub fn log1p_normalize(counts: &Csr, target_sum: f64) -> Csr {
    let mut values = counts.values().to_vec();
    rows(counts, &mut values).into_par_iter().for_each(|row| {
        let total: f64 = row.iter().map(|&v| f64::from(v)).sum();
        row.iter_mut().for_each(|v| *v = normalized(*v, total, target_sum));
    });
    Csr::over(Arc::clone(counts.pattern()), values)
}

/// Splits values over the pattern of a matrix into rows.
fn rows<'v>(matrix: &Csr, mut values: &'v mut [f32]) -> Vec<&'v mut [f32]> {
    let lengths = matrix.pattern().indptr().windows(2).map(|pair| pair[1] - pair[0]);
    lengths.map(|length| values.split_off_mut(..length).expect("a pattern's rows are within its entries")).collect()
}

fn normalized(count: f32, total: f64, target_sum: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "expression is kept in f32")]
    let value = (f64::from(count) * target_sum / total).ln_1p() as f32;
    if total > 0.0 { value } else { 0.0 }
}

/// The result of [`log1p_normalize`], computed window by window instead of stored.
pub struct Normalized<'a> {
    /// The counts.
    pub counts: &'a dyn Windows,
    /// Library size of every cell, in counts.
    pub library_sizes: &'a [f64],
    /// Library size of every cell after normalisation, in counts.
    pub target_sum: f64,
}

impl Normalized<'_> {
    fn of(&self, part: &Csr, cell: impl Fn(usize, usize) -> usize + Sync) -> Csr {
        let (sizes, target_sum) = (self.library_sizes, self.target_sum);
        let mut values = part.values().to_vec();
        rows(part, &mut values).into_par_iter().enumerate().for_each(|(row, values)| {
            for (&column, value) in part.row(row).0.iter().zip(values) {
                *value = normalized(*value, sizes[cell(row, column as usize)], target_sum);
            }
        });
        Csr::over(Arc::clone(part.pattern()), values)
    }
}

impl Windows for Normalized<'_> {
    fn shape(&self) -> (usize, usize) {
        self.counts.shape()
    }

    fn visit(&self, each: &mut dyn FnMut(&Window<'_>) -> ControlFlow<()>) -> Result<(), H5adError> {
        self.counts.visit(&mut |window| window.with(|part, cell| self.of(part, cell), |window| each(window)))
    }

    fn select(&self, rows: Option<&[usize]>, columns: Option<&[usize]>) -> Result<Csr, H5adError> {
        let part = self.counts.select(rows, columns)?;
        Ok(self.of(&part, |row, _| rows.map_or(row, |rows| rows[row])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalised_counts_sum_to_the_target() {
        let counts = Csr::from_rows(3, [vec![(0, 1.0), (2, 3.0)], vec![], vec![(1, 0.0)]]).unwrap();
        let x = log1p_normalize(&counts, 1e4);
        let total: f32 = x.row(0).1.iter().map(|v| v.exp_m1()).sum();
        assert!((total - 1e4).abs() < 0.1, "{total}");
        assert_eq!((x.row(1).1.len(), x.row(2).1), (0, &[0.0][..]));
        assert!(Arc::ptr_eq(x.pattern(), counts.pattern()));
    }
}
