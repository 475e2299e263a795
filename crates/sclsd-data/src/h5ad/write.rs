//! Writes a new file from a data set, or adds results to a copy of an existing file.
//!
//! In both cases the bytes go to a temporary file beside the output, which is renamed to the output once it is complete
//! and synced to disk. Until then an existing file with that name is unchanged, and a failure leaves no partial file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use super::cut::{Chosen, bulk, carry, changed, check_sizes, copy_whole, has_long_piece, unwritable_numbers};
use super::editor::{Attribute, Compression, Editor, Values, write_anew};
use super::error::H5adError;
use super::groups::{harden, open_up};
use super::read::{column_names, index_name, row_names};
use super::storage::{Element, Kind, Reader, slot};
use super::superblock::{renew_superblock, root_address};
use crate::replace::{plain_reason, replace_file};
use crate::{Categorical, Column, Csr, Dataset, Matrix, Uns};

/// Elements to add to a file. An element that exists under the same name is replaced.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Additions {
    /// Columns of `obs` to add.
    pub obs: Vec<(String, Column)>,
    /// Elements of `obsm` to add: coordinates of cells.
    pub obsm: BTreeMap<String, Matrix>,
    /// Elements of `obsp` to add: graphs of cells.
    pub obsp: BTreeMap<String, Csr>,
    /// Elements of `uns` to add.
    pub uns: BTreeMap<String, Uns>,
}

/// Largest contiguous array, in bytes, that is copied through memory to save file size.
const TOO_LONG: u64 = 1 << 27;

/// Adds elements to a copy of the file that `reader` has open.
///
/// If no element is replaced, the copy is changed in place: its contents are not read, and groups with links in a heap
/// are [opened up](open_up) first. A replaced element would remain in the copy as dead space. The file is therefore
/// rewritten object by object without that element, if all of it can be written again. A file that cannot be edited in
/// place, such as one with bytes before the superblock, is rewritten too.
pub(super) fn add(
    reader: &Reader,
    output: &Path,
    additions: &Additions,
    compression: Compression,
) -> Result<Vec<String>, H5adError> {
    let replaced = replaced(reader, additions);
    let left = left_behind(reader)?;
    let mut lost = Vec::new();
    let fill = |temporary: &Path| {
        let editor = Editor::open(temporary, compression)?;
        Sink::onto(&editor, reader, &replaced).add(additions)?;
        editor.close()
    };
    replace(output, |temporary| {
        let compact = !replaced.is_empty() && left.is_empty() && !has_long_piece(reader, TOO_LONG)?;
        if compact && rewrite(reader, temporary, output, &replaced).is_ok() {
            return fill(temporary);
        }
        copy(reader, temporary, output)?;
        // if this fails, the file is rewritten
        let within: Vec<String> = additions.obs.iter().map(|(name, _)| format!("obs/{name}")).collect();
        let _ = open_groups(temporary, within.iter().chain(&replaced).map(String::as_str));
        let in_place = delete(temporary, &replaced).and_then(|()| fill(temporary));
        match in_place {
            Err(H5adError::NotInPlace { .. }) => {}
            done => return done,
        }
        lost.clone_from(&left);
        let link = left.iter().find(|(_, reason)| reason == LINK).cloned();
        let left = left.iter().map(|(key, _)| key).filter(|key| reader.kind(key).is_some());
        let without: Vec<String> = replaced.iter().chain(left).cloned().collect();
        rewrite(reader, temporary, output, &without)
            .and_then(|()| fill(temporary))
            .map_err(|error| in_the_way(reader, link, error))
    })?;
    Ok(sentences(lost))
}

/// Elements that a rewritten file will lack, and why.
fn left_behind(reader: &Reader) -> Result<Vec<(String, String)>, H5adError> {
    let numbers = unwritable_numbers(reader)?.into_iter().map(|key| (key, LONG_DOUBLE.to_owned()));
    // links that cannot be traversed were not followed either
    let links = reader.links_elsewhere().unwrap_or_default().into_iter().map(|key| (key, LINK.to_owned()));
    Ok(numbers.chain(links).collect())
}

