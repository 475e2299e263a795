//! One of several shards that a piece of work is divided into: `2/5` is the second of five.

use std::fmt;
use std::str::FromStr;

use crate::OutOfRange;

/// A shard of some work: number `index`, counted from 1, of `count`.
///
/// Established when read and never revisited: `1 ≤ index ≤ count`.
///
/// ```
/// let shard: sclsd_spec::Shard = "2/5".parse()?;
/// assert_eq!((0..12).filter(|&item| shard.holds(item)).collect::<Vec<_>>(), [1, 6, 11]);
/// assert!("6/5".parse::<sclsd_spec::Shard>().is_err());
/// # Ok::<(), sclsd_spec::OutOfRange>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// Number of this shard, counted from 1.
    #[must_use]
    pub fn index(self) -> usize {
        self.index
    }

    /// Number of shards.
    #[must_use]
    pub fn count(self) -> usize {
        self.count
    }

    /// Whether an item, counted from 0, is of this shard: items are dealt out in turn.
    #[must_use]
    pub fn holds(self, item: usize) -> bool {
        item % self.count == self.index - 1
    }

    /// All shards of the same work.
    pub fn all(self) -> impl Iterator<Item = Self> {
        (1..=self.count).map(move |index| Self { index, ..self })
    }
}

impl FromStr for Shard {
    type Err = OutOfRange;

    fn from_str(text: &str) -> Result<Self, OutOfRange> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Self { index, count }),
            _ => Err(OutOfRange::new("shard", text, "I/N, such as 2/5, with I from 1 to N")),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.index, self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_of_one_shard() {
        let first: Shard = "1/3".parse().unwrap();
        for item in 0..10 {
            assert_eq!(first.all().filter(|shard| shard.holds(item)).count(), 1);
        }
    }

    #[test]
    fn what_is_no_shard_is_an_error_that_says_what_one_is() {
        for text in ["0/3", "4/3", "a/b", "1", "1/0", "0/0", "-1/3", "", "1/3/5"] {
            let message = text.parse::<Shard>().unwrap_err().to_string();
            assert_eq!(message, format!("shard is {text}, expected I/N, such as 2/5, with I from 1 to N"));
        }
        assert_eq!("2/5".parse::<Shard>().unwrap().to_string(), "2/5");
    }
}
