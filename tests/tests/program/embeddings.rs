//! Which embedding pictures use, and cells that have no position on it.

use sclsd::data::{Keys, Matrix, Uns, read_h5ad};

use crate::bad_input::{file, refused, train};
use crate::{sclsd, succeed};

fn with_value(matrix: &Matrix, at: usize, value: f32) -> Matrix {
    let mut values = matrix.values().to_vec();
    values[at] = value;
    Matrix::new(matrix.n_cols(), values)
}

/// The first two columns of the true state.
fn places(data: &sclsd::data::Dataset) -> Matrix {
    let state = &data.obsm["X_true_state"];
    Matrix::new(2, (0..state.n_rows()).flat_map(|cell| state.row(cell)[..2].to_vec()).collect())
}

#[test]
fn a_cell_without_a_place_is_left_out_and_said_and_others_have_directions() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |data| {
        let umap = with_value(&places(data), 2 * 7, f32::NAN);
        data.obsm.insert("X_umap".into(), umap);
    });
    let run = sclsd(d, &train("in.h5ad", &[]));
    let message = String::from_utf8_lossy(&run.stderr);
    assert!(
        message.contains(
            "1 of 60 cells have no finite coordinates in obsm[\"X_umap\"], the first is cell07: directions leave these cells out"
        ),
        "{message}"
    );
    let result = d.join("out.h5ad");
    for key in ["velocity_umap", "drift_velocity_umap"] {
        let found =
            read_h5ad(&result, &Keys::none().with_obsm(key)).expect("directions").obsm.remove(key).expect("them");
        assert!(found.values().iter().all(|v| v.is_finite()), "{key}");
        assert!(found.row(8).iter().any(|v| *v != 0.0) && found.row(7) == [0.0, 0.0], "{key}");
    }
    for kind in ["embedding", "stream", "landscape", "walks"] {
        succeed(d, &["plot", "out.h5ad", "--kind", kind, "-o", "p.svg"]);
        let picture = std::fs::read_to_string(d.join("p.svg")).expect("a picture");
        assert!(!picture.contains("NaN") && !picture.contains("inf"), "{kind}");
    }
    succeed(d, &["report", "out.h5ad", "--model", "m.safetensors", "-o", "r.html"]);
    let evaluated = sclsd(d, &["evaluate", "out.h5ad", "--edges", "Stem>Progenitor"]);
    // the velocities of the other cells are unchanged, except that each has one neighbour fewer
    let directions = |name: &str| {
        let keys = Keys::none().with_obsm("velocity_umap");
        read_h5ad(&d.join(name), &keys).expect("directions").obsm.remove("velocity_umap").expect("them")
    };
    let one_less = directions("out.h5ad");
    file(d, "whole.h5ad", |data| {
        let umap = places(data);
        data.obsm.insert("X_umap".into(), umap);
    });
    succeed(d, &["annotate", "whole.h5ad", "--model", "m.safetensors", "-o", "all.h5ad"]);
    let all = directions("all.h5ad");
    let mut cosines: Vec<f64> = (0..60)
        .filter(|&cell| cell != 7)
        .map(|cell| {
            let dot = |a: &[f32], b: &[f32]| f64::from(a[0]) * f64::from(b[0]) + f64::from(a[1]) * f64::from(b[1]);
            let (a, b) = (one_less.row(cell), all.row(cell));
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        })
        .collect();
    cosines.sort_by(f64::total_cmp);
    assert!(cosines[15] > 0.99, "{cosines:?}");
    let message = String::from_utf8_lossy(&evaluated.stderr);
    assert!(evaluated.status.success() && message.contains("1 of 60 cells have no finite coordinates"), "{message}");
}

#[test]
fn places_that_are_infinitely_far_or_all_without_a_number_end_no_picture() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |data| {
        let umap = with_value(&places(data), 2 * 7, f32::INFINITY);
        data.obsm.insert("X_umap".into(), umap);
        data.obsm.insert("X_far".into(), Matrix::new(2, vec![f32::INFINITY; 120]));
    });
    sclsd(d, &train("in.h5ad", &[]));
    for kind in ["embedding", "stream", "landscape", "walks"] {
        succeed(d, &["plot", "out.h5ad", "--kind", kind, "-o", "p.svg"]);
        let picture = std::fs::read_to_string(d.join("p.svg")).expect("a picture");
        assert!(!picture.contains("NaN") && !picture.contains("inf"), "{kind}");
        let far = sclsd(d, &["plot", "out.h5ad", "--kind", kind, "-o", "q.svg", "--basis", "far"]);
        let message = String::from_utf8_lossy(&far.stderr);
        assert!(far.status.code().is_some_and(|code| code < 2) && !message.contains("panicked"), "{kind}: {message}");
    }
    succeed(d, &["report", "out.h5ad", "--model", "m.safetensors", "-o", "r.html"]);
}

