//! Adding to an HDF5 file that is a copy, or an empty one.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hdf5_pure::{
    AttrValue, EnumTypeBuilder, File, FileAccessProperties, FileCreateProperties, LibVer, MemoryStrategy,
    RepackOptions, SyncPolicy, repack,
};

use super::H5adError;
use super::storage::{LONGEST_EDGE, PlainType, slot};
use crate::replace::plain_reason;

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

impl Values<'_> {
    fn size(&self) -> usize {
        match self {
            Self::I8(_) | Self::Booleans(_) => 1,
            Self::F32(_) | Self::I32(_) => 4,
            Self::F64(_) | Self::I64(_) | Self::Texts(_) => 8,
        }
    }
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

/// How arrays are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip at level 4, as `adata.write_h5ad(path, compression="gzip")` does.
    Gzip,
}

/// Bytes of a chunk, about.
const CHUNK: usize = 1 << 18;

/// How long a lock on a temporary file is waited for, and how often it is tried.
const PATIENCE: Duration = Duration::from_secs(5);
const MOMENT: Duration = Duration::from_millis(5);

/// Bytes that are held before they are written.
const HELD: usize = 1 << 23;

/// Arrays below this are written in one piece.
const SMALL: usize = 1 << 13;

/// An HDF5 file opened for additions, of which a few megabytes are held at a time.
pub(crate) struct Editor {
    file: File,
    path: PathBuf,
    compression: Compression,
    /// Bytes that are staged.
    held: Cell<usize>,
}

impl Editor {
    /// Opens a file that exists. The caller hands in a copy: it is changed in place, without being read into memory.
    pub(crate) fn open(path: &Path, compression: Compression) -> Result<Self, H5adError> {
        let began = Instant::now();
        let file = loop {
            match File::open_rw_with_options(path, access()) {
                // a lock that was just given back lives on for a moment in a program that another thread is starting
                Err(hdf5_pure::Error::FileLocked(_)) if began.elapsed() < PATIENCE => std::thread::sleep(MOMENT),
                opened => break opened.map_err(|source| edit_error(path, "the file", &source))?,
            }
        };
        Ok(Self { file, path: path.to_owned(), compression, held: Cell::new(0) })
    }

