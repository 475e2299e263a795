//! Columns of `obs` and `var`, as in scanpy's data frames.

use sclsd_spec::OutOfRange;

/// A column of annotations: one value per cell (`obs`) or gene (`var`).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Column {
    /// A categorical column, such as clusters.
    Categorical(Categorical),
    /// Text. Missing values are `None`.
    String(Vec<Option<String>>),
    /// Floating-point numbers. Missing values are `NaN`, as in pandas.
    Float(Vec<f64>),
    /// Integers. Missing values are `None`.
    Integer(Vec<Option<i64>>),
    /// Booleans. Missing values are `None`.
    Boolean(Vec<Option<bool>>),
}

/// A categorical column: one code per cell, an index into the list of categories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Categorical {
    codes: Vec<Option<u32>>,
    categories: Vec<String>,
    ordered: bool,
    colors: Vec<String>,
}

impl Categorical {
    /// Creates a column from codes and categories. Cells with code `None` have a missing value.
    ///
    /// # Errors
    /// [`OutOfRange`] names the first code that is not an index into `categories`.
    pub fn try_new(codes: Vec<Option<u32>>, categories: Vec<String>, ordered: bool) -> Result<Self, OutOfRange> {
        match codes.iter().flatten().find(|&&code| code as usize >= categories.len()) {
            Some(code) => Err(OutOfRange::new("categorical.codes", code, "the position of a category")),
            None => Ok(Self { codes, categories, ordered, colors: Vec::new() }),
        }
    }

    /// Like [`try_new`](Self::try_new), for codes that are known to be valid.
    ///
    /// # Panics
    /// If a code has no category.
    #[must_use]
    pub fn new(codes: Vec<Option<u32>>, categories: Vec<String>, ordered: bool) -> Self {
        assert!(codes.iter().flatten().all(|&c| (c as usize) < categories.len()), "every code has a category");
        Self { codes, categories, ordered, colors: Vec::new() }
    }

    /// Creates a column from one name per cell. The categories are in alphabetical order, as in pandas.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.into_iter().collect();
        let mut categories: Vec<String> = names.iter().map(ToString::to_string).collect();
        categories.sort_unstable();
        categories.dedup();
        let code = |name: &&str| categories.binary_search_by(|c| c.as_str().cmp(name)).ok();
        let codes = names.iter().map(|n| code(n).and_then(|c| u32::try_from(c).ok())).collect();
        Self { codes, categories, ordered: false, colors: Vec::new() }
    }

    /// Sets one colour (`#rrggbb`) per category, as stored in `uns['<key>_colors']`.
    #[must_use]
    pub fn with_colors(mut self, colors: Vec<String>) -> Self {
        self.colors = colors;
        self
    }

    /// Code of every cell; `None` where the value is missing.
    #[must_use]
    pub fn codes(&self) -> &[Option<u32>] {
        &self.codes
    }

    /// Names of the categories, indexed by code.
    #[must_use]
    pub fn categories(&self) -> &[String] {
        &self.categories
    }

    /// Whether the categories are ordered.
    #[must_use]
    pub fn ordered(&self) -> bool {
        self.ordered
    }

    /// One colour per category, if colours are set.
    #[must_use]
    pub fn colors(&self) -> &[String] {
        &self.colors
    }

    /// Category name of a cell; `None` where the value is missing.
    #[must_use]
    pub fn name(&self, cell: usize) -> Option<&str> {
        self.codes[cell].map(|code| self.categories[code as usize].as_str())
    }
}

impl From<Categorical> for Column {
    fn from(column: Categorical) -> Self {
        Self::Categorical(column)
    }
}

impl From<Vec<f64>> for Column {
    fn from(values: Vec<f64>) -> Self {
        Self::Float(values)
    }
}

impl From<&[f64]> for Column {
    fn from(values: &[f64]) -> Self {
        Self::Float(values.to_vec())
    }
}

impl From<Vec<i64>> for Column {
    fn from(values: Vec<i64>) -> Self {
        Self::Integer(values.into_iter().map(Some).collect())
    }
}

impl From<Vec<bool>> for Column {
    fn from(values: Vec<bool>) -> Self {
        Self::Boolean(values.into_iter().map(Some).collect())
    }
}

impl From<Vec<String>> for Column {
    fn from(values: Vec<String>) -> Self {
        Self::String(values.into_iter().map(Some).collect())
    }
}

impl From<Vec<&str>> for Column {
    fn from(values: Vec<&str>) -> Self {
        Self::String(values.into_iter().map(|value| Some(value.to_owned())).collect())
    }
}

impl Column {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Categorical(column) => column.codes.len(),
            Self::String(values) => values.len(),
            Self::Float(values) => values.len(),
            Self::Integer(values) => values.len(),
            Self::Boolean(values) => values.len(),
        }
    }

    /// Whether the column has no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of the column in plain words, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Categorical(_) => "categorical",
            Self::String(_) => "string",
            Self::Float(_) => "float",
            Self::Integer(_) => "integer",
            Self::Boolean(_) => "boolean",
        }
    }

    /// The column as floating-point numbers; `None` if the column is not numeric. Missing values become `NaN`.
    #[must_use]
    pub fn to_floats(&self) -> Option<Vec<f64>> {
        #[expect(clippy::cast_precision_loss, reason = "counts and codes are far below 2^52")]
        let float = |value: &Option<i64>| value.map_or(f64::NAN, |v| v as f64);
        match self {
            Self::Float(values) => Some(values.clone()),
            Self::Integer(values) => Some(values.iter().map(float).collect()),
            _ => None,
        }
    }

    /// The column as a categorical; `None` if the column is numeric.
    #[must_use]
    pub fn to_categorical(&self) -> Option<Categorical> {
        match self {
            Self::Categorical(column) => Some(column.clone()),
            Self::String(values) => {
                let mut column = Categorical::from_names(values.iter().flatten().map(String::as_str));
                let mut present = column.codes.into_iter();
                column.codes = values.iter().map(|v| v.as_ref().and_then(|_| present.next().flatten())).collect();
                Some(column)
            }
            _ => None,
        }
    }

    /// The values of the given rows, in the given order.
    #[must_use]
    pub fn select_rows(&self, rows: &[usize]) -> Self {
        match self {
            Self::Categorical(column) => Self::Categorical(Categorical {
                codes: pick(&column.codes, rows),
                categories: column.categories.clone(),
                ordered: column.ordered,
                colors: column.colors.clone(),
            }),
            Self::String(values) => Self::String(pick(values, rows)),
            Self::Float(values) => Self::Float(pick(values, rows)),
            Self::Integer(values) => Self::Integer(pick(values, rows)),
            Self::Boolean(values) => Self::Boolean(pick(values, rows)),
        }
    }
}

fn pick<T: Clone>(values: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().map(|&row| values[row].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_sorted_categories() {
        let column = Categorical::from_names(["b", "a", "b"]);
        assert_eq!(column.categories(), ["a", "b"]);
        assert_eq!(column.codes(), [Some(1), Some(0), Some(1)]);
        assert_eq!(column.name(2), Some("b"));
    }

    #[test]
    fn missing_strings_stay_missing_as_categories() {
        let column = Column::String(vec![Some("x".into()), None, Some("w".into())]).to_categorical().unwrap();
        assert_eq!(column.codes(), [Some(1), None, Some(0)]);
    }
}