#[test]
fn the_first_usual_embedding_is_drawn_on_and_one_that_is_absent_is_an_error_before_training() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |data| {
        let places = places(data);
        data.obsm.insert("X_tsne".into(), places.clone());
        data.obsm.insert("X_UMAP".into(), places.clone());
        data.obsm.insert("X_line".into(), Matrix::new(1, vec![0.5; 60]));
        data.obsm.insert("X_pca".into(), places);
    });
    let long =
        |basis: &'static str| [train("in.h5ad", &["--basis", basis]), vec!["--set", "num_epochs=100000"]].concat();
    refused(
        d,
        &long("X_umap"),
        &["in.h5ad lacks obsm[\"X_umap\"] (obsm has ", "X_tsne", "; the closest names are X_UMAP"],
    );
    refused(d, &long("X_line"), &["in.h5ad: obsm[\"X_line\"] has 1 column, but directions need 2"]);
    assert!(!d.join("m.safetensors").exists());

    let run = sclsd(d, &train("in.h5ad", &[]));
    let (message, told) = (String::from_utf8_lossy(&run.stderr), String::from_utf8_lossy(&run.stdout));
    assert!(message.contains("directions are on obsm[\"X_tsne\"], because obsm[\"X_umap\"] is missing"), "{message}");
    assert!(told.lines().any(|line| line.starts_with("directions on") && line.ends_with("X_tsne")), "{told}");
    read_h5ad(&d.join("out.h5ad"), &Keys::none().with_obsm("velocity_tsne")).expect("directions");
    for kind in ["stream", "landscape"] {
        let drawn = sclsd(d, &["plot", "out.h5ad", "--kind", kind, "-o", "p.svg"]);
        assert!(String::from_utf8_lossy(&drawn.stderr).contains("drawn on obsm[\"X_tsne\"]"), "{kind}");
    }
    succeed(d, &["plot", "out.h5ad", "--kind", "embedding", "--basis", "tsne", "-o", "p.svg"]);
    // if velocities exist on another embedding than the first, that embedding is used
    file(d, "in.h5ad", |data| {
        let places = places(data);
        data.obsm.insert("X_umap".into(), places.clone());
        data.obsm.insert("X_tsne".into(), places);
    });
    succeed(d, &train("in.h5ad", &["--basis", "X_tsne"]));
    succeed(d, &["plot", "out.h5ad", "--kind", "stream", "-o", "p.svg"]);
    // no velocities at all
    file(d, "in.h5ad", |_| {});
    let run = sclsd(d, &train("in.h5ad", &[]));
    let message = String::from_utf8_lossy(&run.stderr);
    assert!(message.contains("no directions are written: obsm has none of X_umap, X_tsne, X_pca"), "{message}");
    std::fs::remove_file(d.join("out.h5ad")).expect("a result");
    refused(
        d,
        &["plot", "in.h5ad", "--kind", "embedding", "-o", "p.svg"],
        &["in.h5ad has none of X_umap, X_tsne, X_pca in obsm to draw on", "--basis"],
    );
}

#[test]
fn coordinates_that_are_infinite_are_made_anew_by_prepare_and_said() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |data| {
        let (umap, pca) = (with_value(&places(data), 5, f32::INFINITY), with_value(&places(data), 9, f32::NAN));
        data.obsm.insert("X_umap".into(), umap);
        data.obsm.insert("X_pca".into(), pca);
    });
    let run = sclsd(d, &["prepare", "in.h5ad", "-o", "out.h5ad", "--n-pcs", "10"]);
    let message = String::from_utf8_lossy(&run.stderr);
    assert!(message.contains("obsm[\"X_umap\"] of cell cell02 is inf, so obsm[\"X_umap\"] is recomputed"), "{message}");
    assert!(message.contains("obsm[\"X_pca\"] of cell cell04 is NaN, so obsm[\"X_pca\"] is recomputed"), "{message}");
    let keys = Keys::none().with_obsm("X_umap").with_obsm("X_pca");
    let made = read_h5ad(&d.join("out.h5ad"), &keys).expect("a prepared file");
    assert_eq!(made.obsm["X_pca"].n_cols(), 10);
    assert!(made.obsm.values().all(|m| m.values().iter().all(|v| v.is_finite())));
}