/// Replaces the error by one about the link that the HDF5 library cannot write, with a hint; otherwise returns the
/// error unchanged.
fn in_the_way(reader: &Reader, link: Option<(String, String)>, error: H5adError) -> H5adError {
    let Some((key, reason)) =
        link.filter(|_| matches!(error, H5adError::NotInPlace { .. } | H5adError::Unwritable { .. }))
    else {
        return error;
    };
    reader.bad(
        &key,
        format!(
            "{reason}, and the file cannot be written with it; delete the element with del h5py.File(path, \"a\")[\"{key}\"]"
        ),
    )
}

fn sentences(lost: Vec<(String, String)>) -> Vec<String> {
    lost.into_iter().map(|(key, reason)| format!("{}: {reason}", slot(&key))).collect()
}

/// Prepares the groups that elements with these names are added to or removed from, so that they can be changed.
fn open_groups<'k>(path: &Path, keys: impl Iterator<Item = &'k str>) -> std::io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let Some(root) = root_address(&mut file)? else { return Ok(()) };
    let mut groups = BTreeSet::from(["", "obs", "obsm", "obsp", "uns"]);
    for mut key in keys {
        // names with a slash are groups within the table
        while let Some((above, _)) = key.rsplit_once('/') {
            groups.insert(above);
            key = above;
        }
    }
    open_up(&mut file, root, &groups.into_iter().collect::<Vec<_>>())
}

fn delete(path: &Path, keys: &[String]) -> Result<(), H5adError> {
    if keys.is_empty() {
        return Ok(());
    }
    let editor = Editor::open(path, Compression::None)?;
    keys.iter().try_for_each(|key| editor.delete(key))?;
    editor.close()
}

/// Writes a copy of the file, subset to the cells and genes of `data`, with the elements of `data`. Elements in `kept`
/// come from the file instead. Returns the elements that could not be copied, and why.
pub(super) fn cut(
    reader: &Reader,
    output: &Path,
    data: &Dataset,
    kept: &[String],
    compression: Compression,
) -> Result<Vec<String>, H5adError> {
    let cells = places(&row_names(reader, "obs")?, &data.obs.names);
    let genes = places(&row_names(reader, "var")?, &data.var.names);
    let chosen = Chosen { cells: cells.as_deref(), genes: genes.as_deref() };
    let written = written(data, kept);
    let carried: Vec<String> = changed(reader, chosen)?.into_iter().filter(|key| !written.contains(key)).collect();
    let mut gone: Vec<String> =
        carried.iter().cloned().chain(written.iter().filter(|key| reader.kind(key).is_some()).cloned()).collect();
    gone.sort();
    gone.dedup();
    let mut before = left_behind(reader)?;
    gone.extend(before.iter().map(|(key, _)| key.clone()).filter(|key| reader.kind(key).is_some()));
    let root = if written.contains(ROOT) { Root::None } else { root_cell(reader, cells.as_deref())? };
    if root != Root::None {
        gone.push(ROOT.to_owned());
    }
    if root == Root::Gone {
        before.push((ROOT.to_owned(), "its cell is left out".to_owned()));
    }
    gone.sort();
    gone.dedup();
    let mut lost = Vec::new();
    replace(output, |temporary| {
        lost.clone_from(&before);
        if rewrite(reader, temporary, output, &gone).is_err() {
            // attributes that are object references (anndata 0.7), or layouts of HDF5 2.0: the copy is changed in place
            copy(reader, temporary, output)?;
            let _ = open_groups(temporary, gone.iter().chain(&carried).chain(&written).map(String::as_str));
            delete(temporary, &gone)?;
        }
        let editor = Editor::open(temporary, compression)?;
        for key in carried.iter().filter(|key| before.iter().all(|(lost, _)| lost != *key)) {
            if let Err(reason) = carry(reader, &editor, key, chosen)? {
                // remove all of raw: without its X, raw would appear to belong to X
                let key = if key == "raw/X" { "raw" } else { key };
                if key == "raw" {
                    editor.delete(key)?;
                }
                lost.push((key.to_owned(), reason));
            }
        }
        editor.commit()?;
        let mut sink = Sink::onto(&editor, reader, &gone);
        sink.lost = lost.iter().map(|(key, _)| key.clone()).collect();
        sink.whole(data, &|key| written.contains(key))?;
        if let Root::At(place) = root {
            let key = sink.with_groups(ROOT)?;
            sink.number(&key, &[], Values::I64(&[place]))?;
        }
        editor.close()
    })
    .map_err(|error| in_the_way(reader, before.iter().find(|(_, reason)| reason == LINK).cloned(), error))?;
    Ok(sentences(lost))
}

