//! Tests of options: quiet, edges, picture formats and inspection of files.

use std::path::Path;

use sclsd::data::{Categorical, Column, Compression, Csr, Dataset, Keys, read_h5ad, write_h5ad};
use sclsd::infer::Checkpoint;

use crate::bad_input::{file, refused, train};
use crate::{sclsd, succeed};

fn trained(d: &Path, change: impl FnOnce(&mut Dataset)) {
    file(d, "in.h5ad", |data| {
        data.obsm.insert("X_umap".into(), data.obsm["X_true_state"].clone());
        change(data);
    });
    succeed(d, &train("in.h5ad", &[]));
    std::fs::rename(d.join("out.h5ad"), d.join("result.h5ad")).expect("a result");
}

#[test]
fn quiet_silences_progress_and_not_results() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d, |_| {});
    for run in [&["evaluate", "result.h5ad", "--edges", "Stem>Progenitor"][..], &train("in.h5ad", &[])] {
        let loud = sclsd(d, run);
        let quiet = sclsd(d, &[run, &["--quiet"]].concat());
        assert_eq!(String::from_utf8_lossy(&quiet.stderr), "");
        let figures = |output: &std::process::Output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.lines().filter(|line| !line.starts_with("seconds")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(!figures(&quiet).is_empty() && figures(&quiet) == figures(&loud));
    }
}

#[test]
fn a_gene_that_no_perturbed_cell_expresses_is_said_to_be_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d, |data| {
        let stem = data.groups("clusters").expect("clusters");
        let x = data.x.as_ref().expect("X");
        let rows = (0..60).map(|cell| {
            let (genes, values) = x.row(cell);
            let kept = genes
                .iter()
                .zip(values)
                .filter(|(gene, _)| **gene != 5 && !(**gene == 6 && stem.name(cell) == Some("Stem")));
            kept.map(|(gene, value)| (*gene, *value)).collect()
        });
        data.x = Some(Csr::from_rows(20, rows.collect::<Vec<_>>()).expect("X"));
    });
    let perturb = |more: &[&'static str]| {
        let run = ["perturb", "result.h5ad", "--model", "m.safetensors", "--cluster-key", "clusters", "-o", "t.csv"];
        let output = sclsd(d, &[&run[..], more].concat());
        assert!(output.status.success());
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (told, message) = perturb(&["--gene", "Gene05", "Gene06"]);
    assert!(
        message.contains("none of the 60 perturbed cells expresses Gene05, so the knockout has no effect"),
        "{message}"
    );
    assert!(told.contains("expressed by no perturbed cell  Gene05\n"), "{told}");
    let (told, message) = perturb(&["--gene", "Gene05", "Gene06", "--each", "--clusters", "Stem", "--json"]);
    assert!(
        message.contains("expresses Gene06")
            && told.contains("\"expressed_by_no_perturbed_cell\":[\"Gene05\",\"Gene06\"]")
    );
    let (told, message) = perturb(&["--gene", "Gene05", "--level", "2"]);
    assert!(!message.contains("expresses") && !told.contains("expressed by no"), "it is switched on");
}

#[test]
fn inspect_knows_a_file_by_its_content() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d, |_| {});
    for (from, to) in [("m.safetensors", "m.ckpt"), ("m.safetensors", "m.h5ad"), ("in.h5ad", "in.safetensors")] {
        std::fs::copy(d.join(from), d.join(to)).expect("a copy");
        // the hint for the next command contains the file name
        let message = |name: &str| succeed(d, &["inspect", name]).replace(name, "FILE");
        assert_eq!(message(to), message(from));
    }
}

#[test]
fn options_of_other_kinds_of_pictures_are_refused_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    for (arguments, part) in [
        ("embedding in.h5ad --density 2", "'--density' is an option of sclsd plot stream, not of sclsd plot embedding"),
        ("loss in.h5ad --color clusters", "'--color' is an option of sclsd plot embedding, stream, walks, not of"),
        ("landscape in.h5ad --velocity drift", "'--velocity' is an option of sclsd plot stream, not of"),
        ("stream in.h5ad --surface", "'--surface' is an option of sclsd plot landscape, not of sclsd plot stream"),
        ("perturb in.csv --basis X_umap", "not of sclsd plot perturb"),
        ("components in.h5ad --model m.st --seed 3", "'--seed' is an option of sclsd plot walks, not of"),
        ("fates in.h5ad --paths 3", "not of sclsd plot fates"),
        ("calibration in.h5ad --model m.st", "not of sclsd plot calibration"),
        ("landscape in.h5ad --azimuth 3", "--surface"),
        ("landscape in.h5ad --paths 3", "--model <FILE>"),
        ("components in.h5ad", "--model <FILE>"),
        ("in.h5ad", "the kind of picture comes first, as in: sclsd plot embedding"),
    ] {
        let (kind, more) = arguments.split_once(' ').unwrap_or((arguments, ""));
        let new = ["plot", kind].into_iter().chain(more.split_whitespace()).chain(["-o", "p.svg"]);
        let old = ["plot"].into_iter().chain(more.split_whitespace()).chain(["-o", "p.svg", "--kind", kind]);
        for run in [new.collect::<Vec<_>>(), old.collect()] {
            if kind == "in.h5ad" && run.contains(&"--kind") {
                continue;
            }
            let output = sclsd(d, &run);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{run:?}: {errors}");
            assert!(errors.contains(part), "{run:?}: {errors}");
        }
    }
}

