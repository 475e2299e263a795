//! The one place that knows which HDF5 library is underneath.
//!
//! [`Reader`] looks into a file, [`Editor`] adds to one. Both speak in paths (`obs/clusters/codes`) and plain vectors,
//! so that another library could take this file's place without the rest of the crate noticing. Datasets are read
//! on demand: opening a file costs its metadata, not its size.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use hdf5_pure::{AttrValue, DType, Dataset, EnumTypeBuilder, File, Group};

use super::H5adError;
use crate::replace::plain_reason;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Group,
    Dataset,
}

/// The element type of a dataset, as far as AnnData tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    Integer,
    Float,
    Boolean,
    Text,
    Other,
}

/// An HDF5 file opened for reading.
pub(crate) struct Reader {
    file: File,
    path: PathBuf,
}

impl Reader {
    pub(crate) fn open(path: &Path) -> Result<Self, H5adError> {
        let shown = path.display().to_string();
        let meta = std::fs::metadata(path)
            .map_err(|source| H5adError::Unreadable { path: shown.clone(), reason: plain_reason(&source) })?;
        if meta.is_dir() {
            return Err(H5adError::Unreadable { path: shown, reason: "it is a directory".into() });
        }
        if meta.len() == 0 {
            return Err(H5adError::NotHdf5 { path: shown, reason: "it is empty".into() });
        }
        let file = File::open_streaming(path)
            .map_err(|source| H5adError::NotHdf5 { path: shown.clone(), reason: source.to_string() })?;
        // what is cut off may be something nobody asks for: the file is refused all the same
        let whole = file.superblock().eof_address;
        if meta.len() < whole {
            let reason = format!("it has {} bytes, but was written with {whole}", meta.len());
            return Err(H5adError::NotHdf5 { path: shown, reason });
        }
        Ok(Self { file, path: path.to_owned() })
    }

    pub(crate) fn path(&self) -> String {
        self.path.display().to_string()
    }

    /// An error about the element at `key`.
    pub(crate) fn bad(&self, key: &str, problem: impl std::fmt::Display) -> H5adError {
        H5adError::Bad { path: self.path(), key: slot(key), problem: problem.to_string() }
    }

    pub(crate) fn kind(&self, key: &str) -> Option<Kind> {
        if self.group(key).is_ok() {
            Some(Kind::Group)
        } else if self.file.dataset(key).is_ok() {
            Some(Kind::Dataset)
        } else {
            None
        }
    }

    /// Names in a group, sorted; none where there is no such group.
    pub(crate) fn children(&self, key: &str) -> Vec<String> {
        let Ok(group) = self.group(key) else { return Vec::new() };
        let mut names = group.datasets().unwrap_or_default();
        names.extend(group.groups().unwrap_or_default());
        names.sort();
        names
    }

    fn group(&self, key: &str) -> Result<Group, hdf5_pure::Error> {
        if key.is_empty() { Ok(self.file.root()) } else { self.file.group(key) }
    }

    fn dataset(&self, key: &str) -> Result<Dataset, H5adError> {
        self.file.dataset(key).map_err(|source| self.bad(key, source))
    }

    fn attributes(&self, key: &str) -> HashMap<String, AttrValue> {
        if let Ok(group) = self.group(key) {
            return group.attrs().unwrap_or_default();
        }
        self.file.dataset(key).and_then(|dataset| dataset.attrs()).unwrap_or_default()
    }

    /// A text attribute, where there is one.
    pub(crate) fn text_attribute(&self, key: &str, name: &str) -> Option<String> {
        self.attributes(key).get(name).and_then(AttrValue::as_str).map(str::to_owned)
    }

    /// A list-of-text attribute; `None` where it is absent. An empty list is stored as an empty list of floats.
    pub(crate) fn texts_attribute(&self, key: &str, name: &str) -> Option<Vec<String>> {
        let attributes = self.attributes(key);
        let value = attributes.get(name)?;
        value
            .as_strings()
            .map(<[String]>::to_vec)
            .or_else(|| value.as_str().map(|text| vec![text.to_owned()]))
            .or_else(|| value.to_f64s().filter(Vec::is_empty).map(|_| Vec::new()))
    }

