//! Groups whose links lie in a heap, as h5py with `libver="latest"` writes groups of more than eight members, and those that
//! keep the order of creation: the HDF5 library adds to neither.
//!
//! The header of such a group is given one more block, at the end of the file, that holds its links one after the other.
//! Every form of the HDF5 format since 1.8 allows that, nothing moves, and nothing but the links is read:
//!
//! ```text
//! header at its place: [continuation → block]      block: [link info: no heap][group info][link]…[attribute]…
//! ```
//!
//! Source: HDF5 File Format Specification 3.0, sections III.A.2, III.E, III.G, IV.A.1.b and IV.A.2.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};

use super::superblock::{lookup3, set_end_of_file};

const NIL: u8 = 0;
const LINK_INFO: u8 = 2;
const LINK: u8 = 6;
const GROUP_INFO: u8 = 10;
const CONTINUATION: u8 = 16;
const SYMBOL_TABLE: u8 = 17;

/// Address of what there is not.
const NOWHERE: u64 = u64::MAX;

/// Links that a group may have without a heap from then on.
const MOST_LINKS: u16 = u16::MAX;

/// Nodes of a tree, or blocks of a header, that are read at most.
const MOST_NODES: usize = 1 << 17;

/// Tables of a heap that lie within one another at most.
const DEEPEST: usize = 64;

/// Bytes of a header or a heap that are read at most.
const LARGEST: u64 = 1 << 26;

/// Makes the groups named, such as `obs`, those that the HDF5 library adds to; `""` is the root. A group that is not there,
/// or is one already, is left as it is.
///
/// # Errors
/// Where the file cannot be read or written, or is not made as expected: then nothing was changed about that group.
pub(super) fn open_up(file: &mut File, root: u64, groups: &[&str]) -> Result<()> {
    for group in groups {
        let mut at = Some(root);
        for name in group.split('/').filter(|name| !name.is_empty()) {
            at = match at {
                Some(address) => find(file, address, name)?,
                None => None,
            };
        }
        if let Some(address) = at {
            open_up_one(file, address)?;
        }
    }
    Ok(())
}

fn open_up_one(file: &mut File, address: u64) -> Result<()> {
    // an old group is made a new one by the library itself
    let Some(header) = Header::read(file, address)? else { return Ok(()) };
    let Some(info) = header.link_info()? else { return Ok(()) };
    if info.heap == NOWHERE && info.most_created.is_none() {
        return Ok(());
    }
    let mut messages = Vec::new();
    let flags = u8::from(info.most_created.is_some());
    let mut body = vec![0, flags];
    body.extend(info.most_created.iter().flat_map(|most| most.to_le_bytes()));
    body.extend([NOWHERE.to_le_bytes(), NOWHERE.to_le_bytes()].concat());
    messages.push(Message { kind: LINK_INFO, flags: 0, order: 0, body });
    let limits = [&[0, 1][..], &MOST_LINKS.to_le_bytes(), &0_u16.to_le_bytes()].concat();
    messages.push(Message { kind: GROUP_INFO, flags: 0, order: 0, body: limits });
    if info.heap != NOWHERE {
        for body in heap_links(file, &info)? {
            messages.push(Message { kind: LINK, flags: 0, order: 0, body });
        }
    }
    let made = [NIL, LINK_INFO, GROUP_INFO, CONTINUATION];
    messages.extend(header.messages.iter().filter(|message| !made.contains(&message.kind)).cloned());
    header.write(file, address, &messages)
}

/// Where the object of that name in a group has its header.
fn find(file: &mut File, group: u64, name: &str) -> Result<Option<u64>> {
    let Some(header) = Header::read(file, group)? else { return find_in_old_group(file, group, name) };
    let mut links: Vec<Vec<u8>> =
        header.messages.iter().filter(|message| message.kind == LINK).map(|message| message.body.clone()).collect();
    if let Some(info) = header.link_info()?
        && info.heap != NOWHERE
    {
        links.extend(heap_links(file, &info)?);
    }
    if let Some(table) = header.messages.iter().find(|message| message.kind == SYMBOL_TABLE) {
        return find_in_table(file, &table.body, name);
    }
    for link in links {
        let mut bytes = Bytes(&link);
        if let Some((found, address)) = hard_link(&mut bytes)?
            && found == name.as_bytes()
        {
            return Ok(Some(address));
        }
    }
    Ok(None)
}

