//! The error of a field that is out of range.

use std::fmt::Display;

/// A field of a specification that is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, expected {expected}")]
#[non_exhaustive]
pub struct OutOfRange {
    /// Full path of the field, as in a configuration: `walks.path_len`.
    pub field: &'static str,
    /// Value of the field.
    pub value: String,
    /// The allowed values.
    pub expected: &'static str,
}

impl OutOfRange {
    /// An error for a field with this value, which is not among the expected values.
    #[must_use]
    pub fn new(field: &'static str, value: impl Display, expected: &'static str) -> Self {
        Self { field, value: value.to_string(), expected }
    }
}

/// Checks a condition on a field.
///
/// # Errors
/// [`OutOfRange`] with the field, its value and the expectation if the condition `holds` is false.
pub fn in_range(
    field: &'static str,
    value: impl Display,
    holds: bool,
    expected: &'static str,
) -> Result<(), OutOfRange> {
    if holds { Ok(()) } else { Err(OutOfRange::new(field, value, expected)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_is_named_with_its_field_and_what_was_expected() {
        assert_eq!(in_range("ode.rtol", 1e-5, true, "a number from 1e-7 to 1"), Ok(()));
        let error = in_range("ode.rtol", f64::NAN, false, "a number from 1e-7 to 1").unwrap_err();
        assert_eq!(error, OutOfRange::new("ode.rtol", f64::NAN, "a number from 1e-7 to 1"));
        assert_eq!(error.to_string(), "ode.rtol is NaN, expected a number from 1e-7 to 1");
    }
}
