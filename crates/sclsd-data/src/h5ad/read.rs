//! Reading: only the elements that were named, and every missing one reported in the same sentence.

use std::collections::BTreeMap;
use std::path::Path;

use super::H5adError;
use super::storage::{Element, Kind, Reader, slot};
use crate::dataset::list;
use crate::{Categorical, Column, Csr, Dataset, Frame, Matrix, Uns};

/// Which elements of a file to read. Names of cells and genes are always read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Whether to read X. Default: yes.
    pub x: bool,
    /// Layers. Default: `raw`, the counts.
    pub layers: Vec<String>,
    /// Columns of `obs`. Default: `librarysize`.
    pub obs: Vec<String>,
    /// Columns of `var`. Default: none.
    pub var: Vec<String>,
    /// Coordinates of cells. Default: none.
    pub obsm: Vec<String>,
    /// Graphs of cells. Default: `connectivities`.
    pub obsp: Vec<String>,
    /// Entries of `uns`. Default: none.
    pub uns: Vec<String>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            x: true,
            layers: vec!["raw".into()],
            obs: vec!["librarysize".into()],
            obsp: vec!["connectivities".into()],
            ..Self::none()
        }
    }
}

impl Keys {
    /// Names of cells and genes alone.
    #[must_use]
    pub fn none() -> Self {
        Self {
            x: false,
            layers: Vec::new(),
            obs: Vec::new(),
            var: Vec::new(),
            obsm: Vec::new(),
            obsp: Vec::new(),
            uns: Vec::new(),
        }
    }

    /// Everything that a file has.
    ///
    /// # Errors
    /// [`H5adError`] where the file is not AnnData.
    pub fn all(path: &Path) -> Result<Self, H5adError> {
        let file = Reader::open(path)?;
        check_anndata(&file)?;
        Ok(Self {
            x: file.kind("X").is_some(),
            layers: file.children("layers"),
            obs: column_names(&file, "obs"),
            var: column_names(&file, "var"),
            obsm: file.children("obsm").into_iter().filter(|k| is_matrix(&file, &format!("obsm/{k}"))).collect(),
            obsp: file.children("obsp"),
            uns: file.children("uns"),
        })
    }

    /// Adds a column of `obs`.
    #[must_use]
    pub fn with_obs(mut self, key: &str) -> Self {
        self.obs.push(key.to_owned());
        self
    }

    /// Adds coordinates of cells.
    #[must_use]
    pub fn with_obsm(mut self, key: &str) -> Self {
        self.obsm.push(key.to_owned());
        self
    }
}

/// Reads the named elements of an `.h5ad` file.
///
/// Matrices may be CSR, CSC or dense, of any integer or float type, compressed with gzip or lzf or not at all; all
/// become CSR in `f32`, and matrices with the same pattern share it.
///
/// # Errors
/// [`H5adError`] where the file cannot be opened, is no AnnData, lacks elements (all of them are named, with what the
/// file has instead), or holds one that is corrupt or of the wrong shape.
pub fn read_h5ad(path: &Path, keys: &Keys) -> Result<Dataset, H5adError> {
    let file = Reader::open(path)?;
    check_anndata(&file)?;
    check_present(&file, keys)?;

    let mut data = Dataset {
        obs: Frame::new(row_names(&file, "obs")?),
        var: Frame::new(row_names(&file, "var")?),
        ..Dataset::default()
    };
    let (n_cells, n_genes) = (data.n_cells(), data.n_genes());
    if keys.x {
        data.x = Some(read_matrix(&file, "X", (n_cells, n_genes))?);
    }
    for key in &keys.layers {
        let layer = read_matrix(&file, &format!("layers/{key}"), (n_cells, n_genes))?;
        let layer = match &data.x {
            Some(x) => layer.sharing(x),
            None => layer,
        };
        data.layers.insert(key.clone(), layer);
    }
    for key in &keys.obs {
        let column = read_column(&file, "obs", key, n_cells)?;
        data.obs.set(key, column);
    }
    for key in &keys.var {
        let column = read_column(&file, "var", key, n_genes)?;
        data.var.set(key, column);
    }
    for key in &keys.obsm {
        data.obsm.insert(key.clone(), read_coordinates(&file, &format!("obsm/{key}"), n_cells)?);
    }
    for key in &keys.obsp {
        data.obsp.insert(key.clone(), read_matrix(&file, &format!("obsp/{key}"), (n_cells, n_cells))?);
    }
    for key in &keys.uns {
        if let Some(value) = read_uns(&file, &format!("uns/{key}"))? {
            data.uns.insert(key.clone(), value);
        }
    }
    Ok(data)
}

