//! Bounds-checked reading of blocks of a file and of the numbers in them.

use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};

/// A file, or another object that can be read and written like a file.
pub(super) trait Blocks: Read + Write + Seek {}

impl<T: Read + Write + Seek> Blocks for T {}

/// The undefined address of the HDF5 format.
pub(super) const NOWHERE: u64 = u64::MAX;

/// Upper limit on the number of tree nodes, header blocks or groups that are read.
pub(super) const MOST_NODES: usize = 1 << 17;

/// Upper limit on the bytes of a header or heap that are read.
pub(super) const LARGEST: u64 = 1 << 26;

/// A byte slice that is consumed from the front.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, n: u64) -> Result<&'a [u8]> {
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        let (taken, rest) = self.0.split_at_checked(n).ok_or_else(|| unexpected("more bytes"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// A little-endian number of up to 8 bytes.
    pub(super) fn number(&mut self, width: u64) -> Result<u64> {
        Ok(self.take(width)?.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    }

    pub(super) fn signature(&mut self, expected: &[u8]) -> Result<()> {
        if self.take(expected.len() as u64)? == expected { Ok(()) } else { Err(unexpected("a signature")) }
    }
}

pub(super) fn read(file: &mut dyn Blocks, at: u64, n: u64) -> Result<Vec<u8>> {
    if n > LARGEST {
        return Err(unexpected("a block of ordinary size"));
    }
    let mut bytes = vec![0; usize::try_from(n).unwrap_or(0)];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn unexpected(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("{what} was expected"))
}
