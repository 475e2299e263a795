//! The audit believes what is good, and says so where it is not.

use std::path::Path;

use sclsd::data::{Column, Compression, Dataset, Keys, read_h5ad, write_h5ad};
use serde_json::Value;

use crate::{sclsd, succeed};

/// All elements of a file.
fn all(path: &Path) -> Dataset {
    read_h5ad(path, &Keys::all(path).expect("its elements")).expect("a file")
}

/// Simulated cells, prepared, with a column `reversed` that runs from late to early.
fn cells(d: &Path, n: &str, topology: &str, root: [&str; 2]) {
    let simulate = ["simulate", "raw.h5ad", "--cells", n, "--genes", "200", "--seed", "2", "--topology", topology];
    succeed(d, &simulate);
    succeed(d, &[&["prepare", "raw.h5ad", "-o", "plain.h5ad"][..], &root].concat());
    let mut data = all(&d.join("plain.h5ad"));
    let time = data.numbers("dpt_pseudotime").expect("a time");
    data.obs.set("reversed", Column::Float(time.iter().map(|t| 1.0 - t).collect()));
    write_h5ad(&d.join("cells.h5ad"), &data, Compression::None).expect("a file");
}

fn fork(d: &Path, n: &str) {
    cells(d, n, "bifurcation", ["--root-cluster", "Stem"]);
}

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let train = ["train", "cells.h5ad", "-o", "result.h5ad", "--model", "m.safetensors", "--json"];
    [&train[..], more].concat()
}

const AUDIT: [&str; 4] = ["audit", "result.h5ad", "--model", "m.safetensors"];

fn audited(d: &Path) -> Value {
    serde_json::from_str(&succeed(d, &[&AUDIT[..], &["--json"]].concat())).expect("JSON")
}

fn check<'a>(audit: &'a Value, name: &str) -> &'a Value {
    let checks = audit["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {audit}"))
}

#[test]
fn a_good_result_is_believed_and_its_json_has_the_fields_of_the_contract() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    fork(d, "800");
    let trained: Value = serde_json::from_str(&succeed(d, &train(&["--strict"]))).expect("JSON");
    let audit = audited(d);
    assert_eq!(audit["verdict"], "believe", "{audit}");
    assert_eq!(audit["format_version"], 1);
    assert_eq!((&audit["verdict"], &audit["checks"]), (&trained["verdict"], &trained["checks"]), "train says the same");
    for statement in ["order", "directions", "fates", "drivers"] {
        assert_eq!(audit["statements"][statement], "believe", "{audit}");
    }
    for check in audit["checks"].as_array().expect("checks") {
        assert!(check["name"].is_string() && check["threshold"].is_number(), "{check}");
        assert!(check["value"].is_number() || check["passed"].is_null(), "{check}");
        assert!(check["says"].as_str().is_some_and(|says| says.ends_with('.')), "{check}");
    }
    assert_eq!(check(&audit, "members_agree")["says"], "Not made: there is one member, so that no agreement is known.");
    let strict = [&AUDIT[..], &["--strict", "--null"]].concat();
    let shown = succeed(d, &strict);
    assert!(shown.trim_end().ends_with("believe") && shown.contains("verdict"), "{shown}");
    assert!(!shown.contains("--null makes it"), "{shown}");
}

#[test]
fn a_reversed_prior_is_not_believed_and_strict_exits_with_3() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    fork(d, "400");
    let output = sclsd(d, &train(&["--time-key", "reversed", "--epochs", "2", "--strict"]));
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let last = String::from_utf8_lossy(&output.stderr).lines().last().map(str::to_owned);
    assert!(last.is_some_and(|last| last.starts_with("the verdict is \"do not believe\": order")));
    let audit = audited(d);
    assert_eq!(check(&audit, "branches_part_rather_than_join")["passed"], false, "{audit}");
    assert_eq!(audit["statements"]["order"], "do not believe");
    assert_eq!(sclsd(d, &[&AUDIT[..], &["--strict"]].concat()).status.code(), Some(3));
    assert_eq!(sclsd(d, &AUDIT).status.code(), Some(0), "without --strict it is only said");
}

#[test]
fn fates_of_the_reference_preset_are_not_believed_since_its_walks_do_not_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    fork(d, "400");
    succeed(d, &train(&["--preset", "reference", "--epochs", "1", "--set", "walks.num_walks=256"]));
    let audit = audited(d);
    assert_eq!(audit["statements"]["fates"], "do not believe", "{audit}");
    assert_eq!(check(&audit, "walks_end")["passed"], false);
    assert_eq!(check(&audit, "walks_stay_in_mature_clusters")["passed"], false);
}

#[test]
fn a_ring_is_not_believed() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    cells(d, "400", "cycle", ["--root-cell", "cell001"]);
    succeed(d, &train(&["--epochs", "1"]));
    let audit = audited(d);
    assert_eq!(check(&audit, "cells_do_not_close_a_ring")["passed"], false, "{audit}");
    assert_eq!(audit["verdict"], "do not believe");
}

#[test]
fn what_an_audit_needs_and_does_not_find_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    fork(d, "400");
    succeed(d, &train(&["--epochs", "1"]));
    let refusal = |arguments: &[&str], part: &str| {
        let output = sclsd(d, arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && message.contains(part), "{part}: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    };
    refusal(
        &["audit", "cells.h5ad", "--model", "m.safetensors"],
        "uns[\"sclsd\"] is missing, which sclsd train writes",
    );
    let mut other = all(&d.join("result.h5ad"));
    other.var.names.iter_mut().for_each(|name| name.push('x'));
    write_h5ad(&d.join("other.h5ad"), &other, Compression::None).expect("a file");
    refusal(
        &["audit", "other.h5ad", "--model", "m.safetensors"],
        "are not in the data, so the model was trained on other data",
    );
}
