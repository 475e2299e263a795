//! Unusual columns and names: numeric and boolean clusters, colour names, and names that are not words.

use std::path::Path;

use sclsd::data::{Categorical, Column, Compression, Dataset, Keys, Matrix, Uns, read_h5ad};

use crate::bad_input::{file, refused, train};
use crate::{sclsd, succeed};

/// Trains a model on changed cells. Writes `result.h5ad` and `m.safetensors`.
fn trained(d: &Path, change: impl FnOnce(&mut Dataset)) {
    file(d, "in.h5ad", change);
    succeed(d, &train("in.h5ad", &[]));
    std::fs::rename(d.join("out.h5ad"), d.join("result.h5ad")).expect("a result");
}

/// The clusters as integers, in an order that differs from the order of their names.
fn numbers(data: &Dataset) -> Vec<i64> {
    let clusters = data.groups("clusters").expect("clusters");
    let codes = [10, 2, -1, 30, 4, 5, 6, 7];
    clusters.codes().iter().map(|code| codes[code.expect("a cluster") as usize]).collect()
}

fn fates(d: &Path, name: &str) -> Vec<Option<String>> {
    let data = read_h5ad(&d.join(name), &Keys::none().with_obs("fate")).expect("fates");
    let fates = data.groups("fate").expect("fates");
    (0..data.n_cells()).map(|cell| fates.name(cell).map(str::to_owned)).collect()
}

#[test]
fn clusters_may_be_whole_numbers_text_or_truth_values_and_all_forms_give_the_same_fates() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d, |data| {
        let all = numbers(data);
        let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
        let named = Categorical::from_names(texts.iter().map(String::as_str));
        data.obs.set("integer", Column::Integer(all.iter().map(|v| Some(*v)).collect()));
        data.obs.set("text", Column::String(texts.into_iter().map(Some).collect()));
        data.obs.set("category", Column::Categorical(named));
        data.obs.set("truth", Column::Boolean(all.iter().map(|v| Some(*v == 10)).collect()));
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        data.obs.set("float", Column::Float(all.iter().map(|v| *v as f64).collect()));
    });
    let run =
        |key: &'static str| ["fates", "result.h5ad", "--model", "m.safetensors", "--hard", "--cluster-key", key, "-o"];
    for key in ["integer", "text", "category", "truth"] {
        succeed(d, &[&run(key)[..], &[&format!("{key}.h5ad")]].concat());
    }
    let found = fates(d, "integer.h5ad");
    assert!(found.iter().flatten().any(|name| name == "10"), "{found:?}");
    for other in ["text.h5ad", "category.h5ad"] {
        assert_eq!(found, fates(d, other));
    }
    let truth: Vec<_> =
        found.iter().map(|name| name.as_ref().map(|n| if n == "10" { "True" } else { "False" })).collect();
    assert_eq!(fates(d, "truth.h5ad").iter().map(Option::as_deref).collect::<Vec<_>>(), truth);
    refused(
        d,
        &[&run("float")[..], &["out.h5ad"]].concat(),
        &[
            "obs[\"float\"] is a float column, expected names of groups",
            "adata.obs[\"float\"].astype(int).astype(\"category\")",
        ],
    );

    // by name in every command
    let perturb = ["perturb", "result.h5ad", "--model", "m.safetensors", "--gene", "Gene01", "-o", "t.csv"];
    for key in ["integer", "category"] {
        succeed(d, &[&perturb[..], &["--cluster-key", key, "--clusters", "2"]].concat());
        let table = std::fs::read_to_string(d.join("t.csv")).expect("a table");
        assert!(table.lines().nth(1).is_some_and(|row| row.starts_with("Gene01,0,2,")), "{table}");
    }
    let own = ["--cluster-key", "integer", "--terminal", "2"];
    succeed(d, &train("in.h5ad", &own));
    let message = succeed(d, &["fates", "out.h5ad", "--model", "m.safetensors", "-o", "own.h5ad"]);
    assert!(message.contains("\n    2  mean probability"), "fates have the clusters' names: {message}");
    for kind in ["fates", "fate-probabilities", "embedding"] {
        let on: &[&str] = if kind == "fates" { &[] } else { &["--basis", "X_true_state"] };
        let run = ["plot", "own.h5ad", "--kind", kind, "--cluster-key", "truth", "-o", "p.svg"];
        succeed(d, &[&run[..], on].concat());
    }
}

