//! Fates, perturbation, velocity and metrics of the golden model.

use sclsd::Device;
use sclsd::analysis::{
    Annotation, FateSpec, PerturbSpec, Score, annotate, cross_boundary_correctness, fates, inner_cluster_coherence,
    mean_score, perturb, velocity_from_transitions,
};
use sclsd::data::{Categorical, Dataset, Keys, Matrix, read_h5ad};
use sclsd::infer::import_pth;
use sclsd::model::{Array, Model};
use sclsd_tests::{assert_close, assert_nearly_all_equal, fixture, json, tensors};
use serde_json::Value;

fn golden_model() -> (Dataset, Model, Annotation) {
    let keys = Keys::default().with_obs("clusters").with_obsm("X_umap");
    let data = read_h5ad(&fixture("prepared.h5ad"), &keys).expect("prepared.h5ad");
    let model = import_pth(&fixture("trained.pth"), data.var.names.clone()).expect("a model");
    let said = annotate(&model, &data, "connectivities", &Device::Cpu).expect("an annotation");
    (data, model, said)
}

fn clusters(data: &Dataset) -> Categorical {
    let clusters = data.groups("clusters").expect("clusters");
    let golden: Vec<String> = serde_json::from_value(json("analysis.json")["categories"].clone()).expect("categories");
    assert_eq!(clusters.categories(), golden);
    clusters
}

fn codes(clusters: &Categorical, cells: &[u32]) -> Vec<u32> {
    cells.iter().map(|&cell| clusters.codes()[cell as usize].expect("a cluster")).collect()
}

fn matrix(array: &Array) -> Matrix {
    Matrix::new(array.shape[1], array.values.clone())
}

#[test]
fn fates_and_paths_are_the_golden_ones() {
    let (data, model, said) = golden_model();
    let (settings, golden) = (json("analysis.json"), tensors("analysis.safetensors"));
    let number = |key: &str| settings[key].as_f64().expect("a number");
    let spec = FateSpec { time_range: number("time_range"), dt: number("dt"), paths: true, ..FateSpec::default() };
    let found = fates(&model, &said.cell_state, &spec, &Device::Cpu).expect("fates");
    assert_close("fate_trajectory_last", found.states.values(), &golden["fate_trajectory_last"].values);
    assert_nearly_all_equal("fate_index", &found.cells, &golden["fate_index"].values);
    assert_eq!(golden["fate_paths"].shape, [found.times.len(), data.n_cells()]);
    assert_nearly_all_equal("fate_paths", &found.paths.concat(), &golden["fate_paths"].values);
    let found = codes(&clusters(&data), &found.cells);
    assert_nearly_all_equal("fate_cluster", &found, &golden["fate_cluster"].values);
}

#[test]
fn fates_do_not_depend_on_whether_paths_are_kept() {
    let (_, model, said) = golden_model();
    let on = |paths| {
        let spec = FateSpec { paths, ..FateSpec::default() };
        fates(&model, &said.cell_state, &spec, &Device::Cpu).expect("fates")
    };
    let (with, without) = (on(true), on(false));
    assert_close("states", with.states.values(), without.states.values());
    assert_eq!(without.paths, Vec::<Vec<u32>>::new());
}

#[test]
fn knockout_and_overexpression_end_in_the_golden_clusters() {
    let (data, model, _) = golden_model();
    let (settings, golden) = (json("analysis.json"), tensors("analysis.safetensors"));
    let clusters = clusters(&data);
    let spec = PerturbSpec {
        genes: vec![settings["gene"].as_str().expect("a name").to_owned()],
        dt_pert: settings["dt_pert"].as_f64().expect("a number"),
        t_unpert: settings["t_unpert"].as_f64().expect("a number"),
        ..PerturbSpec::default()
    };
    let knockout = perturb(&model, &data, None, &spec, &Device::Cpu).expect("a knockout");
    let equal =
        |what: &str, cells: &[u32]| assert_nearly_all_equal(what, &codes(&clusters, cells), &golden[what].values);
    equal("perturbed_cluster", &knockout.perturbed);
    equal("unperturbed_cluster", &knockout.unperturbed);
    let level = settings["overexpression_level"].as_f64().expect("a number");
    let over =
        perturb(&model, &data, None, &PerturbSpec { level, ..spec.clone() }, &Device::Cpu).expect("overexpression");
    equal("overexpressed_cluster", &over.perturbed);

    let some = [7, 100, 7, 3];
    let found = perturb(&model, &data, Some(&some), &spec, &Device::Cpu).expect("a knockout of some cells");
    let of = |all: &[u32]| some.map(|cell| clusters.codes()[all[cell as usize] as usize]);
    assert_eq!(
        found.perturbed.iter().map(|&c| clusters.codes()[c as usize]).collect::<Vec<_>>(),
        of(&knockout.perturbed)
    );
}

#[test]
fn velocity_and_its_scores_are_the_golden_ones() {
    let (data, _, said) = golden_model();
    let (settings, golden) = (json("analysis.json"), tensors("analysis.safetensors"));
    let (graph, embedding, clusters) = (&data.obsp["connectivities"], &data.obsm["X_umap"], clusters(&data));
    let velocity = velocity_from_transitions(&said.transitions, graph, embedding).expect("a velocity");
    assert_close("velocity_umap", velocity.values(), &golden["velocity_umap"].values);

    let edges: Vec<(String, String)> = serde_json::from_value(settings["cluster_edges"].clone()).expect("edges");
    let found = cross_boundary_correctness(embedding, &velocity, graph, &clusters, &edges).expect("scores");
    compare("cross_boundary", &found, &settings);
    let layer = matrix(&golden["metric_velocity_layer"]);
    let found = inner_cluster_coherence(&layer, graph, &clusters).expect("scores");
    compare("inner_cluster", &found, &settings);
}

#[expect(clippy::cast_possible_truncation, reason = "compared in f32")]
fn compare(what: &str, found: &[Score], settings: &Value) {
    let number = |value: &Value| value.as_f64().expect("a number") as f32;
    for score in found {
        let expected = number(&settings[what][&score.name]);
        assert_close(&score.name, &[score.mean.expect("a score") as f32], &[expected]);
    }
    let mean = mean_score(found).expect("a mean") as f32;
    assert_close(what, &[mean], &[number(&settings[format!("{what}_mean")])]);
}
