//! Several models of one run: shards and `combine`, mean and spread, and what the commands make of such a model.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use sclsd::data::{Column, Dataset, H5ad, Keys, read_h5ad};
use sclsd::infer::{Checkpoint, Ensemble};

use crate::{SMALL, command, succeed};

/// Simulated cells with a graph, an embedding and a pseudotime.
fn prepare(directory: &Path) {
    succeed(directory, &["simulate", "raw.h5ad", "--cells", "200", "--genes", "40"]);
    succeed(directory, &["prepare", "raw.h5ad", "-o", "in.h5ad", "--root-cluster", "Stem", "--n-pcs", "10"]);
}

fn train<'a>(name: &'a str, more: &[&'a str]) -> Vec<String> {
    let files = [format!("{name}.h5ad"), format!("{name}.safetensors")];
    let words = ["train", "in.h5ad", "-o", &files[0], "--model", &files[1], "--set", "num_epochs=3"];
    [&words[..], &SMALL, more].concat().into_iter().map(str::to_owned).collect()
}

fn run(directory: &Path, name: &str, more: &[&str]) {
    let words = train(name, more);
    succeed(directory, &words.iter().map(String::as_str).collect::<Vec<_>>());
}

fn combine(directory: &Path, name: &str, parts: &[&str], more: &[&str]) {
    let files = [format!("{name}.h5ad"), format!("{name}.safetensors")];
    let parts: Vec<String> = parts.iter().flat_map(|p| [format!("{p}.h5ad"), format!("{p}.safetensors")]).collect();
    let words = ["combine", "-o", &files[0], "--model", &files[1], "--parts"];
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    succeed(directory, &[&words[..], &parts, more].concat());
}

fn refused(directory: &Path, arguments: &[&str], expected: &str) {
    let output = crate::sclsd(directory, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "sclsd {arguments:?} succeeds, expected: {expected}");
    assert!(errors.contains(expected) && !errors.contains("panicked"), "expected {expected}, found {errors}");
}

/// Asserts that result and model of two runs are the same bytes.
fn same(directory: &Path, one: &str, other: &str) {
    for ending in ["safetensors", "h5ad"] {
        let read = |name: &str| std::fs::read(directory.join(format!("{name}.{ending}"))).expect("a file");
        assert!(read(one) == read(other), "{one}.{ending} and {other}.{ending}");
    }
}

#[test]
fn shards_and_combine_give_the_bytes_of_one_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    prepare(d);
    for more in [&[][..], &["--bootstrap", "--compress", "gzip"]] {
        let members = [&["--members", "3"][..], more].concat();
        run(d, "one", &[&members[..], &["--threads", "1"]].concat());
        run(d, "two", &[&members[..], &["--threads", "2"]].concat());
        same(d, "one", "two");
        for n in ["2", "3"] {
            let shards: Vec<String> = (1..=n.parse().expect("a number")).map(|i| format!("{i}/{n}")).collect();
            let names: Vec<String> = shards.iter().map(|shard| format!("part{}", shard.replace('/', "of"))).collect();
            for (shard, name) in shards.iter().zip(&names) {
                run(d, name, &[&members[..], &["--shard", shard]].concat());
            }
            // in any order
            let names: Vec<&str> = names.iter().rev().map(String::as_str).collect();
            let compress: &[&str] = if more.is_empty() { &[] } else { &["--compress", "gzip"] };
            combine(d, "joined", &names, compress);
            same(d, "one", "joined");
        }
    }
}

#[test]
fn a_run_with_a_phylogeny_and_a_prior_time_of_its_own_combines_to_the_same_bytes() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    prepare(d);
    let epochs = ["--set", "walks.num_walks=64", "--set", "walks.path_len=5", "--epochs", "1"];
    let own = ["--members", "2", "--infer-phylogeny", "Stem", "--bootstrap-prior", "--bootstrap-epochs", "1"];
    let go = |name: &str, more: &[&str]| {
        let files = [format!("{name}.h5ad"), format!("{name}.safetensors")];
        let words = ["train", "in.h5ad", "-o", &files[0], "--model", &files[1], "--basis", "X_pca"];
        succeed(d, &[&words[..], &epochs, &own, more].concat());
    };
    go("one", &[]);
    go("a", &["--shard", "1/2"]);
    go("b", &["--shard", "2/2"]);
    combine(d, "joined", &["a", "b"], &[]);
    same(d, "one", "joined");
}

