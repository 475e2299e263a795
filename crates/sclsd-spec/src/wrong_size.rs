//! Parts that do not fit together.

use std::fmt::Display;

/// A part is of another size than the rest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is of {found}, expected {expected}")]
#[non_exhaustive]
pub struct WrongSize {
    /// Which part.
    pub what: String,
    /// Its size, with what is counted.
    pub found: String,
    /// The size that it must have.
    pub expected: String,
}

impl WrongSize {
    /// That part is of that size, not of the one expected.
    #[must_use]
    pub fn new(what: impl Display, found: impl Display, expected: impl Display) -> Self {
        Self { what: what.to_string(), found: found.to_string(), expected: expected.to_string() }
    }
}