/// The root cell of scanpy's pseudotime.
const ROOT: &str = "uns/iroot";

/// Why links are not copied.
const LINK: &str =
    "it is a link out of the file, to nothing, or to a group that contains it, and such links are not followed";

/// Why numbers of more than 8 bytes are not copied.
const LONG_DOUBLE: &str = "its numbers are of more than 8 bytes, which are not written here";

/// What happens to the root cell of scanpy's pseudotime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    /// The file has no root cell, or its cells do not change.
    None,
    /// The root cell is removed.
    Gone,
    /// New index of the root cell.
    At(i64),
}

fn root_cell(reader: &Reader, cells: Option<&[usize]>) -> Result<Root, H5adError> {
    let Some(cells) = cells else { return Ok(Root::None) };
    let scalar = reader.kind(ROOT) == Some(Kind::Dataset) && reader.shape(ROOT)?.is_empty();
    if !scalar || reader.element(ROOT)? != Element::Integer {
        return Ok(Root::None);
    }
    let root = reader.i64s(ROOT)?.first().and_then(|&root| usize::try_from(root).ok());
    let place = root.and_then(|root| cells.iter().position(|&cell| cell == root));
    Ok(place.and_then(|place| i64::try_from(place).ok()).map_or(Root::Gone, Root::At))
}

/// Index in `before` of each name in `now`; `None` if the names are the same.
fn places(before: &[String], now: &[String]) -> Option<Vec<usize>> {
    if before == now {
        return None;
    }
    let place: HashMap<&str, usize> = before.iter().map(String::as_str).zip(0..).collect();
    // a new name gets an index out of range: elements along that axis cannot be cut and are reported
    Some(now.iter().map(|name| place.get(name.as_str()).copied().unwrap_or(usize::MAX)).collect())
}

/// Elements of a data set, except those of `kept`.
fn written(data: &Dataset, kept: &[String]) -> BTreeSet<String> {
    let mut keys: BTreeSet<String> = data.x.iter().map(|_| "X".to_owned()).collect();
    let under = |slot: &str, name: &String| format!("{slot}/{name}");
    keys.extend(data.layers.keys().map(|name| under("layers", name)));
    for (table, frame) in [("obs", &data.obs), ("var", &data.var)] {
        for (name, column) in &frame.columns {
            keys.insert(under(table, name));
            if matches!(column, Column::Categorical(groups) if table == "obs" && !groups.colors().is_empty()) {
                keys.insert(format!("uns/{name}_colors"));
            }
        }
    }
    keys.extend(data.obsm.keys().map(|name| under("obsm", name)));
    keys.extend(data.varm.keys().map(|name| under("varm", name)));
    keys.extend(data.obsp.keys().map(|name| under("obsp", name)));
    keys.extend(data.uns.keys().map(|name| under("uns", name)));
    for key in kept {
        keys.remove(key);
        if let Some(name) = key.strip_prefix("obs/") {
            keys.remove(&format!("uns/{name}_colors"));
        }
    }
    keys
}

/// Rewrites the original file to `temporary` without the elements of `gone`.
fn rewrite(reader: &Reader, temporary: &Path, output: &Path, gone: &[String]) -> Result<(), H5adError> {
    copy(reader, temporary, output)?;
    let bulk = bulk(reader, gone)?;
    let without: Vec<String> = gone.iter().chain(&bulk).cloned().collect();
    check_sizes(reader, &without)?;
    let anew = beside(temporary);
    let written = write_anew(temporary, &anew, &without)
        .and_then(|()| std::fs::rename(&anew, temporary).map_err(|source| unwritable(output, &source)));
    if written.is_err() {
        let _ = std::fs::remove_file(&anew);
    }
    written?;
    let editor = Editor::open(temporary, Compression::None)?;
    bulk.iter().try_for_each(|key| copy_whole(reader, &editor, key))?;
    editor.close()
}

/// A second temporary file, whose name is one too, so that it is removed where this one would be.
pub(super) fn beside(temporary: &Path) -> PathBuf {
    let stem = temporary.file_stem().unwrap_or_default().to_string_lossy();
    temporary.with_file_name(format!("{stem}anew.tmp"))
}

