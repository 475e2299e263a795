//! Agreement of two orders.

/// Spearman's rank correlation, ties sharing their mean rank; `NaN` where either side does not vary.
///
/// # Panics
/// When the two are not of the same length.
#[must_use]
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "two values per cell");
    let (a, b) = (ranks(a), ranks(b));
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    let mean = f64::midpoint(a.len() as f64, 1.0);
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    while first < order.len() {
        let tied =
            order[first..].iter().take_while(|&&i| values[i].total_cmp(&values[order[first]]).is_eq()).count().max(1);
        for &i in &order[first..first + tied] {
            ranks[i] = first as f64 + f64::midpoint(tied as f64, 1.0);
        }
        first += tied;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spearman_sees_order_alone_and_shares_ranks_of_ties() {
        assert!((spearman(&[1.0, 2.0, 3.0], &[1.0, 10.0, 100.0]) - 1.0).abs() < 1e-12);
        assert!((spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]) + 1.0).abs() < 1e-12);
        // scipy.stats.spearmanr([1, 2, 2, 4], [1, 3, 2, 4]) = 0.9486832980505138
        assert!((spearman(&[1.0, 2.0, 2.0, 4.0], &[1.0, 3.0, 2.0, 4.0]) - 0.948_683_298_050_513_8).abs() < 1e-12);
        assert!(spearman(&[1.0, 1.0], &[1.0, 2.0]).is_nan());
    }
}
