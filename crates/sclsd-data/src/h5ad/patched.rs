//! A file that is read with some of its bytes replaced.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Error, ErrorKind, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

/// Bytes per page, the unit of replacement.
const PAGE: usize = 4096;

/// An open file, with in-memory copies of the changed pages. It can be longer than the file on disk.
#[derive(Debug, Clone)]
pub(super) struct Patched {
    file: Arc<File>,
    /// Bytes of the file that are read.
    extent: u64,
    len: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Patched {
    /// The first `len` bytes of a file.
    pub(super) fn new(file: File, len: u64) -> Self {
        Self { file: Arc::new(file), extent: len, len, pages: BTreeMap::new() }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.pages.is_empty() {
            return read_exact_at(&self.file, offset, buffer);
        }
        let end = offset.checked_add(buffer.len() as u64).filter(|&end| end <= self.len);
        let end = end.ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?;
        let in_file = self.extent.clamp(offset, end) - offset;
        let (old, new) = buffer.split_at_mut(usize::try_from(in_file).unwrap_or(usize::MAX));
        read_exact_at(&self.file, offset, old)?;
        new.fill(0);
        for (&page, bytes) in self.pages.range(offset / PAGE as u64..end.div_ceil(PAGE as u64)) {
            let first = page * PAGE as u64;
            let (from, to) = (first.max(offset), end.min(first + PAGE as u64));
            let place = |at: u64, origin: u64| usize::try_from(at - origin).unwrap_or(usize::MAX);
            buffer[place(from, offset)..place(to, offset)]
                .copy_from_slice(&bytes[place(from, first)..place(to, first)]);
        }
        Ok(())
    }

    /// Changes or appends bytes in memory. The file on disk is unchanged.
    fn write_at(&mut self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (page, at) = (offset / PAGE as u64, usize::try_from(offset % PAGE as u64).unwrap_or(0));
            if !self.pages.contains_key(&page) {
                let first = page * PAGE as u64;
                let mut whole = vec![0; PAGE];
                let there = usize::try_from(self.len.saturating_sub(first)).unwrap_or(PAGE).min(PAGE);
                if there > 0 {
                    self.read_exact_at(first, &mut whole[..there])?;
                }
                self.pages.insert(page, whole);
            }
            let (now, later) = bytes.split_at(bytes.len().min(PAGE - at));
            let whole = self.pages.get_mut(&page).ok_or_else(|| Error::from(ErrorKind::NotFound))?;
            whole[at..at + now.len()].copy_from_slice(now);
            offset += now.len() as u64;
            self.len = self.len.max(offset);
            bytes = later;
        }
        Ok(())
    }
}

/// Reads and writes a patched file at a moving position.
pub(super) struct Cursor {
    pub(super) patched: Patched,
    pub(super) at: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.patched.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let n = buffer.len().min(left);
        self.patched.read_exact_at(self.at, &mut buffer[..n])?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Write for Cursor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.patched.write_at(self.at, bytes)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.patched.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| Error::from(ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !buffer.is_empty() {
        match file.seek_read(buffer, offset)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => {
                buffer = &mut buffer[n..];
                offset += n as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_changed_and_added_and_the_file_stays() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let before: Vec<u8> = (0..10_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        file.write_all(&before).unwrap();
        let mut cursor = Cursor { patched: Patched::new(file.reopen().unwrap(), before.len() as u64), at: 0 };
        let mut expected = before.clone();
        for (at, n) in [(4_090, 12), (9_990, 30), (0, 1), (20_000, 5)] {
            cursor.seek(SeekFrom::Start(at as u64)).unwrap();
            cursor.write_all(&vec![0xEE; n]).unwrap();
            expected.resize(expected.len().max(at + n), 0);
            expected[at..at + n].fill(0xEE);
        }
        cursor.seek(SeekFrom::Start(0)).unwrap();
        let mut now = Vec::new();
        cursor.read_to_end(&mut now).unwrap();
        assert_eq!(now, expected);
        assert_eq!(std::fs::read(file.path()).unwrap(), before);
        assert!(cursor.patched.read_exact_at(20_000, &mut [0; 6]).is_err());
    }
}
