//! The bytes of one open file, and the text that HDF5 stores in global heaps.
//!
//! A file is opened once and always read through the same handle. If another file takes the same name meanwhile, its
//! bytes are never mixed in.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use hdf5_pure::{FormatError, Source};

use super::groups::{harden, layouts_as_version_4, links_elsewhere};
use super::patched::{Cursor, Patched};
use super::superblock::{end_of_file, renew_superblock, root_address};

/// Signature of a global heap collection.
const COLLECTION: &[u8; 4] = b"GCOL";

/// Signature of a symbol table node, part of a group in the HDF5 1.6 format.
const SYMBOLS: &[u8; 4] = b"SNOD";

/// Bytes of a symbol table entry: name, address, cache type and scratch pad.
const SYMBOL: usize = 40;

/// Bytes before the objects of a collection, and bytes before each object (with 8-byte lengths).
const HEADER: u64 = 16;

/// An open file. Clones share the handle.
#[derive(Debug, Clone)]
pub(super) struct FileBytes {
    file: Arc<Patched>,
    /// Heap collections that end in stale bytes of a removed object: start → end of the stale bytes.
    tails: Arc<Mutex<BTreeMap<u64, u64>>>,
}

impl FileBytes {
    /// The first `len` bytes of a file.
    pub(super) fn new(file: std::fs::File, len: u64) -> Self {
        Self { file: Arc::new(followed(Patched::new(file, len))), tails: Arc::default() }
    }

    pub(super) fn file(&self) -> &std::fs::File {
        self.file.file()
    }

    /// A symbol table node without the entries that are still soft links, which have no object address.
    fn without_soft_links(&self, at: u64) -> Option<Vec<u8>> {
        let head = self.read_exact_at(at, 8).ok()?;
        let count = usize::from(u16::from_le_bytes([head[6], head[7]]));
        let node = self.read_exact_at(at, 8 + count * SYMBOL).ok()?;
        let (mut kept, mut n) = (head, 0_u16);
        for symbol in node[8..].chunks_exact(SYMBOL).filter(|symbol| symbol[8..16] != [u8::MAX; 8]) {
            kept.extend_from_slice(symbol);
            n += 1;
        }
        kept[6..8].copy_from_slice(&n.to_le_bytes());
        kept.resize(node.len(), 0);
        Some(kept)
    }

    /// Records where the objects of a heap collection end, so that stale bytes after the end are read as zeros.
    ///
    /// When text is changed in place, the HDF5 library moves the objects of a collection together and leaves the old
    /// bytes behind the last object. If less than the length of an object header is free there, no marker shows where
    /// the objects end.
    fn note_collection(&self, at: u64) {
        let Ok(end) = collection_end(self, at) else { return };
        let last = walk(self, at, end, |_, _, _| {});
        if last < end && end - last < HEADER {
            self.tails.lock().unwrap_or_else(PoisonError::into_inner).insert(last, end);
        }
    }
}

impl Source for FileBytes {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FormatError> {
        self.file.read_exact_at(offset, buffer).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                let available = usize::try_from(self.file.len().saturating_sub(offset)).unwrap_or(usize::MAX);
                FormatError::UnexpectedEof { expected: buffer.len(), available }
            } else {
                FormatError::Source(error.to_string())
            }
        })
    }

    fn read_metadata_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, FormatError> {
        let mut bytes = self.read_exact_at(offset, len)?;
        if bytes.starts_with(COLLECTION) && len as u64 == HEADER {
            self.note_collection(offset);
        }
        if bytes.starts_with(SYMBOLS)
            && let Some(node) = self.without_soft_links(offset)
        {
            bytes.copy_from_slice(&node[..len.min(node.len())]);
            return Ok(bytes);
        }
        let until = offset.saturating_add(len as u64);
        let tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        for (&first, &end) in tails.range(offset.saturating_sub(HEADER)..until) {
            let (from, to) = (first.max(offset), end.min(until));
            if from < to {
                let place = |at: u64| usize::try_from(at - offset).unwrap_or(len);
                bytes[place(from)..place(to)].fill(0);
            }
        }
        Ok(bytes)
    }
}

