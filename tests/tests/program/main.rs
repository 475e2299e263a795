//! Tests of the command-line program.

mod audit;
mod bad_input;
mod bad_steps;
mod book;
mod columns;
mod counts;
mod embeddings;
mod files;
mod formats;
mod interrupted;
mod members;
mod options;
mod peers;
mod recorded;
mod report;
mod road;
mod scanpy;
#[cfg(unix)]
mod signals;

use std::path::Path;
use std::process::{Command, Output};

/// Runs the program with these arguments in `directory`.
fn sclsd(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().expect("the program starts")
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sclsd-under-test"));
    command.current_dir(directory).args(arguments);
    command
}

/// Runs the program and expects success.
fn succeed(directory: &Path, arguments: &[&str]) -> String {
    let output = sclsd(directory, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "sclsd {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Settings of a model that trains in a second or two.
const SMALL: [&str; 14] = [
    "--set",
    "model.layer_dims.x_encoder=[16,8]",
    "--set",
    "model.layer_dims.z_decoder=[8,16]",
    "--set",
    "walks.num_walks=64",
    "--set",
    "walks.batch_size=32",
    "--set",
    "walks.path_len=5",
    "--time-key",
    "prior_time",
    "--checkpoint-every",
    "1",
];