/// The bytes of the file in `temporary`, which is left open behind them.
pub(super) fn copy_first(reader: &Reader, temporary: &Path, output: &Path) -> Result<File, H5adError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(temporary)
        .map_err(|source| unwritable(output, &source))?;
    reader.copy_to(&mut file, output)?;
    Ok(file)
}

fn copy(reader: &Reader, temporary: &Path, output: &Path) -> Result<(), H5adError> {
    let mut file = copy_first(reader, temporary, output)?;
    renew_superblock(&mut file).map_err(|source| unwritable(output, &source))?;
    // if this fails, the code that adds to the file reports the reason
    let _ = root_address(&mut file).and_then(|root| root.map_or(Ok(0), |root| harden(&mut file, root)));
    Ok(())
}

/// Elements of the file that are replaced by additions of the same name.
fn replaced(reader: &Reader, additions: &Additions) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, column) in &additions.obs {
        keys.push(format!("obs/{name}"));
        if matches!(column, Column::Categorical(groups) if !groups.colors().is_empty()) {
            keys.push(format!("uns/{name}_colors"));
        }
    }
    keys.extend(additions.obsm.keys().map(|name| format!("obsm/{name}")));
    keys.extend(additions.obsp.keys().map(|name| format!("obsp/{name}")));
    keys.extend(additions.uns.keys().map(|name| format!("uns/{name}")));
    keys.sort();
    keys.dedup();
    keys.retain(|key| reader.kind(key).is_some());
    keys
}

/// Writes a data set as a new `.h5ad` file that scanpy opens.
///
/// # Errors
/// [`H5adError`] if an element has another number of cells or genes than the rest, or the output cannot be written.
pub fn write_h5ad(output: &Path, data: &Dataset, compression: Compression) -> Result<(), H5adError> {
    data.check()
        .map_err(|error| H5adError::Unwritable { path: output.display().to_string(), reason: error.to_string() })?;
    replace(output, |temporary| fill_new(temporary, data, compression))
}

/// Writes a data set into a new file.
pub(super) fn fill_new(path: &Path, data: &Dataset, compression: Compression) -> Result<(), H5adError> {
    let editor = Editor::create(path, compression)?;
    editor.set_attribute("", "encoding-type", &Attribute::Text("anndata"))?;
    editor.set_attribute("", "encoding-version", &Attribute::Text("0.1.0"))?;
    let mut sink = Sink::of(&editor);
    for (table, frame) in TABLES.into_iter().zip([&data.obs, &data.var]) {
        let order = frame.columns.iter().map(|(name, _)| name.clone()).collect();
        editor.create_group(
            table,
            &[
                ("encoding-type", Attribute::Text("dataframe")),
                ("encoding-version", Attribute::Text("0.2.0")),
                ("_index", Attribute::Text("_index")),
                ("column-order", Attribute::Texts(order)),
            ],
        )?;
        sink.made.insert(table.to_owned());
        sink.texts(&format!("{table}/_index"), &[frame.len()], &frame.names)?;
    }
    for slot in ["layers", "obsm", "obsp", "uns", "varm", "varp"] {
        sink.dictionary(slot)?;
    }
    sink.whole(data, &|_| true)?;
    editor.close()
}

/// [`replace_file`] with errors that name the output.
pub(super) fn replace(output: &Path, fill: impl FnOnce(&Path) -> Result<(), H5adError>) -> Result<(), H5adError> {
    let unwritable = |source| unwritable(output, &source);
    replace_file(output, unwritable, |temporary| fill(temporary).map_err(|error| named(error, temporary, output)))
}

pub(super) fn unwritable(output: &Path, source: &std::io::Error) -> H5adError {
    H5adError::Unwritable { path: output.display().to_string(), reason: plain_reason(source) }
}

/// The same error with the name of the output instead of the temporary file.
fn named(error: H5adError, temporary: &Path, output: &Path) -> H5adError {
    let path = output.display().to_string();
    match error {
        H5adError::Unwritable { path: at, reason } | H5adError::NotInPlace { path: at, reason }
            if at == temporary.display().to_string() || at == beside(temporary).display().to_string() =>
        {
            H5adError::Unwritable { path, reason }
        }
        other => other,
    }
}

/// The tables of cells and genes.
const TABLES: [&str; 2] = ["obs", "var"];