    /// A list-of-integers attribute, such as a matrix's `shape`.
    pub(crate) fn integers_attribute(&self, key: &str, name: &str) -> Option<Vec<i64>> {
        self.attributes(key).get(name).and_then(AttrValue::to_i64s)
    }

    /// Whether a truth-valued attribute is set.
    pub(crate) fn flag_attribute(&self, key: &str, name: &str) -> bool {
        let attributes = self.attributes(key);
        let Some(value) = attributes.get(name) else { return false };
        value.as_i64().or_else(|| value.to_i64s().and_then(|v| v.first().copied())).is_some_and(|v| v != 0)
    }

    pub(crate) fn shape(&self, key: &str) -> Result<Vec<usize>, H5adError> {
        let shape = self.dataset(key)?.shape().map_err(|source| self.bad(key, source))?;
        shape
            .into_iter()
            .map(|n| usize::try_from(n).map_err(|_| self.bad(key, format!("a dimension of {n} is too large"))))
            .collect()
    }

    pub(crate) fn element(&self, key: &str) -> Result<Element, H5adError> {
        let dtype = self.dataset(key)?.dtype().map_err(|source| self.bad(key, source))?;
        Ok(match dtype {
            DType::F32 | DType::F64 => Element::Float,
            DType::I8 | DType::I16 | DType::I32 | DType::I64 | DType::U8 | DType::U16 | DType::U32 | DType::U64 => {
                Element::Integer
            }
            DType::String | DType::VariableLengthString => Element::Text,
            DType::Enum(names) if names.iter().any(|name| name == "TRUE") => Element::Boolean,
            _ => Element::Other,
        })
    }

    /// Name of a dataset's element type, for people.
    pub(crate) fn element_name(&self, key: &str) -> String {
        self.file.dataset(key).and_then(|d| d.dtype()).map_or_else(|_| "?".into(), |t| t.to_string())
    }

    pub(crate) fn f32s(&self, key: &str) -> Result<Vec<f32>, H5adError> {
        self.dataset(key)?.read_f32().map_err(|source| self.bad(key, source))
    }

    /// Rows `first .. first + count` of a dense matrix.
    pub(crate) fn f32_rows(&self, key: &str, first: usize, count: usize) -> Result<Vec<f32>, H5adError> {
        self.dataset(key)?.read_f32_rows(first as u64, count as u64).map_err(|source| self.bad(key, source))
    }

    pub(crate) fn f64s(&self, key: &str) -> Result<Vec<f64>, H5adError> {
        self.dataset(key)?.read_f64().map_err(|source| self.bad(key, source))
    }

    pub(crate) fn i64s(&self, key: &str) -> Result<Vec<i64>, H5adError> {
        self.dataset(key)?.read_i64().map_err(|source| self.bad(key, source))
    }

    pub(crate) fn booleans(&self, key: &str) -> Result<Vec<bool>, H5adError> {
        let raw = self.dataset(key)?.read_raw().map_err(|source| self.bad(key, source))?;
        Ok(raw.into_iter().map(|byte| byte != 0).collect())
    }

    pub(crate) fn texts(&self, key: &str) -> Result<Vec<String>, H5adError> {
        self.dataset(key)?.read_string().map_err(|source| self.bad(key, source))
    }
}

/// Values of a dataset to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Values<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    I8(&'a [i8]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    Booleans(&'a [bool]),
    Texts(&'a [&'a str]),
}

