//! Mean and standard deviation over several models of the same cells.

/// Mean and standard deviation of every place over members, all of them of the same length.
///
/// ```text
/// mean = Σ_k v_k / n,   std = √(Σ_k (v_k − mean)² / (n − 1)),   0 for one member
/// ```
///
/// Sums are made in the order of members.
///
/// # Panics
/// When there is no member, or they are not of the same length.
#[must_use]
pub fn mean_and_std(members: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    let length = members.first().expect("at least one member").len();
    assert!(members.iter().all(|member| member.len() == length), "members of the same length");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let n = members.len() as f64;
    let of = |place: usize| {
        let mean = members.iter().map(|member| member[place]).sum::<f64>() / n;
        let squares: f64 = members.iter().map(|member| (member[place] - mean).powi(2)).sum();
        (mean, (squares / (n - 1.0).max(1.0)).sqrt())
    };
    (0..length).map(of).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_spread_are_those_of_numpy_with_ddof_1() {
        let (mean, std) = mean_and_std(&[vec![1.0, 5.0], vec![2.0, 5.0], vec![6.0, 5.0]]);
        assert_eq!(mean, [3.0, 5.0]);
        assert!((std[0] - 7.0_f64.sqrt()).abs() < 1e-15 && std[1] == 0.0);
        assert_eq!(mean_and_std(&[vec![4.0]]), (vec![4.0], vec![0.0]));
    }
}
