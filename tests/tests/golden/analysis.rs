//! Compares fates, perturbation, velocity and metrics of the golden model with golden values.

use sclsd::analysis::{
    Annotation, HardFateSpec, PerturbSpec, Score, annotate, cross_boundary_correctness, hard_fates,
    inner_cluster_coherence, mean_score, perturb, velocity_from_transitions,
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
    let message = annotate(&model, &data, "connectivities").expect("an annotation");
    (data, model, message)
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
    let (data, model, message) = golden_model();
    let (settings, golden) = (json("analysis.json"), tensors("analysis.safetensors"));
    let number = |key: &str| settings[key].as_f64().expect("a number");
    let spec =
        HardFateSpec { time_range: number("time_range"), dt: number("dt"), paths: true, ..HardFateSpec::default() };
    let found = hard_fates(&model, &message.cell_state, &spec).expect("fates");
    assert_close("fate_trajectory_last", found.states.values(), &golden["fate_trajectory_last"].values);
    assert_nearly_all_equal("fate_index", &found.cells, &golden["fate_index"].values);
    assert_eq!(golden["fate_paths"].shape, [found.times.len(), data.n_cells()]);
    assert_nearly_all_equal("fate_paths", &found.paths.concat(), &golden["fate_paths"].values);
    let found = codes(&clusters(&data), &found.cells);
    assert_nearly_all_equal("fate_cluster", &found, &golden["fate_cluster"].values);
}

#[test]
fn fates_do_not_depend_on_whether_paths_are_kept() {
    let (_, model, message) = golden_model();
    let on = |paths| {
        let spec = HardFateSpec { paths, ..HardFateSpec::default() };
        hard_fates(&model, &message.cell_state, &spec).expect("fates")
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
    let knockout = perturb(&model, &data, None, &spec).expect("a knockout");
    let equal =
        |what: &str, cells: &[u32]| assert_nearly_all_equal(what, &codes(&clusters, cells), &golden[what].values);
    equal("perturbed_cluster", &knockout.perturbed);
    equal("unperturbed_cluster", &knockout.unperturbed);
    let level = settings["overexpression_level"].as_f64().expect("a number");
    let over = perturb(&model, &data, None, &PerturbSpec { level, ..spec.clone() }).expect("overexpression");
    equal("overexpressed_cluster", &over.perturbed);

    let some = [7, 100, 7, 3];
    let found = perturb(&model, &data, Some(&some), &spec).expect("a knockout of some cells");
    let of = |all: &[u32]| some.map(|cell| clusters.codes()[all[cell as usize] as usize]);
    assert_eq!(
        found.perturbed.iter().map(|&c| clusters.codes()[c as usize]).collect::<Vec<_>>(),
        of(&knockout.perturbed)
    );
}

#[test]
fn velocity_and_its_scores_are_the_golden_ones() {
    let (data, _, message) = golden_model();
    let (settings, golden) = (json("analysis.json"), tensors("analysis.safetensors"));
    let (graph, embedding, clusters) = (&data.obsp["connectivities"], &data.obsm["X_umap"], clusters(&data));
    let velocity = velocity_from_transitions(&message.transitions, graph, embedding).expect("a velocity");
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

#[test]
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "compared in f32")]
fn permuting_cells_permutes_what_is_said_of_them() {
    let (data, model, message) = golden_model();
    let n = data.n_cells();
    // every cell once, far from its neighbours in the file
    let order: Vec<usize> = (0..n).map(|i| (i * 7 + 3) % n).collect();
    let mut seen = order.clone();
    seen.sort_unstable();
    assert_eq!(seen, (0..n).collect::<Vec<_>>(), "7 and the number of cells have no common divisor");
    let permuted = annotate(&model, &data.select_cells(&order), "connectivities").expect("an annotation");
    let state = message.cell_state.select_rows(&order);
    assert_close("cell_state", permuted.cell_state.values(), state.values());
    let dense = |message: &Annotation, cells: &[usize]| message.transitions.map(|v| v as f32).gather_dense(cells);
    let all: Vec<usize> = (0..n).collect();
    let (found, expected) = (dense(&permuted, &all), dense(&message, &order));
    let expected: Vec<f32> = expected.chunks_exact(n).flat_map(|row| order.iter().map(|&cell| row[cell])).collect();
    assert_close("transitions", &found, &expected);

    let ends = |state: &Matrix| hard_fates(&model, state, &HardFateSpec::default()).expect("fates").cells;
    let (found, expected) = (ends(&permuted.cell_state), ends(&message.cell_state));
    let expected: Vec<f32> = order.iter().map(|&cell| expected[cell] as f32).collect();
    let found: Vec<u32> = found.iter().map(|&cell| u32::try_from(order[cell as usize]).expect("a cell")).collect();
    assert_nearly_all_equal("fates", &found, &expected);
}
