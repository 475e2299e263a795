//! Invalid input of every kind: the program prints one sentence that names the culprit, exits with 1 and writes
//! nothing.

use std::path::Path;
use std::process::Command;

use sclsd::data::{Column, Compression, Csr, Dataset, Keys, SimulateSpec, read_h5ad, simulate, write_h5ad};
use sclsd::graph::{connectivities, nearest_neighbors};
use sclsd_tests::fixture;

use crate::{SMALL, command, sclsd, succeed};

pub(super) fn cells() -> Dataset {
    let spec = SimulateSpec { n_cells: 60, n_genes: 20, ..SimulateSpec::default() };
    let mut data = simulate(&spec.check().expect("a specification"));
    let components = sclsd::data::pca(data.expression().expect("X"), 5).scores;
    let graph = connectivities(&nearest_neighbors(&components, 8).expect("neighbours"));
    data.obsp.insert("connectivities".into(), graph);
    data
}

/// Writes a file of simulated cells after `change`.
pub(super) fn file(directory: &Path, name: &str, change: impl FnOnce(&mut Dataset)) {
    let mut data = cells();
    change(&mut data);
    write_h5ad(&directory.join(name), &data, Compression::None).expect("a file");
}

/// The matrix with one value replaced.
pub(super) fn with_value(matrix: &Csr, entry: usize, value: f32) -> Csr {
    let mut values = matrix.values().to_vec();
    values[entry] = value;
    Csr::over(matrix.pattern().clone(), values)
}

fn with_number(data: &mut Dataset, column: &str, cell: usize, value: f64) {
    let mut values = data.numbers(column).expect("numbers");
    values[cell] = value;
    data.obs.set(column, Column::Float(values));
}

/// Runs the program, and expects one sentence with all of these parts and no output files.
pub(super) fn refused(directory: &Path, arguments: &[&str], parts: &[&str]) {
    let output = sclsd(directory, arguments);
    check_refusal(directory, &output, &format!("{arguments:?}"), parts);
}

fn check_refusal(directory: &Path, output: &std::process::Output, what: &str, parts: &[&str]) {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let note = |line: &&str| line.starts_with("epoch ") || line.starts_with("terminal states, ");
    let sentences: Vec<&str> = errors.lines().filter(|line| !note(line)).collect();
    assert_eq!(output.status.code(), Some(1), "{what}: {errors}");
    assert_eq!(sentences.len(), 1, "{what}: {errors}");
    assert!(sentences[0].starts_with("error: "), "{what}: {errors}");
    for part in parts {
        assert!(errors.contains(part), "{what}: \"{part}\" is not in: {errors}");
    }
    assert!(!directory.join("out.h5ad").exists(), "{what}: a result was written");
    let left: Vec<String> = std::fs::read_dir(directory)
        .expect("a directory")
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .filter(|name| name.starts_with(".sclsd-"))
        .collect();
    assert_eq!(left, Vec::<String>::new(), "{what}: temporary files are left");
}

pub(super) fn train<'a>(input: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", input, "-o", "out.h5ad", "--model", "m.safetensors", "--epochs", "1"][..], &SMALL, more].concat()
}

#[test]
fn files_that_are_no_h5ad() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    std::fs::write(d.join("text.h5ad"), "cell,gene\n1,2\n").expect("a file");
    std::fs::write(d.join("empty.h5ad"), "").expect("a file");
    refused(d, &train("nowhere.h5ad", &[]), &["nowhere.h5ad cannot be read: no such file or directory"]);
    refused(d, &train("text.h5ad", &[]), &["text.h5ad is not an .h5ad file: it is a table of text"]);
    refused(d, &train("empty.h5ad", &[]), &["empty.h5ad is not a complete HDF5 file: it is empty"]);
    refused(d, &train(".", &[]), &[". cannot be read: it is a directory"]);
    refused(d, &["inspect", "text.h5ad"], &["text.h5ad is not an .h5ad file: it is a table of text"]);
}