#[test]
fn results_that_the_input_has_already_are_replaced_alike() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    prepare(d);
    run(d, "before", &[]);
    std::fs::copy(d.join("before.h5ad"), d.join("in.h5ad")).expect("a copy");
    run(d, "one", &["--members", "2"]);
    run(d, "a", &["--members", "2", "--shard", "1/2"]);
    run(d, "b", &["--members", "2", "--shard", "2/2"]);
    combine(d, "joined", &["a", "b"], &[]);
    same(d, "one", "joined");
}

#[test]
fn a_shard_that_was_killed_is_repeated_or_gone_on_with_to_the_same_bytes() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    prepare(d);
    let members = ["--members", "3", "--set", "num_epochs=12"];
    run(d, "one", &members);
    run(d, "b", &[&members[..], &["--shard", "2/2"]].concat());
    let shard = [&members[..], &["--shard", "1/2"]].concat();
    for again in [&["--resume"][..], &[]] {
        let model = d.join("a.safetensors");
        let _ = std::fs::remove_file(&model);
        let words = train("a", &shard);
        let mut child = command(d, &words.iter().map(String::as_str).collect::<Vec<_>>())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let began = Instant::now();
        // the second member of the shard is begun
        while Ensemble::load(&model).map_or(true, |run| !run.members.contains_key(&2)) {
            assert!(began.elapsed() < Duration::from_mins(2), "no checkpoint of the second member");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().expect("SIGKILL");
        child.wait().expect("it is gone");
        let left = Ensemble::load(&model).expect("a whole model survives");
        assert!(left.members[&0].is_finished());
        if left.unfinished().is_some() && d.join("a.h5ad").exists() {
            refused(
                d,
                &[
                    "combine",
                    "-o",
                    "x.h5ad",
                    "--model",
                    "x.safetensors",
                    "--parts",
                    "a.safetensors",
                    "a.h5ad",
                    "b.safetensors",
                    "b.h5ad",
                ],
                "is not trained to its end; run shard 1/2 again with --resume",
            );
        }
        run(d, "a", &[&shard[..], again].concat());
        combine(d, "joined", &["a", "b"], &[]);
        same(d, "one", "joined");
    }
}

#[test]
fn the_first_member_is_the_model_of_a_run_of_one_and_one_member_changes_no_byte() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    prepare(d);
    run(d, "single", &[]);
    run(d, "one", &["--members", "1"]);
    same(d, "single", "one");
    for more in [&[][..], &["--bootstrap"]] {
        run(d, "three", &[&["--members", "3"][..], more].concat());
        let all = Ensemble::load(&d.join("three.safetensors")).expect("a model");
        let single = Checkpoint::load(&d.join("single.safetensors")).expect("a model");
        assert_eq!(all.members[&0], single);
        assert_ne!(all.members[&1].model.weights, single.model.weights);
    }
    // members of a smaller run are the first of a larger one
    std::fs::copy(d.join("single.safetensors"), d.join("grown.safetensors")).expect("a copy");
    run(d, "grown", &["--members", "3", "--bootstrap", "--resume"]);
    same(d, "three", "grown");
}

fn column(data: &Dataset, key: &str) -> Vec<f64> {
    match data.obs.get(key) {
        Some(Column::Float(values)) => values.clone(),
        other => panic!("obs[\"{key}\"] is {other:?}"),
    }
}

fn close(what: &str, found: &[f64], expected: &[f64], within: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= within, "{what}: {a}, expected {b}");
    }
}

