//! A prior that says nothing: its times dealt out anew among the cells.

use rand::seq::SliceRandom;
use sclsd_data::{Purpose, random_stream};

/// The same values in an order that the seed draws.
#[must_use]
pub fn permuted(values: &[f64], seed: u64) -> Vec<f64> {
    let mut values = values.to_vec();
    values.shuffle(&mut random_stream(seed, Purpose::Permutation, 0));
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_deals_alike_and_no_value_is_lost() {
        let values: Vec<f64> = (0..50_u8).map(f64::from).collect();
        let dealt = permuted(&values, 3);
        assert_eq!(dealt, permuted(&values, 3));
        assert!(dealt != values && dealt != permuted(&values, 4));
        let mut sorted = dealt;
        sorted.sort_by(f64::total_cmp);
        assert_eq!(sorted, values);
    }
}
