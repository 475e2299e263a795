//! Reads the output of Cell Ranger (10x Genomics): an `.h5` file, or a folder with a Matrix Market file, barcodes and
//! features.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::h5ad::storage::{Kind, Reader};
use crate::matrix_market::parse;
use crate::{Column, Csr, Dataset, Frame, H5adError, plain_reason};

/// The feature type of genes, as opposed to antibodies or guides.
const EXPRESSION: &str = "Gene Expression";

/// The file in a folder that holds the counts.
const MATRIX: &str = "matrix.mtx";

/// Counts of cells and genes, with a record of changes to gene names.
#[derive(Debug, Clone)]
pub struct TenX {
    /// Counts in X, with barcodes as cell names and symbols as gene names. `var` has `gene_ids`, and `feature_types`
    /// and `genome` if the file has them.
    pub data: Dataset,
    /// Number of genes that share a symbol with an earlier gene. They are renamed with the suffix `-1`, `-2`, …, as in
    /// anndata.
    pub renamed: usize,
    /// Number of features that are not genes and were removed.
    pub other_features: usize,
}

/// Whether `path` is a folder with a Matrix Market file or an HDF5 file of Cell Ranger.
#[must_use]
pub fn is_10x(path: &Path) -> bool {
    if path.is_dir() {
        return matrix(path).is_some();
    }
    let Ok(file) = Reader::open(path) else { return false };
    group(&file).is_some()
}

/// Reads the counts of a Cell Ranger output, version 2 or 3.
///
/// # Errors
/// [`H5adError`] names the file and the part that is missing or invalid.
pub fn read_10x(path: &Path) -> Result<TenX, H5adError> {
    if path.is_dir() { read_folder(path) } else { read_h5(path) }
}

/// The group of the matrix: `matrix` in version 3, the name of the genome in version 2.
fn group(file: &Reader) -> Option<String> {
    if file.kind("obs").is_some() {
        return None;
    }
    let whole = |key: &str| {
        ["barcodes", "data", "indices", "indptr", "shape"]
            .iter()
            .all(|part| file.kind(&format!("{key}/{part}")) == Some(Kind::Dataset))
    };
    file.children("").ok()?.into_iter().find(|key| whole(key))
}