#[test]
fn clusters_are_those_that_the_run_records_unless_others_are_named_and_an_error_lists_the_columns() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d, |data| {
        let names = data.groups("clusters").expect("clusters");
        data.obs.set("types", Column::Categorical(names));
    });
    let model = ["--model", "m.safetensors"];
    let perturb = [&["perturb", "result.h5ad", "--gene", "Gene01", "-o", "t.csv"][..], &model].concat();
    succeed(d, &perturb);
    succeed(d, &["evaluate", "result.h5ad", "--edges", "Stem>Progenitor"]);
    succeed(d, &[&["fates", "result.h5ad", "-o", "fates.h5ad"][..], &model].concat());
    succeed(d, &["plot", "fates", "fates.h5ad", "-o", "p.svg"]);

    // the column of the training run is missing, and another is present
    let path = d.join("fates.h5ad");
    let mut data = read_h5ad(&path, &Keys::all(&path).expect("keys")).expect("a result");
    data.obs.columns.retain(|(name, _)| name != "clusters" && name != "terminal_states");
    write_h5ad(&d.join("other.h5ad"), &data, Compression::None).expect("a file");
    let parts =
        ["obs[\"clusters\"], which is missing", "--cluster-key (categorical columns of obs: branch, types, fate)"];
    let runs: [&[&str]; 6] = [
        &["perturb", "other.h5ad", "--gene", "Gene01", "-o", "u.csv", model[0], model[1]],
        &["evaluate", "other.h5ad", "--edges", "Stem>Progenitor"],
        &["fates", "other.h5ad", "-o", "u.h5ad", model[0], model[1]],
        &["fates", "other.h5ad", "-o", "u.h5ad", "--hard", model[0], model[1]],
        &["plot", "fates", "other.h5ad", "-o", "u.svg"],
        &["plot", "walks", "other.h5ad", "-o", "u.svg", "--clusters", "Stem"],
    ];
    for run in runs {
        refused(d, run, &parts);
    }
    for run in runs {
        succeed(d, &[run, &["--cluster-key", "types"]].concat());
    }
    succeed(d, &["report", "other.h5ad", "-o", "r.html"]);
}

#[test]
fn version_names_backends_and_the_simd_level_of_this_machine_and_inspect_that_of_the_training() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    let best = sclsd::model::SimdLevel::all().last().copied().expect("a level");
    assert_eq!(succeed(d, &["-V"]), format!("sclsd {}\n", env!("CARGO_PKG_VERSION")));
    let long = succeed(d, &["--version"]);
    assert!(long.starts_with(&succeed(d, &["-V"])) && long.contains("\nbackends: flex"), "{long}");
    assert!(long.contains(&format!("\nSIMD: {best} (this CPU has scalar")), "{long}");
    trained(d, |_| {});
    let model = succeed(d, &["inspect", "m.safetensors"]);
    assert!(model.contains(&format!("\nSIMD level of the training: {best}\n")), "{model}");
    let model = succeed(d, &["inspect", "m.safetensors", "--json"]);
    assert!(model.contains(&format!("\"simd\":\"{best}\"")), "{model}");
}

#[test]
fn completions_and_man_pages_know_every_command() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    for shell in ["bash", "zsh", "fish"] {
        let script = succeed(d, &["completions", shell]);
        assert!(script.contains("fate-probabilities") && script.contains("root-cluster"), "{shell}");
    }
    succeed(d, &["man", "--out", "man/man1"]);
    for (page, part) in [
        ("sclsd.1", "The commands in the order"),
        ("sclsd-train.1", "sclsd train cells.h5ad"),
        ("sclsd-plot-stream.1", "velocity"),
    ] {
        let text = std::fs::read_to_string(d.join("man/man1").join(page)).expect(page);
        assert!(text.contains(part), "{page}: {text}");
    }
}

