//! Replaces soft links by hard links to their target, so that other code sees one kind of link only. Links to other
//! files, to missing objects, or to a group that encloses the link are unchanged.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Result, SeekFrom};

use super::header::{CONTINUATION, Header, Message, NIL, REFERENCE_COUNT};
use super::links::{Place, Target, link, links};
use super::open_up::with_links;
use crate::h5ad::blocks::{Blocks, Bytes, MOST_NODES, read, unexpected};

/// Upper limit on the length of a chain of soft links, as in the HDF5 library.
const DEEPEST: usize = 16;

/// Upper limit on the names looked up and objects visited for all links of a file. Further links are not followed.
const MOST_STEPS: usize = 1 << 21;

/// A soft link in a group.
struct Soft {
    path: Vec<u8>,
    place: Option<Place>,
}

/// The groups of a file, by the address of their object header.
#[derive(Default)]
struct Groups {
    objects: HashMap<u64, BTreeMap<Vec<u8>, u64>>,
    soft: BTreeMap<(u64, Vec<u8>), Soft>,
    steps: Cell<usize>,
}

/// Replaces soft links below the group at `root` by hard links. Returns the number of links replaced.
///
/// # Errors
/// If the file cannot be read or written, or has an unexpected structure.
pub(crate) fn harden(file: &mut dyn Blocks, root: u64) -> Result<usize> {
    let mut groups = Groups::of(file, root)?;
    let mut found: BTreeMap<u64, BTreeMap<Vec<u8>, u64>> = BTreeMap::new();
    let names: Vec<(u64, Vec<u8>)> = groups.soft.keys().cloned().collect();
    let mut new_headers: HashMap<u64, bool> = HashMap::new();
    for (group, name) in names {
        let target =
            groups.soft.get(&(group, name.clone())).and_then(|soft| groups.at(root, group, &soft.path, DEEPEST));
        let Some(target) = target.filter(|&target| !groups.holds(target, group)) else { continue };
        let with_groups = match groups.soft.get(&(group, name.clone())).and_then(|soft| soft.place.as_ref()) {
            Some(Place::Entry(_)) => true,
            Some(Place::Message(_, body)) => in_place(body, target)?.is_some(),
            None => match new_headers.get(&group) {
                Some(&new) => new,
                None => {
                    let new = Header::read(file, group)?.is_some();
                    new_headers.insert(group, new);
                    new
                }
            },
        };
        if !with_groups {
            continue;
        }
        // from now on this link counts when looking for cycles
        groups.objects.entry(group).or_default().insert(name.clone(), target);
        found.entry(group).or_default().insert(name, target);
    }
    // increased before the links are written: if that fails, a count that is too high only means the object is never
    // freed
    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    found.values().flat_map(BTreeMap::values).for_each(|&target| *counts.entry(target).or_default() += 1);
    for (&target, &more) in &counts {
        count_links(file, target, more)?;
    }
    for (&group, to) in &found {
        let mut placed = false;
        for (name, &target) in to {
            let (at, body) = match groups.soft.get(&(group, name.clone())).and_then(|soft| soft.place.as_ref()) {
                // the address, then an empty cache type and scratch pad
                Some(Place::Entry(entry)) => (entry.saturating_add(8), [&target.to_le_bytes()[..], &[0; 24]].concat()),
                Some(Place::Message(at, body)) => (*at, in_place(body, target)?.unwrap_or_default()),
                None => continue,
            };
            placed = true;
            file.seek(SeekFrom::Start(at))?;
            file.write_all(&body)?;
        }
        if !placed && let Some(header) = Header::read(file, group)? {
            with_links(file, group, &header, |body| hard(body, to))?;
        }
    }
    Ok(found.values().map(BTreeMap::len).sum())
}

/// Paths of links below the group at `root` that are not hard links: those that [`harden`] did not replace.
///
/// # Errors
/// Under the same conditions as [`harden`].
pub(crate) fn links_elsewhere(file: &mut dyn Blocks, root: u64) -> Result<Vec<String>> {
    let (mut found, mut seen, mut waiting) = (Vec::new(), BTreeSet::from([root]), vec![(root, String::new())]);
    while let Some((group, path)) = waiting.pop() {
        for link in links(file, group)?.into_iter().flatten() {
            let name = String::from_utf8_lossy(&link.name);
            let path = if path.is_empty() { name.into_owned() } else { format!("{path}/{name}") };
            match link.to {
                Target::Object(address) if seen.insert(address) => waiting.push((address, path)),
                Target::Object(_) => {}
                Target::Path { .. } | Target::Elsewhere => found.push(path),
            }
        }
        if seen.len() > MOST_NODES {
            return Err(unexpected("fewer objects"));
        }
    }
    found.sort();
    Ok(found)
}

