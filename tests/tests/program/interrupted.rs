//! Checks that interruption and the number of threads do not change the result.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use sclsd::infer::Checkpoint;

use crate::{SMALL, command, succeed};

fn simulate(directory: &Path) {
    succeed(directory, &["simulate", "in.h5ad", "--cells", "200", "--genes", "40"]);
}

fn train<'a>(model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "in.h5ad", "-o", "out.h5ad", "--model", model, "--epochs", "12"][..], &SMALL, more].concat()
}

#[test]
fn kill_and_resume_gives_the_checkpoint_of_an_uninterrupted_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    simulate(directory);
    succeed(directory, &train("whole.safetensors", &[]));
    let whole = std::fs::read(directory.join("whole.safetensors")).expect("a checkpoint");
    for killed_after in [1, 4, 8] {
        let path = directory.join("cut.safetensors");
        let _ = std::fs::remove_file(&path);
        let mut child = command(directory, &train("cut.safetensors", &[]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let began = Instant::now();
        while Checkpoint::load(&path).map_or(0, |c| c.epoch()) < killed_after {
            assert!(began.elapsed() < Duration::from_mins(2), "no checkpoint of epoch {killed_after}");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().expect("SIGKILL");
        child.wait().expect("it is gone");
        let left = Checkpoint::load(&path).expect("a whole checkpoint survives").epoch();
        assert!(left >= killed_after);
        succeed(directory, &train("cut.safetensors", &["--resume"]));
        assert!(std::fs::read(&path).expect("a checkpoint") == whole, "killed after epoch {left}");
    }
}

#[test]
fn two_threads_give_the_same_bytes_as_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    simulate(directory);
    let read = |name: &str| std::fs::read(directory.join(name)).expect("a file");
    succeed(directory, &train("one.safetensors", &["--threads", "1"]));
    let one = (read("one.safetensors"), read("out.h5ad"));
    succeed(directory, &train("two.safetensors", &["--threads", "2"]));
    assert!(read("two.safetensors") == one.0, "checkpoints");
    assert!(read("out.h5ad") == one.1, "results");
}

#[test]
fn resuming_another_run_is_refused_and_the_difference_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    simulate(directory);
    succeed(directory, &train("m.safetensors", &[]));
    succeed(directory, &["simulate", "other.h5ad", "--cells", "200", "--genes", "40", "--seed", "9"]);
    let refuse = |arguments: Vec<&str>, expected: &str| {
        let output = crate::sclsd(directory, &arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(expected), "{errors}");
    };
    refuse(
        train("m.safetensors", &["--resume", "--seed", "5"]),
        "random_state is 5, but it was trained with 42; repeat the settings of that run, or train anew without --resume",
    );
    refuse(
        train("m.safetensors", &["--resume", "--set", "model.z_dim=4"]),
        "model.z_dim is 4, but it was trained with 10",
    );
    let mut other = train("m.safetensors", &["--resume"]);
    other[1] = "other.h5ad";
    refuse(other, "the counts differ from what it was trained on");
}