fn read_h5(path: &Path) -> Result<TenX, H5adError> {
    let file = Reader::open(path)?;
    let Some(key) = group(&file) else {
        let reason = "it has no matrix of 10x".into();
        return Err(H5adError::NotAnnData { path: file.path(), reason });
    };
    let part = |name: &str| format!("{key}/{name}");
    let optional = |name: &str| match file.kind(&part(name)) {
        Some(_) => file.texts(&part(name)).map(Some),
        None => Ok(None),
    };
    let features = if file.kind(&part("features")) == Some(Kind::Group) {
        Features {
            ids: file.texts(&part("features/id"))?,
            symbols: file.texts(&part("features/name"))?,
            kinds: optional("features/feature_type")?,
            genomes: optional("features/genome")?,
        }
    } else {
        let (ids, symbols) = (file.texts(&part("genes"))?, file.texts(&part("gene_names"))?);
        Features { ids, symbols, kinds: None, genomes: None }
    };
    let indptr: Vec<usize> =
        file.i64s(&part("indptr"))?.into_iter().map(|n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
    let indices = file.i64s(&part("indices"))?.into_iter().map(|i| u32::try_from(i).unwrap_or(u32::MAX)).collect();
    // the stored CSC matrix has cells as columns: its arrays are the CSR arrays of cells × genes
    let counts = Csr::from_arrays(features.ids.len(), indptr, indices, file.f32s(&part("data"))?)
        .map_err(|problem| file.bad(&key, problem))?;
    let barcodes = file.texts(&part("barcodes"))?;
    assemble(path, counts, barcodes, features)
}

/// Annotations of the features of a Cell Ranger matrix.
struct Features {
    ids: Vec<String>,
    symbols: Vec<String>,
    kinds: Option<Vec<String>>,
    genomes: Option<Vec<String>>,
}

fn read_folder(path: &Path) -> Result<TenX, H5adError> {
    let Some((matrix, prefix)) = matrix(path) else {
        return Err(H5adError::Missing { path: path.display().to_string(), missing: MATRIX.into() });
    };
    let lines = |names: &[&str]| -> Result<(PathBuf, Vec<Vec<String>>), H5adError> {
        let Some(file) = find(path, &prefix, names) else {
            let missing = format!("{prefix}{} (or the same with .gz)", names.join(&format!(" or {prefix}")));
            return Err(H5adError::Missing { path: path.display().to_string(), missing });
        };
        let rows = open(&file)?
            .lines()
            .map(|line| line.map(|line| line.split('\t').map(|word| word.trim_end_matches('\r').to_owned()).collect()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unreadable(&file, &error))?;
        Ok((file, rows))
    };
    let (_, barcodes) = lines(&["barcodes.tsv"])?;
    let (_, features) = lines(&["features.tsv", "genes.tsv"])?;
    let word = |row: &[String], at: usize| row.get(at).or(row.first()).cloned().unwrap_or_default();
    let kinds = features
        .first()
        .is_some_and(|row| row.len() > 2)
        .then(|| features.iter().map(|row| word(row, 2)).collect::<Vec<_>>());
    let (ids, symbols) = features.iter().map(|row| (word(row, 0), word(row, 1))).unzip();
    #[expect(clippy::cast_possible_truncation, reason = "counts are kept in f32")]
    let counts = parse(&matrix.display().to_string(), open(&matrix)?)?.transpose().map(|v| v as f32);
    let barcodes = barcodes.iter().map(|row| word(row, 0)).collect();
    assemble(path, counts, barcodes, Features { ids, symbols, kinds, genomes: None })
}

fn assemble(path: &Path, counts: Csr, barcodes: Vec<String>, features: Features) -> Result<TenX, H5adError> {
    let Features { ids, symbols, kinds, genomes } = features;
    let agree = counts.n_rows() == barcodes.len() && [ids.len(), symbols.len()].iter().all(|&n| n == counts.n_cols());
    if !agree || [&kinds, &genomes].into_iter().flatten().any(|all| all.len() != ids.len()) {
        return Err(H5adError::Bad {
            path: path.display().to_string(),
            key: "the matrix".into(),
            problem: format!(
                "it has {} cells and {} features, but there are {} barcodes and {} features",
                counts.n_rows(),
                counts.n_cols(),
                barcodes.len(),
                ids.len()
            ),
        });
    }
    let (names, renamed) = unique(&symbols);
    let mut var = Frame::new(names);
    let text = |all: &[String]| Column::String(all.iter().cloned().map(Some).collect());
    var.set("gene_ids", text(&ids));
    for (name, all) in [("feature_types", &kinds), ("genome", &genomes)] {
        if let Some(all) = all {
            var.set(name, text(all));
        }
    }
    let mut data = Dataset { x: Some(counts), obs: Frame::new(barcodes), var, ..Dataset::default() };
    let genes: Vec<usize> = kinds
        .iter()
        .flat_map(|kinds| kinds.iter().enumerate().filter(|(_, kind)| *kind == EXPRESSION).map(|(gene, _)| gene))
        .collect();
    let other_features = if genes.is_empty() { 0 } else { data.n_genes() - genes.len() };
    if other_features > 0 {
        data = data.select_genes(&genes);
    }
    Ok(TenX { data, renamed, other_features })
}

/// Makes names unique as anndata does. Returns the number of renamed genes as well.
fn unique(names: &[String]) -> (Vec<String>, usize) {
    let mut taken: std::collections::HashSet<String> = names.iter().cloned().collect();
    let (mut seen, mut renamed) = (HashMap::<&str, usize>::new(), 0);
    let unique = names
        .iter()
        .map(|name| {
            let count = seen.entry(name).or_insert(0);
            if *count == 0 {
                *count = 1;
                return name.clone();
            }
            renamed += 1;
            loop {
                let other = format!("{name}-{count}");
                *count += 1;
                if taken.insert(other.clone()) {
                    return other;
                }
            }
        })
        .collect();
    (unique, renamed)
}

/// The matrix file of a folder, and the prefix of all file names in it. The prefix is empty, or any prefix (as in GEO
/// downloads) if there is only one matrix.
fn matrix(folder: &Path) -> Option<(PathBuf, String)> {
    if let Some(plain) = find(folder, "", &[MATRIX]) {
        return Some((plain, String::new()));
    }
    let prefix = |name: &str| name.strip_suffix(".gz").unwrap_or(name).strip_suffix(MATRIX).map(str::to_owned);
    let there = std::fs::read_dir(folder).ok()?.flatten();
    let mut found = there.filter_map(|entry| {
        let prefix = prefix(entry.file_name().to_str()?)?;
        entry.path().is_file().then(|| (entry.path(), prefix))
    });
    found.next().filter(|_| found.next().is_none())
}

/// The file with one of the names in a folder, compressed or not.
fn find(folder: &Path, prefix: &str, names: &[&str]) -> Option<PathBuf> {
    let all = names.iter().flat_map(|name| ["", ".gz"].map(|packed| folder.join(format!("{prefix}{name}{packed}"))));
    all.into_iter().find(|path| path.is_file())
}

fn open(path: &Path) -> Result<BufReader<Box<dyn Read>>, H5adError> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let packed = path.extension().is_some_and(|ending| ending == "gz");
    Ok(BufReader::new(if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) }))
}

