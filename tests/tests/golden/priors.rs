//! Compares transitions from pseudotime and phylogeny, and the prior of library sizes, with golden values.

use std::collections::BTreeMap;

use sclsd::data::{Csr, Dataset, Keys, read_h5ad};
use sclsd::graph::{Descent, InferPhylogenySpec, Phylogeny, Transition, cluster_connectivity, infer_phylogeny};
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
    // In the golden matrix, the cells that the phylogeny leaves without an edge are rows of zeros. The package later
    // removes these cells from the data, together with the steps that lead to them. The prior here does the same.
    let (n, golden) = (data.n_cells(), &golden["phylogeny_transition"].values);
    let empty: Vec<usize> = (0..n).filter(|&cell| golden[cell * n..(cell + 1) * n].iter().all(|&p| p == 0.0)).collect();
    assert_eq!(prior.dropped(), empty);
    let mut expected = golden.clone();
    for row in expected.chunks_exact_mut(n) {
        let lost: f32 = empty.iter().map(|&cell| std::mem::take(&mut row[cell])).sum();
        row.iter_mut().for_each(|p| *p /= 1.0 - lost);
    }
    assert_close("phylogeny_transition", &dense(prior.matrix()), &expected);
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

#[test]
#[expect(clippy::cast_possible_truncation, reason = "compared in f32")]
fn connectivity_of_clusters_is_the_golden_one() {
    let (data, golden) = (prepared(), tensors("priors.safetensors"));
    let clusters = data.groups("clusters").expect("clusters");
    let codes: Vec<u32> = clusters.codes().iter().copied().flatten().collect();
    let found =
        cluster_connectivity(data.graph("connectivities").expect("a graph"), &codes).expect("a graph of these cells");
    let order: Vec<&str> = found.clusters.iter().map(|&c| clusters.categories()[c as usize].as_str()).collect();
    assert_eq!(serde_json::json!(order), json("priors.json")["cluster_order"]);
    let values: Vec<f32> = found.values.iter().map(|&v| v as f32).collect();
    assert_close("cluster_connectivity", &values, &golden["cluster_connectivity"].values);
}

#[test]
fn inferred_phylogenies_are_the_golden_ones() {
    let data = prepared();
    let (x, graph) = (data.expression().expect("X"), data.graph("connectivities").expect("a graph"));
    let clusters = data.groups("clusters").expect("clusters");
    for (ratio, expected) in json("priors.json")["inferred_phylogeny"].as_object().expect("phylogenies") {
        let spec = InferPhylogenySpec { ratio: ratio.parse().expect("a ratio"), ..InferPhylogenySpec::default() };
        let found = infer_phylogeny(x, graph, &clusters, "Root", &spec).expect("a phylogeny");
        assert_eq!(serde_json::json!(found.children()), *expected, "at ratio {ratio}");
    }
}
