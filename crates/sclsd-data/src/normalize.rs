//! Total-count normalisation and logarithm, as `scanpy.pp.normalize_total` and `log1p` do them.

use std::sync::Arc;

use rayon::prelude::*;

use crate::Csr;

/// Counts below this are normalised once per cell, since most are small and the same few.
const SMALL: usize = 32;

/// Sum of the counts of every cell, in counts.
#[must_use]
pub fn library_sizes(counts: &Csr) -> Vec<f64> {
    counts.row_sums()
}

/// `ln(1 + target_sum · count / sum of the cell's counts)`, over the pattern of the counts. An empty cell stays empty.
#[must_use]
pub fn log1p_normalize(counts: &Csr, target_sum: f64) -> Csr {
    #[expect(clippy::cast_possible_truncation, reason = "expression is kept in f32")]
    let normalized = |count: f32, total: f64| (f64::from(count) * target_sum / total).ln_1p() as f32;
    let values: Vec<Vec<f32>> = (0..counts.n_rows())
        .into_par_iter()
        .map(|cell| {
            let (_, row) = counts.row(cell);
            let total: f64 = row.iter().map(|&v| f64::from(v)).sum();
            if total <= 0.0 {
                return vec![0.0; row.len()];
            }
            let mut known = [f32::NAN; SMALL];
            row.iter()
                .map(|&count| match known.get_mut(count as usize) {
                    Some(value) if f32::from(count as u8) == count => {
                        if value.is_nan() {
                            *value = normalized(count, total);
                        }
                        *value
                    }
                    _ => normalized(count, total),
                })
                .collect()
        })
        .collect();
    Csr::over(Arc::clone(counts.pattern()), values.concat())
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
