//! Part results: a file byte for byte, with a second one behind it that holds what the part adds.
//!
//! What reads HDF5 reads the first file ([`footer`](super::footer)); [`added`] reads the second. Results that are added
//! to a part are therefore added to the file that it was made of, with the same bytes.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use super::error::H5adError;
use super::footer::Footer;
use super::read::{all_keys, open_anndata, read};
use super::storage::Reader;
use super::write::{beside, copy_first, fill_new, replace, unwritable};
use crate::replace::plain_reason;
use crate::{Compression, Dataset};

/// Writes the file that `reader` has open, with `added` behind it.
pub(super) fn write(reader: &Reader, output: &Path, added: &Dataset) -> Result<(), H5adError> {
    let failed = |source: std::io::Error| unwritable(output, &source);
    replace(output, |temporary| {
        let second = beside(temporary);
        let written = fill_new(&second, added, Compression::None).and_then(|()| {
            let mut file = copy_first(reader, temporary, output)?;
            let first = file.stream_position().map_err(failed)?;
            let second = std::io::copy(&mut File::open(&second).map_err(failed)?, &mut file).map_err(failed)?;
            file.write_all(&Footer { first, second }.bytes()).and_then(|()| file.sync_all()).map_err(failed)
        });
        let _ = std::fs::remove_file(&second);
        written
    })
}

/// What a part adds to the file that it was made of; nothing where the file is no part.
pub(super) fn added(reader: &Reader) -> Result<Option<Dataset>, H5adError> {
    let Some((mut file, Footer { first, second })) = reader.part() else { return Ok(None) };
    let damaged = |problem: String| H5adError::Bad { path: reader.path(), key: "its part".into(), problem };
    let failed = |source: &std::io::Error| damaged(plain_reason(source));
    // the reader underneath begins at the first byte of a file
    let mut alone = tempfile::NamedTempFile::new().map_err(|source| failed(&source))?;
    file.seek(SeekFrom::Start(first)).map_err(|source| failed(&source))?;
    std::io::copy(&mut std::io::Read::take(file, second), &mut alone).map_err(|source| failed(&source))?;
    let inner = |error: H5adError| match error {
        H5adError::Bad { key, problem, .. } => damaged(format!("{key}: {problem}")),
        H5adError::NotHdf5 { reason, .. } | H5adError::NotAnnData { reason, .. } => damaged(reason),
        other => damaged(other.to_string()),
    };
    let part = open_anndata(alone.path()).map_err(inner)?;
    all_keys(&part).and_then(|keys| read(&part, &keys)).map(Some).map_err(inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, Frame, H5ad, SimulateSpec, simulate, write_h5ad};

    #[test]
    fn a_part_reads_as_the_file_it_was_made_of_and_results_are_added_to_that_file() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let cells = simulate(&SimulateSpec { n_cells: 50, n_genes: 20, ..SimulateSpec::default() }.check().unwrap());
        write_h5ad(&at("in.h5ad"), &cells, Compression::None).unwrap();
        let input = H5ad::open(&at("in.h5ad")).unwrap();
        assert_eq!(input.part().unwrap(), None);
        let mut added = Dataset { obs: Frame::new(cells.obs.names.clone()), ..Dataset::default() };
        added.obs.set("time", Column::Float((0..50).map(|i| f64::from(i) / 7.0).collect()));
        added.uns.insert("shard".into(), crate::Uns::Text("1/3".into()));
        input.write_part(&at("part.h5ad"), &added).unwrap();

        let part = H5ad::open(&at("part.h5ad")).unwrap();
        assert_eq!(part.part().unwrap(), Some(added));
        assert!(part.same_bytes(&input).unwrap() && input.same_bytes(&part).unwrap());
        assert_eq!(part.keys().unwrap(), input.keys().unwrap());
        let results = crate::Additions {
            obs: vec![("lsd_pseudotime".into(), Column::Float(vec![0.5; 50]))],
            ..crate::Additions::default()
        };
        for (file, name) in [(&input, "a.h5ad"), (&part, "b.h5ad")] {
            file.add(&at(name), &results, Compression::None).unwrap();
        }
        let bytes = |name: &str| std::fs::read(at(name)).unwrap();
        assert!(bytes("a.h5ad") == bytes("b.h5ad"));
        assert!(bytes("part.h5ad").starts_with(&bytes("in.h5ad")));
        let mut names: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a.h5ad", "b.h5ad", "in.h5ad", "part.h5ad"], "nothing is left beside");
        assert!(!H5ad::open(&at("a.h5ad")).unwrap().same_bytes(&input).unwrap());
    }

    #[test]
    fn a_part_whose_second_file_is_damaged_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let cells = simulate(&SimulateSpec { n_cells: 50, n_genes: 20, ..SimulateSpec::default() }.check().unwrap());
        write_h5ad(&at("in.h5ad"), &cells, Compression::None).unwrap();
        let first = std::fs::read(at("in.h5ad")).unwrap();
        let footer = Footer { first: first.len() as u64, second: 9 };
        std::fs::write(at("part.h5ad"), [&first[..], b"no file ", b".", &footer.bytes()].concat()).unwrap();
        let message = H5ad::open(&at("part.h5ad")).unwrap().part().unwrap_err().to_string();
        assert!(message.contains("part.h5ad: its part: "), "{message}");
    }
}
