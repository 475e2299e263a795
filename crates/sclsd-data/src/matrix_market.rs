//! Sparse matrices in the Matrix Market exchange format, as `scipy.io.mmwrite` writes them.

use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::memory::available;
use crate::{Csr, H5adError, plain_reason};

/// Reads a real or integer coordinate matrix, general or symmetric. Duplicate entries are summed.
///
/// # Errors
/// [`H5adError`] names the file and the first invalid line.
pub fn read_matrix_market(path: &Path) -> Result<Csr<f64>, H5adError> {
    let shown = path.display().to_string();
    let file = std::fs::File::open(path)
        .map_err(|e| H5adError::Unreadable { path: shown.clone(), reason: plain_reason(&e) })?;
    parse(&shown, BufReader::new(file))
}

/// Parses lines. Errors name the file as `shown`.
pub(crate) fn parse(shown: &str, file: impl BufRead) -> Result<Csr<f64>, H5adError> {
    let unreadable = |e: &std::io::Error| H5adError::Unreadable { path: shown.to_owned(), reason: plain_reason(e) };
    let bad = |line: usize, problem: &str| H5adError::Bad {
        path: shown.to_owned(),
        key: format!("line {line}"),
        problem: problem.to_owned(),
    };
    let mut lines = (1..).zip(file.lines());
    let header = match lines.next() {
        Some((_, Ok(line))) => line.to_lowercase(),
        Some((_, Err(_))) | None => return Err(bad(1, "expected the header %%MatrixMarket")),
    };
    let words: Vec<&str> = header.split_whitespace().collect();
    let symmetric = match words[..] {
        ["%%matrixmarket", "matrix", "coordinate", "real" | "integer", "general"] => false,
        ["%%matrixmarket", "matrix", "coordinate", "real" | "integer", "symmetric"] => true,
        _ => return Err(bad(1, "expected %%MatrixMarket matrix coordinate real (or integer) general (or symmetric)")),
    };
    let mut sizes: Option<[usize; 3]> = None;
    let mut rows: Vec<Vec<(u32, f64)>> = Vec::new();
    let mut entries = 0;
    for (number, line) in lines {
        let line = line.map_err(|e| unreadable(&e))?;
        if line.starts_with('%') || line.trim().is_empty() {
            continue;
        }
        let mut words = line.split_whitespace();
        let mut whole = || words.next().and_then(|w| w.parse::<usize>().ok());
        let Some((row, column)) = whole().zip(whole()) else {
            return Err(bad(number, "expected two integers first, the row and the column"));
        };
        let Some([n_rows, n_cols, _]) = sizes else {
            let Some(count) = whole() else { return Err(bad(number, "expected rows, columns and entries")) };
            if u32::try_from(column).is_err() {
                return Err(bad(number, "there are more columns than 2^32"));
            }
            // each row, even an empty one, allocates a vector
            let needed = (row as u64).saturating_mul(24).saturating_add((count as u64).saturating_mul(16));
            if available().is_some_and(|free| needed > free) {
                return Err(bad(number, &format!("{row} rows and {count} entries do not fit into memory")));
            }
            sizes = Some([row, column, count]);
            rows = vec![Vec::new(); row];
            continue;
        };
        let Some(value) = words.next().and_then(|w| w.parse::<f64>().ok()) else {
            return Err(bad(number, "expected a number in the third place"));
        };
        if row == 0 || row > n_rows || column == 0 || column > n_cols {
            return Err(bad(number, &format!("entry {row}, {column} lies outside the {n_rows} × {n_cols} matrix")));
        }
        let index = |i: usize| u32::try_from(i - 1).unwrap_or(u32::MAX);
        rows[row - 1].push((index(column), value));
        if symmetric && row != column {
            if column > n_rows {
                return Err(bad(number, "a symmetric matrix is square"));
            }
            rows[column - 1].push((index(row), value));
        }
        entries += 1;
    }
    let Some([_, n_cols, count]) = sizes else { return Err(bad(2, "expected rows, columns and entries")) };
    if entries != count {
        return Err(bad(2, &format!("{count} entries are announced, but there are {entries}")));
    }
    for row in &mut rows {
        row.sort_by_key(|entry| entry.0);
        row.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
    }
    Csr::from_rows(n_cols, rows).map_err(|problem| bad(2, &problem.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Csr<f64>, H5adError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_matrix_market(file.path())
    }

    #[test]
    fn entries_are_read_added_up_and_mirrored() {
        let m = read("%%MatrixMarket matrix coordinate real general\n% note\n2 3 3\n1 3 0.5\n1 1 2\n1 3 1\n").unwrap();
        assert_eq!(m.row(0), (&[0_u32, 2][..], &[2.0, 1.5][..]));
        let m = read("%%MatrixMarket matrix coordinate integer symmetric\n2 2 1\n2 1 4\n").unwrap();
        assert_eq!((m.row(0).1, m.row(1).1), (&[4.0][..], &[4.0][..]));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let cases = [
            ("1,2\n", "line 1: expected %%MatrixMarket"),
            (
                "%%MatrixMarket matrix coordinate real general\n2 2 1\n3 1 1\n",
                "line 3: entry 3, 1 lies outside the 2 × 2",
            ),
            ("%%MatrixMarket matrix coordinate real general\n2 2 1\n1 1 x\n", "line 3: expected a number"),
            (
                "%%MatrixMarket matrix coordinate real general\n2 2 2\n1 1 1\n",
                "2 entries are announced, but there are 1",
            ),
        ];
        for (text, part) in cases {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{part} is not in {error}");
        }
    }
}