/// Mean and standard deviation over three.
fn moments(members: &[Vec<f64>; 3]) -> (Vec<f64>, Vec<f64>) {
    let of = |place: usize| {
        let values = members.each_ref().map(|member| member[place]);
        let mean = values.iter().sum::<f64>() / 3.0;
        (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 2.0).sqrt())
    };
    (0..members[0].len()).map(of).unzip()
}

#[test]
fn mean_and_spread_are_those_of_members_that_were_trained_one_by_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    prepare(d);
    let fates = |name: &str| {
        let files = [format!("{name}.h5ad"), format!("{name}.safetensors"), format!("{name}-fates.h5ad")];
        succeed(d, &["fates", &files[0], "--model", &files[1], "-o", &files[2]]);
        let data = H5ad::open(&d.join(&files[2])).and_then(|file| file.read(&file.keys()?));
        data.expect("a result")
    };
    run(d, "all", &["--members", "3"]);
    let all = fates("all");
    let single = ["42", "43", "44"].map(|seed| {
        run(d, seed, &["--seed", seed]);
        fates(seed)
    });
    let each = |key: &str| single.each_ref().map(|data| column(data, key));
    let (mean, std) = moments(&each("lsd_pseudotime"));
    close("pseudotime", &column(&all, "lsd_pseudotime"), &mean, 1e-12);
    close("its spread", &column(&all, "lsd_pseudotime_std"), &std, 1e-12);
    close("entropy", &column(&all, "entropy"), &moments(&each("entropy")).0, 1e-12);
    let first = column(&single[0], "potential");
    let n = f64::from(u32::try_from(first.len()).expect("few cells"));
    let center = |v: &[f64]| {
        let mean = v.iter().sum::<f64>() / n;
        (mean, (v.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
    };
    let (mean, std) = center(&first);
    let scaled = each("potential").map(|v| {
        let (own, own_std) = center(&v);
        v.iter().map(|v| (v - own) / own_std * std + mean).collect::<Vec<_>>()
    });
    let (mean, std) = moments(&scaled);
    close("potential", &column(&all, "potential"), &mean, 1e-9);
    close("its spread", &column(&all, "potential_std"), &std, 1e-9);
    let f64s = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    for key in ["velocity_umap", "drift_velocity_umap", "fate_probabilities"] {
        let members = single.each_ref().map(|data| f64s(data.obsm[key].values()));
        let (mean, std) = moments(&members);
        close(key, &f64s(all.obsm[key].values()), &mean, 1e-5);
        if key == "fate_probabilities" {
            close(key, &f64s(all.obsm["fate_probabilities_std"].values()), &std, 1e-5);
            for (place, &low) in all.obsm["fate_probabilities_low"].values().iter().enumerate() {
                let high = f64::from(all.obsm["fate_probabilities_high"].values()[place]);
                let of = members.each_ref().map(|member| member[place]);
                let (least, most) = of.iter().fold((1.0, 0.0), |(a, b), &v| (f64::min(a, v), f64::max(b, v)));
                assert!(least - 1e-5 <= f64::from(low) && f64::from(low) <= high && high <= most + 1e-5);
            }
        }
    }
    let transitions = single.each_ref().map(|data| f64s(data.obsp["transitions"].values()));
    close("transitions", &f64s(all.obsp["transitions"].values()), &moments(&transitions).0, 1e-6);
    assert_eq!(all.obsm["X_cell_state"], single[0].obsm["X_cell_state"]);
    assert!(column(&all, "direction_agreement").iter().all(|r| (0.0..=1.0).contains(r)));
    assert_eq!(all.obsm["fate_probabilities_prior"], single[0].obsm["fate_probabilities_prior"]);
}

#[test]
fn every_command_takes_a_model_of_several_members() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    prepare(d);
    run(d, "all", &["--members", "2"]);
    let model = ["--model", "all.safetensors"];
    let go = |words: &[&str]| succeed(d, &[words, &model].concat());
    go(&["annotate", "in.h5ad", "-o", "annotated.h5ad"]);
    let keys = Keys { obsm: vec!["velocity_umap".into()], ..Keys::none() }.with_obs("potential_std");
    let keys = keys.with_obs("lsd_pseudotime").with_obs("direction_agreement");
    let read = |name: &str| read_h5ad(&d.join(name), &keys).expect("a result");
    assert_eq!(read("annotated.h5ad"), read("all.h5ad"), "annotate says what train said");
    for method in ["prior", "neighbors", "transitions", "drift", "flow"] {
        go(&["fates", "all.h5ad", "-o", "fates.h5ad", "--method", method, "--time-range", "1"]);
    }
    go(&["fates", "all.h5ad", "-o", "hard.h5ad", "--hard", "--time-range", "1"]);
    go(&["fates", "all.h5ad", "-o", "fates.h5ad", "--interval", "0.5"]);
    go(&["perturb", "all.h5ad", "--gene", "Gene01", "-o", "t.csv", "--time-range", "1"]);
    go(&["evaluate", "fates.h5ad", "--edges", "Stem>Fate A"]);
    go(&["report", "fates.h5ad", "-o", "report.html", "--time-range", "1"]);
    go(&["plot", "walks", "all.h5ad", "-o", "walks.svg", "--time-range", "1"]);
    let said = succeed(d, &["inspect", "all.safetensors"]);
    assert!(said.starts_with("2 members; of the first here:"), "{said}");
    let message = Checkpoint::load(&d.join("all.safetensors")).expect_err("several").to_string();
    assert!(message.contains("it holds several members, and Ensemble::load reads it"), "{message}");
}

