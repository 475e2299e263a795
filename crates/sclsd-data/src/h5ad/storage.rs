//! Reads an HDF5 file. Only this module and [`editor`](super::editor) depend on the HDF5 library.
//!
//! [`Reader`] and [`Editor`](super::editor::Editor) use paths (`obs/clusters/codes`) and plain vectors, so another HDF5
//! library could be used without changes elsewhere in the crate. Datasets are read on demand: opening a file reads its
//! metadata only.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use hdf5_pure::{AttrValue, Dataset, Datatype, DatatypeByteOrder, File, Group, Layout, Source as _, StringPadding};

use super::bytes::{FileBytes, Heaps};
use super::error::H5adError;
use super::footer::Footer;
use super::foreign;
use crate::memory;
use crate::replace::plain_reason;

/// The kind of object at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Group,
    Dataset,
}

/// The element type of a dataset, as far as AnnData distinguishes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    Integer,
    Float,
    Boolean,
    Text,
    Other,
}

/// Number of values of a dataset that are read at once.
const WINDOW: usize = 1 << 20;

/// Upper limit on the number of groups of a file.
const MOST_GROUPS: usize = 1 << 17;

/// Upper limit on the compression ratio of any filter (deflate's limit is 1032).
const MOST_PACKED: u64 = 1100;

/// Bytes of never-written values that a file may claim beyond its own size.
const UNWRITTEN: u64 = 64 << 20;

/// Longest chunk edge that all readers support. The HDF5 library writes longer edges, up to 2^24, with one byte more
/// than needed, and HDF5 2.0 cannot read that.
pub(super) const LONGEST_EDGE: u64 = 0xFFFF;

/// Cached list of the members of a group.
struct Listing {
    datasets: BTreeMap<String, Arc<Dataset>>,
    groups: BTreeMap<String, Arc<Group>>,
}

/// An HDF5 file opened for reading.
pub(crate) struct Reader {
    file: File,
    bytes: FileBytes,
    path: PathBuf,
    opened: Stamp,
    /// Where the file ends, and a second one begins, in a part result.
    footer: Option<Footer>,
    listings: Mutex<HashMap<String, Arc<Listing>>>,
}

/// Identifies a file, to detect whether it is still the file that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<std::time::SystemTime>,
    #[cfg(unix)]
    place: (u64, u64),
}

impl Stamp {
    fn of(meta: &std::fs::Metadata) -> Self {
        Self {
            len: meta.len(),
            modified: meta.modified().ok(),
            #[cfg(unix)]
            place: {
                use std::os::unix::fs::MetadataExt;
                (meta.dev(), meta.ino())
            },
        }
    }
}

impl Reader {
    pub(crate) fn open(path: &Path) -> Result<Self, H5adError> {
        let shown = path.display().to_string();
        let unreadable =
            |source: &std::io::Error| H5adError::Unreadable { path: shown.clone(), reason: plain_reason(source) };
        let meta = std::fs::metadata(path).map_err(|source| unreadable(&source))?;
        if !meta.is_dir() && !meta.is_file() {
            let reason = "it is no ordinary file, but a device or a pipe; save it to disk first".into();
            return Err(H5adError::Unreadable { path: shown, reason });
        }
        if meta.is_file() && meta.len() == 0 {
            return Err(H5adError::NotHdf5 { path: shown, reason: "it is empty".into() });
        }
        if let Some(reason) = foreign::not_hdf5(path) {
            if reason == foreign::DIRECTORY {
                return Err(H5adError::Unreadable { path: shown, reason });
            }
            return Err(H5adError::Foreign { path: shown, reason });
        }
        let handle = std::fs::File::open(path).map_err(|source| unreadable(&source))?;
        let meta = handle.metadata().map_err(|source| unreadable(&source))?;
        let footer = Footer::of(&handle, meta.len()).map_err(|source| unreadable(&source))?;
        let bytes = FileBytes::new(handle, footer.map_or(meta.len(), |footer| footer.first));
        let file = File::from_source(bytes.clone())
            .map_err(|source| H5adError::NotHdf5 { path: shown.clone(), reason: source.to_string() })?;
        if file.file_space_strategy() == Some(hdf5_pure::FileSpaceStrategy::Page) {
            let problem =
                "it is in pages (fs_strategy=\"page\" of h5py), to which nothing can be added; write it again with \
                           adata.write_h5ad(path)"
                    .into();
            return Err(H5adError::Bad { path: shown, key: slot(""), problem });
        }
        // the truncated part may be one that nobody requests: the file is refused all the same
        let whole = file.superblock().eof_address;
        if bytes.len() < whole {
            let reason = format!("it has {} bytes, but was written with {whole}", meta.len());
            return Err(H5adError::NotHdf5 { path: shown, reason });
        }
        Ok(Self { file, bytes, path: path.to_owned(), opened: Stamp::of(&meta), footer, listings: Mutex::default() })
    }

