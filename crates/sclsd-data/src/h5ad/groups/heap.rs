//! Fractal heaps that store links, and the B-trees of version 2 that index the link names.

use std::io::Result;

use super::header::LinkInfo;
use crate::h5ad::blocks::{Blocks, Bytes, MOST_NODES, NOWHERE, read, unexpected};

/// Upper limit on the number of links in a heap.
const MOST_LINKS: usize = 1 << 16;

/// Upper limit on the nesting depth of indirect blocks in a heap.
const DEEPEST: usize = 64;

/// The link messages of a group, ordered by the hash of the link name.
pub(super) fn heap_links(file: &mut dyn Blocks, info: &LinkInfo) -> Result<Vec<Vec<u8>>> {
    let heap = Heap::read(file, info.heap)?;
    let mut links = Vec::new();
    for record in tree_records(file, info.names)? {
        // a hash of the name, then the heap ID of the link
        let id = record.get(4..).ok_or_else(|| unexpected("a record of a name"))?;
        links.push(heap.object(file, id)?);
    }
    Ok(links)
}

/// Records of a B-tree of version 2, in order.
fn tree_records(file: &mut dyn Blocks, address: u64) -> Result<Vec<Vec<u8>>> {
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
    // number of records per node at each level, and the width in bytes of the record counts of a node and its subtree
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

/// A B-tree of version 2 during traversal.
struct Tree<'a> {
    file: &'a mut dyn Blocks,
    /// Bytes per record.
    record: u64,
    /// Per level: the width in bytes of a node's record count, the width of the record count of its subtree, and the
    /// maximum number of records of the subtree.
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
        if self.records.len() >= MOST_LINKS || self.visited > MOST_NODES {
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
    /// Number of rows of the root indirect block; 0 if the root is a direct block.
    rows: u64,
}

impl Heap {
    fn read(file: &mut dyn Blocks, address: u64) -> Result<Self> {
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

    /// The bytes of the object with this heap ID.
    fn object(&self, file: &mut dyn Blocks, id: &[u8]) -> Result<Vec<u8>> {
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

    /// Address of the direct block that contains `offset`, and the heap offset at which that block starts.
    fn block(&self, file: &mut dyn Blocks, offset: u64) -> Result<(u64, u64)> {
        if self.rows == 0 {
            return Ok((self.root, 0));
        }
        let direct_rows = u64::from(self.largest.ilog2() - self.start.ilog2()) + 2;
        let (mut table, mut first, mut rows) = (self.root, 0_u64, self.rows);
        for _ in 0..DEEPEST {
            // row and column in the doubling table
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