/// An attribute to be written.
#[derive(Debug, Clone)]
pub(crate) enum Attribute {
    Text(&'static str),
    Texts(Vec<String>),
    Integers(Vec<i64>),
    Flag(bool),
}

impl Attribute {
    fn value(&self) -> AttrValue {
        match self {
            Self::Text(text) => AttrValue::String((*text).to_owned()),
            Self::Texts(texts) => AttrValue::StringArray(texts.clone()),
            Self::Integers(numbers) => AttrValue::I64Array(numbers.clone()),
            Self::Flag(flag) => AttrValue::U8(u8::from(*flag)),
        }
    }
}

/// An HDF5 file opened for additions; nothing is in the file before [`Editor::close`] returns.
pub(crate) struct Editor {
    file: File,
    path: PathBuf,
}

impl Editor {
    /// Opens a file that exists. The caller hands in a copy: it is changed in place.
    pub(crate) fn open(path: &Path) -> Result<Self, H5adError> {
        let file = File::open_rw(path).map_err(|source| edit_error(path, "the file", &source))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Creates an empty file.
    pub(crate) fn create(path: &Path) -> Result<Self, H5adError> {
        let file = File::create(path).map_err(|source| edit_error(path, "the file", &source))?;
        Ok(Self { file, path: path.to_owned() })
    }

    fn failed(&self, key: &str, source: &hdf5_pure::Error) -> H5adError {
        edit_error(&self.path, &slot(key), source)
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), H5adError> {
        self.file.root().delete(key).map_err(|source| self.failed(key, &source))
    }

    pub(crate) fn set_attribute(&self, key: &str, name: &str, value: &Attribute) -> Result<(), H5adError> {
        let group = if key.is_empty() { Ok(self.file.root()) } else { self.file.group(key) };
        group.and_then(|g| g.set_attr(name, value.value())).map_err(|source| self.failed(key, &source))
    }

    pub(crate) fn create_group(&self, key: &str, attributes: &[(&str, Attribute)]) -> Result<(), H5adError> {
        self.file
            .root()
            .create_group_with(key, |group| {
                for (name, value) in attributes {
                    group.set_attr(name, value.value());
                }
            })
            .map(|_| ())
            .map_err(|source| self.failed(key, &source))
    }

    pub(crate) fn create_dataset(
        &self,
        key: &str,
        shape: &[usize],
        values: Values<'_>,
        attributes: &[(&str, Attribute)],
    ) -> Result<(), H5adError> {
        let dims: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
        let truth = EnumTypeBuilder::with_base(hdf5_pure::make_i8_type())
            .value("FALSE", 0)
            .value("TRUE", 1)
            .build()
            .map_err(|source| self.failed(key, &source.into()))?;
        self.file
            .root()
            .create_dataset(key, |dataset| {
                match values {
                    Values::F32(v) => dataset.with_f32_data(v),
                    Values::F64(v) => dataset.with_f64_data(v),
                    Values::I8(v) => dataset.with_i8_data(v),
                    Values::I32(v) => dataset.with_i32_data(v),
                    Values::I64(v) => dataset.with_i64_data(v),
                    Values::Booleans(v) => {
                        let bytes: Vec<u8> = v.iter().map(|&b| u8::from(b)).collect();
                        dataset.with_enum_u8_data(truth, &bytes)
                    }
                    Values::Texts(v) => dataset.with_vlen_strings(v),
                };
                dataset.with_shape(&dims);
                for (name, value) in attributes {
                    dataset.set_attr(name, value.value());
                }
            })
            .map(|_| ())
            .map_err(|source| self.failed(key, &source))
    }

    /// Writes everything that was staged so far into the file.
    pub(crate) fn commit(&self) -> Result<(), H5adError> {
        self.file.commit().map_err(|source| self.failed("", &source))
    }

    /// Writes what was staged and closes the file, synced to disk.
    pub(crate) fn close(self) -> Result<(), H5adError> {
        self.commit()?;
        let path = self.path;
        self.file.close().map_err(|source| edit_error(&path, "the file", &source))
    }
}

fn edit_error(path: &Path, key: &str, source: &hdf5_pure::Error) -> H5adError {
    let reason = match source {
        hdf5_pure::Error::Io(io) => plain_reason(io),
        other => format!("{key}: {other}"),
    };
    H5adError::Unwritable { path: path.display().to_string(), reason }
}

/// `obsm/X_umap` as a user of scanpy writes it: `obsm["X_umap"]`.
pub(crate) fn slot(key: &str) -> String {
    match key.split_once('/') {
        Some((slot, name)) => format!("{slot}[\"{name}\"]"),
        None if key.is_empty() => "the file".into(),
        None => key.into(),
    }
}
