//! Cells × genes with annotations: the content of an `.h5ad` file in memory, with sparse matrices.

use std::collections::BTreeMap;

use sclsd_spec::WrongSize;

use crate::{Categorical, Column, Csr, Matrix, SparseError};

/// A table of annotations: one row per cell (`obs`) or gene (`var`). Columns are in file order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frame {
    /// Row names: cell barcodes or gene symbols.
    pub names: Vec<String>,
    /// Columns by name, in file order.
    pub columns: Vec<(String, Column)>,
}

impl Frame {
    /// Creates a table with row names and no columns.
    #[must_use]
    pub fn new(names: Vec<String>) -> Self {
        Self { names, columns: Vec::new() }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether the table has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The column with this name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Column> {
        self.columns.iter().find(|(name, _)| name == key).map(|(_, column)| column)
    }

    /// Adds a column, or replaces the column with the same name.
    ///
    /// # Panics
    /// If the length of the column differs from the number of rows.
    pub fn set(&mut self, key: &str, column: Column) {
        assert_eq!(column.len(), self.len(), "one value per row");
        match self.columns.iter_mut().find(|(name, _)| name == key) {
            Some(entry) => entry.1 = column,
            None => self.columns.push((key.to_owned(), column)),
        }
    }

    fn select_rows(&self, rows: &[usize]) -> Self {
        Self {
            names: rows.iter().map(|&row| self.names[row].clone()).collect(),
            columns: self.columns.iter().map(|(name, column)| (name.clone(), column.select_rows(rows))).collect(),
        }
    }
}

/// An unstructured value of `uns`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Uns {
    /// A text.
    Text(String),
    /// Texts with the given shape, row-major.
    Texts(Vec<usize>, Vec<String>),
    /// Floating-point numbers with the given shape (empty for a scalar), row-major.
    Floats(Vec<usize>, Vec<f64>),
    /// Integers with the given shape (empty for a scalar), row-major.
    Integers(Vec<usize>, Vec<i64>),
    /// Booleans with the given shape (empty for a scalar), row-major.
    Booleans(Vec<usize>, Vec<bool>),
    /// A dictionary.
    Map(BTreeMap<String, Uns>),
}

/// Cells × genes with annotations, in AnnData's slots and under scanpy's names.
///
/// Holds only the elements that were requested when the file was read: see [`Keys`](crate::Keys).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dataset {
    /// Normalised expression (log1p of counts per 10,000), `n_cells × n_genes`.
    pub x: Option<Csr>,
    /// Further matrices, `n_cells × n_genes`. Counts are in `raw`.
    pub layers: BTreeMap<String, Csr>,
    /// Annotations of cells.
    pub obs: Frame,
    /// Annotations of genes.
    pub var: Frame,
    /// Coordinates of cells: `X_pca`, `X_umap`, …
    pub obsm: BTreeMap<String, Matrix>,
    /// Coordinates of genes: `PCs`, …. Written to files, but not read from files.
    pub varm: BTreeMap<String, Matrix>,
    /// Graphs of cells: `connectivities`, `distances`, …; `n_cells × n_cells`.
    pub obsp: BTreeMap<String, Csr>,
    /// Unstructured annotations: everything else.
    pub uns: BTreeMap<String, Uns>,
}

