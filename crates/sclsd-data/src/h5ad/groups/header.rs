//! Object headers.

use std::io::{Result, SeekFrom};

use crate::h5ad::blocks::{Blocks, Bytes, LARGEST, MOST_NODES, read, unexpected};
use crate::h5ad::superblock::{lookup3, set_end_of_file};

pub(super) const NIL: u8 = 0;
pub(super) const LINK_INFO: u8 = 2;
pub(super) const LINK: u8 = 6;
pub(super) const GROUP_INFO: u8 = 10;
pub(super) const CONTINUATION: u8 = 16;
pub(super) const SYMBOL_TABLE: u8 = 17;
pub(super) const REFERENCE_COUNT: u8 = 22;

/// The link info message of an object header.
pub(super) struct LinkInfo {
    pub(super) most_created: Option<u64>,
    pub(super) heap: u64,
    pub(super) names: u64,
}

impl LinkInfo {
    pub(super) fn of(message: &[u8]) -> Result<Self> {
        let mut bytes = Bytes(message);
        bytes.take(1)?;
        let flags = bytes.number(1)?;
        let most_created = if flags & 1 != 0 { Some(bytes.number(8)?) } else { None };
        Ok(Self { most_created, heap: bytes.number(8)?, names: bytes.number(8)? })
    }
}

#[derive(Clone)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// Creation order index, if the header tracks creation order.
    pub(super) order: u16,
    pub(super) body: Vec<u8>,
}

/// An object header of version 2 (HDF5 1.8).
pub(super) struct Header {
    flags: u8,
    /// Bytes before the messages.
    prefix: Vec<u8>,
    /// Bytes of the messages in the first block.
    size: u64,
    pub(super) messages: Vec<Message>,
    /// Location of each message.
    pub(super) places: Vec<Place>,
}

/// Location of a message.
pub(super) struct Place {
    pub(super) body: u64,
    /// Addresses of the block that holds the message and of the block's checksum.
    pub(super) block: u64,
    pub(super) checksum: u64,
}

impl Header {
    /// Reads the object header at `address`; `None` for a header of version 1 (HDF5 1.6).
    pub(super) fn read(file: &mut dyn Blocks, address: u64) -> Result<Option<Self>> {
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
        let mut blocks = vec![(address, prefix.len() as u64, size)];
        let (mut messages, mut places) = (Vec::new(), Vec::new());
        let (mut total, mut visited) = (0_u64, 0);
        while let Some((first, head, size)) = blocks.pop() {
            let at = first.saturating_add(head);
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
                let body_at = at.saturating_add((block.len() - bytes.0.len()) as u64);
                places.push(Place { body: body_at, block: first, checksum: at.saturating_add(block.len() as u64) });
                let body = bytes.take(size)?.to_vec();
                let kind = u8::try_from(kind).unwrap_or(NIL);
                if kind == CONTINUATION {
                    let mut to = Bytes(&body);
                    let (at, size) = (to.number(8)?, to.number(8)?);
                    // the block's signature, and the checksum after the block
                    if size < 8 || at > u64::MAX - 4 || read(file, at, 4)? != b"OCHK" {
                        return Err(unexpected("a continuation"));
                    }
                    blocks.push((at, 4, size - 8));
                }
                messages.push(Message {
                    kind,
                    flags: u8::try_from(marks).unwrap_or(0),
                    order: u16::try_from(order).unwrap_or(0),
                    body,
                });
            }
        }
        Ok(Some(Self { flags, prefix, size, messages, places }))
    }

    pub(super) fn link_info(&self) -> Result<Option<LinkInfo>> {
        let Some(message) = self.messages.iter().find(|message| message.kind == LINK_INFO) else { return Ok(None) };
        LinkInfo::of(&message.body).map(Some)
    }

    /// Writes `messages` into a new block at the end of the file, and replaces the old messages by a continuation
    /// message to that block.
    pub(super) fn write(&self, file: &mut dyn Blocks, address: u64, messages: &[Message]) -> Result<()> {
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