#[test]
fn a_truncated_file_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "ours.h5ad", |_| {});
    for whole in [fixture("prepared.h5ad"), d.join("ours.h5ad")] {
        let bytes = std::fs::read(whole).expect("a file");
        for tenth in 0..10 {
            std::fs::write(d.join("cut.h5ad"), &bytes[..bytes.len() * (2 * tenth + 1) / 20]).expect("a file");
            let more = ["--time-key", "dpt_pseudotime"];
            let more = if bytes.len() > 200_000 { &more[..] } else { &[] };
            let small: Vec<&str> = SMALL
                .iter()
                .copied()
                .filter(|a| more.is_empty() || !["--time-key", "prior_time"].contains(a))
                .collect();
            let run = ["train", "cut.h5ad", "-o", "out.h5ad", "--model", "m.safetensors", "--epochs", "1"];
            refused(d, &[&run[..], &small, more].concat(), &["cut.h5ad"]);
        }
    }
}

#[test]
fn missing_elements_are_all_named_with_what_there_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |data| {
        let raw = data.layers.remove("raw").expect("counts");
        data.layers.insert("spliced".into(), raw);
        data.obsp.clear();
        data.obs.columns.retain(|(name, _)| name != "librarysize");
    });
    refused(
        d,
        &train("in.h5ad", &[]),
        &[
            "in.h5ad lacks layers[\"raw\"] (layers has spliced)",
            "obs[\"librarysize\"] (obs has clusters, branch, true_time",
            "obsp[\"connectivities\"] (obsp has nothing)",
        ],
    );
    file(d, "in.h5ad", |data| data.x = None);
    refused(d, &train("in.h5ad", &[]), &["in.h5ad lacks X"]);
}

#[test]
fn numbers_that_cannot_be_are_named_with_cell_and_gene() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    let raw = |value: f32| {
        move |data: &mut Dataset| {
            let raw = with_value(&data.layers["raw"], 0, value);
            data.layers.insert("raw".into(), raw);
        }
    };
    let x = |value: f32| move |data: &mut Dataset| data.x = data.x.as_ref().map(|x| with_value(x, 0, value));
    let whole = "expected an integer count of 0 or more";
    file(d, "in.h5ad", raw(1.5));
    refused(d, &train("in.h5ad", &[]), &["in.h5ad: layers[\"raw\"] of cell cell00 and gene Gene", "is 1.5", whole]);
    file(d, "in.h5ad", raw(-2.0));
    refused(d, &train("in.h5ad", &[]), &["layers[\"raw\"] of cell cell00", "is -2", whole]);
    file(d, "in.h5ad", x(f32::NAN));
    refused(d, &train("in.h5ad", &[]), &["X of cell cell00 and gene Gene", "is NaN, expected a finite number"]);
    file(d, "in.h5ad", x(f32::INFINITY));
    refused(d, &train("in.h5ad", &[]), &["X of cell cell00 and gene Gene", "is inf, expected a finite number"]);
    file(d, "in.h5ad", |data| with_number(data, "prior_time", 7, f64::NAN));
    refused(d, &train("in.h5ad", &[]), &["obs[\"prior_time\"] of cell cell07 is NaN"]);
    file(d, "in.h5ad", |data| with_number(data, "prior_time", 7, f64::INFINITY));
    refused(d, &train("in.h5ad", &[]), &["obs[\"prior_time\"] of cell cell07 is inf"]);
    file(d, "in.h5ad", |data| with_number(data, "librarysize", 3, 0.0));
    refused(d, &train("in.h5ad", &[]), &["obs[\"librarysize\"] of cell cell03 is 0, expected a positive number"]);
}

#[test]
fn a_column_of_the_wrong_kind_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |_| {});
    let run = ["train", "in.h5ad", "-o", "out.h5ad", "--model", "m.safetensors", "--time-key", "clusters"];
    refused(d, &run, &["in.h5ad: obs[\"clusters\"] is a categorical column, expected numbers"]);
}