    pub(crate) fn path(&self) -> String {
        self.path.display().to_string()
    }

    /// The open file and where its second one stands, of a part result.
    pub(super) fn part(&self) -> Option<(&std::fs::File, Footer)> {
        self.footer.map(|footer| (self.bytes.file(), footer))
    }

    /// Bytes of the file, without what stands behind it in a part result.
    fn extent(&self) -> u64 {
        self.footer.map_or(self.opened.len, |footer| footer.first)
    }

    /// Whether another file has the same bytes.
    pub(crate) fn same_bytes(&self, other: &Self) -> Result<bool, H5adError> {
        use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
        if self.extent() != other.extent() {
            return Ok(false);
        }
        let bytes = |reader: &Self| {
            let mut file = reader.bytes.file();
            let begun = file.seek(SeekFrom::Start(0)).and_then(|_| file.try_clone());
            begun.map(|file| BufReader::with_capacity(WINDOW, file.take(reader.extent())))
        };
        let unreadable = |reader: &Self, source: &std::io::Error| H5adError::Unreadable {
            path: reader.path(),
            reason: plain_reason(source),
        };
        let mut ours = bytes(self).map_err(|source| unreadable(self, &source))?;
        let mut theirs = bytes(other).map_err(|source| unreadable(other, &source))?;
        loop {
            let a = ours.fill_buf().map_err(|source| unreadable(self, &source))?;
            let b = theirs.fill_buf().map_err(|source| unreadable(other, &source))?;
            let n = a.len().min(b.len());
            if n == 0 || a[..n] != b[..n] {
                return Ok(a.len() == b.len());
            }
            ours.consume(n);
            theirs.consume(n);
        }
    }

    /// The bytes of the file that was opened, whatever has its name by now, copied to `to`.
    ///
    /// Fails if the bytes were changed since the file was opened, or if `replaces` is the path of this file and another
    /// file has taken the name.
    pub(crate) fn copy_to(&self, to: &mut std::fs::File, replaces: &Path) -> Result<(), H5adError> {
        use std::io::{Read, Seek, SeekFrom};
        let unreadable =
            |source: &std::io::Error| H5adError::Unreadable { path: self.path(), reason: plain_reason(source) };
        let changed = |what: &str| H5adError::Changed { path: self.path(), what: what.into() };
        let mut from = self.bytes.file();
        if Stamp::of(&from.metadata().map_err(|source| unreadable(&source))?) != self.opened {
            return Err(changed("it was written to"));
        }
        if let (Ok(named), Ok(output)) = (std::fs::canonicalize(&self.path), std::fs::canonicalize(replaces))
            && named == output
            && std::fs::metadata(&self.path).is_ok_and(|meta| Stamp::of(&meta) != self.opened)
        {
            return Err(changed("another file took its place"));
        }
        from.seek(SeekFrom::Start(0)).map_err(|source| unreadable(&source))?;
        std::io::copy(&mut from.take(self.extent()), to).map_err(|source| H5adError::Unwritable {
            path: replaces.display().to_string(),
            reason: plain_reason(&source),
        })?;
        if Stamp::of(&from.metadata().map_err(|source| unreadable(&source))?) != self.opened {
            return Err(changed("it was written to"));
        }
        Ok(())
    }

