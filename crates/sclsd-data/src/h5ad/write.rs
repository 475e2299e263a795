//! Writing: a new file from a data set, or results added to a copy of one that exists.
//!
//! Either way the bytes go to a temporary file beside the output, which takes the output's name once it is complete
//! and on disk. Until then whatever stood under that name is untouched, and a failure leaves nothing behind.

use std::collections::BTreeMap;
use std::path::Path;

use super::H5adError;
use super::read::{check_anndata, column_names};
use super::storage::{Attribute, Editor, Kind, Reader, Values};
use crate::replace::{plain_reason, replace_file};
use crate::{Categorical, Column, Csr, Dataset, Matrix, Uns};

/// Elements to add to a file; one that exists under the same name is replaced.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Additions {
    /// Columns of `obs`.
    pub obs: Vec<(String, Column)>,
    /// Coordinates of cells.
    pub obsm: BTreeMap<String, Matrix>,
    /// Graphs of cells.
    pub obsp: BTreeMap<String, Csr>,
    /// Unstructured values.
    pub uns: BTreeMap<String, Uns>,
}

/// Writes a copy of `input` with `additions` to `output`, which may be `input` itself.
///
/// Every element that is not named in `additions` is carried over byte for byte: `raw`, `uns`, categories and their
/// colours included.
///
/// # Errors
/// [`H5adError`] where the input is no AnnData or the output cannot be written.
///
/// # Panics
/// When an addition is not as long as the file has cells.
pub fn add_to_h5ad(input: &Path, output: &Path, additions: &Additions) -> Result<(), H5adError> {
    replace(output, |temporary| {
        std::fs::copy(input, temporary).map_err(|source| unwritable(output, &source))?;
        let layout = {
            let file = Reader::open(temporary)?;
            check_anndata(&file)?;
            Layout::of(&file)
        };
        let editor = Editor::open(temporary)?;
        let mut sink = Sink { editor: &editor, layout };
        sink.add(additions)?;
        editor.close()
    })
}

/// Writes a data set as a new `.h5ad` file that scanpy opens.
///
/// # Errors
/// [`H5adError`] where the output cannot be written.
pub fn write_h5ad(output: &Path, data: &Dataset) -> Result<(), H5adError> {
    replace(output, |temporary| {
        let editor = Editor::create(temporary)?;
        editor.set_attribute("", "encoding-type", &Attribute::Text("anndata"))?;
        editor.set_attribute("", "encoding-version", &Attribute::Text("0.1.0"))?;
        let mut sink = Sink { editor: &editor, layout: Layout::default() };
        for (table, frame) in [("obs", &data.obs), ("var", &data.var)] {
            let order = frame.columns.iter().map(|(name, _)| name.clone()).collect();
            editor.create_group(
                table,
                &[
                    ("encoding-type", Attribute::Text("dataframe")),
                    ("encoding-version", Attribute::Text("0.2.0")),
                    ("_index", Attribute::Text("_index")),
                    ("column-order", Attribute::Texts(order)),
                ],
            )?;
            sink.texts(&format!("{table}/_index"), &[frame.len()], &frame.names)?;
        }
        for slot in ["layers", "obsm", "obsp", "uns", "varm", "varp"] {
            sink.dictionary(slot)?;
        }
        if let Some(x) = &data.x {
            sink.csr("X", x)?;
        }
        for (key, layer) in &data.layers {
            sink.csr(&format!("layers/{key}"), layer)?;
        }
        for (name, column) in &data.var.columns {
            sink.column(&format!("var/{name}"), column)?;
        }
        for (name, matrix) in &data.varm {
            let key = format!("varm/{name}");
            sink.array(&key, &[matrix.n_rows(), matrix.n_cols()], Values::F32(matrix.values()))?;
        }
        sink.add(&Additions {
            obs: data.obs.columns.clone(),
            obsm: data.obsm.clone(),
            obsp: data.obsp.clone(),
            uns: data.uns.clone(),
        })?;
        editor.close()
    })
}

/// [`replace_file`] with errors that name the output.
fn replace(output: &Path, fill: impl FnOnce(&Path) -> Result<(), H5adError>) -> Result<(), H5adError> {
    let unwritable = |source| unwritable(output, &source);
    replace_file(output, unwritable, |temporary| fill(temporary).map_err(|error| named(error, temporary, output)))
}

fn unwritable(output: &Path, source: &std::io::Error) -> H5adError {
    H5adError::Unwritable { path: output.display().to_string(), reason: plain_reason(source) }
}

/// The same error, about the output rather than the temporary file.
fn named(error: H5adError, temporary: &Path, output: &Path) -> H5adError {
    let path = output.display().to_string();
    match error {
        H5adError::Unwritable { path: at, reason } if at == temporary.display().to_string() => {
            H5adError::Unwritable { path, reason }
        }
        other => other,
    }
}

