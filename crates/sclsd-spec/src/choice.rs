//! A choice among named values, with the same names in configurations, files, flags and code.

/// A choice among named values.
///
/// ```
/// use sclsd_spec::{Choice, UnknownName};
///
/// #[derive(Debug, Clone, Copy, PartialEq)]
/// enum Color {
///     Red,
///     Blue,
/// }
///
/// impl Choice for Color {
///     const WHAT: &'static str = "color";
///     const ALL: &'static [Self] = &[Self::Red, Self::Blue];
///
///     fn name(self) -> &'static str {
///         match self {
///             Self::Red => "red",
///             Self::Blue => "blue",
///         }
///     }
/// }
///
/// assert_eq!(Color::named("blue"), Ok(Color::Blue));
/// assert_eq!(Color::named("green").unwrap_err().to_string(), "color \"green\" is not one of red, blue");
/// ```
pub trait Choice: Copy + 'static {
    /// What is chosen, as error messages call it.
    const WHAT: &'static str;

    /// All values.
    const ALL: &'static [Self];

    /// Name of a value, unique among all values. `Display` writes this name and `FromStr` reads it.
    fn name(self) -> &'static str;

    /// The value with that name.
    ///
    /// # Errors
    /// [`UnknownName`] lists the known names.
    fn named(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .iter()
            .copied()
            .find(|value| value.name() == name)
            .ok_or_else(|| UnknownName::new(Self::WHAT, name, Self::ALL.iter().map(|value| value.name()).collect()))
    }
}

/// A name that is not among the known names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} \"{name}\" is not one of {}", known.join(", "))]
#[non_exhaustive]
pub struct UnknownName {
    /// What was to be chosen.
    pub what: &'static str,
    /// The unknown name.
    pub name: String,
    /// The known names.
    pub known: Vec<&'static str>,
}

impl UnknownName {
    /// An error for `name`, which is not among the known names of `what`.
    #[must_use]
    pub fn new(what: &'static str, name: &str, known: Vec<&'static str>) -> Self {
        Self { what, name: name.to_owned(), known }
    }
}
