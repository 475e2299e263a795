//! Checks that a result records the prior that was used, and that later commands use the recorded prior.

use std::fmt::Write;
use std::path::Path;

use sclsd::data::{Column, Keys, Uns, read_h5ad};

use crate::bad_input::{cells, file, train};
use crate::succeed;

/// Cells with an obs `dpt_pseudotime` that is the reverse of the true time.
fn misled(d: &Path) {
    file(d, "in.h5ad", |data| {
        let time = data.numbers("prior_time").expect("a time");
        let most = time.iter().copied().fold(0.0, f64::max);
        data.obs.set("dpt_pseudotime", Column::Float(time.iter().map(|t| (most - t) / most).collect()));
        data.obsm.insert("X_umap".into(), data.obsm["X_true_state"].clone());
    });
}

/// Arguments of a training run without those of the prior time column.
fn timeless(more: &[&'static str]) -> Vec<&'static str> {
    train("in.h5ad", more).into_iter().filter(|a| !["--time-key", "prior_time"].contains(a)).collect()
}

fn recorded(d: &Path) -> std::collections::BTreeMap<String, Uns> {
    let keys = Keys { uns: vec!["sclsd".into()], ..Keys::none() };
    match read_h5ad(&d.join("out.h5ad"), &keys).expect("a result").uns.remove("sclsd") {
        Some(Uns::Map(record)) => record,
        other => panic!("{other:?}"),
    }
}

fn config(d: &Path) -> serde_json::Value {
    let record = recorded(d);
    let Some(Uns::Text(text)) = record.get("config") else { panic!("{record:?}") };
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_prior_that_was_made_is_the_one_that_is_recorded_and_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    misled(d);
    succeed(d, &timeless(&["--infer-phylogeny", "Stem", "--bootstrap-prior", "--bootstrap-epochs", "1"]));
    assert_eq!(config(d)["keys"]["time"], "prior_pseudotime");
    succeed(d, &["report", "out.h5ad", "-o", "r.html", "--model", "m.safetensors"]);
    let page = std::fs::read_to_string(d.join("r.html")).expect("a page");
    assert!(page.contains("[\"prior\",\"prior_pseudotime\"]"), "the report names it");
    assert!(!page.contains("\"dpt_pseudotime\""), "and nothing else");
    let message = succeed(d, &["evaluate", "out.h5ad", "--time-key", "prior_pseudotime", "--json"]);
    let scores: serde_json::Value = serde_json::from_str(&message).expect("JSON");
    assert_eq!(scores["spearman_with_prior_pseudotime_of_the_prior"], 1.0, "{message}");
    succeed(d, &["plot", "out.h5ad", "--kind", "walks", "-o", "w.svg"]);
}

#[test]
fn a_matrix_is_the_prior_that_is_recorded_and_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    misled(d);
    let graph = cells().obsp.remove("connectivities").expect("a graph");
    let mut market = format!("%%MatrixMarket matrix coordinate real general\n60 60 {}\n", graph.nnz());
    for cell in 0..60 {
        let (to, weights) = graph.row(cell);
        for (to, weight) in to.iter().zip(weights) {
            let _ = writeln!(market, "{} {} {weight}", cell + 1, to + 1);
        }
    }
    std::fs::write(d.join("t.mtx"), market).expect("a matrix");
    succeed(d, &timeless(&["--prior", "t.mtx"]));
    assert_eq!(recorded(d)["prior"], Uns::Text("matrix".into()));
    assert_eq!(config(d)["keys"]["time"], serde_json::Value::Null, "no time directed walks");
    let keys = Keys { obsp: vec!["prior_transitions".into()], ..Keys::none() };
    let kept =
        read_h5ad(&d.join("out.h5ad"), &keys).expect("a result").obsp.remove("prior_transitions").expect("it is kept");
    for cell in 0..60 {
        let (row, total) = (kept.row(cell), graph.row(cell).1.iter().sum::<f32>());
        assert_eq!(row.0, graph.row(cell).0);
        assert!(row.1.iter().zip(graph.row(cell).1).all(|(p, w)| (p - w / total).abs() < 1e-6));
    }
    succeed(d, &["plot", "out.h5ad", "--kind", "walks", "-o", "w.svg"]);
    succeed(d, &["report", "out.h5ad", "-o", "r.html", "--model", "m.safetensors"]);
    let page = std::fs::read_to_string(d.join("r.html")).expect("a page");
    assert!(page.contains("[\"prior\",\"a matrix of transitions\"]"));
    assert!(!page.contains("runs against the prior time") && !page.contains("Spearman with prior time"));
    succeed(d, &["fates", "out.h5ad", "--model", "m.safetensors", "-o", "f.h5ad", "--terminal", "Fate A", "Fate B"]);
    read_h5ad(&d.join("f.h5ad"), &Keys::none().with_obsm("fate_probabilities_prior")).expect("fates of the matrix");
    let message =
        succeed(d, &["evaluate", "out.h5ad", "--edges", "Stem>Progenitor", "--time-key", "dpt_pseudotime", "--json"]);
    let scores: serde_json::Value = serde_json::from_str(&message).expect("JSON");
    assert_eq!(scores["spearman_with_dpt_pseudotime_of_the_prior"], serde_json::Value::Null);
    assert!(scores["cross-boundary_correctness"]["prior"].is_number(), "{message}");
}
