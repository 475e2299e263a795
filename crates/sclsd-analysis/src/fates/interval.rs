//! Fates by several models, members of one run: their mean, their spread, and an interval.

use sclsd_spec::{OutOfRange, in_range};

use super::probabilities::FateProbabilities;
use crate::spread::mean_and_std;

/// Fates by several members.
#[derive(Debug, Clone, PartialEq)]
pub struct FateSpread {
    /// Mean over members; rows sum to one.
    pub mean: FateProbabilities,
    /// Standard deviation over members, `n_cells × n_fates`.
    pub std: Vec<f64>,
}

/// Lower and upper ends of intervals, `n_cells × n_fates` each, within 0…1.
#[derive(Debug, Clone, PartialEq)]
pub struct FateInterval {
    /// Lower ends.
    pub low: Vec<f64>,
    /// Upper ends, never below the lower ones.
    pub high: Vec<f64>,
}

/// Mean and spread of fates over members.
///
/// # Panics
/// When there is no member, or they are of different cells or fates.
#[must_use]
pub fn fate_spread(members: &[FateProbabilities]) -> FateSpread {
    let (mean, std) = mean_and_std(&values(members));
    FateSpread { mean: FateProbabilities::of_whole_rows(members[0].names().to_vec(), mean), std }
}

/// The interval of every fate probability at a level such as 0.9: from the (1 − level)/2 quantile of the members to the
/// (1 + level)/2 quantile, interpolated as numpy does.
///
/// It is one of the spread of members alone. What else the true probability may differ by, such as a prior time that is
/// wrong in all of them, is not in it.
///
/// # Errors
/// [`OutOfRange`] where the level is not within 0 and 1.
///
/// # Panics
/// When there is no member, or they are of different cells or fates.
pub fn fate_interval(members: &[FateProbabilities], level: f64) -> Result<FateInterval, OutOfRange> {
    in_range("fates.interval", level, level > 0.0 && level < 1.0, "a number between 0 and 1")?;
    let members = values(members);
    let of = |place: usize| {
        let mut sorted: Vec<f64> = members.iter().map(|member| member[place]).collect();
        sorted.sort_by(f64::total_cmp);
        (quantile(&sorted, (1.0 - level) / 2.0), quantile(&sorted, f64::midpoint(1.0, level)))
    };
    let (low, high) = (0..members[0].len()).map(of).unzip();
    Ok(FateInterval { low, high })
}

fn values(members: &[FateProbabilities]) -> Vec<Vec<f64>> {
    assert!(members.windows(2).all(|pair| pair[0].names() == pair[1].names()), "members of the same fates");
    members.iter().map(|member| member.values().to_vec()).collect()
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let at = share * sorted.len().saturating_sub(1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the members")]
    let below = at.floor() as usize;
    let (a, b) = (sorted[below], sorted[(below + 1).min(sorted.len() - 1)]);
    a + (b - a) * (at - at.floor())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(p: f64) -> FateProbabilities {
        let names = vec!["a".to_owned(), "b".to_owned()];
        FateProbabilities::from_rows(names, vec![p, 1.0 - p, 0.0, 0.0]).unwrap()
    }

    #[test]
    fn the_interval_is_that_of_numpys_quantiles_and_a_cell_without_a_fate_has_none() {
        let members = [0.1, 0.4, 0.2, 0.5, 0.3].map(member);
        let found = fate_interval(&members, 0.9).unwrap();
        let close = |found: &[f64], expected: [f64; 4]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        };
        // np.quantile([0.1, 0.2, 0.3, 0.4, 0.5], [0.05, 0.95])
        close(&found.low, [0.12, 0.52, 0.0, 0.0]);
        close(&found.high, [0.48, 0.88, 0.0, 0.0]);
        let spread = fate_spread(&members);
        close(spread.mean.values(), [0.3, 0.7, 0.0, 0.0]);
        close(&spread.std, [0.025_f64.sqrt(), 0.025_f64.sqrt(), 0.0, 0.0]);
    }

    #[test]
    fn a_level_that_is_none_is_an_error() {
        for level in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(fate_interval(&[member(0.5)], level).is_err(), "{level}");
        }
        let one = fate_interval(&[member(0.25)], 0.9).unwrap();
        assert_eq!(one.low, one.high);
    }
}
