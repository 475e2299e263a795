//! Reads the requested elements only, and reports all missing elements in one error.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::error::H5adError;
use super::foreign;
use super::matrix::FileMatrix;
use super::storage::{Element, Kind, Reader, show, slot};
use crate::dataset::list;
use crate::windows::Windows;
use crate::{Categorical, Column, Csr, Dataset, Frame, Matrix, Uns};

/// Upper limit on the nesting depth of dictionaries that are read.
const DEEPEST: usize = 32;

/// Which elements of a file to read. The names of cells and genes are always read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Whether to read X. Default: yes.
    pub x: bool,
    /// Layers to read. Default: `raw`, the counts.
    pub layers: Vec<String>,
    /// Columns of `obs` to read. Default: `librarysize`.
    pub obs: Vec<String>,
    /// Columns of `var` to read. Default: none.
    pub var: Vec<String>,
    /// Elements of `obsm` to read: coordinates of cells. Default: none.
    pub obsm: Vec<String>,
    /// Elements of `obsp` to read: graphs of cells. Default: `connectivities`.
    pub obsp: Vec<String>,
    /// Elements of `uns` to read. Default: none.
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
    /// Requests the names of cells and genes only.
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

    /// Requests all elements of a file that can be read.
    ///
    /// # Errors
    /// [`H5adError`] if the file is not AnnData.
    pub fn all(path: &Path) -> Result<Self, H5adError> {
        all_keys(&open_anndata(path)?)
    }

    /// Adds a column of `obs` to the request.
    #[must_use]
    pub fn with_obs(mut self, key: &str) -> Self {
        self.obs.push(key.to_owned());
        self
    }

    /// Adds an element of `obsm` to the request.
    #[must_use]
    pub fn with_obsm(mut self, key: &str) -> Self {
        self.obsm.push(key.to_owned());
        self
    }
}

pub(super) fn all_keys(file: &Reader) -> Result<Keys, H5adError> {
    let there = |slot: &str| -> Result<Vec<String>, H5adError> {
        Ok(file.children(slot)?.into_iter().filter(|name| file.has(&format!("{slot}/{name}"))).collect())
    };
    Ok(Keys {
        x: file.has("X"),
        layers: there("layers")?,
        obs: column_names(file, "obs"),
        var: column_names(file, "var"),
        obsm: there("obsm")?.into_iter().filter(|k| is_matrix(file, &format!("obsm/{k}"))).collect(),
        obsp: there("obsp")?,
        uns: there("uns")?,
    })
}

/// Reads the requested elements of an open file.
pub(super) fn read(file: &Reader, keys: &Keys) -> Result<Dataset, H5adError> {
    check_present(file, keys)?;
    let mut data = Dataset {
        obs: Frame::new(row_names(file, "obs")?),
        var: Frame::new(row_names(file, "var")?),
        ..Dataset::default()
    };
    let (n_cells, n_genes) = (data.n_cells(), data.n_genes());
    if keys.x {
        data.x = Some(read_matrix(file, "X", (n_cells, n_genes))?);
    }
    for key in &keys.layers {
        let layer = FileMatrix::open(file, &format!("layers/{key}"), (n_cells, n_genes))?;
        let layer = match &data.x {
            Some(x) => layer.read_sharing(x)?,
            None => layer.select(None, None)?,
        };
        data.layers.insert(key.clone(), layer);
    }
    for key in &keys.obs {
        let column = read_column(file, "obs", key, n_cells)?;
        data.obs.set(key, column);
    }
    for key in &keys.var {
        let column = read_column(file, "var", key, n_genes)?;
        data.var.set(key, column);
    }
    for key in &keys.obsm {
        data.obsm.insert(key.clone(), read_coordinates(file, &format!("obsm/{key}"), n_cells)?);
    }
    for key in &keys.obsp {
        data.obsp.insert(key.clone(), read_matrix(file, &format!("obsp/{key}"), (n_cells, n_cells))?);
    }
    for key in &keys.uns {
        if let Some(value) = read_uns(file, &format!("uns/{key}"))? {
            data.uns.insert(key.clone(), value);
        }
    }
    Ok(data)
}

/// Pairs of an entry of `uns` and the graph in `obsp` that it refers to.
pub(super) fn graphs(file: &Reader) -> Result<Vec<(String, String)>, H5adError> {
    let mut found = Vec::new();
    for name in file.children("uns")? {
        let key = format!("uns/{name}/connectivities_key");
        if file.kind(&key) == Some(Kind::Dataset) && file.element(&key)? == Element::Text {
            let graph = file.texts(&key)?.pop().filter(|graph| file.has(&format!("obsp/{graph}")));
            found.extend(graph.map(|graph| (name, graph)));
        }
    }
    Ok(found)
}

/// Opens X, and checks its shape against the tables of cells and genes.
pub(super) fn open_x(file: &Reader) -> Result<FileMatrix<'_>, H5adError> {
    check_present(file, &Keys { x: true, ..Keys::none() })?;
    FileMatrix::open(file, "X", (n_rows(file, "obs")?, n_rows(file, "var")?))
}