/// Writes elements in AnnData's encodings.
struct Sink<'a> {
    editor: &'a Editor,
    /// The original file, if there is one.
    before: Option<&'a Reader>,
    gone: &'a [String],
    /// Column names of the two tables, in order.
    columns: [Vec<String>; 2],
    /// Groups that were created.
    made: BTreeSet<String>,
    /// Elements that could not be copied.
    lost: Vec<String>,
    /// Entries of `uns` that hold the colours of a column.
    colored: BTreeSet<String>,
}

impl<'a> Sink<'a> {
    fn of(editor: &'a Editor) -> Self {
        Self {
            editor,
            before: None,
            gone: &[],
            columns: Default::default(),
            made: BTreeSet::new(),
            lost: Vec::new(),
            colored: BTreeSet::new(),
        }
    }

    fn onto(editor: &'a Editor, before: &'a Reader, gone: &'a [String]) -> Self {
        let columns = TABLES.map(|table| column_names(before, table));
        Self { before: Some(before), gone, columns, ..Self::of(editor) }
    }

    fn add(&mut self, additions: &Additions) -> Result<(), H5adError> {
        let Additions { obs, obsm, obsp, uns } = additions;
        self.table(0, obs, None, &|_| true)?;
        self.slots(obsm, obsp, uns, &|_| true)
    }

    /// Writes the `wanted` elements of a data set. The names of cells and genes exist already.
    fn whole(&mut self, data: &Dataset, wanted: &dyn Fn(&str) -> bool) -> Result<(), H5adError> {
        if let Some(x) = data.x.as_ref().filter(|_| wanted("X")) {
            self.csr("X", x)?;
        }
        for (name, layer) in &data.layers {
            if let Some(key) = self.wanted("layers", name, wanted)? {
                self.csr(&key, layer)?;
            }
        }
        self.table(0, &data.obs.columns, Some(&data.obs.names), wanted)?;
        self.table(1, &data.var.columns, Some(&data.var.names), wanted)?;
        for (name, matrix) in &data.varm {
            if let Some(key) = self.wanted("varm", name, wanted)? {
                self.array(&key, &[matrix.n_rows(), matrix.n_cols()], Values::F32(matrix.values()))?;
            }
        }
        self.slots(&data.obsm, &data.obsp, &data.uns, wanted)
    }

    fn wanted(&mut self, slot: &str, name: &str, wanted: &dyn Fn(&str) -> bool) -> Result<Option<String>, H5adError> {
        let key = format!("{slot}/{name}");
        if wanted(&key) { self.with_groups(&key).map(Some) } else { Ok(None) }
    }