#[test]
fn truth_values_and_whole_numbers_colour_cells() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d, |data| {
        data.obsm.insert("X_umap".into(), data.obsm["X_true_state"].clone());
        let n = i64::try_from(data.n_cells()).expect("few cells");
        data.obs.set("flag", Column::Boolean((0..n).map(|i| (i % 5 != 0).then_some(i % 2 == 0)).collect()));
        data.obs.set("day", Column::Integer((0..n).map(|i| (i % 5 != 0).then_some(i % 3)).collect()));
    });
    let draw = |key: &str| {
        succeed(d, &["plot", "result.h5ad", "--kind", "embedding", "--color", key, "-o", "p.svg"]);
        std::fs::read_to_string(d.join("p.svg")).expect("a picture")
    };
    let flag = draw("flag");
    assert!(flag.contains(">True<") && flag.contains(">False<") && !flag.contains("NaN"), "{flag}");
    assert!(draw("day").contains("class=\"colorbar\""));
    succeed(d, &["report", "result.h5ad", "-o", "r.html", "--color", "flag", "day"]);
}

#[test]
fn colours_of_a_file_may_be_names_and_more_than_there_are_groups() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    let draw = |colors: &[&str]| {
        let colors: Vec<String> = colors.iter().map(ToString::to_string).collect();
        file(d, "in.h5ad", |data| {
            data.obsm.insert("X_umap".into(), data.obsm["X_true_state"].clone());
            data.obs.set(
                "clusters",
                Column::Categorical(Categorical::from_names((0..60).map(|i| if i % 2 == 0 { "a" } else { "b" }))),
            );
            data.uns.insert("clusters_colors".into(), Uns::Texts(vec![colors.len()], colors));
        });
        succeed(d, &["plot", "in.h5ad", "--kind", "embedding", "--color", "clusters", "-o", "p.svg"]);
        std::fs::read_to_string(d.join("p.svg")).expect("a picture").to_lowercase()
    };
    let has = |picture: &str, colors: [&str; 2]| colors.iter().all(|c| picture.contains(&format!("fill=\"{c}\"")));
    let named = draw(&["red", "tab:blue"]);
    assert!(has(&named, ["#ff0000", "#1f77b4"]), "{named}");
    assert!(has(&draw(&["red", "tab:blue", "#123456", "nonsense"]), ["#ff0000", "#1f77b4"]), "too many");
    let own = ["#0072b2", "#e69f00"];
    assert!(has(&draw(&["red"]), own), "too few");
    assert!(has(&draw(&["red", "nonsense"]), own), "none of them");
}

#[test]
fn names_that_appear_twice_are_refused_by_every_command() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d, |_| {});
    let keys = Keys::all(&d.join("result.h5ad")).expect("a result");
    let mut data = read_h5ad(&d.join("result.h5ad"), &keys).expect("a result");
    data.var.names[3] = "Gene07".into();
    sclsd::data::write_h5ad(&d.join("twice.h5ad"), &data, Compression::None).expect("a file");
    (data.var.names[3], data.obs.names[3]) = ("Gene03".into(), "cell07".into());
    sclsd::data::write_h5ad(&d.join("cells.h5ad"), &data, Compression::None).expect("a file");
    let model = ["--model", "m.safetensors"];
    let commands: [(&str, &[&str]); 8] = [
        ("prepare", &["-o", "out.h5ad"]),
        ("train", &["-o", "out.h5ad", "--model", "n.st", "--time-key", "prior_time"]),
        ("annotate", &["-o", "out.h5ad", model[0], model[1]]),
        ("fates", &["-o", "out.h5ad", model[0], model[1]]),
        ("perturb", &["-o", "t.csv", model[0], model[1], "--gene", "Gene07", "--cluster-key", "clusters"]),
        ("evaluate", &["--edges", "Stem>Progenitor", "--basis", "X_true_state"]),
        ("plot", &["--kind", "embedding", "--color", "Gene07", "--basis", "X_true_state", "-o", "p.svg"]),
        ("report", &["-o", "r.html", "--basis", "X_true_state"]),
    ];
    for (command, more) in commands {
        for (input, part) in [
            ("twice.h5ad", "gene Gene07 appears twice; names must differ (in scanpy: adata.var_names_make_unique())"),
            ("cells.h5ad", "cell cell07 appears twice; names must differ (in scanpy: adata.obs_names_make_unique())"),
        ] {
            refused(d, &[&[command, input][..], more].concat(), &[input, part]);
        }
    }
    let message = succeed(d, &["inspect", "twice.h5ad"]);
    assert!(message.contains("not ready for any command: gene Gene07 appears twice"), "{message}");
}