/// Opens a layer by name.
pub(super) fn open_layer<'a>(file: &'a Reader, name: &str) -> Result<FileMatrix<'a>, H5adError> {
    check_present(file, &Keys { layers: vec![name.to_owned()], ..Keys::none() })?;
    FileMatrix::open(file, &format!("layers/{name}"), (n_rows(file, "obs")?, n_rows(file, "var")?))
}

/// Opens `raw.X` restricted to the given genes.
pub(super) fn open_raw<'a>(file: &'a Reader, genes: &[String]) -> Result<FileMatrix<'a>, H5adError> {
    if !file.has("raw/X") {
        return Err(H5adError::Missing { path: file.path(), missing: "raw".into() });
    }
    let names = row_names(file, "raw/var")?;
    let whole = FileMatrix::open(file, "raw/X", (n_rows(file, "obs")?, names.len()))?;
    if names == genes {
        return Ok(whole);
    }
    let place: HashMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
    let columns: Result<Vec<usize>, H5adError> = genes
        .iter()
        .map(|gene| place.get(gene.as_str()).copied().ok_or_else(|| file.bad("raw", format!("it lacks gene {gene}"))))
        .collect();
    Ok(whole.of_columns(columns?))
}

/// Opens a file and checks that it is AnnData.
pub(super) fn open_anndata(path: &Path) -> Result<Reader, H5adError> {
    let file = Reader::open(path)?;
    check_anndata(&file)?;
    Ok(file)
}

fn check_anndata(file: &Reader) -> Result<(), H5adError> {
    let top = file.children("")?;
    let both = ["obs", "var"].iter().all(|table| file.kind(table) == Some(Kind::Group));
    if let Some(what) = foreign::not_anndata(&top, &file.attribute_names(""))
        && (!both || top.iter().any(|name| name == "mod"))
    {
        return Err(H5adError::Foreign { path: file.path(), reason: what.into() });
    }
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
                let reason = format!("it has no {table}, only {}", list(top.iter()));
                return Err(H5adError::NotAnnData { path: file.path(), reason });
            }
        }
    }
    Ok(())
}

