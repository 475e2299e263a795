//! The links of a group.

use std::collections::BTreeSet;
use std::io::Result;

use super::header::{CONTINUATION, Header, LINK, LINK_INFO, LinkInfo, SYMBOL_TABLE};
use super::heap::heap_links;
use crate::h5ad::blocks::{Blocks, Bytes, LARGEST, MOST_NODES, NOWHERE, read, unexpected};

/// A link: a name in a group and its target.
pub(super) struct Link {
    pub(super) name: Vec<u8>,
    pub(super) to: Target,
}

/// The target of a link.
pub(super) enum Target {
    /// A hard link to the object with its header at this address.
    Object(u64),
    /// A soft link to a path.
    Path {
        path: Vec<u8>,
        /// Location of the link, if the link can be changed in place.
        place: Option<Place>,
    },
    /// A link to another file.
    Elsewhere,
}

/// Location of a soft link in an object with a header of version 1 (HDF5 1.6).
pub(super) enum Place {
    /// A symbol table entry at this address.
    Entry(u64),
    /// A header message at this address.
    Message(u64, Vec<u8>),
}

/// The links of the object at `address`; `None` if the object is not a group.
pub(super) fn links(file: &mut dyn Blocks, address: u64) -> Result<Option<Vec<Link>>> {
    let Some(header) = Header::read(file, address)? else { return old_links(file, address) };
    if let Some(table) = header.messages.iter().find(|message| message.kind == SYMBOL_TABLE) {
        return table_links(file, &table.body).map(Some);
    }
    if !header.messages.iter().any(|message| matches!(message.kind, LINK | LINK_INFO)) {
        return Ok(None);
    }
    let mut bodies: Vec<Vec<u8>> =
        header.messages.iter().filter(|message| message.kind == LINK).map(|message| message.body.clone()).collect();
    if let Some(info) = header.link_info()?
        && info.heap != NOWHERE
    {
        bodies.extend(heap_links(file, &info)?);
    }
    bodies.iter().map(|body| link(body)).collect::<Result<_>>().map(Some)
}

/// Address of the object header that a name in a group links to.
pub(super) fn find(file: &mut dyn Blocks, group: u64, name: &str) -> Result<Option<u64>> {
    let found = links(file, group)?.into_iter().flatten().find(|link| link.name == name.as_bytes());
    Ok(found.and_then(|link| if let Target::Object(address) = link.to { Some(address) } else { None }))
}

/// Parses a link message of HDF5 1.8.
pub(super) fn link(body: &[u8]) -> Result<Link> {
    let mut bytes = Bytes(body);
    bytes.take(1)?;
    let flags = bytes.number(1)?;
    let kind = if flags & 8 != 0 { bytes.number(1)? } else { 0 };
    bytes.take(if flags & 4 != 0 { 8 } else { 0 })?;
    bytes.take(u64::from(flags & 16 != 0))?;
    let length = bytes.number(1 << (flags & 3))?;
    let name = bytes.take(length)?.to_vec();
    let to = match kind {
        0 => Target::Object(bytes.number(8)?),
        1 => {
            let length = bytes.number(2)?;
            Target::Path { path: bytes.take(length)?.to_vec(), place: None }
        }
        _ => Target::Elsewhere,
    };
    Ok(Link { name, to })
}

/// Like [`links`], for an object with a header of version 1 (HDF5 1.6).
fn old_links(file: &mut dyn Blocks, address: u64) -> Result<Option<Vec<Link>>> {
    let messages = old_messages(file, address)?;
    let of = |kind: u8| messages.iter().filter(move |(found, ..)| *found == u64::from(kind));
    if let Some((_, _, table)) = of(SYMBOL_TABLE).next() {
        return table_links(file, table).map(Some);
    }
    // an external link in a group converts all its links to those of HDF5 1.8, in a header of version 1
    let Some((_, _, info)) = of(LINK_INFO).next() else { return Ok(None) };
    let mut links = Vec::new();
    for (_, at, body) in of(LINK) {
        let mut found = link(body)?;
        if let Target::Path { place, .. } = &mut found.to {
            *place = Some(Place::Message(*at, body.clone()));
        }
        links.push(found);
    }
    let info = LinkInfo::of(info)?;
    if info.heap != NOWHERE {
        for body in heap_links(file, &info)? {
            links.push(link(&body)?);
        }
    }
    Ok(Some(links))
}

