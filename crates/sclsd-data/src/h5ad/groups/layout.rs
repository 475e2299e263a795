//! Chunked arrays as HDF5 2.0 stores them with `libver="latest"`: with a data layout message of version 5. It differs
//! from version 4 only in the width of the chunk size, which the chunk index stores too. The arrays can therefore be
//! read with the version number changed to 4.

use std::collections::BTreeSet;
use std::io::{Result, SeekFrom};

use super::header::Header;
use super::links::{Target, links};
use crate::h5ad::blocks::{Blocks, MOST_NODES, read, unexpected};
use crate::h5ad::superblock::lookup3;

/// Type of the data layout message.
const LAYOUT: u8 = 8;

/// Changes layout messages below the group at `root` from version 5 to version 4. Returns the number of changes. Use
/// the result for reading only: the HDF5 library derives the width of the chunk size from the version.
///
/// # Errors
/// If the file cannot be read or written, or has an unexpected structure.
pub(crate) fn layouts_as_version_4(file: &mut dyn Blocks, root: u64) -> Result<usize> {
    let (mut found, mut seen, mut waiting) = (0, BTreeSet::from([root]), vec![root]);
    while let Some(object) = waiting.pop() {
        match links(file, object)? {
            Some(links) => waiting.extend(links.into_iter().filter_map(|link| match link.to {
                Target::Object(address) if seen.insert(address) => Some(address),
                _ => None,
            })),
            None => found += as_version_4(file, object)?,
        }
        if seen.len() > MOST_NODES {
            return Err(unexpected("fewer objects"));
        }
    }
    Ok(found)
}

fn as_version_4(file: &mut dyn Blocks, object: u64) -> Result<usize> {
    let Some(header) = Header::read(file, object)? else { return Ok(0) };
    let mut found = 0;
    for (message, place) in header.messages.iter().zip(&header.places) {
        if message.kind == LAYOUT && message.body.first() == Some(&5) {
            file.seek(SeekFrom::Start(place.body))?;
            file.write_all(&[4])?;
            let block = read(file, place.block, place.checksum - place.block)?;
            file.seek(SeekFrom::Start(place.checksum))?;
            file.write_all(&lookup3(&block).to_le_bytes())?;
            found += 1;
        }
    }
    Ok(found)
}
