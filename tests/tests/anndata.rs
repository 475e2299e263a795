//! Conversion from and to the crate anndata with its Zarr backend.
#![cfg(feature = "anndata")]

use std::collections::BTreeMap;

use anndata::{AnnData, AnnDataOp, AxisArraysOp};
use anndata_zarr::Zarr;
use sclsd::data::{AnnDataError, Column, Dataset, Keys, Uns, read_h5ad};
use sclsd_tests::{fixture, real_data};

/// Categorical columns come back as text, because the crate anndata does not store the order of categories.
fn names(column: &Column) -> Option<Vec<Option<String>>> {
    let groups = column.to_categorical()?;
    Some((0..column.len()).map(|cell| groups.name(cell).map(str::to_owned)).collect())
}

/// `None` comes back as an empty array of numbers.
fn without_none(value: &Uns) -> Uns {
    match value {
        Uns::Floats(shape, values) if shape.is_empty() && values.is_empty() => Uns::Floats(vec![0], vec![]),
        Uns::Map(map) => Uns::Map(map.iter().map(|(key, value)| (key.clone(), without_none(value))).collect()),
        other => other.clone(),
    }
}

fn there_and_back(data: &Dataset) -> Dataset {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("cells.zarr");
    let file = AnnData::<Zarr>::new(&path).expect("an empty AnnData");
    data.to_anndata(&file).expect("everything has its place");
    file.close().expect("written");
    let store = <Zarr as anndata::Backend>::open(&path).expect("the file");
    let file = AnnData::<Zarr>::open(store).expect("an AnnData");
    let keys = Keys::of_anndata(&file).expect("its elements");
    Dataset::from_anndata(&file, &keys).expect("everything has its place here too")
}

fn check(data: &Dataset) {
    let back = there_and_back(data);
    assert_eq!(back.x, data.x);
    assert_eq!(back.layers, data.layers);
    assert_eq!(back.obsm, data.obsm);
    assert_eq!(back.obsp, data.obsp);
    let expected: BTreeMap<_, _> = data.uns.iter().map(|(key, value)| (key.clone(), without_none(value))).collect();
    assert_eq!(back.uns, expected);
    for (found, expected) in [(&back.obs, &data.obs), (&back.var, &data.var)] {
        assert_eq!(found.names, expected.names);
        assert_eq!(found.columns.len(), expected.columns.len());
        for ((found_key, found), (key, expected)) in found.columns.iter().zip(&expected.columns) {
            assert_eq!(found_key, key);
            match expected {
                Column::Categorical(_) | Column::String(_) => assert_eq!(names(found), names(expected), "{key}"),
                _ => assert_eq!(found, expected, "{key}"),
            }
        }
    }
}

#[test]
fn the_golden_cells_go_through_anndata_unchanged() {
    let path = fixture("prepared.h5ad");
    check(&read_h5ad(&path, &Keys::all(&path).expect("its elements")).expect("cells"));
}

#[test]
fn the_pancreas_goes_through_anndata_unchanged() {
    let Some(path) = real_data("pancreas.h5ad") else { return };
    check(&read_h5ad(&path, &Keys::all(&path).expect("its elements")).expect("cells"));
}

#[test]
fn what_is_missing_or_has_no_place_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = AnnData::<Zarr>::new(directory.path().join("cells.zarr")).expect("an empty AnnData");
    let cells = Dataset { obs: sclsd::data::Frame::new(vec!["a".into(), "b".into()]), ..Dataset::default() };
    cells.to_anndata(&data).expect("two cells");
    data.obsm().add("cube", ndarray::Array3::<f32>::zeros((2, 2, 2))).expect("an array");
    let refuse = |keys: Keys| Dataset::from_anndata(&data, &keys).expect_err("it cannot").to_string();
    assert_eq!(refuse(Keys::none().with_obsm("X_umap")), "obsm[\"X_umap\"] is missing; the data has cube");
    assert_eq!(refuse(Keys::none().with_obs("clusters")), "obs[\"clusters\"] is missing; the data has none");
    let cube = refuse(Keys::none().with_obsm("cube"));
    assert_eq!(cube, "obsm[\"cube\"] is an array of shape [2, 2, 2], expected a matrix of numbers");
    let x: Result<_, AnnDataError> = Dataset::from_anndata(&data, &Keys { x: true, ..Keys::none() });
    assert_eq!(x.expect_err("there is none").to_string(), "X is empty, expected a matrix of numbers");
}