#[test]
fn names_with_control_characters_or_formulas_are_text_wherever_they_are_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    let (wild, formula) = ("Fate\u{1b}[31m\u{9b} \u{7f}A", "=1+1");
    trained(d, |data| {
        let clusters = data.groups("clusters").expect("clusters");
        let names: Vec<String> = clusters
            .categories()
            .iter()
            .map(|name| match name.as_str() {
                "Fate A" => wild.into(),
                "Fate B" => "@b".into(),
                other => other.to_owned(),
            })
            .collect();
        let named = Categorical::new(clusters.codes().to_vec(), names, false);
        data.obs.set("clusters", Column::Categorical(named));
        data.var.names[1] = formula.into();
        data.obs.names[0] = "-cell".into();
    });
    let plain = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        text
    };
    let fates = ["fates", "result.h5ad", "--model", "m.safetensors", "-o", "fates.h5ad", "--hard"];
    for more in [&[][..], &["--json"]] {
        let told = sclsd(d, &[&fates[..], more].concat());
        plain(&told.stderr);
        assert!(plain(&told.stdout).contains("Fate\\u"), "it is written out");
    }
    plain(
        &sclsd(d, &["fates", "result.h5ad", "--model", "m.safetensors", "-o", "x.h5ad", "--terminal", "a\u{1b}\nb"])
            .stderr,
    );
    plain(&sclsd(d, &["evaluate", "result.h5ad", "--edges", "Stem>Progenitor", "--basis", "X_true_state"]).stdout);

    let perturb =
        ["perturb", "result.h5ad", "--model", "m.safetensors", "--gene", formula, "--cluster-key", "clusters"];
    let told = sclsd(d, &[&perturb[..], &["-o", "t.csv", "--cells-out", "c.csv"]].concat());
    plain(&told.stdout);
    let read = |name: &str| std::fs::read_to_string(d.join(name)).expect("a file");
    let table = read("t.csv");
    assert!(table.lines().skip(1).all(|row| row.starts_with("'=1+1,0,")) && table.contains(",'@b,"), "{table}");
    assert!(read("c.csv").contains(",'-cell,"));
    succeed(d, &["plot", "t.csv", "--kind", "perturb", "-o", "p.svg"]);
    assert!(read("p.svg").contains(">=1+1<"), "the name comes back as it was");

    for kind in ["fates", "embedding"] {
        let on: &[&str] = if kind == "embedding" { &["--basis", "X_true_state"] } else { &[] };
        succeed(d, &[&["plot", "fates.h5ad", "--kind", kind, "-o", "p.svg"][..], on].concat());
        let picture = read("p.svg");
        assert!(
            picture.contains("Fate\u{fffd}[31m") && !picture.chars().any(|c| c.is_control() && c != '\n'),
            "{kind}"
        );
    }
}

#[test]
fn what_results_replace_is_said_and_names_of_cells_that_are_called_as_a_result_stay() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d, |_| {});
    file(d, "theirs.h5ad", |data| {
        data.obs.set("entropy", Column::Float(vec![7.0; 60]));
        data.obsm.insert("velocity_umap".into(), Matrix::new(2, vec![5.0; 120]));
    });
    let message = |arguments: &[&str]| {
        let run = sclsd(d, arguments);
        let message = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(run.status.success(), "{message}");
        message
    };
    let annotate = |input: &'static str| ["annotate", input, "--model", "m.safetensors", "-o", "a.h5ad"];
    let replaced = message(&annotate("theirs.h5ad"));
    assert!(replaced.contains("replaced by results of the same name: obs[\"entropy\"]"), "{replaced}");
    assert!(!message(&annotate("result.h5ad")).contains("replaced"), "its own results");
}