#[test]
fn edges_are_those_of_the_phylogeny_or_of_a_json_file_where_names_have_commas() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    let rename = |data: &mut Dataset| {
        let clusters = data.groups("clusters").expect("clusters");
        let names = clusters.categories().iter().map(|name| format!("{name}, early > late")).collect();
        data.obs.set("clusters", Column::Categorical(Categorical::new(clusters.codes().to_vec(), names, false)));
    };
    trained(d, rename);
    let evaluate = |more: &[&'static str]| [&["evaluate", "result.h5ad"][..], more].concat();
    refused(d, &evaluate(&["--edges", "Stem, early > late>Progenitor, early > late"]), &["go into a .json file of"]);
    let edge = "Stem, early > late->Progenitor, early > late";
    std::fs::write(d.join("e.json"), r#"{"Stem, early > late": ["Progenitor, early > late"]}"#).expect("a file");
    assert!(succeed(d, &evaluate(&["--edges", "e.json"])).contains(edge));
    std::fs::write(d.join("e.json"), r#"[["Stem, early > late", "Progenitor, early > late"]]"#).expect("a file");
    assert!(succeed(d, &evaluate(&["--edges", "e.json"])).contains(edge));
    refused(d, &evaluate(&["--edges", "none.json"]), &["none.json cannot be read"]);
    refused(d, &evaluate(&["--edges", "e.json", "--cluster-key", "branch"]), &["is not one of"]);
    std::fs::write(d.join("p.json"), r#"{"Stem, early > late": ["Progenitor, early > late"]}"#).expect("a phylogeny");
    succeed(d, &train("in.h5ad", &["--phylogeny", "p.json"]));
    assert!(succeed(d, &["evaluate", "out.h5ad"]).contains(edge), "by default the run's own");
}

#[test]
fn fates_of_a_model_of_other_genes_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |_| {});
    succeed(d, &train("in.h5ad", &[]));
    let mut data = read_h5ad(&d.join("out.h5ad"), &Keys::all(&d.join("out.h5ad")).expect("keys")).expect("a result");
    data.var.names[0] = "another".into();
    write_h5ad(&d.join("other.h5ad"), &data, Compression::None).expect("a file");
    let run = sclsd(d, &["fates", "other.h5ad", "--model", "m.safetensors", "-o", "f.h5ad"]);
    let message = String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success() && message.contains("1 of the model's 20 genes are not in the data"), "{message}");
    assert!(!d.join("f.h5ad").exists());
}

#[test]
fn counts_by_other_likelihoods_are_trained_on_and_annotated_and_an_unknown_one_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d, |_| {});
    let weights = || Checkpoint::load(&d.join("m.safetensors")).expect("a model").model.weights;
    let zinb = weights();
    for likelihood in ["nb", "poisson"] {
        let choice = format!("model.gene_likelihood=\"{likelihood}\"");
        succeed(d, &train("in.h5ad", &["--set", &choice]));
        let found = weights();
        assert!(found["x_encoder.fc.0.weight"] != zinb["x_encoder.fc.0.weight"], "{likelihood} makes a difference");
        let start = 100.0_f32.ln();
        let moved = found["log_inverse_dispersion"].values.iter().any(|v| (v - start).abs() > 1e-6);
        assert_eq!(moved, likelihood == "nb", "Poisson counts know no dispersion");
        succeed(d, &["annotate", "in.h5ad", "--model", "m.safetensors", "-o", "annotated.h5ad"]);
    }
    std::fs::remove_file(d.join("out.h5ad")).expect("a result");
    refused(d, &train("in.h5ad", &["--set", "model.gene_likelihood=\"normal\""]), &["unknown variant `normal`"]);
}

#[test]
fn a_device_makes_no_difference_to_analysis_and_is_said_so_and_a_lesser_simd_level_is_recorded_and_named_on_resume() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d, |_| {});
    let annotate = ["annotate", "in.h5ad", "--model", "m.safetensors", "-o", "annotated.h5ad", "--device", "cuda:0"];
    let message = sclsd(d, &annotate);
    let message = (message.status.success(), String::from_utf8_lossy(&message.stderr).into_owned());
    assert!(message.0 && message.1.contains("--device cuda:0 has no effect here"), "{message:?}");

    let of = |epochs: &'static str, more: &[&'static str]| {
        let mut run = train("in.h5ad", more);
        let at = run.iter().position(|word| *word == "--epochs").expect("a number of epochs");
        run[at + 1] = epochs;
        let output = sclsd(d, &run);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    of("1", &["--simd", "scalar"]);
    let best = sclsd::model::SimdLevel::all().last().copied().expect("a level");
    let resumed = of("2", &["--resume"]);
    let expected = format!("the model was trained at SIMD level scalar, and training continues at {best}");
    assert!(resumed.contains(&expected), "{resumed}");
    std::fs::remove_file(d.join("out.h5ad")).expect("a result");
    refused(d, &train("in.h5ad", &["--simd", "mmx"]), &["SIMD level \"mmx\" is not one of this machine's: scalar"]);
}