#[test]
fn blind_pseudotimes_are_refused_and_scaling_is_offered() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |data| {
        let minutes = data.numbers("prior_time").expect("numbers").iter().map(|t| 100.0 + 500.0 * t).collect();
        data.obs.set("prior_time", Column::Float(minutes));
    });
    refused(d, &train("in.h5ad", &[]), &["obs[\"prior_time\"] runs from 1", "give --scale-time to rescale the time"]);
    succeed(d, &train("in.h5ad", &["--scale-time"]));
    std::fs::remove_file(d.join("out.h5ad")).expect("a result");
    file(d, "in.h5ad", |data| data.obs.set("prior_time", Column::Float(vec![0.5; 60])));
    for more in [&[][..], &["--scale-time"]] {
        refused(d, &train("in.h5ad", more), &["in.h5ad: obs[\"prior_time\"] is 0.5 for every cell"]);
    }
    file(d, "in.h5ad", |data| {
        let mut times = data.numbers("prior_time").expect("numbers");
        (times[3], times[9]) = (f64::INFINITY, f64::NAN);
        data.obs.set("prior_time", Column::Float(times));
    });
    for more in [&[][..], &["--scale-time"]] {
        let parts =
            ["obs[\"prior_time\"] of cell cell03 is inf", "2 of 60 cells have no finite time", "--drop-unreachable"];
        refused(d, &train("in.h5ad", more), &parts);
    }
}

#[test]
fn graphs_that_do_not_fit_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |data| {
        let graph = &data.obsp["connectivities"];
        let rows = (0..60).map(|cell| {
            let (to, weights) = graph.row(cell);
            let keep = |other: u32| cell != 4 && other != 4;
            to.iter().zip(weights).filter(|(to, _)| keep(**to)).map(|(to, w)| (*to, *w)).collect()
        });
        let cut = Csr::from_rows(60, rows.collect::<Vec<_>>()).expect("a graph");
        data.obsp.insert("connectivities".into(), cut);
    });
    refused(d, &train("in.h5ad", &[]), &["obsp[\"connectivities\"]: cell cell04 has no neighbour"]);
    // a model applied to other cells: the error reports the quantity that cannot be computed for a cell
    file(d, "whole.h5ad", |_| {});
    succeed(d, &train("whole.h5ad", &[]));
    let annotated = sclsd(d, &["annotate", "in.h5ad", "--model", "m.safetensors", "-o", "a.h5ad"]);
    let message = String::from_utf8_lossy(&annotated.stderr);
    assert!(
        annotated.status.success()
            && message.contains("cell cell04 has no neighbour in obsp[\"connectivities\"]: it has no outgoing edge"),
        "{message}"
    );
    std::fs::remove_file(d.join("out.h5ad")).expect("a result");
    let fates = ["fates", "a.h5ad", "--model", "m.safetensors", "-o", "f.h5ad", "--terminal", "Fate A", "Fate B"];
    refused(d, &fates, &["a.h5ad: cell cell04 has no neighbour in obsp[\"connectivities\"]"]);
    file(d, "in.h5ad", |data| {
        let bad = with_value(&data.obsp["connectivities"], 0, f32::NAN);
        data.obsp.insert("connectivities".into(), bad);
    });
    refused(
        d,
        &train("in.h5ad", &[]),
        &["obsp[\"connectivities\"] has weight NaN on the edge from cell cell00 to cell cell"],
    );
    file(d, "in.h5ad", |data| {
        let graph = data.obsp.remove("connectivities").expect("a graph");
        data.obsp.insert("other".into(), graph);
    });
    let annotate = ["annotate", "in.h5ad", "--model", "m.safetensors", "-o", "b.h5ad"];
    refused(d, &annotate, &["lacks obsp[\"connectivities\"]", "--connectivities NAME names the graph"]);
    // invalid data is not written in the first place
    let unwritten = |change: &dyn Fn(&mut Dataset)| {
        let mut data = cells();
        change(&mut data);
        write_h5ad(&d.join("unfit.h5ad"), &data, Compression::None).unwrap_err().to_string()
    };
    let small = unwritten(&|data| {
        let cells: Vec<usize> = (0..50).collect();
        let small = data.obsp["connectivities"].select_rows(&cells).select_columns(&cells);
        data.obsp.insert("connectivities".into(), small);
    });
    assert!(small.ends_with("cannot be written: obsp[\"connectivities\"] is of 50 × 50, expected 60 × 60"), "{small}");
    let narrow = unwritten(&|data| {
        let narrow = data.layers["raw"].select_columns(&(0..10).collect::<Vec<_>>());
        data.layers.insert("raw".into(), narrow);
    });
    assert!(narrow.ends_with("layers[\"raw\"] is of 60 × 10, expected 60 × 20"), "{narrow}");
    assert!(!d.join("unfit.h5ad").exists());
}