#[test]
fn an_interval_of_one_member_is_said_not_to_be_and_none_is_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    prepare(d);
    run(d, "one", &[]);
    let arguments = ["fates", "one.h5ad", "--model", "one.safetensors", "-o", "f.h5ad", "--interval", "0.9"];
    let output = crate::sclsd(d, &arguments);
    let notes = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && notes.contains("no interval is written: the model has one member"), "{notes}");
    let has = H5ad::open(&d.join("f.h5ad")).and_then(|file| file.keys()).expect("a result");
    assert!(!has.obsm.iter().any(|key| key == "fate_probabilities_low"));
    for level in ["0", "1", "1.5", "NaN", "x"] {
        let words = ["fates", "one.h5ad", "--model", "one.safetensors", "-o", "f.h5ad", "--interval", level];
        refused(d, &words, "invalid value");
    }
}

#[test]
fn parts_of_other_data_or_settings_and_shards_that_are_missing_or_twice_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    prepare(d);
    let shard = |name: &str, shard: &str, more: &[&str]| {
        run(d, name, &[&["--members", "3", "--shard", shard][..], more].concat());
    };
    shard("a", "1/2", &[]);
    shard("b", "2/2", &[]);
    shard("rate", "2/2", &["--set", "optimizer.adam.lr=0.002"]);
    shard("longer", "2/2", &["--set", "num_epochs=4"]);
    shard("seed", "2/2", &["--seed", "7"]);
    shard("bootstrapped", "2/2", &["--bootstrap"]);
    shard("third", "2/3", &[]);
    run(d, "four", &["--members", "4", "--shard", "2/2"]);
    run(d, "whole", &["--members", "3"]);
    std::fs::rename(d.join("in.h5ad"), d.join("good.h5ad")).expect("a file");
    succeed(d, &["simulate", "raw2.h5ad", "--cells", "200", "--genes", "40", "--seed", "5"]);
    succeed(d, &["prepare", "raw2.h5ad", "-o", "in.h5ad", "--root-cluster", "Stem", "--n-pcs", "10"]);
    shard("other", "2/2", &[]);
    let parts = |parts: &[&str], expected: &str| {
        let words = ["combine", "-o", "x.h5ad", "--model", "x.safetensors", "--parts"];
        refused(d, &[&words[..], parts].concat(), expected);
        assert!(!d.join("x.h5ad").exists() && !d.join("x.safetensors").exists());
    };
    let with = |name: &str| [format!("{name}.safetensors"), format!("{name}.h5ad")];
    let both = |names: [&str; 2], expected: &str| {
        let files: Vec<String> = names.iter().flat_map(|name| with(name)).collect();
        parts(&files.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    };
    both(["a", "rate"], "optimizer.adam.lr is 0.002 in one and 0.01 in the other");
    both(["a", "longer"], "num_epochs is 4 in one and 3 in the other");
    both(["a", "seed"], "random_state is 7 in one and 42 in the other");
    both(["a", "bootstrapped"], "one was trained with --bootstrap, the other without");
    both(["a", "third"], "a.h5ad is shard 1/2, but third.h5ad is shard 2/3");
    both(["a", "four"], "one is of 4 members, the other of 3");
    both(["a", "other"], "a.h5ad and other.h5ad are parts of different inputs");
    both(["a", "a"], "are both of shard 1/2; give each shard once");
    both(["a", "whole"], "whole.h5ad is no part of a result");
    parts(&["a.safetensors", "a.h5ad"], "shard 2/2 is missing; train it with --shard 2/2");
    parts(&["a.safetensors", "b.safetensors", "a.h5ad"], "the .h5ad part of shard 2/2 is missing");
    parts(&["a.safetensors", "a.h5ad", "b.h5ad"], "the model of shard 2/2 is missing; give it beside b.h5ad");
    parts(&["whole.safetensors", "a.h5ad", "b.h5ad"], "whole.safetensors is a whole model, and no part of one");
    parts(&["a.safetensors", "other.safetensors", "a.h5ad", "b.h5ad"], "the counts of their data differ");
    parts(&["a.safetensors", "b.safetensors"], "--parts has no .h5ad among them");
    parts(&["a.safetensors", "raw.h5ad"], "raw.h5ad is no part of a result");
    parts(&["none.h5ad"], "none.h5ad cannot be read");
    std::fs::write(d.join("cut.h5ad"), &std::fs::read(d.join("b.h5ad")).expect("a part")[..100_000]).expect("a file");
    parts(&["a.safetensors", "b.safetensors", "a.h5ad", "cut.h5ad"], "cut.h5ad");
}

