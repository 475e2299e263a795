//! A matrix in a file, in any of the encodings that scanpy writes, read in windows.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::error::H5adError;
use super::storage::{Kind, Reader, show};
use crate::sparse::check_indptr;
use crate::windows::{Window, Windows};
use crate::{Csr, Pattern, SparseError};

/// Number of stored entries read at once.
const ENTRIES: usize = 1 << 21;

/// Upper limit on the values of a dense matrix that are read at once, for chunks with many rows.
const MOST_ENTRIES: usize = 1 << 25;

/// Marks a row or column that is not selected.
const NOT: u32 = u32::MAX;

/// A matrix of an open file. A window of a few megabytes is in memory at a time.
pub struct FileMatrix<'a> {
    file: &'a Reader,
    key: String,
    form: Form,
    /// Number of rows and columns in the file.
    stored: (usize, usize),
    /// The selected columns, if they differ from those of the file.
    columns: Option<Vec<usize>>,
}

enum Form {
    Dense,
    /// Start of each row, or of each column if the matrix is stored by columns.
    Sparse {
        indptr: Vec<usize>,
        by_column: bool,
    },
}

impl<'a> FileMatrix<'a> {
    /// Opens the matrix at `key`. Its shape must match the tables of cells and genes.
    pub(super) fn open(file: &'a Reader, key: &str, expected: (usize, usize)) -> Result<Self, H5adError> {
        let form = form(file, key, expected)?;
        Ok(Self { file, key: key.to_owned(), form, stored: expected, columns: None })
    }

    /// Restricts the matrix to these columns of the file.
    pub(super) fn of_columns(mut self, columns: Vec<usize>) -> Self {
        self.columns = Some(columns);
        self
    }

    /// Reads the entire matrix. If its stored entries are at the same places as those of `other`, the two matrices
    /// share one pattern in memory.
    pub(super) fn read_sharing(&self, other: &Csr) -> Result<Csr, H5adError> {
        if self.columns.is_none()
            && let Form::Sparse { indptr, by_column: false } = &self.form
            && other.n_cols() == self.stored.1
            && self.lies_over(indptr, other.pattern())?
        {
            let mut values = Vec::with_capacity(other.nnz());
            for first in (0..other.nnz()).step_by(ENTRIES) {
                values.extend(self.file.f32_rows(&self.part("data"), first, ENTRIES.min(other.nnz() - first))?);
            }
            return Ok(Csr::over(Arc::clone(other.pattern()), values));
        }
        Ok(self.select(None, None)?.sharing(other))
    }