impl FileBytes {
    /// Paths of the links that are not followed.
    pub(super) fn links_elsewhere(&self) -> io::Result<Vec<String>> {
        let mut cursor = Cursor { patched: self.file.as_ref().clone(), at: 0 };
        renew_superblock(&mut cursor)?;
        match root_address(&mut cursor)? {
            Some(root) => links_elsewhere(&mut cursor, root),
            None => Ok(Vec::new()),
        }
    }
}

/// The file with soft links replaced by hard links where the target is in the file, and with layout messages rewritten
/// to a version that the HDF5 library reads.
fn followed(file: Patched) -> Patched {
    let mut cursor = Cursor { patched: file.clone(), at: 0 };
    let followed = renew_superblock(&mut cursor).and_then(|()| root_address(&mut cursor)).and_then(|root| {
        let Some(root) = root else { return Ok(0) };
        // a truncated file must not be completed with the bytes that are appended here
        if end_of_file(&mut cursor)?.is_none_or(|end| end > file.len()) {
            return Ok(0);
        }
        Ok(harden(&mut cursor, root)? + layouts_as_version_4(&mut cursor, root)?)
    });
    // a file with an unexpected structure is read unchanged
    if followed.is_ok_and(|changes| changes > 0) { cursor.patched } else { file }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

/// Address of the first byte after the collection at `at`.
fn collection_end(bytes: &FileBytes, at: u64) -> Result<u64, FormatError> {
    let header = bytes.read_exact_at(at, 16)?;
    if !header.starts_with(COLLECTION) {
        return Err(FormatError::InvalidGlobalHeapSignature);
    }
    let end = at.saturating_add(number(&header[8..]));
    if end > bytes.file.len() || end < at + HEADER {
        return Err(FormatError::VlDataError("a global heap is longer than the file".into()));
    }
    Ok(end)
}

/// Calls `found` with the index, first byte and length of every object of a collection. Returns the end of the objects.
fn walk(bytes: &FileBytes, at: u64, end: u64, mut found: impl FnMut(u16, u64, u64)) -> u64 {
    let Ok(whole) = usize::try_from(end - at).map_err(|_| ()).and_then(|n| bytes.read_exact_at(at, n).map_err(|_| ()))
    else {
        return end;
    };
    let mut place = at + HEADER;
    while place + HEADER <= end {
        let start = usize::try_from(place - at).unwrap_or(usize::MAX);
        let index = u16::from_le_bytes([whole[start], whole[start + 1]]);
        let len = number(&whole[start + 8..start + 16]);
        let next = place.saturating_add(HEADER).saturating_add(len.div_ceil(8).saturating_mul(8));
        if index == 0 || next > end {
            return place;
        }
        found(index, place + HEADER, len);
        place = next;
    }
    place
}

/// First byte and length of objects, by object index.
type Objects = HashMap<u16, (u64, u64)>;

/// Reads objects of global heaps, one collection after another.
pub(super) struct Heaps<'a> {
    bytes: &'a FileBytes,
    base: u64,
    /// The collection that was read last, with its address.
    current: Option<(u64, Objects)>,
}

impl<'a> Heaps<'a> {
    pub(super) fn new(bytes: &'a FileBytes, base: u64) -> Self {
        Self { bytes, base, current: None }
    }

    /// The first `len` bytes of object `index` in the collection at `address`.
    pub(super) fn object(&mut self, address: u64, index: u16, len: u64) -> Result<Vec<u8>, FormatError> {
        if self.current.as_ref().is_none_or(|(at, _)| *at != address) {
            let at = address.saturating_add(self.base);
            let end = collection_end(self.bytes, at)?;
            let mut objects = HashMap::new();
            walk(self.bytes, at, end, |index, first, len| {
                objects.insert(index, (first, len));
            });
            self.current = Some((address, objects));
        }
        let found = self.current.as_ref().and_then(|(_, objects)| objects.get(&index)).copied();
        match found {
            Some((first, size)) if len <= size => {
                self.bytes.read_exact_at(first, usize::try_from(len).unwrap_or(usize::MAX))
            }
            _ => Err(FormatError::VlDataError("a value lies outside its global heap".into())),
        }
    }
}