#[test]
fn options_of_members_that_do_not_go_together_are_refused_in_a_sentence() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    prepare(d);
    let no = |more: &[&str], expected: &str| {
        let words = train("x", more);
        refused(d, &words.iter().map(String::as_str).collect::<Vec<_>>(), expected);
        assert!(!d.join("x.safetensors").exists());
    };
    for shard in ["0/3", "4/3", "a/b"] {
        let expected = format!("shard is {shard}, expected I/N, such as 2/5, with I from 1 to N");
        no(&["--members", "3", "--shard", shard], &expected);
    }
    no(&["--shard", "1/3"], "say how many there are with --members N");
    no(&["--members", "2", "--shard", "3/3"], "--shard 3/3 has no member, since --members is 2");
    no(&["--members", "0"], "0 is not in 1..=1000");
    no(&["--bootstrap"], "--bootstrap needs several members");
    no(&["--members", "2", "--device", "cpu,cpu"], "--members and several devices do not go together");
    let peers = ["--members", "2", "--peers", "127.0.0.1:1,127.0.0.1:2", "--rank", "0"];
    no(&peers, "--members and --peers do not go together");
    run(d, "two", &["--members", "2"]);
    let other = |more: &[&str], expected: &str| {
        let words = train("two", more);
        refused(d, &words.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    };
    other(&["--resume"], "two.safetensors is of 2 members, but this run is of a single model");
    other(&["--members", "2", "--bootstrap", "--resume"], "but this run is of 2 members with --bootstrap");
    other(&["--members", "2", "--shard", "1/2", "--resume"], "but this run is of shard 1/2 of 2 members");
    other(&["--members", "2", "--resume", "--seed", "5"], "random_state is 5, but it was trained with 42");
}
