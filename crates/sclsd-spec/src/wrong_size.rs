//! The error of sizes that do not match.

use std::fmt::Display;

/// A part has another size than expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is of {found}, expected {expected}")]
#[non_exhaustive]
pub struct WrongSize {
    /// Name of the part.
    pub what: String,
    /// Size of the part, with its unit.
    pub found: String,
    /// The expected size.
    pub expected: String,
}

impl WrongSize {
    /// An error for a part of size `found` instead of `expected`.
    #[must_use]
    pub fn new(what: impl Display, found: impl Display, expected: impl Display) -> Self {
        Self { what: what.to_string(), found: found.to_string(), expected: expected.to_string() }
    }
}
