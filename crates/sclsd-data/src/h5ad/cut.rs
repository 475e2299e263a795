//! Subsets a file to some of its cells and genes. Each element is cut along the axes it has and keeps its stored type.

use std::collections::{HashMap, HashSet};

use super::editor::{Attribute, Editor};
use super::error::H5adError;
use super::storage::{Element, Kind, Reader};

const LEGACY_GRAPHS: [&str; 2] = ["uns/neighbors/connectivities", "uns/neighbors/distances"];

/// Number of values read at once.
const WINDOW: usize = 1 << 20;

/// Indices in the file of the cells and genes that remain. `None` means all, in their order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen<'a> {
    pub cells: Option<&'a [usize]>,
    pub genes: Option<&'a [usize]>,
}

/// Indices along the first and the second axis of an element.
#[derive(Debug, Clone, Copy)]
struct Axes<'a> {
    first: Option<&'a [usize]>,
    second: Option<&'a [usize]>,
}

impl<'a> Chosen<'a> {
    /// The axes of an element; `None` if the subset changes none of them.
    fn axes(&self, key: &str) -> Option<Axes<'a>> {
        let (slot, rest) = key.split_once('/').unwrap_or((key, ""));
        let (first, second) = match slot {
            "X" | "layers" => (self.cells, self.genes),
            "obs" | "obsm" => (self.cells, None),
            "var" | "varm" => (self.genes, None),
            "obsp" => (self.cells, self.cells),
            "varp" => (self.genes, self.genes),
            // raw has its own genes
            "raw" if rest == "X" => (self.cells, None),
            // anndata before 0.7 stored graphs here
            "uns" if LEGACY_GRAPHS.contains(&key) => (self.cells, self.cells),
            _ => (None, None),
        };
        (first.is_some() || second.is_some()).then_some(Axes { first, second })
    }
}

/// Elements of the file with an axis that changes.
pub(super) fn changed(file: &Reader, chosen: Chosen<'_>) -> Result<Vec<String>, H5adError> {
    let mut keys = Vec::new();
    for key in ["X", "raw/X"].into_iter().chain(LEGACY_GRAPHS) {
        if file.has(key) {
            keys.push(key.to_owned());
        }
    }
    for slot in ["layers", "obs", "obsm", "obsp", "var", "varm", "varp"] {
        for name in file.children(slot)? {
            let key = format!("{slot}/{name}");
            // names with a slash are groups within the table; the categories of old files are not rows
            if matches!(slot, "obs" | "var") && file.kind(&key) == Some(Kind::Group) && !is_encoded(file, &key) {
                if name != "__categories" {
                    keys.extend(below(file, &key)?);
                }
            } else {
                keys.push(key);
            }
        }
    }
    keys.retain(|key| chosen.axes(key).is_some() && !file.is_null(key));
    Ok(keys)
}

fn is_encoded(file: &Reader, key: &str) -> bool {
    file.text_attribute(key, "encoding-type").is_some()
}