pub(super) fn check_anndata(file: &Reader) -> Result<(), H5adError> {
    for table in ["obs", "var"] {
        match file.kind(table) {
            Some(Kind::Group) => {}
            Some(Kind::Dataset) => {
                return Err(file.bad(
                    table,
                    "the table is stored as in anndata before 0.7; open the file in scanpy and write it again",
                ));
            }
            None => {
                let reason = format!("it has no {table}, only {}", list(file.children("").iter()));
                return Err(H5adError::NotAnnData { path: file.path(), reason });
            }
        }
    }
    Ok(())
}

/// Every missing element in one error.
fn check_present(file: &Reader, keys: &Keys) -> Result<(), H5adError> {
    let mut missing = Vec::new();
    if keys.x && file.kind("X").is_none() {
        missing.push("X".to_owned());
    }
    let slots: [(&str, &[String]); 6] = [
        ("layers", &keys.layers),
        ("obs", &keys.obs),
        ("var", &keys.var),
        ("obsm", &keys.obsm),
        ("obsp", &keys.obsp),
        ("uns", &keys.uns),
    ];
    for (name, wanted) in slots {
        let absent: Vec<&String> = wanted.iter().filter(|key| file.kind(&format!("{name}/{key}")).is_none()).collect();
        if absent.is_empty() {
            continue;
        }
        let present = if matches!(name, "obs" | "var") { column_names(file, name) } else { file.children(name) };
        let absent: Vec<String> = absent.into_iter().map(|key| slot(&format!("{name}/{key}"))).collect();
        missing.push(format!("{} ({name} has {})", absent.join(" and "), list(present.iter())));
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(H5adError::Missing { path: file.path(), missing: missing.join("; ") })
}

fn index_name(file: &Reader, table: &str) -> String {
    file.text_attribute(table, "_index").unwrap_or_else(|| "_index".into())
}

/// Columns of a table in the order of the file, the index left out.
pub(super) fn column_names(file: &Reader, table: &str) -> Vec<String> {
    let index = index_name(file, table);
    let present: Vec<String> =
        file.children(table).into_iter().filter(|name| *name != index && name != "__categories").collect();
    match file.texts_attribute(table, "column-order") {
        Some(order) if order.iter().all(|name| present.contains(name)) && order.len() == present.len() => order,
        _ => present,
    }
}

fn row_names(file: &Reader, table: &str) -> Result<Vec<String>, H5adError> {
    let key = format!("{table}/{}", index_name(file, table));
    if file.kind(&key).is_none() {
        return Err(file.bad(table, "its index is missing"));
    }
    match file.element(&key)? {
        Element::Text => file.texts(&key),
        Element::Integer => Ok(file.i64s(&key)?.iter().map(ToString::to_string).collect()),
        _ => Err(file.bad(&key, "the index is neither text nor whole numbers")),
    }
}

fn is_matrix(file: &Reader, key: &str) -> bool {
    file.kind(key) == Some(Kind::Dataset) && file.shape(key).is_ok_and(|shape| shape.len() == 2)
}

fn read_coordinates(file: &Reader, key: &str, n_cells: usize) -> Result<Matrix, H5adError> {
    if file.kind(key) != Some(Kind::Dataset) {
        return Err(file.bad(key, "it is not a dense matrix"));
    }
    let shape = file.shape(key)?;
    match shape[..] {
        [rows, columns] if rows == n_cells && columns > 0 => Ok(Matrix::new(columns, file.f32s(key)?)),
        _ => Err(file.bad(key, format!("its shape is {}, but there are {n_cells} cells", show(&shape)))),
    }
}

/// A matrix in any of the forms scanpy writes, as CSR.
fn read_matrix(file: &Reader, key: &str, expected: (usize, usize)) -> Result<Csr, H5adError> {
    let wrong = |found: &[usize]| {
        file.bad(key, format!("its shape is {}, expected {}", show(found), show(&[expected.0, expected.1])))
    };
    if file.kind(key) == Some(Kind::Dataset) {
        let shape = file.shape(key)?;
        if shape != [expected.0, expected.1] {
            return Err(wrong(&shape));
        }
        return read_dense(file, key, expected);
    }
    let format = file
        .text_attribute(key, "encoding-type")
        .or_else(|| file.text_attribute(key, "h5sparse_format"))
        .unwrap_or_default();
    let by_column = match format.as_str() {
        "csr_matrix" | "csr" => false,
        "csc_matrix" | "csc" => true,
        other => return Err(file.bad(key, format!("it is stored as \"{other}\", expected a CSR, CSC or dense matrix"))),
    };
    let shape = file
        .integers_attribute(key, "shape")
        .or_else(|| file.integers_attribute(key, "h5sparse_shape"))
        .ok_or_else(|| file.bad(key, "its shape is missing"))?;
    let shape: Vec<usize> = shape.into_iter().map(|n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
    if shape != [expected.0, expected.1] {
        return Err(wrong(&shape));
    }
    let part = |name: &str| -> Result<String, H5adError> {
        let part = format!("{key}/{name}");
        match file.kind(&part) {
            Some(Kind::Dataset) => Ok(part),
            _ => Err(file.bad(key, format!("its {name} are missing"))),
        }
    };
    let indptr = file.i64s(&part("indptr")?)?;
    let indptr: Vec<usize> = indptr.into_iter().map(|n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
    let (major, minor) = if by_column { (expected.1, expected.0) } else { expected };
    if indptr.len() != major + 1 {
        return Err(file.bad(key, format!("its indptr has {} entries, expected {}", indptr.len(), major + 1)));
    }
    let indices = file.i64s(&part("indices")?)?;
    let values = file.f32s(&part("data")?)?;
    let matrix = Csr::from_parts(minor, indptr, &indices, values).map_err(|problem| file.bad(key, problem))?;
    Ok(if by_column { matrix.transpose() } else { matrix })
}

/// Dense rows in windows of a few megabytes, so that the whole is never held dense.
fn read_dense(file: &Reader, key: &str, (n_rows, n_cols): (usize, usize)) -> Result<Csr, H5adError> {
    if n_rows == 0 || n_cols == 0 {
        return Csr::from_rows(n_cols, vec![Vec::new(); n_rows]).map_err(|problem| file.bad(key, problem));
    }
    let window = ((1 << 21) / n_cols).clamp(1, n_rows);
    let mut rows = Vec::with_capacity(n_rows);
    for first in (0..n_rows).step_by(window) {
        let count = window.min(n_rows - first);
        let block = file.f32_rows(key, first, count)?;
        if block.len() != count * n_cols {
            return Err(file.bad(key, "it is shorter than its shape says"));
        }
        rows.extend(
            block
                .chunks_exact(n_cols)
                .map(|row| (0_u32..).zip(row).filter(|(_, v)| **v != 0.0).map(|(c, v)| (c, *v)).collect::<Vec<_>>()),
        );
    }
    Csr::from_rows(n_cols, rows).map_err(|problem| file.bad(key, problem))
}

fn read_column(file: &Reader, table: &str, name: &str, rows: usize) -> Result<Column, H5adError> {
    let key = format!("{table}/{name}");
    let column = match file.kind(&key) {
        Some(Kind::Group) => read_group_column(file, &key)?,
        _ => {
            let legacy = format!("{table}/__categories/{name}");
            if file.kind(&legacy).is_some() {
                Column::Categorical(read_codes(file, &key, &file.i64s(&key)?, file.texts(&legacy)?, false)?)
            } else {
                read_plain_column(file, &key)?
            }
        }
    };
    if column.len() != rows {
        return Err(file.bad(&key, format!("it has {} values for {rows} rows", column.len())));
    }
    if let (Column::Categorical(groups), "obs") = (&column, table) {
        let colors = format!("uns/{name}_colors");
        if file.kind(&colors) == Some(Kind::Dataset) && file.element(&colors)? == Element::Text {
            let colors = file.texts(&colors)?;
            if colors.len() >= groups.categories().len() {
                return Ok(Column::Categorical(groups.clone().with_colors(colors)));
            }
        }
    }
    Ok(column)
}

fn read_group_column(file: &Reader, key: &str) -> Result<Column, H5adError> {
    let encoding = file.text_attribute(key, "encoding-type").unwrap_or_default();
    if encoding == "categorical" {
        let categories_key = format!("{key}/categories");
        let categories = match file.element(&categories_key)? {
            Element::Text => file.texts(&categories_key)?,
            Element::Integer => file.i64s(&categories_key)?.iter().map(ToString::to_string).collect(),
            Element::Boolean => file.booleans(&categories_key)?.iter().map(ToString::to_string).collect(),
            _ => file.f64s(&categories_key)?.iter().map(ToString::to_string).collect(),
        };
        let codes = file.i64s(&format!("{key}/codes"))?;
        let ordered = file.flag_attribute(key, "ordered");
        return Ok(Column::Categorical(read_codes(file, key, &codes, categories, ordered)?));
    }
    let masked = |mask: &[bool], i: usize| mask.get(i).copied().unwrap_or(false);
    let values = format!("{key}/values");
    let mask = file.booleans(&format!("{key}/mask"))?;
    match encoding.as_str() {
        "nullable-integer" => {
            let values = file.i64s(&values)?;
            Ok(Column::Integer(values.into_iter().enumerate().map(|(i, v)| (!masked(&mask, i)).then_some(v)).collect()))
        }
        "nullable-boolean" => {
            let values = file.booleans(&values)?;
            Ok(Column::Boolean(values.into_iter().enumerate().map(|(i, v)| (!masked(&mask, i)).then_some(v)).collect()))
        }
        "nullable-string-array" => {
            let values = file.texts(&values)?;
            Ok(Column::String(values.into_iter().enumerate().map(|(i, v)| (!masked(&mask, i)).then_some(v)).collect()))
        }
        other => Err(file.bad(key, format!("columns stored as \"{other}\" are not supported"))),
    }
}

fn read_codes(
    file: &Reader,
    key: &str,
    codes: &[i64],
    categories: Vec<String>,
    ordered: bool,
) -> Result<Categorical, H5adError> {
    let known = categories.len();
    let code = |&code: &i64| match u32::try_from(code) {
        Ok(c) if (c as usize) < known => Ok(Some(c)),
        Err(_) if code == -1 => Ok(None),
        _ => Err(file.bad(key, format!("code {code} has no category (there are {known})"))),
    };
    let codes = codes.iter().map(code).collect::<Result<Vec<_>, _>>()?;
    Ok(Categorical::new(codes, categories, ordered))
}

fn read_plain_column(file: &Reader, key: &str) -> Result<Column, H5adError> {
    Ok(match file.element(key)? {
        Element::Text => Column::String(file.texts(key)?.into_iter().map(Some).collect()),
        Element::Float => Column::Float(file.f64s(key)?),
        Element::Integer => Column::Integer(file.i64s(key)?.into_iter().map(Some).collect()),
        Element::Boolean => Column::Boolean(file.booleans(key)?.into_iter().map(Some).collect()),
        Element::Other => {
            return Err(file.bad(key, format!("columns of type {} are not supported", file.element_name(key))));
        }
    })
}

/// An entry of `uns`; `None` for what has no counterpart here (it stays in the file).
fn read_uns(file: &Reader, key: &str) -> Result<Option<Uns>, H5adError> {
    if file.kind(key) == Some(Kind::Group) {
        let mut map = BTreeMap::new();
        for name in file.children(key) {
            if let Some(value) = read_uns(file, &format!("{key}/{name}"))? {
                map.insert(name, value);
            }
        }
        return Ok(Some(Uns::Map(map)));
    }
    let shape = file.shape(key)?;
    Ok(match file.element(key)? {
        Element::Text => {
            let mut texts = file.texts(key)?;
            if shape.is_empty() { texts.pop().map(Uns::Text) } else { Some(Uns::Texts(shape, texts)) }
        }
        Element::Float => Some(Uns::Floats(shape, file.f64s(key)?)),
        Element::Integer => Some(Uns::Integers(shape, file.i64s(key)?)),
        Element::Boolean => Some(Uns::Booleans(shape, file.booleans(key)?)),
        Element::Other => None,
    })
}

pub(super) fn show(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" × ")
}
