//! Adds elements to an HDF5 file, which is either a copy of another file or new.

use std::cell::Cell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use hdf5_pure::{
    AttrValue, Datatype, EnumTypeBuilder, File, FileAccessProperties, FileCreateProperties, LibVer, MaxExtent,
    MemoryStrategy, RepackOptions, SyncPolicy, repack,
};
use sclsd_spec::{Choice, UnknownName};

use super::error::H5adError;
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

    /// Element type of numbers that are written as raw bytes.
    fn datatype(&self) -> Option<Datatype> {
        Some(match self {
            Self::F32(_) => hdf5_pure::make_f32_type(),
            Self::F64(_) => hdf5_pure::make_f64_type(),
            Self::I8(_) => hdf5_pure::make_i8_type(),
            Self::I32(_) => hdf5_pure::make_i32_type(),
            Self::I64(_) => hdf5_pure::make_i64_type(),
            Self::Booleans(_) | Self::Texts(_) => return None,
        })
    }

    /// The bytes of `count` numbers from `first` on.
    fn bytes(&self, first: usize, count: usize) -> Vec<u8> {
        let span = first..first + count;
        match self {
            Self::F32(v) => v[span].iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::F64(v) => v[span].iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::I8(v) => v[span].iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::I32(v) => v[span].iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::I64(v) => v[span].iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::Booleans(_) | Self::Texts(_) => Vec::new(),
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

/// Compression of arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// No compression.
    #[default]
    None,
    /// gzip at level 4, as in `adata.write_h5ad(path, compression="gzip")`.
    Gzip,
}

impl Choice for Compression {
    const WHAT: &'static str = "compression";
    const ALL: &'static [Self] = &[Self::None, Self::Gzip];

    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Compression {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::named(name)
    }
}

/// Approximate bytes per chunk.
const CHUNK: usize = 1 << 18;

/// Time limit for a locked temporary file, and interval between attempts.
const PATIENCE: Duration = Duration::from_secs(5);
const MOMENT: Duration = Duration::from_millis(5);

/// Bytes buffered before a write.
const HELD: usize = 1 << 23;

/// Arrays below this size are stored contiguously.
const SMALL: usize = 1 << 13;

/// An HDF5 file opened for additions. A few megabytes are buffered at a time.
pub(crate) struct Editor {
    file: File,
    path: PathBuf,
    compression: Compression,
    /// Bytes that are staged for writing.
    held: Cell<usize>,
}

impl Editor {
    /// Opens an existing file. The caller passes a copy: the file is changed in place and is not read into memory.
    pub(crate) fn open(path: &Path, compression: Compression) -> Result<Self, H5adError> {
        let began = Instant::now();
        let file = loop {
            match File::open_rw_with_options(path, access()) {
                // a released lock can persist briefly in a child process that another thread is spawning
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

    /// Removes the parts of an element that were written, if any.
    pub(crate) fn discard(&self, key: &str) -> Result<(), H5adError> {
        self.commit()?;
        if self.file.group(key).is_ok() || self.file.dataset(key).is_ok() { self.delete(key) } else { Ok(()) }
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
        if let (&[n], Some(datatype)) = (shape, values.datatype())
            && held > HELD
        {
            let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.value())).collect();
            let kind = PlainType { datatype, size: values.size(), packed: false };
            let mut array = self.long_array(key, &kind, attributes);
            for first in (0..n).step_by(HELD / values.size()) {
                array.push(&values.bytes(first, (HELD / values.size()).min(n - first)))?;
            }
            return array.finish();
        }
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

    /// A one-dimensional array whose values arrive in pieces.
    pub(crate) fn long_array(
        &self,
        key: &str,
        kind: &PlainType,
        attributes: Vec<(String, AttrValue)>,
    ) -> LongArray<'_> {
        LongArray { editor: self, key: key.to_owned(), kind: kind.clone(), attributes, held: Vec::new(), begun: false }
    }

    /// Writes a group with attributes that were read from another file.
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

    /// Writes values that were read from another file, with their original type.
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

    /// An attribute of integers.
    pub(crate) fn integers(numbers: &[i64]) -> AttrValue {
        AttrValue::I64Array(numbers.to_vec())
    }

    /// Writes the indices of a sparse matrix: 32-bit if `most` fits, otherwise 64-bit.
    pub(crate) fn write_indices(&self, key: &str, indices: &[i64], most: usize) -> Result<(), H5adError> {
        if i32::try_from(most).is_err() {
            return self.create_dataset(key, &[indices.len()], Values::I64(indices), &[]);
        }
        let narrow: Vec<i32> = indices.iter().map(|&i| i32::try_from(i).unwrap_or(i32::MAX)).collect();
        self.create_dataset(key, &[narrow.len()], Values::I32(&narrow), &[])
    }

    /// An array of sparse-matrix indices that arrive in pieces. Indices are 32-bit if `most` fits, otherwise 64-bit.
    pub(crate) fn long_indices(&self, key: &str, most: usize) -> LongIndices<'_> {
        let narrow = i32::try_from(most).is_ok();
        let datatype = if narrow { hdf5_pure::make_i32_type() } else { hdf5_pure::make_i64_type() };
        let kind = PlainType { datatype, size: if narrow { 4 } else { 8 }, packed: false };
        LongIndices { array: self.long_array(key, &kind, Vec::new()), narrow }
    }

    /// Writes text with attributes that were read from another file.
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

    /// Counts the staged bytes, and commits them if they exceed the buffer size.
    fn commit_above(&self, bytes: usize) -> Result<(), H5adError> {
        self.held.set(self.held.get() + bytes);
        if self.held.get() > HELD { self.commit() } else { Ok(()) }
    }

    /// Writes everything that was staged so far into the file.
    pub(crate) fn commit(&self) -> Result<(), H5adError> {
        self.held.set(0);
        self.file.commit().map_err(|source| self.failed("", &source))
    }

    /// Commits, syncs to disk and closes the file.
    pub(crate) fn close(self) -> Result<(), H5adError> {
        self.commit()?;
        let path = self.path;
        self.file.close().map_err(|source| edit_error(&path, "the file", &source))
    }
}

/// Sparse-matrix indices that are written as they arrive.
pub(crate) struct LongIndices<'a> {
    array: LongArray<'a>,
    narrow: bool,
}

