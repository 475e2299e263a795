//! The times at which states are returned.

use crate::error::OdeError;

/// Checks that the times are finite and strictly increasing.
///
/// # Errors
/// [`OdeError::Grid`] names the first time that is not.
pub fn check_grid(grid: &[f64]) -> Result<(), OdeError> {
    let rises = |i: usize| grid[i].is_finite() && (i == 0 || grid[i] > grid[i - 1]);
    match (0..grid.len()).find(|&i| !rises(i)) {
        Some(index) => Err(OdeError::Grid { index, value: grid[index] }),
        None => Ok(()),
    }
}

/// `n` evenly spaced times from `from` to `to`, both included.
#[must_use]
pub fn linspace(from: f64, to: f64, n: usize) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "numbers of steps are far below 2^52")]
    (0..n).map(|i| from + (to - from) * i as f64 / (n.max(2) - 1) as f64).collect()
}