/// An element that a data set lacks or holds in the wrong form.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// A required element is missing.
    #[error("{slot}[\"{key}\"] is missing; the data has {present}")]
    Missing {
        /// Slot such as `obs`.
        slot: &'static str,
        /// Key of the missing element.
        key: String,
        /// The keys that the slot holds instead.
        present: String,
    },
    /// X is missing.
    #[error("X is missing")]
    NoExpression,
    /// A column has the wrong type.
    #[error("obs[\"{key}\"] is a {found} column, expected {expected}")]
    Kind {
        /// The column of `obs`.
        key: String,
        /// Type of the column.
        found: &'static str,
        /// The required type.
        expected: &'static str,
    },
    /// A number is not finite, or is out of range.
    #[error("{place} is {value}, expected {expected}")]
    Value {
        /// Element, cell and gene where the number is stored.
        place: String,
        /// The number.
        value: f64,
        /// The valid range.
        expected: &'static str,
    },
    /// An element has another number of cells or genes than the rest.
    #[error(transparent)]
    Shape(#[from] WrongSize),
    /// An element is not a valid sparse matrix.
    #[error("{element}: {problem}")]
    Sparse {
        /// The element.
        element: String,
        /// Why the element is not a valid sparse matrix.
        problem: SparseError,
    },
    /// Two rows have the same name.
    #[error("{what} {name} appears twice; names must differ (in scanpy: adata.{table}_names_make_unique())")]
    Duplicate {
        /// `cell` or `gene`.
        what: &'static str,
        /// The duplicate name.
        name: String,
        /// `obs` or `var`.
        table: &'static str,
    },
    /// The data set has no cells or no genes.
    #[error("there are {n_cells} cells and {n_genes} genes")]
    Empty {
        /// Number of cells.
        n_cells: usize,
        /// Number of genes.
        n_genes: usize,
    },
}

impl Dataset {
    /// Number of cells.
    #[must_use]
    pub fn n_cells(&self) -> usize {
        self.obs.len()
    }

    /// Number of genes.
    #[must_use]
    pub fn n_genes(&self) -> usize {
        self.var.len()
    }

    /// X, with a check that every stored value is finite.
    ///
    /// # Errors
    /// [`DatasetError`] if X was not read, is empty, or holds `NaN` or infinity. The error names the cell and gene.
    pub fn expression(&self) -> Result<&Csr, DatasetError> {
        let x = self.x.as_ref().ok_or(DatasetError::NoExpression)?;
        if self.n_cells() == 0 || self.n_genes() == 0 {
            return Err(DatasetError::Empty { n_cells: self.n_cells(), n_genes: self.n_genes() });
        }
        self.first_bad("X", x, f32::is_finite, "a finite number")?;
        Ok(x)
    }

    /// A layer of counts, with a check that every stored value is a non-negative integer.
    ///
    /// # Errors
    /// [`DatasetError`] if the layer is missing, or holds a value that is not a count. The error names the cell and
    /// gene.
    pub fn counts(&self, layer: &str) -> Result<&Csr, DatasetError> {
        let counts = self.layers.get(layer).ok_or_else(|| missing("layers", layer, self.layers.keys()))?;
        let name = format!("layers[\"{layer}\"]");
        self.first_bad(&name, counts, is_count, "an integer count of 0 or more")?;
        Ok(counts)
    }

