//! The last bytes of a part result, which say that a second file stands behind the first.
//!
//! ```text
//! first file | second file | length of the first, of the second: u64, little-endian | b"sclsdPT1"
//! ```
//!
//! An HDF5 file ends where its superblock says, so every program that reads HDF5 reads the first file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

const MAGIC: &[u8; 8] = b"sclsdPT1";

/// Bytes of a footer.
const BYTES: u64 = 24;

/// Lengths of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footer {
    pub first: u64,
    pub second: u64,
}

impl Footer {
    /// The footer of an open file of `len` bytes; nothing where it has none, or where its lengths are not the file's.
    pub(super) fn of(mut file: &File, len: u64) -> io::Result<Option<Self>> {
        let Some(at) = len.checked_sub(BYTES) else { return Ok(None) };
        let mut bytes = [0; 24];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut bytes)?;
        let number = |from: usize| bytes[from..from + 8].iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        let footer = Self { first: number(0), second: number(8) };
        let whole = footer.first.checked_add(footer.second) == Some(at) && footer.first > 0 && footer.second > 0;
        Ok((bytes[16..] == *MAGIC && whole).then_some(footer))
    }

    /// As it stands at the end of a file.
    pub(super) fn bytes(self) -> Vec<u8> {
        [&self.first.to_le_bytes()[..], &self.second.to_le_bytes(), MAGIC].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_footer_is_read_back_and_one_whose_lengths_are_not_the_files_is_none() {
        let of = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            Footer::of(&file, bytes.len() as u64).unwrap()
        };
        let footer = Footer { first: 3, second: 2 };
        assert_eq!(of(&[b"abcde", &footer.bytes()[..]].concat()), Some(footer));
        assert_eq!(of(&[b"abcdef", &footer.bytes()[..]].concat()), None);
        let huge = Footer { first: u64::MAX, second: 7 };
        assert_eq!(of(&[b"abcde", &huge.bytes()[..]].concat()), None);
        assert_eq!(of(b"abcde"), None);
        assert_eq!(of(&[0; 40]), None);
    }
}
