//! A choice among named values, under the same name in configurations, files, flags and code.

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
    /// What is chosen, as an error calls it.
    const WHAT: &'static str;

    /// All values.
    const ALL: &'static [Self];

    /// The name of a value, different from those of all others: what `Display` writes and `FromStr` reads.
    fn name(self) -> &'static str;

    /// The value of that name.
    ///
    /// # Errors
    /// [`UnknownName`] lists the names there are.
    fn named(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .iter()
            .copied()
            .find(|value| value.name() == name)
            .ok_or_else(|| UnknownName::new(Self::WHAT, name, Self::ALL.iter().map(|value| value.name()).collect()))
    }
}

/// A name that is none of those there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} \"{name}\" is not one of {}", known.join(", "))]
#[non_exhaustive]
pub struct UnknownName {
    /// What was to be chosen.
    pub what: &'static str,
    /// What was named.
    pub name: String,
    /// The names there are.
    pub known: Vec<&'static str>,
}

impl UnknownName {
    /// The name of a choice, which is none of the known ones.
    #[must_use]
    pub fn new(what: &'static str, name: &str, known: Vec<&'static str>) -> Self {
        Self { what, name: name.to_owned(), known }
    }
}