    /// Creates an empty file.
    pub(crate) fn create(path: &Path, compression: Compression) -> Result<Self, H5adError> {
        let empty = File::create_with_options(path, FileCreateProperties::new(), access());
        drop(empty.map_err(|source| edit_error(path, "the file", &source))?);
        Self::open(path, compression)
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
        let attributes: Vec<_> = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.value())).collect();
        self.copy_group(key, &attributes)
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
        let held = shape.iter().product::<usize>() * values.size();
        let large = held > SMALL && !matches!(values, Values::Texts(_));
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
                if large {
                    dataset.with_chunks(&chunks(&dims, values.size()));
                    if self.compression == Compression::Gzip {
                        dataset.with_shuffle().with_deflate(4);
                    }
                }
                for (name, value) in attributes {
                    dataset.set_attr(name, value.value());
                }
            })
            .map(|_| ())
            .map_err(|source| self.failed(key, &source))?;
        self.commit_above(held)
    }

    /// A group with attributes as they were read.
    pub(crate) fn copy_group(&self, key: &str, attributes: &[(String, AttrValue)]) -> Result<(), H5adError> {
        self.file
            .root()
            .create_group_with(key, |group| {
                for (name, value) in attributes {
                    group.set_attr(name, value.clone());
                }
            })
            .map(|_| ())
            .map_err(|source| self.failed(key, &source))
    }

    /// Values as they were read, of the type they had.
    pub(crate) fn copy_dataset(
        &self,
        key: &str,
        shape: &[usize],
        kind: &PlainType,
        bytes: Vec<u8>,
        attributes: &[(String, AttrValue)],
    ) -> Result<(), H5adError> {
        let dims: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
        let (held, large) = (bytes.len(), bytes.len() > SMALL && !dims.is_empty());
        self.file
            .root()
            .create_dataset(key, |dataset| {
                dataset.with_raw_data(kind.datatype.clone(), bytes, dims.iter().product()).with_shape(&dims);
                if large {
                    dataset.with_chunks(&chunks(&dims, kind.size));
                    if kind.packed || self.compression == Compression::Gzip {
                        dataset.with_shuffle().with_deflate(4);
                    }
                }
                for (name, value) in attributes {
                    dataset.set_attr(name, value.clone());
                }
            })
            .map(|_| ())
            .map_err(|source| self.failed(key, &source))?;
        self.commit_above(held)
    }

    /// An attribute of whole numbers.
    pub(crate) fn integers(numbers: &[i64]) -> AttrValue {
        AttrValue::I64Array(numbers.to_vec())
    }

    /// Places in a sparse matrix, in 32 bits where `most` allows it.
    pub(crate) fn write_indices(&self, key: &str, indices: &[i64], most: usize) -> Result<(), H5adError> {
        if i32::try_from(most).is_err() {
            return self.create_dataset(key, &[indices.len()], Values::I64(indices), &[]);
        }
        let narrow: Vec<i32> = indices.iter().map(|&i| i32::try_from(i).unwrap_or(i32::MAX)).collect();
        self.create_dataset(key, &[narrow.len()], Values::I32(&narrow), &[])
    }

    /// Text with attributes as they were read.
    pub(crate) fn copy_texts(
        &self,
        key: &str,
        shape: &[usize],
        texts: &[&str],
        attributes: &[(String, AttrValue)],
    ) -> Result<(), H5adError> {
        let dims: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
        self.file
            .root()
            .create_dataset(key, |dataset| {
                dataset.with_vlen_strings(texts).with_shape(&dims);
                for (name, value) in attributes {
                    dataset.set_attr(name, value.clone());
                }
            })
            .map(|_| ())
            .map_err(|source| self.failed(key, &source))
    }

    /// Counts what is held for writing, and writes it where that is more than a window.
    fn commit_above(&self, bytes: usize) -> Result<(), H5adError> {
        self.held.set(self.held.get() + bytes);
        if self.held.get() > HELD { self.commit() } else { Ok(()) }
    }

    /// Writes everything that was staged so far into the file.
    pub(crate) fn commit(&self) -> Result<(), H5adError> {
        self.held.set(0);
        self.file.commit().map_err(|source| self.failed("", &source))
    }

    /// Writes what was staged and closes the file, synced to disk.
    pub(crate) fn close(self) -> Result<(), H5adError> {
        self.commit()?;
        let path = self.path;
        self.file.close().map_err(|source| edit_error(&path, "the file", &source))
    }
}

/// How a temporary file is edited: without being read into memory, synced at the end.
fn access() -> FileAccessProperties {
    FileAccessProperties::new().with_memory_strategy(MemoryStrategy::Bounded).with_sync_policy(SyncPolicy::OnClose)
}

/// Whole rows, as many as make a chunk of the usual size.
fn chunks(dims: &[u64], size: usize) -> Vec<u64> {
    let edges = dims.iter().skip(1).map(|&n| n.clamp(1, LONGEST_EDGE));
    let row = edges.clone().product::<u64>().saturating_mul(size as u64).max(1);
    let rows = (CHUNK as u64 / row).clamp(1, dims[0].clamp(1, LONGEST_EDGE));
    std::iter::once(rows).chain(edges).collect()
}

fn edit_error(path: &Path, key: &str, source: &hdf5_pure::Error) -> H5adError {
    let path = path.display().to_string();
    match source {
        hdf5_pure::Error::Io(io) => H5adError::Unwritable { path, reason: plain_reason(io) },
        hdf5_pure::Error::EditUnsupported(_) => H5adError::NotInPlace { path, reason: format!("{key}: {source}") },
        other => H5adError::Unwritable { path, reason: format!("{key}: {other}") },
    }
}

/// Writes the file anew, object by object, without the elements of `without`.
pub(crate) fn write_anew(from: &Path, to: &Path, without: &[String]) -> Result<(), H5adError> {
    let options = without
        .iter()
        .fold(RepackOptions::new(), |options, key| options.drop_path(key))
        .with_libver_bounds(LibVer::Earliest, LibVer::V110);
    repack(from, to, &options).map_err(|source| edit_error(to, "the file", &source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_have_edges_that_every_hdf5_reads() {
        assert_eq!(chunks(&[1_000_000], 4), [65_535]);
        assert_eq!(chunks(&[300_000, 70_000], 8), [1, 65_535]);
        assert_eq!(chunks(&[1000, 10], 4), [1000, 10]);
        assert_eq!(chunks(&[100_000, 50], 4), [1310, 50]);
    }
}