#[test]
fn corrupt_indices_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    let corrupt = |key: &str, at: usize, value: i32| {
        file(d, "in.h5ad", |_| {});
        let file = hdf5_pure::File::open_rw(d.join("in.h5ad")).expect("a file");
        let mut values = file.dataset(key).expect("a dataset").read_i32().expect("integers");
        values[at] = value;
        file.dataset(key)
            .expect("a dataset")
            .write_staged(|b| {
                b.with_i32_data(&values);
            })
            .expect("an edit");
        file.commit().expect("a commit");
        file.close().expect("a file");
    };
    corrupt("layers/raw/indices", 0, 99);
    refused(d, &train("in.h5ad", &[]), &["layers[\"raw\"]: row 0 has column index 99, but there are 20 columns"]);
    corrupt("X/indptr", 3, 1_000_000);
    refused(d, &train("in.h5ad", &[]), &["in.h5ad: X: indptr must rise from 0 to"]);
    corrupt("obsp/connectivities/indices", 0, -4);
    refused(d, &train("in.h5ad", &[]), &["obsp[\"connectivities\"]: row 0 has column index -4"]);
}

#[test]
fn configuration_that_cannot_be_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |_| {});
    std::fs::write(d.join("c.toml"), "[walks]\nlength = 3\n").expect("a file");
    std::fs::write(d.join("broken.toml"), "[walks\n").expect("a file");
    refused(d, &train("in.h5ad", &["--config", "c.toml"]), &["c.toml: unknown configuration key walks.length"]);
    refused(d, &train("in.h5ad", &["--config", "broken.toml"]), &["broken.toml is not well-formed"]);
    refused(d, &train("in.h5ad", &["--config", "none.toml"]), &["none.toml cannot be read: no such file"]);
    refused(d, &train("in.h5ad", &["--set", "model.zdim=3"]), &["unknown configuration key model.zdim"]);
    refused(d, &train("in.h5ad", &["--set", "model.z_dim=0"]), &["model.z_dim is 0, expected at least 1"]);
    refused(
        d,
        &train("in.h5ad", &["--set", "walks.path_len=1"]),
        &["walks.path_len is 1, expected at least 2 cells; set it with --set walks.path_len=VALUE"],
    );
    refused(d, &train("in.h5ad", &["--set", "optimizer.adam.lr=-1"]), &["optimizer.adam.lr is -1, expected"]);
    refused(d, &train("in.h5ad", &["--device", "cuda:0"]), &["device \"cuda:0\" needs the feature cuda"]);
    let output = sclsd(d, &["train", "in.h5ad"]);
    assert_eq!(output.status.code(), Some(2), "the command line is at fault");
}