/// Name and address of a link; `None` for one that is not hard.
fn hard_link<'a>(bytes: &mut Bytes<'a>) -> Result<Option<(&'a [u8], u64)>> {
    bytes.take(1)?;
    let flags = bytes.number(1)?;
    let kind = if flags & 8 != 0 { bytes.number(1)? } else { 0 };
    bytes.take(if flags & 4 != 0 { 8 } else { 0 })?;
    bytes.take(u64::from(flags & 16 != 0))?;
    let length = bytes.number(1 << (flags & 3))?;
    let name = bytes.take(length)?;
    if kind == 0 { Ok(Some((name, bytes.number(8)?))) } else { Ok(None) }
}

/// The same in a group of HDF5 1.6, whose links lie in a tree of symbol tables.
fn find_in_old_group(file: &mut File, group: u64, name: &str) -> Result<Option<u64>> {
    let prefix = read(file, group, 16)?;
    let after = group.checked_add(16).ok_or_else(|| unexpected("an object header"))?;
    let mut bytes = Bytes(&prefix);
    if bytes.number(1)? != 1 {
        return Err(unexpected("an object header"));
    }
    bytes.take(1)?;
    let n_messages = bytes.number(2)?;
    bytes.take(4)?;
    let size = bytes.number(4)?;
    let mut blocks = vec![(after, size)];
    let mut seen = 0;
    while let Some((at, size)) = blocks.pop() {
        let block = read(file, at, size)?;
        let mut bytes = Bytes(&block);
        while bytes.0.len() >= 8 && seen < n_messages {
            seen += 1;
            let (kind, size) = (bytes.number(2)?, bytes.number(2)?);
            bytes.take(4)?;
            let body = bytes.take(size)?;
            if kind == u64::from(SYMBOL_TABLE) {
                return find_in_table(file, body, name);
            }
            if kind == u64::from(CONTINUATION) {
                let mut to = Bytes(body);
                blocks.push((to.number(8)?, to.number(8)?));
            }
        }
    }
    Ok(None)
}