impl LongIndices<'_> {
    pub(crate) fn push(&mut self, indices: impl Iterator<Item = i64>) -> Result<(), H5adError> {
        let bytes: Vec<u8> = if self.narrow {
            indices.flat_map(|i| i32::try_from(i).unwrap_or(i32::MAX).to_le_bytes()).collect()
        } else {
            indices.flat_map(i64::to_le_bytes).collect()
        };
        self.array.push(&bytes)
    }

    pub(crate) fn finish(self) -> Result<(), H5adError> {
        self.array.finish()
    }
}

/// A one-dimensional array that is written as its values arrive, a few megabytes at a time.
pub(crate) struct LongArray<'a> {
    editor: &'a Editor,
    key: String,
    kind: PlainType,
    attributes: Vec<(String, AttrValue)>,
    /// Bytes that are not yet written.
    held: Vec<u8>,
    /// Whether the array exists in the file.
    begun: bool,
}

impl LongArray<'_> {
    /// Appends values, as bytes in the byte order of the array's type.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), H5adError> {
        self.held.extend_from_slice(bytes);
        if self.held.len() < HELD {
            return Ok(());
        }
        // full chunks, so that no chunk is written twice
        let chunk = self.chunk() * self.kind.size;
        let rest = self.held.split_off(self.held.len() - self.held.len() % chunk);
        let whole = std::mem::replace(&mut self.held, rest);
        self.write(whole)
    }

    /// Writes the remaining values. A short array is written like any other array.
    pub(crate) fn finish(mut self) -> Result<(), H5adError> {
        let held = std::mem::take(&mut self.held);
        if self.begun {
            return if held.is_empty() { Ok(()) } else { self.write(held) };
        }
        let n = held.len() / self.kind.size.max(1);
        self.editor.copy_dataset(&self.key, &[n], &self.kind, held, &self.attributes)
    }

    /// Number of values per chunk.
    fn chunk(&self) -> usize {
        (CHUNK / self.kind.size.max(1)).clamp(1, usize::try_from(LONGEST_EDGE).unwrap_or(usize::MAX))
    }

    fn write(&mut self, bytes: Vec<u8>) -> Result<(), H5adError> {
        let editor = self.editor;
        let failed = |source: hdf5_pure::Error| editor.failed(&self.key, &source);
        if self.begun {
            return editor.file.dataset(&self.key).and_then(|mut array| array.append_raw(&bytes)).map_err(failed);
        }
        self.begun = true;
        let (n, chunk) = ((bytes.len() / self.kind.size) as u64, self.chunk() as u64);
        let created = editor.file.root().create_dataset(&self.key, |dataset| {
            dataset.with_raw_data(self.kind.datatype.clone(), bytes, n).with_shape(&[n]).with_chunks(&[chunk]);
            // as anndata writes the arrays of a sparse matrix
            dataset.with_maxshape(&[MaxExtent::Unlimited]);
            if self.kind.packed || editor.compression == Compression::Gzip {
                dataset.with_shuffle().with_deflate(4);
            }
            for (name, value) in &self.attributes {
                dataset.set_attr(name, value.clone());
            }
        });
        created.map_err(failed)?;
        // appending requires that the dataset exists in the file
        editor.commit()
    }
}

/// How a temporary file is opened: without being read into memory, and synced at the end.
fn access() -> FileAccessProperties {
    FileAccessProperties::new().with_memory_strategy(MemoryStrategy::Bounded).with_sync_policy(SyncPolicy::OnClose)
}

/// Chunk shape: full rows, as many as fit the usual chunk size.
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

/// Rewrites the file object by object, without the elements of `without`.
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