    /// Writes the columns of a table, with their order and colours. `names` are the row names; without them the row
    /// names of the original file are used. If the index has the same name as a column, it is renamed to `_index`.
    fn table(
        &mut self,
        which: usize,
        columns: &[(String, Column)],
        names: Option<&[String]>,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<(), H5adError> {
        let table = TABLES[which];
        let index = self.before.map(|before| index_name(before, table));
        if let (Some(before), Some(index)) = (self.before, index)
            && columns.iter().any(|(name, _)| *name == index && wanted(&format!("{table}/{name}")))
        {
            let moved = match names {
                Some(names) => names.to_vec(),
                None => row_names(before, table)?,
            };
            let key = self.with_groups(&format!("{table}/_index"))?;
            self.texts(&key, &[moved.len()], &moved)?;
            self.editor.set_attribute(table, "_index", &Attribute::Text("_index"))?;
        }
        for (name, column) in columns {
            let Some(key) = self.wanted(table, name, wanted)? else { continue };
            self.column(&key, column)?;
            if !self.columns[which].contains(name) {
                self.columns[which].push(name.clone());
            }
            if let Column::Categorical(groups) = column
                && which == 0
                && !groups.colors().is_empty()
            {
                let key = self.with_groups(&format!("uns/{name}_colors"))?;
                self.texts(&key, &[groups.colors().len()], groups.colors())?;
                self.colored.insert(format!("{name}_colors"));
            }
        }
        let lost = &self.lost;
        self.columns[which].retain(|name| !lost.contains(&format!("{table}/{name}")));
        if !columns.is_empty() || !self.lost.is_empty() {
            let order = Attribute::Texts(self.columns[which].clone());
            self.editor.set_attribute(table, "column-order", &order)?;
        }
        self.editor.commit()
    }

    fn slots(
        &mut self,
        obsm: &BTreeMap<String, Matrix>,
        obsp: &BTreeMap<String, Csr>,
        uns: &BTreeMap<String, Uns>,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<(), H5adError> {
        for (name, matrix) in obsm {
            if let Some(key) = self.wanted("obsm", name, wanted)? {
                self.array(&key, &[matrix.n_rows(), matrix.n_cols()], Values::F32(matrix.values()))?;
            }
        }
        for (name, graph) in obsp {
            if let Some(key) = self.wanted("obsp", name, wanted)? {
                self.csr(&key, graph)?;
            }
        }
        for (name, value) in uns {
            // colours of a column are written with the column
            if self.colored.contains(name) {
                continue;
            }
            if let Some(key) = self.wanted("uns", name, wanted)? {
                self.uns(&key, value)?;
            }
        }
        Ok(())
    }

    /// Creates the groups above the key: the slot, and a group for every `/` in a name. Returns the key.
    fn with_groups(&mut self, key: &str) -> Result<String, H5adError> {
        for (at, _) in key.match_indices('/') {
            let above = &key[..at];
            let gone = self.gone.iter().any(|key| above == key || above.starts_with(&format!("{key}/")));
            let there = |reader: &Reader| reader.kind(above) == Some(Kind::Group) && !gone;
            if self.made.contains(above) || self.before.is_some_and(there) {
                continue;
            }
            if above.contains('/') {
                self.editor.create_group(above, &[])?;
                self.made.insert(above.to_owned());
            } else {
                self.dictionary(above)?;
            }
        }
        Ok(key.to_owned())
    }

    fn dictionary(&mut self, key: &str) -> Result<(), H5adError> {
        self.made.insert(key.to_owned());
        self.editor.create_group(key, &encoding("dict", "0.1.0"))
    }

    fn column(&self, key: &str, column: &Column) -> Result<(), H5adError> {
        match column {
            Column::Categorical(groups) => self.categorical(key, groups),
            Column::Float(values) => self.array(key, &[values.len()], Values::F64(values)),
            Column::String(values) if values.iter().all(Option::is_some) => {
                let texts: Vec<&str> = values.iter().flatten().map(String::as_str).collect();
                self.editor.create_dataset(
                    key,
                    &[texts.len()],
                    Values::Texts(&texts),
                    &encoding("string-array", "0.2.0"),
                )
            }
            Column::String(values) => {
                let texts: Vec<&str> = values.iter().map(|v| v.as_deref().unwrap_or("")).collect();
                self.editor.create_group(key, &encoding("nullable-string-array", "0.1.0"))?;
                self.editor.create_dataset(
                    &format!("{key}/values"),
                    &[texts.len()],
                    Values::Texts(&texts),
                    &encoding("string-array", "0.2.0"),
                )?;
                self.mask(key, values)
            }
            Column::Integer(values) => {
                let dense: Vec<i64> = values.iter().map(|v| v.unwrap_or(0)).collect();
                self.nullable(key, "nullable-integer", Values::I64(&dense), values)
            }
            Column::Boolean(values) => {
                let dense: Vec<bool> = values.iter().map(|v| v.unwrap_or(false)).collect();
                self.nullable(key, "nullable-boolean", Values::Booleans(&dense), values)
            }
        }
    }

    /// Writes a plain array if no value is missing, otherwise pandas' masked (nullable) encoding.
    fn nullable<T>(
        &self,
        key: &str,
        name: &'static str,
        dense: Values<'_>,
        values: &[Option<T>],
    ) -> Result<(), H5adError> {
        if values.iter().all(Option::is_some) {
            return self.array(key, &[values.len()], dense);
        }
        self.editor.create_group(key, &encoding(name, "0.1.0"))?;
        self.array(&format!("{key}/values"), &[values.len()], dense)?;
        self.mask(key, values)
    }

    fn mask<T>(&self, key: &str, values: &[Option<T>]) -> Result<(), H5adError> {
        let mask: Vec<bool> = values.iter().map(Option::is_none).collect();
        self.array(&format!("{key}/mask"), &[mask.len()], Values::Booleans(&mask))
    }

    fn categorical(&self, key: &str, groups: &Categorical) -> Result<(), H5adError> {
        self.editor.create_group(
            key,
            &[
                ("encoding-type", Attribute::Text("categorical")),
                ("encoding-version", Attribute::Text("0.2.0")),
                ("ordered", Attribute::Flag(groups.ordered())),
            ],
        )?;
        self.texts(&format!("{key}/categories"), &[groups.categories().len()], groups.categories())?;
        let codes = format!("{key}/codes");
        let shape = [groups.codes().len()];
        if groups.categories().len() <= 127 {
            let narrow: Vec<i8> =
                groups.codes().iter().map(|c| c.and_then(|c| i8::try_from(c).ok()).unwrap_or(-1)).collect();
            return self.array(&codes, &shape, Values::I8(&narrow));
        }
        let wide: Vec<i32> =
            groups.codes().iter().map(|c| c.and_then(|c| i32::try_from(c).ok()).unwrap_or(-1)).collect();
        self.array(&codes, &shape, Values::I32(&wide))
    }

    fn csr(&self, key: &str, matrix: &Csr) -> Result<(), H5adError> {
        let integers = |numbers: &[usize]| numbers.iter().map(|&n| i64::try_from(n).unwrap_or(i64::MAX)).collect();
        self.editor.create_group(
            key,
            &[
                ("encoding-type", Attribute::Text("csr_matrix")),
                ("encoding-version", Attribute::Text("0.1.0")),
                ("shape", Attribute::Integers(integers(&[matrix.n_rows(), matrix.n_cols()]))),
            ],
        )?;
        let plain = |name: &str, values: Values<'_>, len: usize| {
            self.editor.create_dataset(&format!("{key}/{name}"), &[len], values, &[])
        };
        plain("data", Values::F32(matrix.values()), matrix.nnz())?;
        let indptr: Vec<i64> = integers(matrix.pattern().indptr());
        match (i32::try_from(matrix.nnz()), i32::try_from(matrix.n_cols())) {
            (Ok(_), Ok(_)) => {
                let narrow = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
                let indices: Vec<i32> = matrix.pattern().indices().iter().map(|&c| narrow(i64::from(c))).collect();
                let indptr: Vec<i32> = indptr.into_iter().map(narrow).collect();
                plain("indices", Values::I32(&indices), indices.len())?;
                plain("indptr", Values::I32(&indptr), indptr.len())
            }
            _ => {
                let indices: Vec<i64> = matrix.pattern().indices().iter().map(|&c| i64::from(c)).collect();
                plain("indices", Values::I64(&indices), indices.len())?;
                plain("indptr", Values::I64(&indptr), indptr.len())
            }
        }
    }

    fn uns(&mut self, key: &str, value: &Uns) -> Result<(), H5adError> {
        match value {
            Uns::Text(text) => {
                self.editor.create_dataset(key, &[], Values::Texts(&[text]), &encoding("string", "0.2.0"))
            }
            Uns::Texts(shape, texts) => self.texts(key, shape, texts),
            Uns::Floats(shape, values) => self.number(key, shape, Values::F64(values)),
            Uns::Integers(shape, values) => self.number(key, shape, Values::I64(values)),
            Uns::Booleans(shape, values) => self.number(key, shape, Values::Booleans(values)),
            Uns::Map(map) => {
                self.dictionary(key)?;
                map.iter().try_for_each(|(name, value)| {
                    let key = self.with_groups(&format!("{key}/{name}"))?;
                    self.uns(&key, value)
                })
            }
        }
    }

    fn number(&self, key: &str, shape: &[usize], values: Values<'_>) -> Result<(), H5adError> {
        let kind = if shape.is_empty() { encoding("numeric-scalar", "0.2.0") } else { encoding("array", "0.2.0") };
        self.editor.create_dataset(key, shape, values, &kind)
    }

    fn array(&self, key: &str, shape: &[usize], values: Values<'_>) -> Result<(), H5adError> {
        self.editor.create_dataset(key, shape, values, &encoding("array", "0.2.0"))
    }

    fn texts(&self, key: &str, shape: &[usize], texts: &[String]) -> Result<(), H5adError> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        self.editor.create_dataset(key, shape, Values::Texts(&texts), &encoding("string-array", "0.2.0"))
    }
}

fn encoding(kind: &'static str, version: &'static str) -> [(&'static str, Attribute); 2] {
    [("encoding-type", Attribute::Text(kind)), ("encoding-version", Attribute::Text(version))]
}