/// Arrays and encoded groups below a plain group.
fn below(file: &Reader, key: &str) -> Result<Vec<String>, H5adError> {
    let mut keys = Vec::new();
    if key.matches('/').count() > 8 {
        return Ok(keys);
    }
    for name in file.children(key)? {
        let key = format!("{key}/{name}");
        if file.kind(&key) == Some(Kind::Group) && !is_encoded(file, &key) {
            keys.extend(below(file, &key)?);
        } else {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// Writes the subset of an element. Returns the reason if the element cannot be subset.
pub(super) fn carry(
    file: &Reader,
    editor: &Editor,
    key: &str,
    chosen: Chosen<'_>,
) -> Result<Result<(), String>, H5adError> {
    let axes = chosen.axes(key).unwrap_or(Axes { first: None, second: None });
    element(file, editor, key, axes)
}

/// Number of members of a group from which the HDF5 library is slow: it searches all of them for each lookup.
const MANY: usize = 64;

/// Longest contiguous array, in bytes, that is held in memory together with others.
const LONG: u64 = 1 << 24;

/// Elements that are copied one by one when a file is rewritten: members of large groups, because the HDF5 library
/// would search the group for each, and long arrays, because it would hold all of them in memory.
pub(super) fn bulk(file: &Reader, gone: &[String]) -> Result<Vec<String>, H5adError> {
    let mut keys = Vec::new();
    let mut taken: HashSet<String> = gone.iter().cloned().collect();
    for group in file.groups()? {
        let mut inside =
            std::iter::successors(Some(group.as_str()), |key| key.rsplit_once('/').map(|(above, _)| above));
        if inside.any(|key| taken.contains(key)) {
            continue;
        }
        let members = file.children(&group)?;
        let many = members.len() > MANY && !is_encoded_array(file, &group);
        for name in members {
            let key = if group.is_empty() { name } else { format!("{group}/{name}") };
            if taken.contains(&key) || is_legacy_categorical(file, &key) {
                continue;
            }
            let apart = if file.kind(&key) == Some(Kind::Dataset) {
                let copyable = file.is_copyable(&key);
                if file.has_long_chunks(&key) && !copyable {
                    return Err(file.bad(&key, "its chunks cannot be written again"));
                }
                copyable && (many || file.has_long_chunks(&key) || file.is_long_piece(&key, LONG))
            } else {
                many && is_encoded_array(file, &key)
                    && parts(file, &key)?
                        .iter()
                        .all(|part| file.kind(part) == Some(Kind::Dataset) && file.is_copyable(part))
            };
            if apart {
                taken.insert(key.clone());
                keys.push(key);
            }
        }
    }
    Ok(keys)
}

/// Checks that every array except those of `gone` fits into the file and into memory, because the HDF5 library reads
/// some arrays in full when it rewrites a file.
pub(super) fn check_sizes(file: &Reader, gone: &[String]) -> Result<(), H5adError> {
    let gone: HashSet<&str> = gone.iter().map(String::as_str).collect();
    for group in file.groups()? {
        for name in file.children(&group)? {
            let key = if group.is_empty() { name } else { format!("{group}/{name}") };
            let mut above =
                std::iter::successors(Some(key.as_str()), |key| key.rsplit_once('/').map(|(above, _)| above));
            if !above.any(|key| gone.contains(key)) && file.kind(&key) == Some(Kind::Dataset) {
                file.check_size(&key)?;
            }
        }
    }
    Ok(())
}

/// Arrays of floating-point numbers of more than 8 bytes, which the HDF5 library cannot write with their original type.
pub(super) fn unwritable_numbers(file: &Reader) -> Result<Vec<String>, H5adError> {
    let mut found = Vec::new();
    for group in file.groups()? {
        for name in file.children(&group)? {
            let key = if group.is_empty() { name } else { format!("{group}/{name}") };
            if file.kind(&key) == Some(Kind::Dataset) && file.has_long_doubles(&key) {
                found.push(key);
            }
        }
    }
    Ok(found)
}

fn is_legacy_categorical(file: &Reader, key: &str) -> bool {
    key.split_once('/').is_some_and(|(table, name)| file.kind(&format!("{table}/__categories/{name}")).is_some())
}

/// Whether the file has a contiguous array of more than `bytes`.
pub(super) fn has_long_piece(file: &Reader, bytes: u64) -> Result<bool, H5adError> {
    for group in file.groups()? {
        for name in file.children(&group)? {
            let key = if group.is_empty() { name } else { format!("{group}/{name}") };
            if file.kind(&key) == Some(Kind::Dataset) && file.is_long_piece(&key, bytes) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Groups that encode one array: categorical, masked (nullable) or sparse.
fn is_encoded_array(file: &Reader, key: &str) -> bool {
    let encoding = file.text_attribute(key, "encoding-type").unwrap_or_default();
    matches!(encoding.as_str(), "categorical" | "csr_matrix" | "csc_matrix") || encoding.starts_with("nullable-")
}

fn parts(file: &Reader, key: &str) -> Result<Vec<String>, H5adError> {
    Ok(file.children(key)?.iter().map(|name| format!("{key}/{name}")).collect())
}

/// Copies an element of [`bulk`] unchanged.
pub(super) fn copy_whole(file: &Reader, editor: &Editor, key: &str) -> Result<(), H5adError> {
    let whole = Axes { first: None, second: None };
    let copied = if file.kind(key) == Some(Kind::Dataset) {
        array(file, editor, key, whole)?
    } else {
        let parts: Vec<_> = parts(file, key)?.into_iter().map(|part| (part, whole)).collect();
        group(file, editor, key, &parts)?
    };
    copied.map_err(|reason| file.bad(key, reason))
}

fn element(file: &Reader, editor: &Editor, key: &str, axes: Axes<'_>) -> Result<Result<(), String>, H5adError> {
    match element_or_bad(file, editor, key, axes) {
        // an element that cannot be read is skipped, and the part already written is removed; a write error is fatal
        Err(H5adError::Bad { problem, .. }) => {
            editor.discard(key)?;
            Ok(Err(problem))
        }
        other => other,
    }
}

fn element_or_bad(file: &Reader, editor: &Editor, key: &str, axes: Axes<'_>) -> Result<Result<(), String>, H5adError> {
    if file.kind(key) == Some(Kind::Dataset) {
        return match key.split_once('/').map(|(table, name)| format!("{table}/__categories/{name}")) {
            Some(categories) if file.kind(&categories) == Some(Kind::Dataset) => {
                legacy_categorical(file, editor, key, &categories, axes)
            }
            _ => array(file, editor, key, axes),
        };
    }
    let encoding = file
        .text_attribute(key, "encoding-type")
        .or_else(|| file.text_attribute(key, "h5sparse_format"))
        .unwrap_or_default();
    let rows = Axes { first: axes.first, second: None };
    let whole = Axes { first: None, second: None };
    let part = |name: &str| format!("{key}/{name}");
    match encoding.as_str() {
        "csr_matrix" | "csr" => sparse(file, editor, key, axes, false),
        "csc_matrix" | "csc" => sparse(file, editor, key, axes, true),
        "categorical" => group(file, editor, key, &[(part("codes"), rows), (part("categories"), whole)]),
        "nullable-integer" | "nullable-boolean" | "nullable-string-array" => {
            group(file, editor, key, &[(part("values"), rows), (part("mask"), rows)])
        }
        "dataframe" => {
            let parts: Vec<_> = file.children(key)?.iter().map(|name| (part(name), rows)).collect();
            group(file, editor, key, &parts)
        }
        other => Ok(Err(format!("it is stored as \"{other}\", which cannot be cut"))),
    }
}

/// Converts a categorical of anndata before 0.8, whose categories are stored elsewhere and found through an object
/// reference, into the current encoding.
fn legacy_categorical(
    file: &Reader,
    editor: &Editor,
    key: &str,
    categories: &str,
    axes: Axes<'_>,
) -> Result<Result<(), String>, H5adError> {
    let whole = Axes { first: None, second: None };
    let ordered = file.flag_attribute(categories, "ordered");
    editor.create_group(
        key,
        &[
            ("encoding-type", Attribute::Text("categorical")),
            ("encoding-version", Attribute::Text("0.2.0")),
            ("ordered", Attribute::Flag(ordered)),
        ],
    )?;
    for (from, to, axes) in [(key, "codes", axes), (categories, "categories", whole)] {
        let copied = match array_to(file, editor, from, &format!("{key}/{to}"), axes) {
            Err(H5adError::Bad { problem, .. }) => Err(problem),
            other => other?,
        };
        if let Err(reason) = copied {
            editor.delete(key)?;
            return Ok(Err(reason));
        }
    }
    Ok(Ok(()))
}

fn group(
    file: &Reader,
    editor: &Editor,
    key: &str,
    parts: &[(String, Axes<'_>)],
) -> Result<Result<(), String>, H5adError> {
    editor.copy_group(key, &file.copied_attributes(key))?;
    for (part, axes) in parts {
        if file.kind(part).is_some()
            && let Err(reason) = element(file, editor, part, *axes)?
        {
            editor.delete(key)?;
            return Ok(Err(reason));
        }
    }
    Ok(Ok(()))
}

/// Cuts an array of any rank along its first axis, and along its second axis where `axes` says so.
fn array(file: &Reader, editor: &Editor, key: &str, axes: Axes<'_>) -> Result<Result<(), String>, H5adError> {
    array_to(file, editor, key, key, axes)
}

fn array_to(
    file: &Reader,
    editor: &Editor,
    key: &str,
    to: &str,
    axes: Axes<'_>,
) -> Result<Result<(), String>, H5adError> {
    file.check_size(key)?;
    let mut shape = file.shape(key)?;
    let attributes = file.copied_attributes(key);
    if shape.is_empty() {
        return Ok(Err("it is a single value".into()));
    }
    let (rows, columns) = (shape[0], shape.get(1).copied());
    let outside = |places: Option<&[usize]>, n: usize| places.is_some_and(|p| p.iter().any(|&place| place >= n));
    if outside(axes.first, rows) || (axes.second.is_some() && columns.is_none_or(|n| outside(axes.second, n))) {
        return Ok(Err("its shape is not that of the data".into()));
    }
    let inner: usize = shape.iter().skip(2).product();
    let width = columns.unwrap_or(1);
    shape[0] = axes.first.map_or(rows, <[usize]>::len);
    if let Some(chosen) = axes.second {
        shape[1] = chosen.len();
    }
    let Some(kind) = file.plain_type(key)? else {
        if file.element(key)? != Element::Text {
            return Ok(Err(format!("its values are {}, which cannot be cut", file.element_name(key))));
        }
        let texts = file.texts(key)?;
        let mut kept = Vec::new();
        for row in chosen_or_all(axes.first, rows) {
            for column in chosen_or_all(axes.second, width) {
                let start = (row * width + column) * inner;
                kept.extend(texts[start..start + inner].iter().map(String::as_str));
            }
        }
        editor.copy_texts(to, &shape, &kept, &attributes)?;
        return Ok(Ok(()));
    };
    let cell = inner * kind.size;
    if axes.first.is_none() && axes.second.is_none() {
        if let [_] = shape[..] {
            let mut array = editor.long_array(to, &kind, attributes);
            for first in (0..rows).step_by(WINDOW) {
                array.push(&file.raw_rows(key, first, WINDOW.min(rows - first))?)?;
            }
            array.finish()?;
        } else {
            editor.copy_dataset(to, &shape, &kind, file.raw_rows(key, 0, rows)?, &attributes)?;
        }
        return Ok(Ok(()));
    }
    let order: Vec<usize> = chosen_or_all(axes.first, rows).collect();
    let mut bytes = vec![0; shape.iter().product::<usize>() * kind.size];
    let out_row = shape.get(1).copied().unwrap_or(1) * cell;
    // output rows of each input row; the input is read in file order, window by window
    let mut places: HashMap<usize, Vec<usize>> = HashMap::new();
    for (to, &from) in order.iter().enumerate() {
        places.entry(from).or_default().push(to);
    }
    let window = (WINDOW / (width * cell).max(1)).max(1);
    for first in (0..rows).step_by(window) {
        let count = window.min(rows - first);
        if !(first..first + count).any(|row| places.contains_key(&row)) {
            continue;
        }
        let block = file.raw_rows(key, first, count)?;
        for row in first..first + count {
            let source = &block[(row - first) * width * cell..][..width * cell];
            for &place in places.get(&row).map_or(&[][..], Vec::as_slice) {
                let target = &mut bytes[place * out_row..(place + 1) * out_row];
                match axes.second {
                    None => target.copy_from_slice(source),
                    Some(chosen) => {
                        for (slot, &column) in target.chunks_exact_mut(cell.max(1)).zip(chosen) {
                            slot.copy_from_slice(&source[column * cell..(column + 1) * cell]);
                        }
                    }
                }
            }
        }
    }
    editor.copy_dataset(to, &shape, &kind, bytes, &attributes)?;
    Ok(Ok(()))
}

fn chosen_or_all(chosen: Option<&[usize]>, n: usize) -> Box<dyn Iterator<Item = usize> + '_> {
    match chosen {
        Some(places) => Box::new(places.iter().copied()),
        None => Box::new(0..n),
    }
}

/// Cuts a CSR or CSC matrix along both axes.
fn sparse(
    file: &Reader,
    editor: &Editor,
    key: &str,
    axes: Axes<'_>,
    by_column: bool,
) -> Result<Result<(), String>, H5adError> {
    let shape = file.integers_attribute(key, "shape").or_else(|| file.integers_attribute(key, "h5sparse_shape"));
    let Some([rows, columns]) = shape.as_deref().and_then(|s| <[i64; 2]>::try_from(s).ok()) else {
        return Ok(Err("its shape is missing".into()));
    };
    let size = |n: i64| usize::try_from(n).unwrap_or(0);
    let (rows, columns) = (size(rows), size(columns));
    let (major, minor) = if by_column { (columns, rows) } else { (rows, columns) };
    let (along, across) = if by_column { (axes.second, axes.first) } else { (axes.first, axes.second) };
    let part = |name: &str| format!("{key}/{name}");
    let indptr = file.i64s(&part("indptr"))?;
    let indptr: Vec<usize> = indptr.into_iter().map(|n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
    let stored = file.shape(&part("indices"))?.first().copied().unwrap_or(0);
    let whole = indptr.len() == major + 1
        && indptr.windows(2).all(|pair| pair[0] <= pair[1])
        && indptr.last() == Some(&stored)
        && file.shape(&part("data"))? == [stored];
    let Some(kind) = file.plain_type(&part("data"))?.filter(|_| whole) else {
        return Ok(Err("it is not a complete sparse matrix".into()));
    };
    let outside = |places: Option<&[usize]>, n: usize| places.is_some_and(|p| p.iter().any(|&place| place >= n));
    if outside(along, major) || outside(across, minor) {
        return Ok(Err("its shape is not that of the data".into()));
    }
    let place: Option<HashMap<i64, i64>> = across.map(|chosen| {
        chosen.iter().zip(0_i64..).map(|(&from, to)| (i64::try_from(from).unwrap_or(i64::MAX), to)).collect()
    });
    let mut attributes = file.copied_attributes(key);
    let (n_rows, n_columns) = (axes.first.map_or(rows, <[usize]>::len), axes.second.map_or(columns, <[usize]>::len));
    for (name, value) in &mut attributes {
        if name == "shape" || name == "h5sparse_shape" {
            *value = Editor::integers(&[n_rows, n_columns].map(|n| i64::try_from(n).unwrap_or(i64::MAX)));
        }
    }
    editor.copy_group(key, &attributes)?;
    let mut data = editor.long_array(&part("data"), &kind, file.copied_attributes(&part("data")));
    let mut indices = editor.long_indices(&part("indices"), n_rows.max(n_columns));
    let mut starts = vec![0_i64];
    let order: Vec<usize> = chosen_or_all(along, major).collect();
    let (mut at, mut bytes) = (0, Vec::new());
    while at < order.len() {
        // adjacent rows in the file are read together
        let mut end = at + 1;
        while end < order.len()
            && order[end] == order[end - 1] + 1
            && indptr[order[end] + 1] - indptr[order[at]] <= WINDOW
        {
            end += 1;
        }
        let (first, last) = (indptr[order[at]], indptr[order[end - 1] + 1]);
        let columns = file.i64_rows(&part("indices"), first, last - first)?;
        let values = file.raw_rows(&part("data"), first, last - first)?;
        for &row in &order[at..end] {
            let span = indptr[row] - first..indptr[row + 1] - first;
            let mut kept: Vec<(i64, usize)> = match &place {
                None => span.map(|entry| (columns[entry], entry)).collect(),
                Some(place) => span.filter_map(|e| place.get(&columns[e]).map(|&to| (to, e))).collect(),
            };
            if place.is_some() && !kept.is_sorted_by_key(|entry| entry.0) {
                kept.sort_by_key(|entry| entry.0);
            }
            bytes.clear();
            for &(_, entry) in &kept {
                bytes.extend_from_slice(&values[entry * kind.size..(entry + 1) * kind.size]);
            }
            data.push(&bytes)?;
            starts.push(starts[starts.len() - 1] + i64::try_from(kept.len()).unwrap_or(i64::MAX));
            indices.push(kept.into_iter().map(|entry| entry.0))?;
        }
        at = end;
    }
    data.finish()?;
    indices.finish()?;
    let stored = starts.last().and_then(|&n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    editor.write_indices(&part("indptr"), &starts, stored)?;
    Ok(Ok(()))
}