    /// An error about the element at `key`.
    pub(crate) fn bad(&self, key: &str, problem: impl std::fmt::Display) -> H5adError {
        let mut problem = problem.to_string();
        if problem.contains("invalid data layout version: 5") {
            problem = "it is in the layout that HDF5 2.0 writes with libver=\"latest\", which is not read here; write the file \
                       again with adata.write_h5ad(path)"
                .into();
        }
        H5adError::Bad { path: self.path(), key: slot(key), problem }
    }

    fn listing(&self, key: &str) -> Result<Option<Arc<Listing>>, H5adError> {
        if let Some(found) = self.listings.lock().unwrap_or_else(PoisonError::into_inner).get(key) {
            return Ok(Some(Arc::clone(found)));
        }
        let group = if key.is_empty() {
            Arc::new(self.file.root())
        } else {
            let (parent, name) = split(key);
            let Some(above) = self.listing(parent)? else { return Ok(None) };
            match above.groups.get(name) {
                Some(group) => Arc::clone(group),
                None => return Ok(None),
            }
        };
        let datasets = group.iter_datasets().map_err(|source| self.bad(key, source))?;
        let datasets = datasets.map(|(name, dataset)| (name, Arc::new(dataset))).collect();
        let groups = group.iter_groups().map_err(|source| self.bad(key, source))?;
        let groups = groups.map(|(name, group)| (name, Arc::new(group))).collect();
        let found = Arc::new(Listing { datasets, groups });
        self.listings.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), Arc::clone(&found));
        Ok(Some(found))
    }

    /// The kind of object at `key`; `None` if it is missing or cannot be read.
    pub(crate) fn kind(&self, key: &str) -> Option<Kind> {
        if key.is_empty() {
            return Some(Kind::Group);
        }
        let (parent, name) = split(key);
        let listing = self.listing(parent).ok().flatten()?;
        if listing.groups.contains_key(name) {
            Some(Kind::Group)
        } else {
            listing.datasets.contains_key(name).then_some(Kind::Dataset)
        }
    }

    /// Whether there is an element at `key`. anndata's `null` does not count.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.kind(key).is_some() && !self.is_null(key)
    }

    /// Whether Python's `None` is stored at `key`.
    pub(crate) fn is_null(&self, key: &str) -> bool {
        self.text_attribute(key, "encoding-type").as_deref() == Some("null")
    }

    /// Member names of a group, sorted; empty if the group is missing.
    pub(crate) fn children(&self, key: &str) -> Result<Vec<String>, H5adError> {
        let Some(listing) = self.listing(key)? else { return Ok(Vec::new()) };
        let mut names: Vec<String> = listing.datasets.keys().chain(listing.groups.keys()).cloned().collect();
        names.sort();
        Ok(names)
    }

    fn dataset(&self, key: &str) -> Result<Arc<Dataset>, H5adError> {
        let (parent, name) = split(key);
        self.listing(parent)?
            .and_then(|listing| listing.datasets.get(name).cloned())
            .ok_or_else(|| self.bad(key, "it is missing or not an array"))
    }

    fn attributes(&self, key: &str) -> HashMap<String, AttrValue> {
        if key.is_empty() {
            return self.file.root().attrs().unwrap_or_default();
        }
        let (parent, name) = split(key);
        let Ok(Some(listing)) = self.listing(parent) else { return HashMap::new() };
        if let Some(group) = listing.groups.get(name) {
            return group.attrs().unwrap_or_default();
        }
        listing.datasets.get(name).and_then(|dataset| dataset.attrs().ok()).unwrap_or_default()
    }

    /// Names of the attributes of the element at `key`.
    pub(crate) fn attribute_names(&self, key: &str) -> Vec<String> {
        let mut names: Vec<String> = self.attributes(key).into_keys().collect();
        names.sort();
        names
    }

    /// A text attribute; `None` if it is missing.
    pub(crate) fn text_attribute(&self, key: &str, name: &str) -> Option<String> {
        self.attributes(key).get(name).and_then(AttrValue::as_str).map(str::to_owned)
    }

    /// A list-of-text attribute; `None` if it is missing. An empty list is stored as an empty list of floats.
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

    /// Whether a boolean attribute is true.
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

    fn datatype(&self, key: &str) -> Result<Datatype, H5adError> {
        self.dataset(key)?.datatype().map_err(|source| self.bad(key, source))
    }

    pub(crate) fn element(&self, key: &str) -> Result<Element, H5adError> {
        Ok(match self.datatype(key)? {
            Datatype::FloatingPoint { .. } => Element::Float,
            Datatype::FixedPoint { .. } => Element::Integer,
            Datatype::String { .. } | Datatype::VariableLength { is_string: true, .. } => Element::Text,
            Datatype::Enumeration { members, .. } if members.iter().any(|member| is(&member.name, "TRUE")) => {
                Element::Boolean
            }
            _ => Element::Other,
        })
    }

    /// Name of a dataset's element type, for messages.
    pub(crate) fn element_name(&self, key: &str) -> String {
        if let Ok(Datatype::FloatingPoint { size: 2, .. }) = self.datatype(key) {
            return "f16".into();
        }
        self.dataset(key).ok().and_then(|d| d.dtype().ok()).map_or_else(|| "?".into(), |t| t.to_string())
    }

    /// A dataset that can be read: its filters are supported, and its size is plausible for the file and fits into
    /// memory.
    fn readable(&self, key: &str, rows: Option<usize>) -> Result<Arc<Dataset>, H5adError> {
        let dataset = self.dataset(key)?;
        if let Some(filter) = dataset.filter_pipeline().into_iter().find(|filter| !KNOWN_FILTERS.contains(&filter.id)) {
            let name = filter_name(filter.id).map(str::to_owned).or(filter.name).unwrap_or_else(|| "a filter".into());
            return Err(self.bad(
                key,
                format!(
                    "its values are packed with {name} (HDF5 filter {}), which is not read here; write the file again with \
                     adata.write_h5ad(path, compression=\"gzip\")",
                    filter.id
                ),
            ));
        }
        self.check_claim(key, &dataset, rows)?;
        Ok(dataset)
    }

    /// Checks that the claimed number of values is plausible for the file and fits into memory.
    fn check_claim(&self, key: &str, dataset: &Dataset, rows: Option<usize>) -> Result<(), H5adError> {
        let size = dataset.element_size().map_err(|source| self.bad(key, source))?;
        let shape = dataset.shape().map_err(|source| self.bad(key, source))?;
        let values = shape.iter().try_fold(1_u64, |n, &k| n.checked_mul(k));
        let claimed = values.and_then(|n| n.checked_mul(size)).unwrap_or(u64::MAX);
        let holds = self.opened.len.saturating_mul(MOST_PACKED).saturating_add(UNWRITTEN);
        if claimed > holds {
            let claim = values.map_or_else(|| "more than 2^64".into(), |n| n.to_string());
            return Err(self.bad(key, format!("it claims {claim} values, more than a file of this size can hold")));
        }
        let all = shape.first().copied().unwrap_or(1).max(1);
        let wanted = rows.map_or(claimed, |rows| (claimed / all).saturating_mul(rows as u64));
        let chunk = dataset.chunk_shape().map_err(|source| self.bad(key, source))?;
        let chunk = chunk.map_or(0, |edges| edges.iter().fold(size, |n, &k| n.saturating_mul(k)));
        let needed = wanted.saturating_add(chunk);
        if memory::available().is_some_and(|free| needed > free) {
            return Err(self.bad(
                key,
                format!(
                    "reading it needs {} MiB, but {} MiB of memory are free",
                    needed >> 20,
                    memory::available().unwrap_or(0) >> 20
                ),
            ));
        }
        Ok(())
    }

    /// Checks that the entire array at `key` is plausible for the file and fits into memory.
    pub(crate) fn check_size(&self, key: &str) -> Result<(), H5adError> {
        self.check_claim(key, &*self.dataset(key)?, None)
    }

    pub(crate) fn f32s(&self, key: &str) -> Result<Vec<f32>, H5adError> {
        let dataset = self.readable(key, None)?;
        if let Datatype::FloatingPoint { size: 2, byte_order, .. } = self.datatype(key)? {
            return Ok(halves(&dataset.read_raw().map_err(|source| self.bad(key, source))?, byte_order));
        }
        dataset.read_f32().map_err(|source| self.bad(key, source))
    }

    /// Rows `first .. first + count` of a dense array.
    pub(crate) fn f32_rows(&self, key: &str, first: usize, count: usize) -> Result<Vec<f32>, H5adError> {
        let dataset = self.readable(key, Some(count))?;
        let (first, count) = (first as u64, count as u64);
        if let Datatype::FloatingPoint { size: 2, byte_order, .. } = self.datatype(key)? {
            let raw = dataset.read_raw_rows(first, count).map_err(|source| self.bad(key, source))?;
            return Ok(halves(&raw, byte_order));
        }
        if self.element(key)? == Element::Boolean {
            let raw = dataset.read_raw_rows(first, count).map_err(|source| self.bad(key, source))?;
            let flags = truths(&raw, &self.datatype(key)?);
            return Ok(flags.into_iter().map(|flag| f32::from(u8::from(flag == Some(true)))).collect());
        }
        dataset.read_f32_rows(first, count).map_err(|source| self.bad(key, source))
    }

    pub(crate) fn f64s(&self, key: &str) -> Result<Vec<f64>, H5adError> {
        let dataset = self.readable(key, None)?;
        if let Datatype::FloatingPoint { size: 2, .. } = self.datatype(key)? {
            return Ok(self.f32s(key)?.into_iter().map(f64::from).collect());
        }
        dataset.read_f64().map_err(|source| self.bad(key, source))
    }

    pub(crate) fn i64s(&self, key: &str) -> Result<Vec<i64>, H5adError> {
        self.readable(key, None)?.read_i64().map_err(|source| self.bad(key, source))
    }

    /// Rows `first .. first + count` of an integer array.
    pub(crate) fn i64_rows(&self, key: &str, first: usize, count: usize) -> Result<Vec<i64>, H5adError> {
        self.readable(key, Some(count))?
            .read_i64_rows(first as u64, count as u64)
            .map_err(|source| self.bad(key, source))
    }

    /// Booleans; `None` for R's NA.
    pub(crate) fn booleans(&self, key: &str) -> Result<Vec<Option<bool>>, H5adError> {
        let dataset = self.readable(key, None)?;
        let raw = dataset.read_raw().map_err(|source| self.bad(key, source))?;
        Ok(truths(&raw, &self.datatype(key)?))
    }

    /// Raw bytes of rows `first .. first + count`, for element types without addresses into the file.
    pub(crate) fn raw_rows(&self, key: &str, first: usize, count: usize) -> Result<Vec<u8>, H5adError> {
        self.readable(key, Some(count))?
            .read_raw_rows(first as u64, count as u64)
            .map_err(|source| self.bad(key, source))
    }

    /// The element type at `key` if values do not depend on their location: they hold no addresses into the file.
    pub(crate) fn plain_type(&self, key: &str) -> Result<Option<PlainType>, H5adError> {
        let datatype = self.datatype(key)?;
        let size = self.dataset(key)?.element_size().map_err(|source| self.bad(key, source))?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let packed = self.dataset(key)?.filters().iter().any(|filter| matches!(filter, 1 | 32000));
        Ok(is_plain(&datatype).then_some(PlainType { datatype, size, packed }))
    }

    /// Whether the array at `key` is contiguous and larger than `bytes`.
    pub(crate) fn is_long_piece(&self, key: &str, bytes: u64) -> bool {
        let layout = self.dataset(key).ok().and_then(|dataset| dataset.layout().ok());
        matches!(layout, Some(Layout::Contiguous { address: Some(_), size }) if size > bytes)
    }

    /// Whether the array at `key` has chunk edges longer than [`LONGEST_EDGE`], which not all readers can read back.
    pub(crate) fn has_long_chunks(&self, key: &str) -> bool {
        let edges = self.dataset(key).ok().and_then(|dataset| dataset.chunk_shape().ok()).flatten().unwrap_or_default();
        edges.iter().any(|edge| (LONGEST_EDGE + 1..1 << 24).contains(edge))
    }

    /// Rows per chunk of the array at `key`; 0 if the array is contiguous.
    pub(crate) fn chunk_rows(&self, key: &str) -> usize {
        let edges = self.dataset(key).ok().and_then(|dataset| dataset.chunk_shape().ok()).flatten();
        edges.and_then(|edges| usize::try_from(*edges.first()?).ok()).unwrap_or(0)
    }

    /// Whether the array at `key` can be written again unchanged after reading it.
    pub(crate) fn is_copyable(&self, key: &str) -> bool {
        let Ok(dataset) = self.dataset(key) else { return false };
        let known = dataset.attr_datatypes().is_ok_and(|types| types.len() == self.attributes(key).len());
        known
            && dataset.shape().is_ok_and(|shape| !shape.is_empty())
            && dataset.filters().iter().all(|filter| KNOWN_FILTERS.contains(filter))
            && (self.plain_type(key).is_ok_and(|kind| kind.is_some())
                || self.element(key).is_ok_and(|element| element == Element::Text))
    }

    /// Whether the values are, or contain, floating-point numbers of more than 8 bytes.
    pub(crate) fn has_long_doubles(&self, key: &str) -> bool {
        fn any(datatype: &Datatype) -> bool {
            match datatype {
                Datatype::FloatingPoint { size, .. } => *size > 8,
                Datatype::Compound { members, .. } => members.iter().any(|member| any(&member.datatype)),
                Datatype::Array { base_type, .. } => any(base_type),
                _ => false,
            }
        }
        self.datatype(key).is_ok_and(|datatype| any(&datatype))
    }

    /// Paths of the links that are not followed.
    pub(crate) fn links_elsewhere(&self) -> Result<Vec<String>, H5adError> {
        self.bytes.links_elsewhere().map_err(|source| self.bad("", plain_reason(&source)))
    }

    /// All groups of the file, top-down.
    pub(crate) fn groups(&self) -> Result<Vec<String>, H5adError> {
        let mut found = vec![String::new()];
        let mut next = 0;
        while next < found.len() {
            let key = found[next].clone();
            next += 1;
            // a group that contains itself twice would double the number of paths at every level
            if key.matches('/').count() > 32 || found.len() > MOST_GROUPS {
                let top: Vec<&str> = key.split('/').take(2).collect();
                return Err(self.bad(&top.join("/"), "its groups contain one another in a cycle"));
            }
            for name in self.listing(&key)?.iter().flat_map(|listing| listing.groups.keys()) {
                found.push(if key.is_empty() { name.clone() } else { format!("{key}/{name}") });
            }
        }
        Ok(found)
    }

    /// Attributes of the element at `key` that can be written again.
    pub(crate) fn copied_attributes(&self, key: &str) -> Vec<(String, AttrValue)> {
        let mut attributes: Vec<_> = self.attributes(key).into_iter().collect();
        attributes.sort_by(|a, b| a.0.cmp(&b.0));
        attributes
    }

    /// Text of fixed or variable width. It must be UTF-8.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<String>, H5adError> {
        let dataset = self.readable(key, None)?;
        let rows = dataset.shape().map_err(|source| self.bad(key, source))?.first().copied().unwrap_or(1);
        let datatype = self.datatype(key)?;
        let mut texts = Vec::new();
        let mut heaps = Heaps::new(&self.bytes, self.file.superblock().base_address.get());
        let limit = memory::available().unwrap_or(u64::MAX) / 2;
        let mut length = 0_u64;
        let mut take = |text: Vec<u8>| {
            length = length.saturating_add(text.len() as u64).saturating_add(24);
            if length > limit {
                return Err(self.bad(key, "its text is longer than the memory there is"));
            }
            match String::from_utf8(text) {
                Ok(text) => {
                    texts.push(text);
                    Ok(())
                }
                Err(_) => Err(self.bad(
                    key,
                    format!(
                        "its text is not UTF-8 (value {}); read it with its own encoding and write it again",
                        texts.len()
                    ),
                )),
            }
        };
        for first in (0..rows).step_by(WINDOW) {
            let raw = dataset.read_raw_rows(first, WINDOW as u64).map_err(|source| self.bad(key, source))?;
            match &datatype {
                Datatype::String { size, padding, .. } => {
                    for value in raw.chunks_exact((*size as usize).max(1)) {
                        take(unpadded(value, padding).to_vec())?;
                    }
                }
                Datatype::VariableLength { is_string: true, .. } => {
                    let width = usize::from(self.file.superblock().offset_size);
                    for value in raw.chunks_exact(8 + width) {
                        let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |n, &byte| n << 8 | u64::from(byte));
                        let (len, address) = (number(&value[..4]), number(&value[4..4 + width]));
                        let index = u16::try_from(number(&value[4 + width..])).unwrap_or(0);
                        let none = address == 0 || len == 0;
                        let text = if none { Ok(Vec::new()) } else { heaps.object(address, index, len) };
                        take(text.map_err(|source| self.bad(key, source))?)?;
                    }
                }
                _ => return Err(self.bad(key, format!("it is {}, not text", self.element_name(key)))),
            }
        }
        Ok(texts)
    }
}