/// What a file has already, as far as additions must know.
#[derive(Default)]
struct Layout {
    obs_columns: Vec<String>,
    present: Vec<String>,
}

impl Layout {
    fn of(file: &Reader) -> Self {
        let mut present = Vec::new();
        for slot in ["obs", "obsm", "obsp", "uns"] {
            if file.kind(slot) == Some(Kind::Group) {
                present.push(slot.to_owned());
                present.extend(file.children(slot).into_iter().map(|name| format!("{slot}/{name}")));
            }
        }
        Self { obs_columns: column_names(file, "obs"), present }
    }

    fn has(&self, key: &str) -> bool {
        self.present.iter().any(|name| name == key)
    }
}

struct Sink<'a> {
    editor: &'a Editor,
    layout: Layout,
}

impl Sink<'_> {
    fn add(&mut self, additions: &Additions) -> Result<(), H5adError> {
        for (name, column) in &additions.obs {
            let key = format!("obs/{name}");
            self.make_room(&key)?;
            self.column(&key, column)?;
            if !self.layout.obs_columns.contains(name) {
                self.layout.obs_columns.push(name.clone());
            }
            if let Column::Categorical(groups) = column
                && !groups.colors().is_empty()
            {
                let key = format!("uns/{name}_colors");
                self.slot("uns")?;
                self.make_room(&key)?;
                self.texts(&key, &[groups.colors().len()], groups.colors())?;
            }
        }
        if !additions.obs.is_empty() {
            let order = Attribute::Texts(self.layout.obs_columns.clone());
            self.editor.set_attribute("obs", "column-order", &order)?;
        }
        for (name, matrix) in &additions.obsm {
            let key = self.room_in("obsm", name)?;
            self.array(&key, &[matrix.n_rows(), matrix.n_cols()], Values::F32(matrix.values()))?;
        }
        for (name, graph) in &additions.obsp {
            let key = self.room_in("obsp", name)?;
            self.csr(&key, graph)?;
        }
        for (name, value) in &additions.uns {
            let key = self.room_in("uns", name)?;
            self.uns(&key, value)?;
        }
        Ok(())
    }

    /// A free place for `slot/name`, in a slot that exists.
    fn room_in(&mut self, slot: &str, name: &str) -> Result<String, H5adError> {
        self.slot(slot)?;
        let key = format!("{slot}/{name}");
        self.make_room(&key)?;
        Ok(key)
    }

    fn slot(&mut self, slot: &str) -> Result<(), H5adError> {
        if self.layout.has(slot) { Ok(()) } else { self.dictionary(slot) }
    }

    fn make_room(&mut self, key: &str) -> Result<(), H5adError> {
        if self.layout.has(key) {
            self.editor.delete(key)?;
        } else {
            self.layout.present.push(key.to_owned());
        }
        Ok(())
    }

    fn dictionary(&mut self, key: &str) -> Result<(), H5adError> {
        self.layout.present.push(key.to_owned());
        self.editor.create_group(key, &encoding("dict", "0.1.0"))
    }

    fn column(&self, key: &str, column: &Column) -> Result<(), H5adError> {
        match column {
            Column::Categorical(groups) => self.categorical(key, groups),
            Column::Float(values) => self.array(key, &[values.len()], Values::F64(values)),
            Column::String(values) if values.iter().all(Option::is_some) => {
                let texts: Vec<&str> = values.iter().flatten().map(String::as_str).collect();
                self.editor.create_dataset(
                    key,
                    &[texts.len()],
                    Values::Texts(&texts),
                    &encoding("string-array", "0.2.0"),
                )
            }
            Column::String(values) => {
                let texts: Vec<&str> = values.iter().map(|v| v.as_deref().unwrap_or("")).collect();
                self.editor.create_group(key, &encoding("nullable-string-array", "0.1.0"))?;
                self.editor.create_dataset(
                    &format!("{key}/values"),
                    &[texts.len()],
                    Values::Texts(&texts),
                    &encoding("string-array", "0.2.0"),
                )?;
                self.mask(key, values)
            }
            Column::Integer(values) => {
                let dense: Vec<i64> = values.iter().map(|v| v.unwrap_or(0)).collect();
                self.nullable(key, "nullable-integer", Values::I64(&dense), values)
            }
            Column::Boolean(values) => {
                let dense: Vec<bool> = values.iter().map(|v| v.unwrap_or(false)).collect();
                self.nullable(key, "nullable-boolean", Values::Booleans(&dense), values)
            }
        }
    }

    /// A plain array where nothing is missing, pandas' masked form where something is.
    fn nullable<T>(
        &self,
        key: &str,
        name: &'static str,
        dense: Values<'_>,
        values: &[Option<T>],
    ) -> Result<(), H5adError> {
        if values.iter().all(Option::is_some) {
            return self.array(key, &[values.len()], dense);
        }
        self.editor.create_group(key, &encoding(name, "0.1.0"))?;
        self.array(&format!("{key}/values"), &[values.len()], dense)?;
        self.mask(key, values)
    }

    fn mask<T>(&self, key: &str, values: &[Option<T>]) -> Result<(), H5adError> {
        let mask: Vec<bool> = values.iter().map(Option::is_none).collect();
        self.array(&format!("{key}/mask"), &[mask.len()], Values::Booleans(&mask))
    }

    fn categorical(&self, key: &str, groups: &Categorical) -> Result<(), H5adError> {
        self.editor.create_group(
            key,
            &[
                ("encoding-type", Attribute::Text("categorical")),
                ("encoding-version", Attribute::Text("0.2.0")),
                ("ordered", Attribute::Flag(groups.ordered())),
            ],
        )?;
        self.texts(&format!("{key}/categories"), &[groups.categories().len()], groups.categories())?;
        let codes = format!("{key}/codes");
        let shape = [groups.codes().len()];
        if groups.categories().len() <= 127 {
            let narrow: Vec<i8> =
                groups.codes().iter().map(|c| c.and_then(|c| i8::try_from(c).ok()).unwrap_or(-1)).collect();
            return self.array(&codes, &shape, Values::I8(&narrow));
        }
        let wide: Vec<i32> =
            groups.codes().iter().map(|c| c.and_then(|c| i32::try_from(c).ok()).unwrap_or(-1)).collect();
        self.array(&codes, &shape, Values::I32(&wide))
    }

    fn csr(&self, key: &str, matrix: &Csr) -> Result<(), H5adError> {
        let integers = |numbers: &[usize]| numbers.iter().map(|&n| i64::try_from(n).unwrap_or(i64::MAX)).collect();
        self.editor.create_group(
            key,
            &[
                ("encoding-type", Attribute::Text("csr_matrix")),
                ("encoding-version", Attribute::Text("0.1.0")),
                ("shape", Attribute::Integers(integers(&[matrix.n_rows(), matrix.n_cols()]))),
            ],
        )?;
        let plain = |name: &str, values: Values<'_>, len: usize| {
            self.editor.create_dataset(&format!("{key}/{name}"), &[len], values, &[])
        };
        plain("data", Values::F32(matrix.values()), matrix.nnz())?;
        let indptr: Vec<i64> = integers(matrix.pattern().indptr());
        match (i32::try_from(matrix.nnz()), i32::try_from(matrix.n_cols())) {
            (Ok(_), Ok(_)) => {
                let narrow = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
                let indices: Vec<i32> = matrix.pattern().indices().iter().map(|&c| narrow(i64::from(c))).collect();
                let indptr: Vec<i32> = indptr.into_iter().map(narrow).collect();
                plain("indices", Values::I32(&indices), indices.len())?;
                plain("indptr", Values::I32(&indptr), indptr.len())
            }
            _ => {
                let indices: Vec<i64> = matrix.pattern().indices().iter().map(|&c| i64::from(c)).collect();
                plain("indices", Values::I64(&indices), indices.len())?;
                plain("indptr", Values::I64(&indptr), indptr.len())
            }
        }
    }

    fn uns(&mut self, key: &str, value: &Uns) -> Result<(), H5adError> {
        match value {
            Uns::Text(text) => {
                self.editor.create_dataset(key, &[], Values::Texts(&[text]), &encoding("string", "0.2.0"))
            }
            Uns::Texts(shape, texts) => self.texts(key, shape, texts),
            Uns::Floats(shape, values) => self.number(key, shape, Values::F64(values)),
            Uns::Integers(shape, values) => self.number(key, shape, Values::I64(values)),
            Uns::Booleans(shape, values) => self.number(key, shape, Values::Booleans(values)),
            Uns::Map(map) => {
                self.dictionary(key)?;
                map.iter().try_for_each(|(name, value)| self.uns(&format!("{key}/{name}"), value))
            }
        }
    }

    fn number(&self, key: &str, shape: &[usize], values: Values<'_>) -> Result<(), H5adError> {
        let kind = if shape.is_empty() { encoding("numeric-scalar", "0.2.0") } else { encoding("array", "0.2.0") };
        self.editor.create_dataset(key, shape, values, &kind)
    }

    fn array(&self, key: &str, shape: &[usize], values: Values<'_>) -> Result<(), H5adError> {
        self.editor.create_dataset(key, shape, values, &encoding("array", "0.2.0"))
    }

    fn texts(&self, key: &str, shape: &[usize], texts: &[String]) -> Result<(), H5adError> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        self.editor.create_dataset(key, shape, Values::Texts(&texts), &encoding("string-array", "0.2.0"))
    }
}

fn encoding(kind: &'static str, version: &'static str) -> [(&'static str, Attribute); 2] {
    [("encoding-type", Attribute::Text(kind)), ("encoding-version", Attribute::Text(version))]
}
