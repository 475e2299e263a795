//! Lists the contents of a file without reading its matrices.

use super::error::H5adError;
use super::read::{column_names, n_rows};
use super::storage::{Kind, Reader, show};

/// One element of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Slot, such as `obs`; `X` for X.
    pub slot: String,
    /// Name within the slot; empty for X.
    pub name: String,
    /// Encoding, shape and element type as text: `csr_matrix 3696 × 1000 float32`.
    pub form: String,
}

/// The contents of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Number of cells.
    pub n_cells: usize,
    /// Number of genes.
    pub n_genes: usize,
    /// Every element, slot by slot.
    pub entries: Vec<Entry>,
}

impl Inspection {
    /// Whether the file has this element.
    #[must_use]
    pub fn has(&self, slot: &str, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.slot == slot && entry.name == name)
    }

    /// Names of the elements of a slot.
    pub fn keys<'a>(&'a self, slot: &'a str) -> impl Iterator<Item = &'a str> {
        self.entries.iter().filter(move |entry| entry.slot == slot).map(|entry| entry.name.as_str())
    }
}

/// Lists the elements of an open file.
pub(super) fn list(file: &Reader) -> Result<Inspection, H5adError> {
    let mut entries = Vec::new();
    if file.has("X") {
        entries.push(Entry { slot: "X".into(), name: String::new(), form: form(file, "X") });
    }
    for slot in ["layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns", "raw"] {
        let names = if matches!(slot, "obs" | "var") { column_names(file, slot) } else { file.children(slot)? };
        entries.extend(names.into_iter().filter(|name| file.has(&format!("{slot}/{name}"))).map(|name| {
            let form = form(file, &format!("{slot}/{name}"));
            Entry { slot: slot.into(), name, form }
        }));
    }
    Ok(Inspection { n_cells: n_rows(file, "obs")?, n_genes: n_rows(file, "var")?, entries })
}

fn form(file: &Reader, key: &str) -> String {
    if file.kind(key) == Some(Kind::Dataset) {
        let shape = file.shape(key).unwrap_or_default();
        let name = file.element_name(key);
        return if shape.is_empty() { name } else { format!("{} {name}", show(&shape)) };
    }
    let encoding = file
        .text_attribute(key, "encoding-type")
        .or_else(|| file.text_attribute(key, "h5sparse_format"))
        .unwrap_or_else(|| "group".into());
    if let Some(shape) = file.integers_attribute(key, "shape") {
        let shape: Vec<usize> = shape.into_iter().filter_map(|n| usize::try_from(n).ok()).collect();
        return format!("{encoding} {} {}", show(&shape), file.element_name(&format!("{key}/data")));
    }
    match file.shape(&format!("{key}/categories")) {
        Ok(shape) => format!("{encoding}, {} categories", show(&shape)),
        Err(_) => encoding,
    }
}
