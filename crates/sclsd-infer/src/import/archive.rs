//! Checks the sizes that a zip archive declares. Readers allocate the declared sizes. `torch.save` stores entries
//! uncompressed, so the declared sizes must fit into the file.

/// Signature of the end-of-directory record, and its length without the comment.
const END: ([u8; 4], usize) = (*b"PK\x05\x06", 22);
/// Signatures of the 64-bit end record and of the locator that points to it.
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR: ([u8; 4], usize) = (*b"PK\x06\x07", 20);
/// Signature of a directory entry, and its length without the name.
const ENTRY: ([u8; 4], usize) = (*b"PK\x01\x02", 46);

/// Checks the sizes that the directory of an archive declares.
///
/// # Errors
/// What is wrong, as a part of a sentence.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let (entries, mut at) = directory(bytes).ok_or("it has no directory of its entries")?;
    let mut total = 0_u64;
    for _ in 0..entries {
        let entry = record(bytes, at, ENTRY.1).filter(|entry| entry.starts_with(&ENTRY.0));
        let entry = entry.ok_or("its directory of entries is cut short")?;
        let lengths = [28, 30, 32].map(|place| usize::from(u16_at(entry, place)));
        let rest = record(bytes, at + ENTRY.1, lengths.iter().sum()).ok_or("its directory of entries is cut short")?;
        let name = String::from_utf8_lossy(&rest[..lengths[0]]);
        let size = size(entry, &rest[lengths[0]..lengths[0] + lengths[1]]);
        let size = size.filter(|_| u16_at(entry, 10) == 0).ok_or_else(|| format!("its entry {name} is compressed"))?;
        total = total.saturating_add(size);
        if total > bytes.len() as u64 {
            return Err(format!("its entry {name} claims {size} bytes, but the file has {}", bytes.len()));
        }
        at += ENTRY.1 + rest.len();
    }
    Ok(())
}

/// Number of entries, and offset of the first entry.
fn directory(bytes: &[u8]) -> Option<(u64, usize)> {
    // a comment of at most 2¹⁶ bytes may follow
    let first = bytes.len().saturating_sub(END.1 + usize::from(u16::MAX));
    let last = bytes.len().checked_sub(END.1)?;
    let at = (first..=last).rev().find(|&at| bytes[at..].starts_with(&END.0))?;
    let (entries, start) = (u64::from(u16_at(&bytes[at..], 10)), u64::from(u32_at(&bytes[at..], 16)));
    let locator = at.checked_sub(LOCATOR.1).map(|at| &bytes[at..]).filter(|record| record.starts_with(&LOCATOR.0));
    let (entries, start) = match locator {
        Some(locator) => {
            let end = record(bytes, usize::try_from(u64_at(locator, 8)).ok()?, 56)?;
            end.starts_with(&END_64).then(|| (u64_at(end, 32), u64_at(end, 48)))?
        }
        None => (entries, start),
    };
    Some((entries, usize::try_from(start).ok()?))
}

/// Size of an uncompressed entry: its stored size and its original size must be equal.
fn size(entry: &[u8], extra: &[u8]) -> Option<u64> {
    /// Marker in place of a size: the size is in the extra fields.
    const ELSEWHERE: u32 = u32::MAX;
    let sizes = [u32_at(entry, 20), u32_at(entry, 24)]; // stored, original
    if sizes == [ELSEWHERE; 2] {
        let field = extra_field(extra, 1).filter(|field| field.len() >= 16)?;
        return (u64_at(field, 0) == u64_at(field, 8)).then(|| u64_at(field, 0));
    }
    (sizes[0] == sizes[1]).then(|| u64::from(sizes[1]))
}

/// The extra field of this kind, if there is one.
fn extra_field(mut extra: &[u8], kind: u16) -> Option<&[u8]> {
    while extra.len() >= 4 {
        let (found, length) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let field = record(extra, 4, length)?;
        if found == kind {
            return Some(field);
        }
        extra = &extra[4 + length..];
    }
    None
}

fn record(bytes: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(length)?)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The directory of an archive with one entry that declares a stored and an original size, after `held` bytes.
    fn archive(held: usize, [stored, claimed]: [u32; 2], extra: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; held];
        let start = u32::try_from(held).unwrap();
        let name = b"data.pkl";
        bytes.extend(b"PK\x01\x02");
        bytes.extend([0; 16]);
        bytes.extend(stored.to_le_bytes());
        bytes.extend(claimed.to_le_bytes());
        for length in [name.len(), extra.len(), 0] {
            bytes.extend(u16::try_from(length).unwrap().to_le_bytes());
        }
        bytes.extend([0; 12]);
        bytes.extend(name);
        bytes.extend(extra);
        bytes.extend(b"PK\x05\x06");
        bytes.extend([0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]);
        bytes.extend(start.to_le_bytes());
        bytes.extend([0; 2]);
        bytes
    }

    #[test]
    fn an_archive_may_not_claim_more_than_its_file_holds() {
        assert_eq!(check(&archive(100, [100, 100], &[])), Ok(()));
        let message = check(&archive(100, [4_000_000_000; 2], &[])).unwrap_err();
        assert_eq!(message, "its entry data.pkl claims 4000000000 bytes, but the file has 176");
        let message = check(&archive(100, [100, 4_000_000_000], &[])).unwrap_err();
        assert_eq!(message, "its entry data.pkl is compressed");
        let wide = |size: u64| [&[1, 0, 16, 0][..], &size.to_le_bytes(), &size.to_le_bytes()].concat();
        assert_eq!(check(&archive(100, [u32::MAX; 2], &wide(100))), Ok(()));
        let message = check(&archive(100, [u32::MAX; 2], &wide(1 << 60))).unwrap_err();
        assert!(message.starts_with("its entry data.pkl claims 1152921504606846976 bytes"), "{message}");
    }

    #[test]
    fn what_is_cut_short_or_no_archive_is_an_error() {
        let whole = archive(10, [10, 10], &[]);
        for length in 0..whole.len() {
            assert!(check(&whole[..length]).is_err(), "{length}");
        }
        for at in 10..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                let _ = check(&changed); // must return; the result does not matter
            }
        }
    }
}