fn unreadable(path: &Path, error: &std::io::Error) -> H5adError {
    H5adError::Unreadable { path: path.display().to_string(), reason: plain_reason(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_with_symbols_that_differ_and_genes_alone() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("barcodes.tsv", "AAA-1\nCCC-1\n");
        write("features.tsv", "E1\tSox2\tGene Expression\nE2\tSox2\tGene Expression\nP1\tCD3\tAntibody Capture\n");
        write("matrix.mtx", "%%MatrixMarket matrix coordinate integer general\n%\n3 2 3\n1 1 4\n2 2 7\n3 1 9\n");
        assert!(is_10x(directory.path()));
        let found = read_10x(directory.path()).unwrap();
        assert_eq!((found.renamed, found.other_features), (1, 1));
        assert_eq!(found.data.obs.names, ["AAA-1", "CCC-1"]);
        assert_eq!(found.data.var.names, ["Sox2", "Sox2-1"]);
        let kind = Some("Gene Expression".to_owned());
        assert_eq!(found.data.var.get("feature_types"), Some(&Column::String(vec![kind.clone(), kind])));
        assert_eq!(found.data.x.unwrap().gather_dense(&[0, 1]), [4.0, 0.0, 0.0, 7.0]);
        write("barcodes.tsv", "AAA-1\n");
        let message = read_10x(directory.path()).unwrap_err().to_string();
        assert!(message.contains("it has 2 cells and 3 features, but there are 1 barcodes"), "{message}");
    }

    #[test]
    fn files_of_a_folder_may_have_a_name_before_their_own_where_that_says_which() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("GSM1_barcodes.tsv", "AAA-1\n");
        write("GSM1_features.tsv", "E1\tSox2\tGene Expression\n");
        write("GSM1_matrix.mtx", "%%MatrixMarket matrix coordinate integer general\n%\n1 1 1\n1 1 4\n");
        assert!(is_10x(directory.path()));
        assert_eq!(read_10x(directory.path()).unwrap().data.obs.names, ["AAA-1"]);
        std::fs::rename(directory.path().join("GSM1_barcodes.tsv"), directory.path().join("GSM2_barcodes.tsv"))
            .unwrap();
        let message = read_10x(directory.path()).unwrap_err().to_string();
        assert!(message.contains("lacks GSM1_barcodes.tsv"), "of another sample: {message}");
        write("GSM2_matrix.mtx", "");
        assert!(!is_10x(directory.path()), "two of them");
    }

    #[test]
    fn names_become_unique_as_anndata_makes_them() {
        let names = ["a", "a", "a-1", "a", "b"].map(str::to_owned);
        assert_eq!(unique(&names), (["a", "a-2", "a-1", "a-3", "b"].map(str::to_owned).to_vec(), 2));
    }
}