/// Type, address and content of the messages in an object header of version 1 (HDF5 1.6).
fn old_messages(file: &mut dyn Blocks, object: u64) -> Result<Vec<(u64, u64, Vec<u8>)>> {
    let prefix = read(file, object, 16)?;
    let after = object.checked_add(16).ok_or_else(|| unexpected("an object header"))?;
    let mut bytes = Bytes(&prefix);
    if bytes.number(1)? != 1 {
        return Err(unexpected("an object header"));
    }
    bytes.take(1)?;
    let n_messages = bytes.number(2)?;
    bytes.take(4)?;
    let size = bytes.number(4)?;
    let mut blocks = vec![(after, size)];
    let mut messages = Vec::new();
    let mut total = 0_u64;
    while let Some((at, size)) = blocks.pop() {
        total = total.saturating_add(size.max(16));
        if total > LARGEST {
            return Err(unexpected("an object header"));
        }
        let block = read(file, at, size)?;
        let mut bytes = Bytes(&block);
        while bytes.0.len() >= 8 && (messages.len() as u64) < n_messages {
            let (kind, size) = (bytes.number(2)?, bytes.number(2)?);
            bytes.take(4)?;
            let at = at.saturating_add((block.len() - bytes.0.len()) as u64);
            let body = bytes.take(size)?;
            if kind == u64::from(CONTINUATION) {
                let mut to = Bytes(body);
                blocks.push((to.number(8)?, to.number(8)?));
            }
            messages.push((kind, at, body.to_vec()));
        }
    }
    Ok(messages)
}

/// The links of a group of HDF5 1.6, which are stored in a B-tree of symbol tables.
fn table_links(file: &mut dyn Blocks, table: &[u8]) -> Result<Vec<Link>> {
    let mut bytes = Bytes(table);
    let (tree, heap) = (bytes.number(8)?, bytes.number(8)?);
    let heap = read(file, heap, 32)?;
    let mut bytes = Bytes(&heap);
    bytes.signature(b"HEAP")?;
    bytes.take(4)?;
    let length = bytes.number(8)?;
    bytes.take(8)?;
    let texts = read(file, bytes.number(8)?, length)?;
    let text = |offset: u64| -> Result<Vec<u8>> {
        let rest = texts.get(usize::try_from(offset).unwrap_or(usize::MAX)..).ok_or_else(|| unexpected("a name"))?;
        Ok(rest.split(|&byte| byte == 0).next().unwrap_or_default().to_vec())
    };
    let mut links = Vec::new();
    let mut nodes = vec![(tree, u64::MAX)];
    let mut visited = BTreeSet::new();
    let mut letters = 0;
    while let Some((at, above)) = nodes.pop() {
        if !visited.insert(at) || visited.len() > MOST_NODES || nodes.len() > MOST_NODES {
            return Err(unexpected("a smaller tree"));
        }
        let start = read(file, at, 8)?;
        if start.starts_with(b"SNOD") {
            let n = Bytes(&start[6..]).number(2)?;
            let first = at.saturating_add(8);
            let entries = read(file, first, n * ENTRY as u64)?;
            for (place, entry) in (first..).step_by(ENTRY).zip(entries.chunks_exact(ENTRY)) {
                let mut bytes = Bytes(entry);
                let name = text(bytes.number(8)?)?;
                letters += name.len() as u64;
                if letters > LARGEST {
                    return Err(unexpected("shorter names"));
                }
                let address = bytes.number(8)?;
                let to = if address != NOWHERE {
                    Target::Object(address)
                } else if bytes.number(4)? == SOFT {
                    bytes.take(4)?;
                    Target::Path { path: text(bytes.number(4)?)?, place: Some(Place::Entry(place)) }
                } else {
                    Target::Elsewhere
                };
                links.push(Link { name, to });
            }
            continue;
        }
        let mut bytes = Bytes(&start);
        bytes.signature(b"TREE")?;
        bytes.take(1)?;
        let (level, n) = (bytes.number(1)?, bytes.number(2)?);
        if level >= above {
            return Err(unexpected("a tree"));
        }
        let children = read(file, at.saturating_add(24), n * 16)?;
        for child in children.chunks_exact(16) {
            nodes.push((Bytes(&child[8..]).number(8)?, level));
        }
    }
    Ok(links)
}

/// Bytes of a symbol table entry.
const ENTRY: usize = 40;
/// Cache type of a symbol table entry that is a soft link.
const SOFT: u64 = 2;