fn find_in_table(file: &mut File, table: &[u8], name: &str) -> Result<Option<u64>> {
    let mut bytes = Bytes(table);
    let (tree, heap) = (bytes.number(8)?, bytes.number(8)?);
    let heap = read(file, heap, 32)?;
    let mut bytes = Bytes(&heap);
    bytes.signature(b"HEAP")?;
    bytes.take(4)?;
    let length = bytes.number(8)?;
    bytes.take(8)?;
    let names = read(file, bytes.number(8)?, length)?;
    let mut nodes = vec![(tree, u64::MAX)];
    let mut visited = 0;
    while let Some((at, above)) = nodes.pop() {
        visited += 1;
        if visited > MOST_NODES || nodes.len() > MOST_NODES {
            return Err(unexpected("a smaller tree"));
        }
        let start = read(file, at, 8)?;
        if start.starts_with(b"SNOD") {
            let n = Bytes(&start[6..]).number(2)?;
            let entries = read(file, at.saturating_add(8), n * 40)?;
            for entry in entries.chunks_exact(40) {
                let mut entry = Bytes(entry);
                let offset = usize::try_from(entry.number(8)?).unwrap_or(usize::MAX);
                let rest = names.get(offset..).ok_or_else(|| unexpected("a name"))?;
                if rest.split(|&byte| byte == 0).next() == Some(name.as_bytes()) {
                    return Ok(Some(entry.number(8)?));
                }
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
    Ok(None)
}

/// What a header says of its links.
struct LinkInfo {
    most_created: Option<u64>,
    heap: u64,
    names: u64,
}

#[derive(Clone)]
struct Message {
    kind: u8,
    flags: u8,
    /// Order of creation, where the header keeps it.
    order: u16,
    body: Vec<u8>,
}

/// An object header of HDF5 1.8.
struct Header {
    flags: u8,
    /// Bytes before the messages.
    prefix: Vec<u8>,
    /// Bytes of the messages in the first block.
    size: u64,
    messages: Vec<Message>,
}

impl Header {
    /// The header at `address`; `None` for one of HDF5 1.6.
    fn read(file: &mut File, address: u64) -> Result<Option<Self>> {
        let start = read(file, address, 6)?;
        if !start.starts_with(b"OHDR") {
            return Ok(None);
        }
        let flags = start[5];
        let times = if flags & 32 != 0 { 16 } else { 0 };
        let phases = if flags & 16 != 0 { 4 } else { 0 };
        let width = 1 << (flags & 3);
        let prefix = read(file, address, 6 + times + phases + width)?;
        let mut bytes = Bytes(&prefix);
        bytes.take(6 + times + phases)?;
        let size = bytes.number(width)?;
        let mut blocks = vec![(address.saturating_add(prefix.len() as u64), size)];
        let mut messages = Vec::new();
        let (mut total, mut visited) = (0_u64, 0);
        while let Some((at, size)) = blocks.pop() {
            total = total.saturating_add(size);
            visited += 1;
            if total > LARGEST || visited > MOST_NODES || blocks.len() > MOST_NODES {
                return Err(unexpected("an object header"));
            }
            let block = read(file, at, size)?;
            let mut bytes = Bytes(&block);
            let record = if flags & 4 != 0 { 6 } else { 4 };
            while bytes.0.len() >= record {
                let (kind, size) = (bytes.number(1)?, bytes.number(2)?);
                let (marks, order) = (bytes.number(1)?, if flags & 4 != 0 { bytes.number(2)? } else { 0 });
                let body = bytes.take(size)?.to_vec();
                let kind = u8::try_from(kind).unwrap_or(NIL);
                if kind == CONTINUATION {
                    let mut to = Bytes(&body);
                    let (at, size) = (to.number(8)?, to.number(8)?);
                    // its signature, and the checksum behind it
                    if size < 8 || at > u64::MAX - 4 || read(file, at, 4)? != b"OCHK" {
                        return Err(unexpected("a continuation"));
                    }
                    blocks.push((at + 4, size - 8));
                }
                messages.push(Message {
                    kind,
                    flags: u8::try_from(marks).unwrap_or(0),
                    order: u16::try_from(order).unwrap_or(0),
                    body,
                });
            }
        }
        Ok(Some(Self { flags, prefix, size, messages }))
    }

    fn link_info(&self) -> Result<Option<LinkInfo>> {
        let Some(message) = self.messages.iter().find(|message| message.kind == LINK_INFO) else { return Ok(None) };
        let mut bytes = Bytes(&message.body);
        bytes.take(1)?;
        let flags = bytes.number(1)?;
        let most_created = if flags & 1 != 0 { Some(bytes.number(8)?) } else { None };
        Ok(Some(LinkInfo { most_created, heap: bytes.number(8)?, names: bytes.number(8)? }))
    }

    /// Puts `messages` into a block at the end of the file, and a continuation to it into the place of those there were.
    fn write(&self, file: &mut File, address: u64, messages: &[Message]) -> Result<()> {
        let mut block = b"OCHK".to_vec();
        for message in messages {
            self.push(&mut block, message)?;
        }
        block.extend(lookup3(&block).to_le_bytes());
        let at = file.seek(SeekFrom::End(0))?.next_multiple_of(8);
        let body = [at.to_le_bytes(), (block.len() as u64).to_le_bytes()].concat();
        let mut header = self.prefix.clone();
        self.push(&mut header, &Message { kind: CONTINUATION, flags: 0, order: 0, body })?;
        let whole = self.prefix.len() + usize::try_from(self.size).unwrap_or(usize::MAX);
        let left = whole.checked_sub(header.len()).ok_or_else(|| unexpected("a header with room"))?;
        let record = if self.flags & 4 != 0 { 6 } else { 4 };
        if left >= record {
            self.push(&mut header, &Message { kind: NIL, flags: 0, order: 0, body: vec![0; left - record] })?;
        } else {
            header.resize(whole, 0);
        }
        header.extend(lookup3(&header).to_le_bytes());
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&block)?;
        set_end_of_file(file, at + block.len() as u64)?;
        file.seek(SeekFrom::Start(address))?;
        file.write_all(&header)
    }

    fn push(&self, to: &mut Vec<u8>, message: &Message) -> Result<()> {
        to.push(message.kind);
        let size = u16::try_from(message.body.len()).map_err(|_| unexpected("a short message"))?;
        to.extend(size.to_le_bytes());
        to.push(message.flags);
        if self.flags & 4 != 0 {
            to.extend(message.order.to_le_bytes());
        }
        to.extend(&message.body);
        Ok(())
    }
}

/// The links of a group as messages, in the order of the hashes of their names.
fn heap_links(file: &mut File, info: &LinkInfo) -> Result<Vec<Vec<u8>>> {
    let heap = Heap::read(file, info.heap)?;
    let mut links = Vec::new();
    for record in tree_records(file, info.names)? {
        // a hash of the name, then where it lies in the heap
        let id = record.get(4..).ok_or_else(|| unexpected("a record of a name"))?;
        links.push(heap.object(file, id)?);
    }
    Ok(links)
}

/// Records of a tree of version 2, in their order.
fn tree_records(file: &mut File, address: u64) -> Result<Vec<Vec<u8>>> {
    let header = read(file, address, 38)?;
    let mut bytes = Bytes(&header);
    bytes.signature(b"BTHD")?;
    bytes.take(2)?;
    let (node, record, depth) = (bytes.number(4)?, bytes.number(2)?, bytes.number(2)?);
    bytes.take(2)?;
    let (root, n) = (bytes.number(8)?, bytes.number(2)?);
    if record == 0 || node < 10 + record || depth > 8 {
        return Err(unexpected("a tree of names"));
    }
    // how many records a node of each level holds, and how many bytes say how many there are in it and below it
    let width = |most: u64| u64::from(most.max(1).ilog2()) / 8 + 1;
    let most_in_leaf = (node - 10) / record;
    let mut levels = vec![(width(most_in_leaf), 0, most_in_leaf)];
    for level in 1..=usize::try_from(depth).unwrap_or(0) {
        let (below, below_all, most_below) = levels[level - 1];
        let pointer = 8 + below + below_all;
        let most = (node - 10).saturating_sub(pointer) / (record + pointer);
        let all = (most + 1).saturating_mul(most_below).saturating_add(most);
        levels.push((width(most), width(all), all));
    }
    let mut records = Vec::new();
    if root != NOWHERE {
        let mut tree = Tree { file, record, levels, records: &mut records, visited: 0 };
        tree.visit(root, n, usize::try_from(depth).unwrap_or(0))?;
    }
    Ok(records)
}

/// A tree of version 2 that is walked through.
struct Tree<'a> {
    file: &'a mut File,
    /// Bytes of a record.
    record: u64,
    /// Bytes that say how many records a node of a level has, and how many there are below it, and how many those can be.
    levels: Vec<(u64, u64, u64)>,
    records: &'a mut Vec<Vec<u8>>,
    visited: usize,
}

impl Tree<'_> {
    fn visit(&mut self, address: u64, n: u64, level: usize) -> Result<()> {
        let (record, levels) = (self.record, &self.levels);
        let pointer = if level == 0 { 0 } else { 8 + levels[level - 1].0 + levels[level - 1].1 };
        let (below, below_all) = if level == 0 { (0, 0) } else { (levels[level - 1].0, levels[level - 1].1) };
        let block = read(self.file, address, 6 + n * record + if level == 0 { 0 } else { (n + 1) * pointer })?;
        let mut bytes = Bytes(&block);
        bytes.signature(if level == 0 { b"BTLF" } else { b"BTIN" })?;
        bytes.take(2)?;
        let mut own = Vec::new();
        for _ in 0..n {
            own.push(bytes.take(record)?.to_vec());
        }
        self.visited += 1;
        if self.records.len() > usize::from(MOST_LINKS) || self.visited > MOST_NODES {
            return Err(unexpected("fewer links"));
        }
        if level == 0 {
            self.records.extend(own);
            return Ok(());
        }
        let mut own = own.into_iter();
        for _ in 0..=n {
            let (child, held) = (bytes.number(8)?, bytes.number(below)?);
            bytes.take(below_all)?;
            self.visit(child, held, level - 1)?;
            self.records.extend(own.next());
        }
        Ok(())
    }
}