/// Reports every missing element in one error.
fn check_present(file: &Reader, keys: &Keys) -> Result<(), H5adError> {
    let mut missing = Vec::new();
    if keys.x && !file.has("X") {
        let layers = file.children("layers")?;
        missing.push(if layers.is_empty() {
            "X".to_owned()
        } else {
            format!("X (layers has {})", list(layers.iter()))
        });
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
        let absent: Vec<&String> = wanted.iter().filter(|key| !file.has(&format!("{name}/{key}"))).collect();
        if absent.is_empty() {
            continue;
        }
        let present = if matches!(name, "obs" | "var") { column_names(file, name) } else { file.children(name)? };
        let legacy = if name == "obsp" && file.kind("uns/neighbors/connectivities").is_some() {
            "; the graph is in uns[\"neighbors\"], as anndata before 0.7 kept it: open the file in scanpy and write it again"
        } else {
            ""
        };
        let absent: Vec<String> = absent.into_iter().map(|key| slot(&format!("{name}/{key}"))).collect();
        missing.push(format!("{} ({name} has {}{legacy})", absent.join(" and "), list(present.iter())));
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(H5adError::Missing { path: file.path(), missing: missing.join("; ") })
}

pub(super) fn index_name(file: &Reader, table: &str) -> String {
    file.text_attribute(table, "_index").unwrap_or_else(|| "_index".into())
}

/// Columns of a table in file order, without the index.
pub(super) fn column_names(file: &Reader, table: &str) -> Vec<String> {
    let index = index_name(file, table);
    if let Some(order) = file.texts_attribute(table, "column-order") {
        return order.into_iter().filter(|name| file.has(&format!("{table}/{name}"))).collect();
    }
    let present = file.children(table).unwrap_or_default();
    present.into_iter().filter(|name| *name != index && name != "__categories").collect()
}

/// Number of rows of a table.
pub(super) fn n_rows(file: &Reader, table: &str) -> Result<usize, H5adError> {
    let key = format!("{table}/{}", index_name(file, table));
    let array = match file.kind(&key) {
        Some(Kind::Dataset) => key,
        Some(Kind::Group) if file.kind(&format!("{key}/codes")).is_some() => format!("{key}/codes"),
        Some(Kind::Group) => format!("{key}/values"),
        None => return Err(file.bad(table, "its index is missing")),
    };
    Ok(file.shape(&array)?.first().copied().unwrap_or(0))
}

pub(super) fn row_names(file: &Reader, table: &str) -> Result<Vec<String>, H5adError> {
    let index = index_name(file, table);
    let key = format!("{table}/{index}");
    let rows = n_rows(file, table)?;
    let names = match read_column(file, table, &index, rows)? {
        Column::String(names) => names.into_iter().collect::<Option<Vec<_>>>(),
        Column::Integer(names) => names.into_iter().map(|n| n.map(|n| n.to_string())).collect(),
        Column::Categorical(names) => (0..rows).map(|row| names.name(row).map(str::to_owned)).collect(),
        _ => return Err(file.bad(&key, "the index is neither text nor integers")),
    };
    names.ok_or_else(|| file.bad(&key, "a name is missing"))
}

fn is_matrix(file: &Reader, key: &str) -> bool {
    file.kind(key) == Some(Kind::Dataset)
        && file.shape(key).is_ok_and(|shape| matches!(shape[..], [_, columns] if columns > 0))
        && file.element(key).is_ok_and(|element| matches!(element, Element::Float | Element::Integer))
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

/// Reads a matrix in any of the encodings scanpy writes, as CSR.
fn read_matrix(file: &Reader, key: &str, expected: (usize, usize)) -> Result<Csr, H5adError> {
    FileMatrix::open(file, key, expected)?.select(None, None)
}

fn read_column(file: &Reader, table: &str, name: &str, rows: usize) -> Result<Column, H5adError> {
    let key = format!("{table}/{name}");
    let column = match file.kind(&key) {
        Some(Kind::Group) => read_group_column(file, &key)?,
        _ => {
            let legacy = format!("{table}/__categories/{name}");
            if file.kind(&legacy).is_some() {
                Column::Categorical(read_codes(
                    file,
                    &key,
                    &file.i64s(&key)?,
                    read_categories(file, &legacy)?,
                    file.flag_attribute(&legacy, "ordered"),
                )?)
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
        let categories = read_categories(file, &categories_key)?;
        let codes = file.i64s(&format!("{key}/codes"))?;
        let ordered = file.flag_attribute(key, "ordered");
        return Ok(Column::Categorical(read_codes(file, key, &codes, categories, ordered)?));
    }
    let known = matches!(encoding.as_str(), "nullable-integer" | "nullable-boolean" | "nullable-string-array");
    if !known {
        return Err(file.bad(key, format!("columns stored as \"{encoding}\" are not supported")));
    }
    let values = format!("{key}/values");
    let mask: Vec<bool> = file.booleans(&format!("{key}/mask"))?.into_iter().map(|m| m == Some(true)).collect();
    let rows = file.shape(&values)?.first().copied().unwrap_or(0);
    if mask.len() != rows {
        return Err(file.bad(key, format!("its mask has {} values for {rows}", mask.len())));
    }
    Ok(match encoding.as_str() {
        "nullable-integer" => Column::Integer(masked(&mask, file.i64s(&values)?.into_iter().map(Some))),
        "nullable-boolean" => Column::Boolean(masked(&mask, file.booleans(&values)?)),
        _ => Column::String(masked(&mask, file.texts(&values)?.into_iter().map(Some))),
    })
}

fn masked<T>(mask: &[bool], values: impl IntoIterator<Item = Option<T>>) -> Vec<Option<T>> {
    mask.iter().zip(values).map(|(&missing, value)| if missing { None } else { value }).collect()
}

/// Names of categories as anndata prints them: `False`, `1.0`.
fn read_categories(file: &Reader, key: &str) -> Result<Vec<String>, H5adError> {
    if file.kind(key) == Some(Kind::Group) {
        let column = read_group_column(file, key)?;
        let Column::String(names) = column else { return Err(file.bad(key, "the categories are not names")) };
        return Ok(names.into_iter().map(Option::unwrap_or_default).collect());
    }
    Ok(match file.element(key)? {
        Element::Text => file.texts(key)?,
        Element::Integer => file.i64s(key)?.iter().map(ToString::to_string).collect(),
        Element::Boolean => {
            let name = |flag: Option<bool>| flag.map_or("NA", |f| if f { "True" } else { "False" }).to_owned();
            file.booleans(key)?.into_iter().map(name).collect()
        }
        // as Python prints a float: 1.0, 0.5, nan
        Element::Float => file.f64s(key)?.iter().map(|v| format!("{v:?}")).collect(),
        Element::Other => {
            return Err(file.bad(key, format!("categories of type {} are not supported", file.element_name(key))));
        }
    })
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
        Element::Boolean => Column::Boolean(file.booleans(key)?),
        Element::Other => {
            return Err(file.bad(key, format!("columns of type {} are not supported", file.element_name(key))));
        }
    })
}

/// Reads an entry of `uns`; `None` if it has no counterpart in [`Uns`]. The entry then remains in the file only.
fn read_uns(file: &Reader, key: &str) -> Result<Option<Uns>, H5adError> {
    if key.matches('/').count() > DEEPEST {
        return Err(file.bad(
            key.split('/').take(2).collect::<Vec<_>>().join("/").as_str(),
            "its groups contain one another in a cycle",
        ));
    }
    if file.is_null(key) {
        return Ok(None);
    }
    if file.kind(key) == Some(Kind::Group) {
        // an encoded group is not a dictionary but a table, a sparse matrix or an awkward array
        if file.text_attribute(key, "encoding-type").is_some_and(|encoding| encoding != "dict") {
            return Ok(None);
        }
        let mut map = BTreeMap::new();
        for name in file.children(key)? {
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
        Element::Boolean => {
            let values = file.booleans(key)?;
            values.into_iter().collect::<Option<Vec<bool>>>().map(|values| Uns::Booleans(shape, values))
        }
        Element::Other => None,
    })
}
