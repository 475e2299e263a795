//! Compares the preparation of raw counts with scanpy's.

use sclsd::data::{Dataset, Keys, Matrix, read_h5ad};
use sclsd::graph::{PrepareSpec, Root, prepare};
use sclsd_tests::{assert_close, assert_within, fixture, json};

/// Tolerance of scanpy's solvers for principal components, and therefore of pseudotime.
const SOLVER_TOLERANCE: f64 = 1e-3;

fn golden() -> Dataset {
    let keys = Keys::default().with_obs("dpt_pseudotime").with_obsm("X_pca");
    read_h5ad(&fixture("prepared.h5ad"), &keys).expect("prepared.h5ad")
}

fn found(golden: &Dataset) -> Dataset {
    let raw = read_h5ad(&fixture("raw.h5ad"), &Keys { x: true, obs: vec!["clusters".into()], ..Keys::none() });
    let settings = json("preprocess.json");
    let number = |key: &str| usize::try_from(settings[key].as_u64().expect("a number")).expect("a size");
    let spec = PrepareSpec {
        n_top_genes: Some(number("n_top_genes")),
        n_pcs: 20,
        root: Some(Root::Cell(golden.obs.names[number("iroot")].clone())),
        ..PrepareSpec::default()
    };
    let prepared = prepare(raw.expect("raw.h5ad"), &spec).expect("prepared data");
    assert_eq!((prepared.empty_cells, prepared.isolated_cells, prepared.unreachable_cells), (0, 0, 0));
    prepared.data
}

#[test]
#[expect(clippy::cast_possible_truncation, reason = "compared in f32")]
fn raw_counts_are_prepared_as_scanpy_does() {
    let golden = golden();
    let found = found(&golden);
    assert_eq!(found.obs.names, golden.obs.names);
    assert_eq!(found.var.names, golden.var.names, "the same genes are kept");
    assert_eq!(found.layers["raw"], golden.layers["raw"]);

    let all: Vec<usize> = (0..golden.n_cells()).collect();
    let dense = |data: &Dataset| data.x.as_ref().expect("X").gather_dense(&all);
    assert_close("X", &dense(&found), &dense(&golden));
    let column = |data: &Dataset, key: &str| -> Vec<f32> {
        data.numbers(key).expect("numbers").into_iter().map(|v| v as f32).collect()
    };
    assert_close("librarysize", &column(&found, "librarysize"), &column(&golden, "librarysize"));

    let (ours, theirs) = (&found.obsm["X_pca"], &golden.obsm["X_pca"]);
    for component in 0..20 {
        let of = |m: &Matrix| -> Vec<f32> { all.iter().map(|&cell| m.row(cell)[component]).collect() };
        let (mut ours, theirs) = (of(ours), of(theirs));
        let sign = ours.iter().zip(&theirs).map(|(a, b)| a * b).sum::<f32>().signum();
        ours.iter_mut().for_each(|v| *v *= sign);
        assert_within(SOLVER_TOLERANCE, &format!("component {component}"), &ours, &theirs);
    }
    let (ours, theirs) = (&found.obsp["connectivities"], &golden.obsp["connectivities"]);
    assert_eq!(ours.pattern(), theirs.pattern());
    assert_close("connectivities", ours.values(), theirs.values());
    let time = column(&golden, "dpt_pseudotime");
    assert_within(SOLVER_TOLERANCE, "dpt_pseudotime", &column(&found, "dpt_pseudotime"), &time);
}

#[test]
#[expect(clippy::cast_possible_truncation, reason = "compared in f32")]
fn spectra_are_those_that_scanpy_finds() {
    let found = found(&golden());
    let settings = json("preprocess.json");
    let numbers = |key: &str| -> Vec<f32> {
        settings[key].as_array().expect("numbers").iter().map(|v| v.as_f64().expect("a number") as f32).collect()
    };
    let uns = |value: &sclsd::data::Uns| match value {
        sclsd::data::Uns::Floats(_, values) => values.iter().map(|&v| v as f32).collect::<Vec<f32>>(),
        other => panic!("{other:?} are no numbers"),
    };
    assert_close("diffmap_evals", &uns(&found.uns["diffmap_evals"]), &numbers("diffmap_evals"));
    let sclsd::data::Uns::Map(pca) = &found.uns["pca"] else { panic!("uns[\"pca\"] is a dictionary") };
    assert_close("pca_variance_ratio", &uns(&pca["variance_ratio"]), &numbers("pca_variance_ratio"));
}
