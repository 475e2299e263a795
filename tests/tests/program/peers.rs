//! Trains one model with several processes over the loopback network.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use sclsd::infer::Checkpoint;
use sclsd_tests::{difference, print_always};

use crate::{SMALL, command, sclsd, succeed};

fn simulate(directory: &Path) {
    succeed(directory, &["simulate", "in.h5ad", "--cells", "200", "--genes", "40"]);
}

/// Free addresses on this machine.
fn addresses(count: usize) -> String {
    let free: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let all: Vec<String> = free.iter().map(|port| port.local_addr().expect("an address").to_string()).collect();
    all.join(",")
}

/// Starts one of several peers, each with its own files.
fn peer(directory: &Path, peers: &str, rank: usize, epochs: &str, more: &[&str]) -> Child {
    let (model, output, rank) = (format!("m{rank}.safetensors"), format!("out{rank}.h5ad"), rank.to_string());
    let files = ["train", "in.h5ad", "-o", &output, "--model", &model, "--epochs", epochs];
    let place = ["--peers", peers, "--rank", &rank, "--threads", "1", "--peer-timeout", "60"];
    let arguments = [&files[..], &SMALL, &place, more].concat();
    command(directory, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

fn ended(peer: Child) -> Output {
    peer.wait_with_output().expect("it ends")
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn two_processes_train_the_model_that_one_trains_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    simulate(directory);
    let alone = ["train", "in.h5ad", "-o", "out.h5ad", "--model", "alone.safetensors", "--epochs", "6"];
    succeed(directory, &[&alone[..], &SMALL].concat());
    let peers = addresses(2);
    let both = [0, 1].map(|rank| peer(directory, &peers, rank, "6", &[])).map(ended);
    for output in &both {
        assert!(output.status.success(), "{}", errors(output));
    }
    assert!(
        !directory.join("m1.safetensors").exists() && !directory.join("out1.h5ad").exists(),
        "only the first writes"
    );
    let load = |name: &str| Checkpoint::load(&directory.join(name)).expect("a checkpoint");
    let (one, two) = (load("alone.safetensors"), load("m0.safetensors"));
    #[expect(clippy::cast_possible_truncation, reason = "compared in f32")]
    let curve = |fit: &Checkpoint| fit.history.iter().map(|epoch| epoch.loss.total() as f32).collect::<Vec<_>>();
    let loss = difference(&curve(&two), &curve(&one));
    let weight =
        |(name, array): (&String, &sclsd::model::Array)| difference(&array.values, &one.model.weights[name].values);
    let weights = two.model.weights.iter().map(weight).fold(0.0, f64::max);
    print_always(&format!("2 processes against one | loss {loss:.1e} | weights {weights:.1e}"));
    assert!(loss < 1e-4 && weights < 1e-4, "loss {loss}, weights {weights}");
    assert!(directory.join("out0.h5ad").exists());
}

#[test]
fn a_peer_that_dies_is_an_error_that_names_it_and_the_checkpoint_is_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    simulate(directory);
    let peers = addresses(3);
    let [first, mut dying, third] = [0, 1, 2].map(|rank| peer(directory, &peers, rank, "5000", &[]));
    let model = directory.join("m0.safetensors");
    let began = Instant::now();
    while Checkpoint::load(&model).map_or(0, |c| c.epoch()) < 2 {
        assert!(began.elapsed() < Duration::from_mins(2), "no checkpoint of epoch 2");
        std::thread::sleep(Duration::from_millis(5));
    }
    dying.kill().expect("SIGKILL");
    dying.wait().expect("it is gone");
    let address = peers.split(',').nth(1).expect("an address");
    for output in [first, third].map(ended) {
        assert_eq!(output.status.code(), Some(1));
        let message = errors(&output);
        assert!(message.contains(&format!("error: peer 1 ({address}) has stopped")), "{message}");
        assert!(message.contains("continue from it with --resume"), "{message}");
    }
    let left = Checkpoint::load(&model).expect("a whole checkpoint survives").epoch();
    assert!(left >= 2);
    let epochs = (left + 1).to_string();
    let resume = ["train", "in.h5ad", "-o", "out.h5ad", "--model", "m0.safetensors", "--epochs", &epochs, "--resume"];
    succeed(directory, &[&resume[..], &SMALL].concat());
}

#[cfg(unix)]
#[test]
fn a_signal_to_one_peer_stops_all_after_the_same_step_and_resume_gives_the_bytes_of_an_uninterrupted_run() {
    if crate::signals::is_ignored(2) {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    simulate(directory);
    let steps = ["--set", "walks.batch_size=4"];
    let run = |more: &[&str]| {
        let peers = addresses(2);
        [0, 1].map(|rank| peer(directory, &peers, rank, "30", &[&steps[..], more].concat()))
    };
    let file = |name: &str| std::fs::read(directory.join(name)).expect("a file");
    for output in run(&[]).map(ended) {
        assert!(output.status.success(), "{}", errors(&output));
    }
    let whole = [file("m0.safetensors"), file("out0.h5ad")];
    std::fs::remove_file(directory.join("m0.safetensors")).expect("a model");
    std::fs::remove_file(directory.join("out0.h5ad")).expect("a result");

    let both = run(&[]);
    let model = directory.join("m0.safetensors");
    let began = Instant::now();
    while !model.exists() {
        assert!(began.elapsed() < Duration::from_mins(2), "no checkpoint");
        std::thread::sleep(Duration::from_millis(2));
    }
    let second = both[1].id().to_string();
    std::process::Command::new("kill").args(["-s", "INT", &second]).status().expect("a signal");
    let [first, second] = both.map(ended);
    let stopped = Checkpoint::load(&model).expect("a checkpoint");
    let place = match stopped.step() {
        0 => format!("after epoch {} of 30", stopped.epoch()),
        step => format!("in epoch {} of 30, after step {step} of 16", stopped.epoch() + 1),
    };
    assert_eq!(second.status.code(), Some(130), "{}", errors(&second));
    assert!(errors(&second).contains(&format!("stopped by Ctrl-C {place}: the first peer saves the model")), "{place}");
    assert_eq!(first.status.code(), Some(1), "{}", errors(&first));
    let expected = format!("error: another peer was stopped: training ended {place}: m0.safetensors holds");
    assert!(errors(&first).contains(&expected), "{expected}: {}", errors(&first));

    std::fs::copy(&model, directory.join("m1.safetensors")).expect("a copy for the other peer");
    for output in run(&["--resume"]).map(ended) {
        assert!(output.status.success(), "{}", errors(&output));
    }
    assert!([file("m0.safetensors"), file("out0.h5ad")] == whole, "{place}");
}

#[test]
fn peers_that_would_train_different_models_and_bad_ranks_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    simulate(directory);
    let peers = addresses(2);
    let more: [&[&str]; 2] = [&[], &["--set", "optimizer.adam.lr=0.5"]];
    let both = [0, 1].map(|rank| peer(directory, &peers, rank, "3", more[rank])).map(ended);
    for (output, other) in both.iter().zip(["peer 1 ", "peer 0 "]) {
        assert_eq!(output.status.code(), Some(1));
        let message = errors(output);
        assert!(message.contains(other) && message.contains("another configuration"), "{message}");
    }
    let train = ["train", "in.h5ad", "-o", "o.h5ad", "--model", "m.safetensors"];
    let refuse = |more: &[&str], code: i32, expected: &str| {
        let output = sclsd(directory, &[&train[..], &SMALL, more].concat());
        assert_eq!(output.status.code(), Some(code), "{}", errors(&output));
        assert!(errors(&output).contains(expected), "{}", errors(&output));
    };
    refuse(&["--peers", "a:1,b:2", "--rank", "2"], 1, "--rank is 2, but there are 2 --peers");
    refuse(&["--peers", "a:1,b:2"], 2, "--rank");
    refuse(&["--peers", "a:1,b:2", "--rank", "0", "--device", "cpu,cpu"], 1, "a peer has one device");
    refuse(&["--device", "cpu,tpu"], 1, "device \"tpu\" is not one of");
    refuse(
        &["--device", "cpu,cpu", "--set", "walks.num_walks=33"],
        1,
        "the last batch of an epoch has 1 walks for 2 peers",
    );
}

#[test]
fn two_devices_of_one_process_train_the_model_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    simulate(directory);
    let train = |model: &str, device: &str| {
        let files = ["train", "in.h5ad", "-o", "out.h5ad", "--model", model, "--epochs", "3", "--device", device];
        succeed(directory, &[&files[..], &SMALL].concat());
        Checkpoint::load(&directory.join(model)).expect("a checkpoint").model.weights
    };
    let (one, two) = (train("one.safetensors", "cpu"), train("two.safetensors", "cpu,cpu"));
    let worst = one.iter().map(|(name, array)| difference(&two[name].values, &array.values)).fold(0.0, f64::max);
    assert!(worst < 1e-4, "{worst}");
}