#[test]
fn phylogenies_that_do_not_fit_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |_| {});
    for (text, part) in [
        (r#"{"Stem": ["Nobody"]}"#, "the phylogeny names \"Nobody\", but the clusters are \"Stem\""),
        (r#"{"Stem": ["Progenitor"], "Progenitor": ["Stem"]}"#, "the phylogeny has a cycle through cluster"),
        (r#"{"Stem": ["Fate A"], "Progenitor": ["Fate A"]}"#, "gives cluster Fate A two parents"),
        ("[1]", "p.json is not JSON of the form"),
    ] {
        std::fs::write(d.join("p.json"), text).expect("a file");
        refused(d, &train("in.h5ad", &["--phylogeny", "p.json"]), &[part]);
    }
}

#[test]
fn a_model_of_other_genes_is_refused_and_one_of_permuted_genes_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |_| {});
    succeed(d, &train("in.h5ad", &[]));
    std::fs::rename(d.join("out.h5ad"), d.join("first.h5ad")).expect("a result");
    file(d, "other.h5ad", |data| {
        for name in &mut data.var.names[..7] {
            *name = format!("{name}-renamed");
        }
    });
    let annotate = |input| ["annotate", input, "--model", "m.safetensors", "-o", "out.h5ad"];
    refused(
        d,
        &annotate("other.h5ad"),
        &["7 of the model's 20 genes are not in the data: Gene00, Gene01, Gene02, Gene03, Gene04, …"],
    );
    std::fs::write(d.join("bad.safetensors"), "not tensors at all").expect("a file");
    let bad = ["annotate", "in.h5ad", "--model", "bad.safetensors", "-o", "out.h5ad"];
    refused(d, &bad, &["bad.safetensors is not a checkpoint of sclsd"]);

    file(d, "permuted.h5ad", |data| *data = data.select_genes(&(0..20).rev().collect::<Vec<_>>()));
    succeed(d, &annotate("permuted.h5ad"));
    let keys = Keys::none().with_obs("potential");
    let potential = |name: &str| read_h5ad(&d.join(name), &keys).expect("a result").numbers("potential").expect("V");
    for (a, b) in potential("first.h5ad").iter().zip(potential("out.h5ad")) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

#[test]
fn outputs_that_cannot_be_written_are_named_before_any_work() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |_| {});
    let to = |output: &'static str, model: &'static str| {
        [&["train", "in.h5ad", "-o", output, "--model", model, "--epochs", "1"][..], &SMALL].concat()
    };
    refused(
        d,
        &to("nowhere/out.h5ad", "m.safetensors"),
        &["nowhere/out.h5ad cannot be written: no such file or directory"],
    );
    refused(d, &to("out.h5ad", "in.h5ad/m.safetensors"), &["in.h5ad/m.safetensors cannot be written: not a directory"]);
    refused(d, &to("out.h5ad", "."), &[". cannot be written: it is a directory"]);
    if cfg!(target_os = "linux") {
        refused(d, &to("/proc/out.h5ad", "m.safetensors"), &["/proc/out.h5ad cannot be written"]);
    }
    assert!(!d.join("m.safetensors").exists());
}

/// Simulates a full disk: the shell limits the file size, which fails in the same places.
#[test]
#[cfg(unix)]
fn a_disk_that_runs_full_leaves_no_partial_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |_| {});
    let program = env!("CARGO_BIN_EXE_sclsd-under-test");
    for (limit, arguments) in [
        (8, "simulate out.h5ad"),
        (8, "train in.h5ad -o out.h5ad --model m.safetensors --epochs 1 --time-key prior_time"),
    ] {
        let script = format!("trap '' XFSZ; ulimit -f {limit}; exec '{program}' {arguments}");
        let output = Command::new("sh").current_dir(d).args(["-c", &script]).output().expect("a shell");
        check_refusal(d, &output, arguments, &["cannot be written: file too large"]);
        assert!(!d.join("m.safetensors").exists());
    }
}

#[test]
fn a_run_that_diverges_stops_with_epoch_and_step_and_writes_nothing_more() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |_| {});
    refused(d, &train("in.h5ad", &["--set", "optimizer.adam.lr=1e18"]), &["in.h5ad: the", "in epoch 1, step 2"]);
    assert!(!d.join("m.safetensors").exists());
    succeed(d, &train("in.h5ad", &[]));
    let good = std::fs::read(d.join("m.safetensors")).expect("a checkpoint");
    std::fs::remove_file(d.join("out.h5ad")).expect("a result");
    refused(d, &train("in.h5ad", &["--set", "optimizer.adam.lr=1e18"]), &["in epoch 1, step 2"]);
    assert!(std::fs::read(d.join("m.safetensors")).expect("a checkpoint") == good, "the last good one is kept");
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let directory = tempfile::tempdir().unwrap();
    let input = fixture("prepared.h5ad").display().to_string();
    let mut child = command(directory.path(), &["inspect", &input])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
