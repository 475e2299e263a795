//! Transitions from pseudotime and phylogeny, and the prior of library sizes.

use std::collections::BTreeMap;

use sclsd::data::{Csr, Dataset, Keys, read_h5ad};
use sclsd::graph::{Descent, Phylogeny, Transition};
use sclsd::infer::LibrarySize;
use sclsd_tests::{assert_close, fixture, json, tensors};

fn prepared() -> Dataset {
    let keys = Keys::default().with_obs("dpt_pseudotime").with_obs("clusters");
    read_h5ad(&fixture("prepared.h5ad"), &keys).expect("prepared.h5ad")
}

#[expect(clippy::cast_possible_truncation, reason = "compared in f32")]
fn dense(matrix: &Csr<f64>) -> Vec<f32> {
    matrix.map(|v| v as f32).gather_dense(&(0..matrix.n_rows()).collect::<Vec<_>>())
}

#[test]
fn transitions_from_pseudotime_are_the_golden_ones() {
    let (data, golden) = (prepared(), tensors("priors.safetensors"));
    let times = data.numbers("dpt_pseudotime").expect("a pseudotime");
    let prior = Transition::from_pseudotime(data.graph("connectivities").expect("a graph"), &times, 50.0);
    let found = dense(prior.expect("a prior").matrix());
    assert_close("pseudotime_transition", &found, &golden["pseudotime_transition"].values);
    assert_close("module_transition", &found, &golden["module_transition"].values);
}

#[test]
fn transitions_masked_by_a_phylogeny_are_the_golden_ones() {
    let (data, golden) = (prepared(), tensors("priors.safetensors"));
    let children: BTreeMap<String, Vec<String>> =
        serde_json::from_value(json("priors.json")["phylogeny"].clone()).expect("a phylogeny");
    let prior = Transition::from_phylogeny(
        data.graph("connectivities").expect("a graph"),
        &data.numbers("dpt_pseudotime").expect("a pseudotime"),
        50.0,
        &Phylogeny::new(children).expect("a forest"),
        &data.groups("clusters").expect("clusters"),
        Descent::Children,
    )
    .expect("a prior");
    assert!(prior.dropped().is_empty());
    assert_close("phylogeny_transition", &dense(prior.matrix()), &golden["phylogeny_transition"].values);
}

#[test]
#[expect(clippy::cast_possible_truncation, reason = "compared in f32")]
fn the_prior_of_library_sizes_is_the_golden_one() {
    let golden = json("priors.json");
    let number = |key: &str| golden[key].as_f64().expect("a number") as f32;
    let found = LibrarySize::of(&prepared().numbers("librarysize").expect("library sizes"));
    assert_close("library_mean", &[found.mean as f32], &[number("library_mean")]);
    assert_close("library_std", &[found.standard_deviation as f32], &[number("library_std")]);
}
