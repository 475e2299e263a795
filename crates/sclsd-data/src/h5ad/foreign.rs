//! Identifies files that are not `.h5ad`, and explains how to convert them.

use std::io::Read;
use std::path::Path;

/// The reason given for a directory of unknown content.
pub(super) const DIRECTORY: &str = "it is a directory";

/// Identifies a file that is not HDF5 by its first bytes and its name, with a hint on converting it. `None` if the file
/// may be HDF5.
pub(super) fn not_hdf5(path: &Path) -> Option<String> {
    if path.is_dir() {
        return Some(directory(path));
    }
    let mut start = vec![0; 512];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut start)).unwrap_or(0);
    start.truncate(read);
    let text = String::from_utf8_lossy(&start).to_lowercase();
    let text = text.trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']);
    if start.starts_with(b"\x89HDF") {
        return None;
    }
    let message = if start.starts_with(b"\x1f\x8b") {
        if named(path, ".rds") || named(path, ".rdata") {
            "it is an R object (.rds); in R, anndataR::write_h5ad(object, \"cells.h5ad\") converts it to .h5ad"
        } else if named(path, ".mtx.gz") {
            "it is a Matrix Market file compressed with gzip; give sclsd prepare the directory that contains it"
        } else {
            "it is compressed with gzip; unpack it first: gunzip FILE.h5ad.gz"
        }
    } else if start.starts_with(b"BZh") || start.starts_with(b"\xfd7zXZ") || start.starts_with(b"\x28\xb5\x2f\xfd") {
        "it is compressed; unpack it first"
    } else if start.starts_with(b"PK") {
        if named(path, ".zip") && path.to_string_lossy().to_lowercase().contains(".zarr") {
            "it is a zarr store in a zip file; in Python, anndata.read_zarr(path).write_h5ad(\"cells.h5ad\") converts it to .h5ad"
        } else {
            "it is a zip file; unpack it first"
        }
    } else if text.starts_with("<!doctype html") || text.starts_with("<html") || text.starts_with("<?xml") {
        "it is a web page, as a download that failed or needs a login leaves one; download the file again"
    } else if text.starts_with("%%matrixmarket") {
        "it is a Matrix Market file; give sclsd prepare the directory that contains it, with barcodes and features"
    } else if text.starts_with("version https://git-lfs") {
        "it is a pointer of Git LFS, not the file itself; fetch it with git lfs pull"
    } else if start.starts_with(b"RDX") || start.starts_with(b"X\n\0") {
        "it is an R object (.rds); in R, anndataR::write_h5ad(object, \"cells.h5ad\") converts it to .h5ad"
    } else if looks_like_table(&start) {
        "it is a table of text; in Python, anndata.read_csv(path).write_h5ad(\"cells.h5ad\") converts it to .h5ad if its rows are cells"
    } else {
        return None;
    };
    Some(message.to_owned())
}

fn named(path: &Path, ending: &str) -> bool {
    path.to_string_lossy().to_lowercase().ends_with(ending)
}

fn looks_like_table(start: &[u8]) -> bool {
    let line = start.split(|&b| b == b'\n').next().unwrap_or_default();
    !line.is_empty()
        && line.iter().all(|&b| b >= b' ' || b == b'\t' || b == b'\r')
        && line.iter().any(|&b| matches!(b, b',' | b'\t' | b';'))
}

fn directory(path: &Path) -> String {
    let has = |name: &str| path.join(name).exists();
    if has(".zgroup") || has("zarr.json") || has(".zattrs") {
        "it is a zarr store; in Python, anndata.read_zarr(path).write_h5ad(\"cells.h5ad\") converts it to .h5ad".into()
    } else if has("matrix.mtx") || has("matrix.mtx.gz") {
        "it is a folder of 10x; sclsd prepare reads it".into()
    } else {
        DIRECTORY.into()
    }
}

/// Identifies an HDF5 file of another container format than AnnData by the names and attributes of its root group.
pub(super) fn not_anndata(top: &[String], attributes: &[String]) -> Option<&'static str> {
    let has = |name: &str| top.iter().any(|n| n == name);
    if has("mod") {
        return Some(
            "it is MuData (.h5mu); in Python, mudata.read(path)[\"rna\"].write_h5ad(\"cells.h5ad\") takes one modality out",
        );
    }
    if has("matrix") && has("row_attrs") && has("col_attrs") {
        return Some(
            "it is a loom file; in Python, anndata.read_loom(path).write_h5ad(\"cells.h5ad\") converts it to .h5ad",
        );
    }
    if has("matrix") || (attributes.iter().any(|a| a == "chemistry_description") && !has("obs")) {
        return Some("it is an .h5 of 10x; sclsd prepare reads it");
    }
    if has("assays") && (has("meta.data") || has("cell.names")) {
        return Some("it is an .h5Seurat; in R, SeuratDisk::Convert(path, dest = \"h5ad\") converts it to .h5ad");
    }
    None
}