/// An element type without addresses into the file.
#[derive(Debug, Clone)]
pub(crate) struct PlainType {
    pub(super) datatype: Datatype,
    /// Bytes per value.
    pub(crate) size: usize,
    /// Whether the values are compressed.
    pub(super) packed: bool,
}

fn is_plain(datatype: &Datatype) -> bool {
    match datatype {
        Datatype::VariableLength { .. } | Datatype::Reference { .. } => false,
        Datatype::Compound { members, .. } => members.iter().all(|member| is_plain(&member.datatype)),
        Datatype::Array { base_type, .. } | Datatype::Enumeration { base_type, .. } => is_plain(base_type),
        _ => true,
    }
}

fn is(name: &str, wanted: &str) -> bool {
    name.eq_ignore_ascii_case(wanted)
}

/// Splits `obs/clusters/codes` into `obs/clusters` and `codes`.
fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('/').unwrap_or(("", key))
}

/// Decodes half-precision floats, which the HDF5 library does not decode.
fn halves(raw: &[u8], order: DatatypeByteOrder) -> Vec<f32> {
    let value = |b: &[u8]| match order {
        DatatypeByteOrder::BigEndian => half::f16::from_be_bytes([b[0], b[1]]),
        _ => half::f16::from_le_bytes([b[0], b[1]]),
    };
    raw.chunks_exact(2).map(|b| value(b).to_f32()).collect()
}