/// Converts a soft link message to a hard link message of the same length; `None` if the address needs more space.
fn in_place(body: &[u8], target: u64) -> Result<Option<Vec<u8>>> {
    let mut bytes = Bytes(body);
    bytes.take(1)?;
    let flags = bytes.number(1)?;
    let kind = body.len() - bytes.0.len();
    bytes.take(u64::from(flags & 8 != 0))?;
    bytes.take((if flags & 4 != 0 { 8 } else { 0 }) + u64::from(flags & 16 != 0))?;
    let length = bytes.number(1 << (flags & 3))?;
    bytes.take(length)?;
    let at = body.len() - bytes.0.len();
    if flags & 8 == 0 || bytes.0.len() < 8 {
        return Ok(None);
    }
    let mut hard = body.to_vec();
    hard[kind] = 0;
    hard[at..].fill(0);
    hard[at..at + 8].copy_from_slice(&target.to_le_bytes());
    Ok(Some(hard))
}

/// Converts a link message to a hard link to the object that `to` lists for its name.
fn hard(body: &[u8], to: &BTreeMap<Vec<u8>, u64>) -> Result<Vec<u8>> {
    let before = link(body)?;
    let Some(address) = to.get(&before.name).filter(|_| matches!(before.to, Target::Path { .. })) else {
        return Ok(body.to_vec());
    };
    let mut bytes = Bytes(body);
    let version = bytes.take(1)?;
    let flags = u8::try_from(bytes.number(1)?).unwrap_or(0);
    bytes.take(u64::from(flags & 8 != 0))?;
    let kept = (if flags & 4 != 0 { 8 } else { 0 }) + u64::from(flags & 16 != 0) + (1 << (flags & 3));
    let kept = bytes.take(kept)?;
    Ok([version, &[flags & !8], kept, &before.name, &address.to_le_bytes()].concat())
}

/// Adds `more` to the link count of an object, so that the object is not freed when one of its links is removed.
fn count_links(file: &mut dyn Blocks, address: u64, more: u32) -> Result<()> {
    let Some(header) = Header::read(file, address)? else {
        let at = address.saturating_add(4);
        let count = Bytes(&read(file, at, 4)?).number(4)?;
        let count = u32::try_from(count).unwrap_or(u32::MAX).saturating_add(more);
        file.seek(SeekFrom::Start(at))?;
        return file.write_all(&count.to_le_bytes());
    };
    let counted = header.messages.iter().find(|message| message.kind == REFERENCE_COUNT);
    let before = match counted {
        Some(message) => Bytes(message.body.get(1..).unwrap_or_default()).number(4)?,
        None => 1,
    };
    let count = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(more);
    let body = [&[0], &count.to_le_bytes()[..]].concat();
    let made = [NIL, CONTINUATION, REFERENCE_COUNT];
    let mut messages: Vec<Message> =
        header.messages.iter().filter(|message| !made.contains(&message.kind)).cloned().collect();
    messages.push(Message { kind: REFERENCE_COUNT, flags: 0, order: 0, body });
    header.write(file, address, &messages)
}

impl Groups {
    fn of(file: &mut dyn Blocks, root: u64) -> Result<Self> {
        let mut groups = Self::default();
        let (mut seen, mut waiting) = (BTreeSet::from([root]), vec![root]);
        while let Some(group) = waiting.pop() {
            let Some(links) = links(file, group)? else { continue };
            let objects = groups.objects.entry(group).or_default();
            for link in links {
                match link.to {
                    Target::Object(address) => {
                        objects.insert(link.name, address);
                        if seen.insert(address) {
                            waiting.push(address);
                        }
                    }
                    Target::Path { path, place } => {
                        groups.soft.insert((group, link.name), Soft { path, place });
                    }
                    Target::Elsewhere => {}
                }
            }
            if seen.len() > MOST_NODES {
                return Err(unexpected("fewer objects"));
            }
        }
        Ok(groups)
    }

    /// The object at a path, which starts at the root or at `group`.
    fn at(&self, root: u64, group: u64, path: &[u8], depth: usize) -> Option<u64> {
        let mut at = if path.starts_with(b"/") { root } else { group };
        for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".") {
            self.step()?;
            at = match self.objects.get(&at)?.get(name) {
                Some(&object) => object,
                None => {
                    let soft = self.soft.get(&(at, name.to_vec()))?;
                    self.at(root, at, &soft.path, depth.checked_sub(1)?)?
                }
            };
        }
        Some(at)
    }

    /// Counts a step; `None` when the limit is exceeded.
    fn step(&self) -> Option<()> {
        self.steps.set(self.steps.get() + 1);
        (self.steps.get() <= MOST_STEPS).then_some(())
    }

    /// Whether `inner` is `outer` or is nested in it. Also true if the step limit is reached.
    fn holds(&self, outer: u64, inner: u64) -> bool {
        let (mut seen, mut waiting) = (BTreeSet::from([outer]), vec![outer]);
        while let Some(group) = waiting.pop() {
            let below = self.objects.get(&group).into_iter().flat_map(BTreeMap::values);
            if group == inner || self.step().is_none() || below.clone().any(|_| self.step().is_none()) {
                return true;
            }
            waiting.extend(below.filter(|&&object| seen.insert(object)));
        }
        false
    }
}
