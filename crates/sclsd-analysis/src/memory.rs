//! Checks that trajectories fit into memory before they are computed, because a failed allocation aborts the program
//! without a message.

use crate::flow_error::FlowError;

/// Checks that `bytes` for each of `cells` at each of `points` times do not exceed the `available` memory.
pub(crate) fn check_fits(points: usize, cells: usize, bytes: usize, available: Option<u64>) -> Result<(), FlowError> {
    let needed = [points, cells, bytes].into_iter().fold(1_u128, |product, n| product.saturating_mul(n as u128));
    match available {
        Some(available) if needed > u128::from(available) => {
            #[expect(clippy::cast_precision_loss, reason = "for a message")]
            let gib = |bytes: u128| bytes as f64 / f64::from(1_u32 << 30);
            Err(FlowError::Memory { points, cells, needed: gib(needed), available: gib(u128::from(available)) })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_do_not_fit_into_memory_are_an_error_with_both_sizes() {
        let error = check_fits(1_000_000, 200_000, 4, Some(16 << 30)).unwrap_err();
        let expected = "paths of 200000 cells at 1000000 times need 745 GiB, but 16 GiB of memory are left; ask for fewer \
                        times or cells";
        assert_eq!(error.to_string(), expected);
        assert!(check_fits(30, 200_000, 4, Some(16 << 30)).is_ok());
        assert!(
            check_fits(usize::MAX, usize::MAX, 4, None).is_ok(),
            "where the system does not tell, it has the last word"
        );
        assert!(check_fits(usize::MAX, usize::MAX, 4, Some(16 << 30)).is_err(), "no product overflows");
    }
}
