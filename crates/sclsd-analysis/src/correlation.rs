//! Rank correlation.

/// Spearman's rank correlation. Ties share their mean rank. `None` if either input is constant or holds a value that is
/// not a number.
///
/// # Panics
/// If the inputs differ in length.
#[must_use]
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    assert_eq!(a.len(), b.len(), "two values per cell");
    if a.iter().chain(b).any(|v| v.is_nan()) {
        return None;
    }
    let (a, b) = (ranks(a), ranks(b));
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    let mean = f64::midpoint(a.len() as f64, 1.0);
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    let spread = (product(&a, &a) * product(&b, &b)).sqrt();
    (spread > 0.0).then(|| product(&a, &b) / spread)
}

/// Rank of every value, from 1; ties share their mean rank.
#[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
pub(crate) fn ranks(values: &[f64]) -> Vec<f64> {
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
        let close = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-12;
        assert!(close(spearman(&[1.0, 2.0, 3.0], &[1.0, 10.0, 100.0]), 1.0));
        assert!(close(spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, f64::NEG_INFINITY]), -1.0));
        // scipy.stats.spearmanr([1, 2, 2, 4], [1, 3, 2, 4]) = 0.9486832980505138
        assert!(close(spearman(&[1.0, 2.0, 2.0, 4.0], &[1.0, 3.0, 2.0, 4.0]), 0.948_683_298_050_513_8));
    }

    #[test]
    fn where_nothing_can_be_said_of_order_there_is_no_correlation() {
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0, 2.0], &[f64::NAN, 2.0]), None);
        assert_eq!(spearman(&[], &[]), None);
    }
}
