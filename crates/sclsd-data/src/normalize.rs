//! Total-count normalisation and logarithm, as `scanpy.pp.normalize_total` and `log1p` do them.

use std::sync::Arc;

use crate::Csr;

/// Sum of the counts of every cell, in counts.
#[must_use]
pub fn library_sizes(counts: &Csr) -> Vec<f64> {
    counts.row_sums()
}

/// `ln(1 + target_sum · count / sum of the cell's counts)`, over the pattern of the counts. An empty cell stays empty.
#[must_use]
pub fn log1p_normalize(counts: &Csr, target_sum: f64) -> Csr {
    let mut values = Vec::with_capacity(counts.nnz());
    for cell in 0..counts.n_rows() {
        let (_, row) = counts.row(cell);
        let total: f64 = row.iter().map(|&v| f64::from(v)).sum();
        #[expect(clippy::cast_possible_truncation, reason = "expression is kept in f32")]
        values.extend(
            row.iter().map(|&v| if total > 0.0 { (f64::from(v) * target_sum / total).ln_1p() as f32 } else { 0.0 }),
        );
    }
    Csr::over(Arc::clone(counts.pattern()), values)
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
