//! What a result says of cells, and whether to believe it.

use std::fmt;

use serde::Serialize;

/// Whether to believe, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Verdict {
    /// No check failed.
    #[serde(rename = "believe")]
    Believe,
    /// Some check failed, none so far that the statement is worthless.
    #[serde(rename = "look")]
    Look,
    /// Some check failed so far that the statement is worthless.
    #[serde(rename = "do not believe")]
    DoNotBelieve,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Believe => "believe",
            Self::Look => "look",
            Self::DoNotBelieve => "do not believe",
        })
    }
}

/// What a result says of cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Statement {
    /// Pseudotime and potential: which cell comes before which.
    Order,
    /// Where a cell goes next.
    Directions,
    /// Where a cell ends.
    Fates,
    /// Which genes drive it there: as good as the worst of the others.
    Drivers,
}

impl Statement {
    /// All of them, in the order in which they are said.
    pub const ALL: [Self; 4] = [Self::Order, Self::Directions, Self::Fates, Self::Drivers];

    /// Its name in words and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Directions => "directions",
            Self::Fates => "fates",
            Self::Drivers => "drivers",
        }
    }
}
