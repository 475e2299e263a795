//! The superblock: the first bytes of an HDF5 file.

use std::io::{Read as _, SeekFrom};

use super::blocks::Blocks;

/// Replaces the superblock of HDF5 1.6, h5py's default, with a current one (version 2) that holds the same addresses.
/// The file can then be added to without being read in full.
///
/// Does nothing if the superblock is already current, or has settings that a current superblock cannot express.
pub(crate) fn renew_superblock(file: &mut dyn Blocks) -> std::io::Result<()> {
    let mut old = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    (&mut *file).take(100).read_to_end(&mut old)?;
    // version 1 has the number of chunks per index node (and two reserved bytes) after the flags
    let more = match old.get(8) {
        Some(0) => 0,
        Some(1) if old.get(24..26) == Some(&[32, 0]) => 4,
        _ => return Ok(()),
    };
    let plain = old.len() >= 80 + more && old.starts_with(b"\x89HDF\r\n\x1a\n") && old[13..15] == [8, 8];
    // a current superblock implies nodes of 4 and 16 entries, base address 0 and no driver information block
    let addresses: Vec<u64> =
        old.get(24 + more..72 + more).unwrap_or_default().chunks_exact(8).map(little_endian).collect();
    if !plain || old[16..20] != [4, 0, 16, 0] || addresses[0] != 0 || addresses[3] != u64::MAX {
        return Ok(());
    }
    let mut new = old[..8].to_vec();
    new.extend([2, 8, 8, 0]);
    for address in [0, u64::MAX, addresses[2], addresses[5]] {
        new.extend(address.to_le_bytes());
    }
    new.extend(lookup3(&new).to_le_bytes());
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&new)?;
    file.flush()
}

/// Address of the root group's object header, for a current superblock with base address 0.
pub(crate) fn root_address(file: &mut dyn Blocks) -> std::io::Result<Option<u64>> {
    Ok(read_todays(file)?.map(|block| little_endian(&block[36..44])))
}

/// End-of-file address according to the superblock, under the same conditions.
pub(crate) fn end_of_file(file: &mut dyn Blocks) -> std::io::Result<Option<u64>> {
    Ok(read_todays(file)?.map(|block| little_endian(&block[28..36])))
}

/// Sets the end-of-file address to `end`.
pub(crate) fn set_end_of_file(file: &mut dyn Blocks, end: u64) -> std::io::Result<()> {
    let Some(mut block) = read_todays(file)? else { return Ok(()) };
    block[28..36].copy_from_slice(&end.to_le_bytes());
    let checksum = lookup3(&block[..44]);
    block[44..48].copy_from_slice(&checksum.to_le_bytes());
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&block)
}

/// The 48 bytes of a superblock of version 2 or 3 with 8-byte addresses, at the start of a file that was closed
/// properly.
fn read_todays(file: &mut dyn Blocks) -> std::io::Result<Option<Vec<u8>>> {
    let mut block = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    (&mut *file).take(48).read_to_end(&mut block)?;
    let todays = block.len() == 48
        && block.starts_with(b"\x89HDF\r\n\x1a\n")
        && matches!(block[8], 2 | 3)
        && block[9..12] == [8, 8, 0]
        && block[12..20] == [0; 8]
        && block[20..28] == [0xff; 8];
    Ok(todays.then_some(block))
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

/// Bob Jenkins' `lookup3` hash (`hashlittle`, initial value 0), HDF5's checksum for metadata.
pub(crate) fn lookup3(key: &[u8]) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(u32::try_from(key.len()).unwrap_or(u32::MAX));
    let (mut a, mut b, mut c) = (start, start, start);
    let word = |bytes: &[u8], at: usize| {
        (0..4).fold(0_u32, |sum, i| sum | u32::from(bytes.get(at + i).copied().unwrap_or(0)) << (8 * i))
    };
    let mut rest = key;
    while rest.len() > 12 {
        a = a.wrapping_add(word(rest, 0));
        b = b.wrapping_add(word(rest, 4));
        c = c.wrapping_add(word(rest, 8));
        for (i, turn) in [4, 6, 8, 16, 19, 4].into_iter().enumerate() {
            let (x, y, z) = match i % 3 {
                0 => (&mut a, &mut c, &mut b),
                1 => (&mut b, &mut a, &mut c),
                _ => (&mut c, &mut b, &mut a),
            };
            *x = x.wrapping_sub(*y) ^ y.rotate_left(turn);
            *y = y.wrapping_add(*z);
        }
        rest = &rest[12..];
    }
    if rest.is_empty() {
        return c;
    }
    a = a.wrapping_add(word(rest, 0));
    b = b.wrapping_add(word(rest, 4));
    c = c.wrapping_add(word(rest, 8));
    for (i, turn) in [14, 11, 25, 16, 4, 14, 24].into_iter().enumerate() {
        let (x, y) = match i % 3 {
            0 => (&mut c, b),
            1 => (&mut a, c),
            _ => (&mut b, a),
        };
        *x = (*x ^ y).wrapping_sub(y.rotate_left(turn));
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_published_hash() {
        // test vectors from the driver of Jenkins' lookup3.c
        assert_eq!(lookup3(b""), 0xdead_beef);
        assert_eq!(lookup3(b"Four score and seven years ago"), 0x1777_0551);
    }
}