/// A fractal heap.
struct Heap {
    offset_bytes: u64,
    length_bytes: u64,
    width: u64,
    start: u64,
    largest: u64,
    root: u64,
    /// Rows of the root's table; 0 where the root is a block of data.
    rows: u64,
}

impl Heap {
    fn read(file: &mut File, address: u64) -> Result<Self> {
        let header = read(file, address, 142)?;
        let mut bytes = Bytes(&header);
        bytes.signature(b"FRHP")?;
        bytes.take(3)?;
        let filters = bytes.number(2)?;
        bytes.take(1)?;
        let largest_object = bytes.number(4)?;
        bytes.take(96)?;
        let (width, start, largest) = (bytes.number(2)?, bytes.number(8)?, bytes.number(8)?);
        let bits = bytes.number(2)?;
        bytes.take(2)?;
        let (root, rows) = (bytes.number(8)?, bytes.number(2)?);
        let sound = width > 0 && start.is_power_of_two() && largest.is_power_of_two() && largest >= start;
        if filters != 0 || !sound || bits > 64 {
            return Err(unexpected("a heap of links"));
        }
        let most = largest.min(largest_object).max(1);
        let length_bytes = u64::from(most.ilog2()) / 8 + 1;
        Ok(Self { offset_bytes: bits.div_ceil(8), length_bytes, width, start, largest, root, rows })
    }