    fn lies_over(&self, indptr: &[usize], pattern: &Pattern) -> Result<bool, H5adError> {
        if indptr != pattern.indptr() {
            return Ok(false);
        }
        for (window, expected) in pattern.indices().chunks(ENTRIES).enumerate() {
            let found = self.file.i64_rows(&self.part("indices"), window * ENTRIES, expected.len())?;
            if !found.iter().zip(expected).all(|(&found, &expected)| found == i64::from(expected)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn part(&self, name: &str) -> String {
        format!("{}/{name}", self.key)
    }

    fn by_column(&self) -> bool {
        matches!(self.form, Form::Sparse { by_column: true, .. })
    }

    /// Calls `each` with windows of the `wanted` rows (columns if stored by columns) and their indices. Indices along
    /// the other axis are mapped through `to`, which also drops entries.
    fn scan(
        &self,
        wanted: &dyn Fn(usize) -> bool,
        to: Option<(&[u32], usize)>,
        each: &mut dyn FnMut(&[usize], &Csr) -> ControlFlow<()>,
    ) -> Result<(), H5adError> {
        match &self.form {
            Form::Dense => self.scan_dense(wanted, to, each),
            Form::Sparse { indptr, by_column } => self.scan_sparse(indptr, *by_column, wanted, to, each),
        }
    }

    fn scan_sparse(
        &self,
        indptr: &[usize],
        by_column: bool,
        wanted: &dyn Fn(usize) -> bool,
        to: Option<(&[u32], usize)>,
        each: &mut dyn FnMut(&[usize], &Csr) -> ControlFlow<()>,
    ) -> Result<(), H5adError> {
        let (indices, data) = (self.part("indices"), self.part("data"));
        let (major, minor) = if by_column { (self.stored.1, self.stored.0) } else { self.stored };
        let mut at = 0;
        while at < major {
            let first = at;
            at += 1;
            if !wanted(first) {
                continue;
            }
            while at < major && wanted(at) && indptr[at + 1] - indptr[first] <= ENTRIES {
                at += 1;
            }
            let (start, count) = (indptr[first], indptr[at] - indptr[first]);
            let (mut across, mut entries) = (Vec::with_capacity(count), Vec::with_capacity(count));
            let mut starts = Vec::with_capacity(at - first + 1);
            starts.push(0);
            let (found, values) =
                (self.file.i64_rows(&indices, start, count)?, self.file.f32_rows(&data, start, count)?);
            for row in first..at {
                for entry in indptr[row] - start..indptr[row + 1] - start {
                    let place = u32::try_from(found[entry]).ok().filter(|&place| (place as usize) < minor);
                    let Some(place) = place else { return Err(self.outside(row, found[entry], minor, by_column)) };
                    match to {
                        Some((to, _)) if to[place as usize] == NOT => continue,
                        Some((to, _)) => across.push(to[place as usize]),
                        None => across.push(place),
                    }
                    entries.push(values[entry]);
                }
                starts.push(across.len());
            }
            let width = to.map_or(minor, |(_, width)| width);
            let part = Csr::from_arrays(width, starts, across, entries)
                .map_err(|problem| self.file.bad(&self.key, problem))?;
            let places: Vec<usize> = (first..at).collect();
            if each(&places, &part).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn outside(&self, row: usize, index: i64, minor: usize, by_column: bool) -> H5adError {
        let (along, across) = if by_column { ("column", "row") } else { ("row", "column") };
        let problem = format!("{along} {row} has {across} index {index}, but there are {minor} {across}s");
        self.file.bad(&self.key, problem)
    }

    fn scan_dense(
        &self,
        wanted: &dyn Fn(usize) -> bool,
        to: Option<(&[u32], usize)>,
        each: &mut dyn FnMut(&[usize], &Csr) -> ControlFlow<()>,
    ) -> Result<(), H5adError> {
        let (n_rows, n_cols) = self.stored;
        // full chunks, so that each is decompressed once
        let chunk = self.file.chunk_rows(&self.key).max(1);
        let rows = (ENTRIES / n_cols.max(1)).clamp(1, n_rows.max(1));
        let rows = match chunk {
            _ if rows > chunk => rows - rows % chunk,
            _ if chunk.saturating_mul(n_cols) <= MOST_ENTRIES => chunk,
            _ => rows,
        };
        for first in (0..n_rows).step_by(rows) {
            let places: Vec<usize> = (first..n_rows.min(first + rows)).filter(|&row| wanted(row)).collect();
            if places.is_empty() {
                continue;
            }
            let count = rows.min(n_rows - first);
            let block = self.file.f32_rows(&self.key, first, count)?;
            if block.len() != count * n_cols {
                return Err(self.file.bad(&self.key, "it is shorter than its shape says"));
            }
            let (mut starts, mut across, mut entries) = (vec![0], Vec::new(), Vec::new());
            for &row in &places {
                let values = &block[(row - first) * n_cols..][..n_cols];
                for (column, &value) in (0_u32..).zip(values).filter(|(_, value)| **value != 0.0) {
                    match to {
                        Some((to, _)) if to[column as usize] == NOT => continue,
                        Some((to, _)) => across.push(to[column as usize]),
                        None => across.push(column),
                    }
                    entries.push(value);
                }
                starts.push(across.len());
            }
            let width = to.map_or(n_cols, |(_, width)| width);
            let part = Csr::from_arrays(width, starts, across, entries)
                .map_err(|problem| self.file.bad(&self.key, problem))?;
            if each(&places, &part).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Windows for FileMatrix<'_> {
    fn shape(&self) -> (usize, usize) {
        (self.stored.0, self.columns.as_ref().map_or(self.stored.1, Vec::len))
    }

    fn visit(&self, each: &mut dyn FnMut(&Window<'_>) -> ControlFlow<()>) -> Result<(), H5adError> {
        let by_column = self.by_column();
        let Some(columns) = &self.columns else {
            return self.scan(&|_| true, None, &mut |places, part| each(&Window::new(part, places, by_column)));
        };
        let to = moves(columns, self.stored.1);
        if !by_column {
            let to = Some((&to[..], columns.len()));
            return self.scan(&|_| true, to, &mut |places, part| each(&Window::new(part, places, false)));
        }
        self.scan(&|column| to[column] != NOT, None, &mut |places, part| {
            let places: Vec<usize> = places.iter().map(|&column| to[column] as usize).collect();
            each(&Window::new(part, &places, true))
        })
    }

    fn select(&self, rows: Option<&[usize]>, columns: Option<&[usize]>) -> Result<Csr, H5adError> {
        // indices in the file of the selected columns
        let columns: Option<Vec<usize>> = match (&self.columns, columns) {
            (None, chosen) => chosen.map(<[usize]>::to_vec),
            (Some(all), None) => Some(all.clone()),
            (Some(all), Some(chosen)) => Some(chosen.iter().map(|&column| all[column]).collect()),
        };
        let (columns, rows) = (columns.as_deref(), rows);
        let (along, across) = if self.by_column() { (columns, rows) } else { (rows, columns) };
        let (major, minor) = if self.by_column() { (self.stored.1, self.stored.0) } else { self.stored };
        let wanted = along.map(|chosen| moves(chosen, major));
        let to = across.map(|chosen| moves(chosen, minor));
        let width = across.map_or(minor, <[usize]>::len);
        let all = match (&self.form, along, across) {
            (Form::Sparse { indptr, .. }, None, None) => {
                self.file.check_size(&self.part("indices"))?;
                self.file.check_size(&self.part("data"))?;
                indptr[major]
            }
            _ => 0,
        };
        let mut starts = Vec::with_capacity(along.map_or(major, <[usize]>::len) + 1);
        starts.push(0);
        let (mut indices, mut values) = (Vec::with_capacity(all), Vec::with_capacity(all));
        self.scan(
            &|place| wanted.as_ref().is_none_or(|wanted| wanted[place] != NOT),
            to.as_ref().map(|to| (&to[..], width)),
            &mut |_, part| {
                let before = indices.len();
                indices.extend_from_slice(part.pattern().indices());
                values.extend_from_slice(part.values());
                starts.extend(part.pattern().indptr()[1..].iter().map(|end| before + end));
                ControlFlow::Continue(())
            },
        )?;
        let mut read =
            Csr::from_arrays(width, starts, indices, values).map_err(|problem| self.file.bad(&self.key, problem))?;
        // windows come in file order
        if let Some(chosen) = along.filter(|chosen| !chosen.is_sorted()) {
            let mut in_file = chosen.to_vec();
            in_file.sort_unstable();
            let order: Vec<usize> = chosen.iter().map(|place| in_file.partition_point(|p| p < place)).collect();
            read = read.select_rows(&order);
        }
        Ok(if self.by_column() { read.transpose() } else { read })
    }
}

/// New index of each of `n` indices when `chosen` are taken in order.
fn moves(chosen: &[usize], n: usize) -> Vec<u32> {
    let mut to = vec![NOT; n];
    for (&from, place) in chosen.iter().zip(0_u32..) {
        to[from] = place;
    }
    to
}

/// The encoding of the matrix at `key`, with a checked index.
fn form(file: &Reader, key: &str, expected: (usize, usize)) -> Result<Form, H5adError> {
    let wrong = |found: &[usize]| {
        file.bad(key, format!("its shape is {}, expected {}", show(found), show(&[expected.0, expected.1])))
    };
    if file.kind(key) == Some(Kind::Dataset) {
        let shape = file.shape(key)?;
        return if shape == [expected.0, expected.1] { Ok(Form::Dense) } else { Err(wrong(&shape)) };
    }
    let format = file
        .text_attribute(key, "encoding-type")
        .or_else(|| file.text_attribute(key, "h5sparse_format"))
        .unwrap_or_default();
    let by_column = match format.as_str() {
        "csr_matrix" | "csr" => false,
        "csc_matrix" | "csc" => true,
        other => return Err(file.bad(key, format!("it is stored as \"{other}\", expected a CSR, CSC or dense matrix"))),
    };
    let shape = file
        .integers_attribute(key, "shape")
        .or_else(|| file.integers_attribute(key, "h5sparse_shape"))
        .ok_or_else(|| file.bad(key, "its shape is missing"))?;
    let shape: Vec<usize> = shape.into_iter().map(|n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
    if shape != [expected.0, expected.1] {
        return Err(wrong(&shape));
    }
    let part = |name: &str| -> Result<String, H5adError> {
        let part = format!("{key}/{name}");
        match file.kind(&part) {
            Some(Kind::Dataset) => Ok(part),
            _ => Err(file.bad(key, format!("its {name} are missing"))),
        }
    };
    let indptr = file.i64s(&part("indptr")?)?;
    let indptr: Vec<usize> = indptr.into_iter().map(|n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
    let major = if by_column { expected.1 } else { expected.0 };
    if indptr.len() != major + 1 {
        return Err(file.bad(key, format!("its indptr has {} entries, expected {}", indptr.len(), major + 1)));
    }
    let length = |name: &str| Ok::<usize, H5adError>(file.shape(&part(name)?)?.first().copied().unwrap_or(0));
    let (indices, values) = (length("indices")?, length("data")?);
    check_indptr(&indptr, indices).map_err(|problem| file.bad(key, problem))?;
    if values != indices {
        return Err(file.bad(key, SparseError::Values { values, indices }));
    }
    Ok(Form::Sparse { indptr, by_column })
}
