//! Rewrites groups that the HDF5 library cannot add to: groups with links in a fractal heap, as h5py writes groups of
//! more than eight members with `libver="latest"`, and groups that track the creation order.
//!
//! The object header of such a group gets one more block, at the end of the file, that holds its links one after the
//! other. Every version of the HDF5 format since 1.8 allows such a block. No object moves, and only the links are read:
//!
//! ```text
//! header at its place: [continuation → block]      block: [link info: no heap][group info][link]…[attribute]…
//! ```

use std::io::Result;

use super::header::{CONTINUATION, GROUP_INFO, Header, LINK, LINK_INFO, Message, NIL};
use super::heap::heap_links;
use super::links::find;
use crate::h5ad::blocks::{Blocks, NOWHERE};

/// Upper limit on the number of links that a group may have without a heap after the rewrite.
const MOST_LINKS: u16 = u16::MAX;

/// Rewrites the named groups, such as `obs`, so that the HDF5 library can add to them; `""` is the root. Groups that
/// are missing or already suitable are unchanged.
///
/// # Errors
/// If the file cannot be read or written, or has an unexpected structure. The group in question is then unchanged.
pub(crate) fn open_up(file: &mut dyn Blocks, root: u64, groups: &[&str]) -> Result<()> {
    for group in groups {
        let mut at = Some(root);
        for name in group.split('/').filter(|name| !name.is_empty()) {
            at = match at {
                Some(address) => find(file, address, name)?,
                None => None,
            };
        }
        let Some(address) = at else { continue };
        // the library itself converts a group of HDF5 1.6
        let Some(header) = Header::read(file, address)? else { continue };
        let Some(info) = header.link_info()? else { continue };
        if info.heap != NOWHERE || info.most_created.is_some() {
            with_links(file, address, &header, |body| Ok(body.to_vec()))?;
        }
    }
    Ok(())
}

/// Rewrites the links of a group of HDF5 1.8 one after the other. `change` maps each link message to the new one.
pub(super) fn with_links(
    file: &mut dyn Blocks,
    address: u64,
    header: &Header,
    change: impl Fn(&[u8]) -> Result<Vec<u8>>,
) -> Result<()> {
    let Some(info) = header.link_info()? else { return Ok(()) };
    let flags = u8::from(info.most_created.is_some());
    let mut body = vec![0, flags];
    body.extend(info.most_created.iter().flat_map(|most| most.to_le_bytes()));
    body.extend([NOWHERE.to_le_bytes(), NOWHERE.to_le_bytes()].concat());
    let limits = [&[0, 1][..], &MOST_LINKS.to_le_bytes(), &0_u16.to_le_bytes()].concat();
    let mut messages = vec![
        Message { kind: LINK_INFO, flags: 0, order: 0, body },
        Message { kind: GROUP_INFO, flags: 0, order: 0, body: limits },
    ];
    if info.heap != NOWHERE {
        for body in heap_links(file, &info)? {
            messages.push(Message { kind: LINK, flags: 0, order: 0, body });
        }
    }
    let made = [NIL, LINK_INFO, GROUP_INFO, CONTINUATION];
    messages.extend(header.messages.iter().filter(|message| !made.contains(&message.kind)).cloned());
    for message in messages.iter_mut().filter(|message| message.kind == LINK) {
        message.body = change(&message.body)?;
    }
    header.write(file, address, &messages)
}