    /// The bytes of the object of that id.
    fn object(&self, file: &mut File, id: &[u8]) -> Result<Vec<u8>> {
        let mut bytes = Bytes(id);
        let kind = bytes.number(1)?;
        match kind & 0x30 {
            0x00 => {
                let (offset, length) = (bytes.number(self.offset_bytes)?, bytes.number(self.length_bytes)?);
                let (block, first) = self.block(file, offset)?;
                let at = block.checked_add(offset - first).ok_or_else(|| unexpected("an object in its heap"))?;
                read(file, at, length)
            }
            0x20 => Ok(bytes.take((kind & 0x0f) + 1)?.to_vec()),
            _ => Err(unexpected("a link of ordinary size")),
        }
    }

    /// Address of the block of data that `offset` lies in, and the offset at which that begins.
    fn block(&self, file: &mut File, offset: u64) -> Result<(u64, u64)> {
        if self.rows == 0 {
            return Ok((self.root, 0));
        }
        let direct_rows = u64::from(self.largest.ilog2() - self.start.ilog2()) + 2;
        let (mut table, mut first, mut rows) = (self.root, 0_u64, self.rows);
        for _ in 0..DEEPEST {
            // the row of the table and the place in it
            let mut row = 0;
            let mut row_first = first;
            let mut size = self.start;
            while row < rows {
                let next = size.checked_mul(self.width).and_then(|n| n.checked_add(row_first));
                let next = next.ok_or_else(|| unexpected("a heap"))?;
                if offset < next {
                    break;
                }
                row_first = next;
                row += 1;
                if row > 1 {
                    size = size.checked_mul(2).ok_or_else(|| unexpected("a heap"))?;
                }
            }
            if row == rows {
                return Err(unexpected("an object in its heap"));
            }
            let place = (offset - row_first) / size;
            let entry = (row * self.width + place) * 8 + self.offset_bytes + 13;
            let entry = table.checked_add(entry).ok_or_else(|| unexpected("a table of a heap"))?;
            if read(file, table, 4)? != b"FHIB" {
                return Err(unexpected("a table of a heap"));
            }
            let child = Bytes(&read(file, entry, 8)?).number(8)?;
            first = row_first + place * size;
            if row < direct_rows {
                return Ok((child, first));
            }
            table = child;
            let least = self.start.saturating_mul(self.width).ilog2();
            rows = u64::from(size.ilog2().saturating_sub(least)) + 1;
        }
        Err(unexpected("a table of a heap"))
    }
}

/// Bytes that are read from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, n: u64) -> Result<&'a [u8]> {
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        let (taken, rest) = self.0.split_at_checked(n).ok_or_else(|| unexpected("more bytes"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of up to 8 bytes, the lowest first.
    fn number(&mut self, width: u64) -> Result<u64> {
        Ok(self.take(width)?.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    }

    fn signature(&mut self, expected: &[u8]) -> Result<()> {
        if self.take(expected.len() as u64)? == expected { Ok(()) } else { Err(unexpected("a signature")) }
    }
}

fn read(file: &mut File, at: u64, n: u64) -> Result<Vec<u8>> {
    if n > LARGEST {
        return Err(unexpected("a block of ordinary size"));
    }
    let mut bytes = vec![0; usize::try_from(n).unwrap_or(0)];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn unexpected(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("{what} was expected"))
}