/// Decodes the boolean enumerations of h5py and R. Values outside the enumeration are R's NA.
fn truths(raw: &[u8], datatype: &Datatype) -> Vec<Option<bool>> {
    let Datatype::Enumeration { size, members, .. } = datatype else {
        return raw.iter().map(|&byte| Some(byte != 0)).collect();
    };
    let one = |bytes: &[u8]| match members.iter().find(|member| member.value == bytes) {
        Some(member) if is(&member.name, "TRUE") => Some(true),
        Some(member) if is(&member.name, "FALSE") => Some(false),
        _ => None,
    };
    raw.chunks_exact((*size as usize).max(1)).map(one).collect()
}

fn unpadded<'a>(value: &'a [u8], padding: &StringPadding) -> &'a [u8] {
    let end = match padding {
        StringPadding::NullTerminate => value.iter().position(|&b| b == 0),
        StringPadding::SpacePad => value.iter().rposition(|&b| b != b' ').map(|at| at + 1).or(Some(0)),
        StringPadding::NullPad => value.iter().rposition(|&b| b != 0).map(|at| at + 1).or(Some(0)),
    };
    &value[..end.unwrap_or(value.len())]
}

/// IDs of deflate, shuffle, fletcher32, scale-offset, lzf and ZFP.
const KNOWN_FILTERS: [u16; 6] = [1, 2, 3, 6, 32000, 32013];

fn filter_name(id: u16) -> Option<&'static str> {
    Some(match id {
        4 => "szip",
        5 => "nbit",
        307 => "bzip2",
        32001 => "blosc",
        32004 => "lz4",
        32008 => "bitshuffle",
        32015 => "zstd",
        32026 => "blosc2",
        _ => return None,
    })
}

/// A shape as text: `3696 × 1000`.
pub(super) fn show(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" × ")
}

pub(crate) fn slot(key: &str) -> String {
    match key.split_once('/') {
        Some((slot, name)) => format!("{slot}[\"{name}\"]"),
        None if key.is_empty() => "the file".into(),
        None => key.into(),
    }
}