    /// A numeric column of `obs`, with a check that every value is finite.
    ///
    /// # Errors
    /// [`DatasetError`] if the column is missing, is not numeric, or holds a value that is not finite. The error names
    /// the cell.
    pub fn numbers(&self, key: &str) -> Result<Vec<f64>, DatasetError> {
        let column = self.column(key)?;
        let values = column.to_floats().ok_or_else(|| DatasetError::Kind {
            key: key.into(),
            found: column.kind(),
            expected: "numbers",
        })?;
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(values),
            Some(cell) => Err(DatasetError::Value {
                place: format!("obs[\"{key}\"] of cell {}", self.obs.names[cell]),
                value: values[cell],
                expected: "a finite number",
            }),
        }
    }

    /// A categorical column of `obs`, such as clusters.
    ///
    /// # Errors
    /// [`DatasetError`] if the column is missing or numeric.
    pub fn groups(&self, key: &str) -> Result<Categorical, DatasetError> {
        let column = self.column(key)?;
        column.to_categorical().ok_or_else(|| DatasetError::Kind {
            key: key.into(),
            found: column.kind(),
            expected: "names of groups",
        })
    }

    /// A graph of cells from `obsp`.
    ///
    /// # Errors
    /// [`DatasetError`] if the graph is missing.
    pub fn graph(&self, key: &str) -> Result<&Csr, DatasetError> {
        self.obsp.get(key).ok_or_else(|| missing("obsp", key, self.obsp.keys()))
    }

    fn column(&self, key: &str) -> Result<&Column, DatasetError> {
        self.obs.get(key).ok_or_else(|| missing("obs", key, self.obs.columns.iter().map(|(name, _)| name)))
    }

    fn first_bad(
        &self,
        name: &str,
        matrix: &Csr,
        good: impl Fn(f32) -> bool,
        expected: &'static str,
    ) -> Result<(), DatasetError> {
        let Some(entry) = matrix.values().iter().position(|&v| !good(v)) else { return Ok(()) };
        let cell = matrix.pattern().indptr().partition_point(|&start| start <= entry) - 1;
        let gene = matrix.pattern().indices()[entry] as usize;
        Err(DatasetError::Value {
            place: format!("{name} of cell {} and gene {}", self.obs.names[cell], self.var.names[gene]),
            value: f64::from(matrix.values()[entry]),
            expected,
        })
    }

    /// The given cells in the given order, with all their annotations. `rows` must not repeat a cell.
    #[must_use]
    pub fn select_cells(&self, rows: &[usize]) -> Self {
        let matrix = |m: &Csr| m.select_rows(rows);
        let x = self.x.as_ref().map(matrix);
        let layers = self
            .layers
            .iter()
            .map(|(key, m)| (key.clone(), x.as_ref().map_or_else(|| matrix(m), |x| matrix(m).sharing(x))))
            .collect();
        Self {
            x,
            layers,
            obs: self.obs.select_rows(rows),
            var: self.var.clone(),
            obsm: self.obsm.iter().map(|(key, m)| (key.clone(), m.select_rows(rows))).collect(),
            varm: self.varm.clone(),
            obsp: self.obsp.iter().map(|(key, m)| (key.clone(), m.select_rows(rows).select_columns(rows))).collect(),
            uns: self.uns.clone(),
        }
    }

    /// The given genes, in the given order.
    #[must_use]
    pub fn select_genes(&self, columns: &[usize]) -> Self {
        let mut chosen = self.clone();
        chosen.var = self.var.select_rows(columns);
        chosen.x = self.x.as_ref().map(|x| x.select_columns(columns));
        chosen.varm = self.varm.iter().map(|(key, m)| (key.clone(), m.select_rows(columns))).collect();
        for matrix in chosen.layers.values_mut() {
            let narrow = matrix.select_columns(columns);
            *matrix = match &chosen.x {
                Some(x) => narrow.sharing(x),
                None => narrow,
            };
        }
        chosen
    }
}

/// Whether a value is a count: at least 0, and an integer within the rounding of single precision.
#[must_use]
pub fn is_count(v: f32) -> bool {
    // fast path for small integers, which nearly all counts are: rounding is a call into the C library unless the build
    // targets a specific CPU
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a byte or not equal")]
    let byte = v as u8;
    f32::from(byte).to_bits() == v.to_bits()
        || v >= 0.0 && v.is_finite() && (v - v.round()).abs() <= 4.0 * f32::EPSILON * v
}

fn missing<'a>(slot: &'static str, key: &str, present: impl Iterator<Item = &'a String>) -> DatasetError {
    DatasetError::Missing { slot, key: key.into(), present: list(present) }
}

/// Names joined for an error message: `a, b, c`, or `nothing` if there are none.
pub(crate) fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    match names.len() {
        0 => "nothing".into(),
        1..=12 => names.join(", "),
        n => format!("{}, … ({n} in all)", names[..12].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_whole_within_rounding_and_neither_negative_nor_infinite() {
        for count in [0.0, -0.0, 1.0, 2.999_999_8, 255.0, 256.0, 70_000.0, 1e9] {
            assert!(is_count(count), "{count}");
        }
        for other in [-1.0, 0.5, 2.999, 254.5, f32::NAN, f32::INFINITY, -1e-9] {
            assert!(!is_count(other), "{other}");
        }
    }
}