#[test]
fn the_graph_that_uns_names_is_taken_and_said_and_later_commands_take_it_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    let named = |graph: &str| {
        let entry = [("connectivities_key".to_owned(), Uns::Text(graph.into()))];
        Uns::Map(entry.into())
    };
    file(d, "in.h5ad", |data| {
        let graph = data.obsp.remove("connectivities").expect("a graph");
        data.obsp.insert("wnn_connectivities".into(), graph);
        data.uns.insert("wnn".into(), named("wnn_connectivities"));
    });
    let inspected = succeed(d, &["inspect", "in.h5ad"]);
    assert!(inspected.contains("the graph is obsp[\"wnn_connectivities\"]"), "{inspected}");
    assert!(!inspected.contains("graph of neighbours"), "{inspected}");
    let message = sclsd(d, &train("in.h5ad", &[]));
    let message = String::from_utf8_lossy(&message.stderr).into_owned();
    assert!(message.contains("the graph is obsp[\"wnn_connectivities\"], which uns[\"wnn\"] names"), "{message}");
    succeed(d, &["evaluate", "out.h5ad", "--edges", "Stem>Progenitor", "--basis", "X_true_state"]);
    std::fs::remove_file(d.join("out.h5ad")).expect("a result");
    // preparation uses the embedding that scanpy would use, although there is another with the usual name
    file(d, "pointed.h5ad", |data| {
        let graph = data.obsp.remove("connectivities").expect("a graph");
        data.x = data.layers.remove("raw");
        let chain = (0..60_u32).map(|i| {
            let near = [i.checked_sub(1), Some(i + 1).filter(|&j| j < 60)];
            near.into_iter().flatten().map(|j| (j, 1.0)).collect()
        });
        let chain = sclsd::data::Csr::from_rows(60, chain.collect::<Vec<Vec<_>>>()).expect("a graph");
        data.obsp.insert("connectivities".into(), chain);
        data.obsp.insert("wnn".into(), graph);
        data.uns.insert("neighbors".into(), named("wnn"));
    });
    let prepare = |input: &'static str, output: &'static str| {
        sclsd(d, &["prepare", input, "-o", output, "--n-pcs", "5", "--root-cell", "cell00"])
    };
    let run = prepare("pointed.h5ad", "p.h5ad");
    let message = String::from_utf8_lossy(&run.stderr);
    assert!(
        run.status.success() && message.contains("the graph is obsp[\"wnn\"], which uns[\"neighbors\"] names"),
        "{message}"
    );
    file(d, "usual.h5ad", |data| data.x = data.layers.remove("raw"));
    assert!(prepare("usual.h5ad", "u.h5ad").status.success());
    let time = |name: &str| {
        let keys = Keys { obs: vec!["dpt_pseudotime".into()], obsp: vec!["connectivities".into()], ..Keys::none() };
        let data = read_h5ad(&d.join(name), &keys).expect("a prepared file");
        (data.numbers("dpt_pseudotime").expect("times"), data.obsp["connectivities"].nnz())
    };
    let (of_pointed, of_usual) = (time("p.h5ad"), time("u.h5ad"));
    assert_eq!((of_pointed.0, of_pointed.1), (of_usual.0, 118), "the other graph stays too");
    // with two candidates, the choice is reported
    file(d, "two.h5ad", |data| {
        let graph = data.obsp.remove("connectivities").expect("a graph");
        data.obsp.insert("a".into(), graph.clone());
        data.obsp.insert("b".into(), graph);
        data.uns.insert("one".into(), named("a"));
        data.uns.insert("other".into(), named("b"));
    });
    refused(d, &train("two.h5ad", &[]), &["--set keys.connectivities=NAME names the graph"]);
}
