//! Arrays as HDF5 2.0 lays them out with `libver="latest"`: the message about it says version 5, in which all is as in
//! version 4 but the width of a chunk's size, and that stands in the index of the chunks too. Read as version 4 it is
//! understood.

use std::collections::BTreeSet;
use std::io::{Result, SeekFrom};

use super::header::Header;
use super::links::{Target, links};
use crate::h5ad::blocks::{Blocks, MOST_NODES, read, unexpected};
use crate::h5ad::superblock::lookup3;

/// Kind of the message about a layout.
const LAYOUT: u8 = 8;

/// Makes version 4 of the layouts of version 5 below the group at `root`; says how many. For reading alone: the HDF5
/// library takes the width of a chunk's size from the version.
///
/// # Errors
/// Where the file cannot be read or written, or is not made as expected.
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
