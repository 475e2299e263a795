//! Every form of file that scanpy writes or wrote reads the same.

use sclsd::data::{Column, Dataset, Keys, read_h5ad};
use sclsd_tests::fixture;

fn keys() -> Keys {
    Keys { obs: vec!["clusters".into(), "time".into()], ..Keys::default() }.with_obsm("X_umap")
}

fn read(name: &str) -> Dataset {
    read_h5ad(&fixture(&format!("forms/{name}.h5ad")), &keys()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_matrix_form_and_string_encoding_reads_the_same() {
    let expected = read("csr");
    assert_eq!((expected.n_cells(), expected.n_genes()), (10, 6));
    assert_eq!(expected.var.names[0], "Gén0");
    let clusters = expected.groups("clusters").expect("clusters");
    assert_eq!((clusters.name(0), clusters.colors()[0].as_str()), (Some("b"), "#ff0000"));
    for name in
        ["csc", "dense", "dense_gzip", "lzf", "raw_int64", "raw_int32_dense", "raw_uint16_csc", "columns", "legacy"]
    {
        assert_eq!(read(name), expected, "{name}");
    }
}

#[test]
fn expression_and_counts_share_one_pattern() {
    let data = read("csr");
    let (x, counts) = (data.expression().expect("X"), data.counts("raw").expect("counts"));
    assert!(std::sync::Arc::ptr_eq(x.pattern(), counts.pattern()));
}

#[test]
fn every_kind_of_column_is_read_with_what_is_missing_in_it() {
    let path = fixture("forms/columns.h5ad");
    let data = read_h5ad(&path, &Keys::all(&path).expect("keys")).expect("a data set");
    let column = |name: &str| data.obs.get(name).expect("a column");
    assert!(matches!(column("text"), Column::String(v) if v[3].as_deref() == Some("t3")));
    assert_eq!(*column("flag"), Column::Boolean((0..10).map(|i| Some(i % 2 == 0)).collect()));
    assert_eq!(*column("whole"), Column::Integer((0..10).map(Some).collect()));
    assert!(matches!(column("maybe_whole"), Column::Integer(v) if v[..2] == [Some(1), None]));
    assert!(matches!(column("maybe_flag"), Column::Boolean(v) if v[..2] == [Some(true), None]));
    let grade = data.groups("grade").expect("a categorical column");
    assert_eq!((grade.ordered(), grade.categories().len(), grade.name(0), grade.name(1)), (true, 2, Some("lo"), None));
}

#[test]
fn what_is_written_reads_back_the_same() {
    let path = fixture("forms/columns.h5ad");
    let everything = Keys::all(&path).expect("keys");
    let data = read_h5ad(&path, &everything).expect("a data set");
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("copy.h5ad");
    sclsd::data::write_h5ad(&copy, &data).expect("a file");
    assert_eq!(read_h5ad(&copy, &everything).expect("a data set"), data);
}
