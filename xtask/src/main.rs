//! `cargo xtask tidy`, `imports`, `features`, `bench-reference`, `score-fates`: maintenance tasks of the workspace.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{bench_reference, features, score_fates, tidy};

/// Maintenance tasks of the workspace.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the workspace checks that are also part of `cargo test`.
    Tidy,
    /// Print the number of lines and the imports of every crate, and report forbidden imports.
    Imports,
    /// Check that every subset of the backend features builds.
    Features {
        /// Check only each backend alone, all together, and none.
        #[arg(long)]
        each: bool,
    },
    /// Score fates of simulated cells by every method, and optionally by CellRank, against the truth. Continues an
    /// interrupted run.
    ScoreFates {
        /// Folder of the simulated data sets and the table of scores.
        #[arg(long, default_value = "target/score-fates")]
        out: PathBuf,
        /// First seed.
        #[arg(long, default_value_t = 10)]
        from: u64,
        /// Last seed.
        #[arg(long, default_value_t = 29)]
        to: u64,
        /// The sclsd program [default: the one built with --release].
        #[arg(long, default_value = "target/release/sclsd")]
        program: PathBuf,
        /// A Python interpreter with CellRank, to score CellRank on the same data sets.
        #[arg(long)]
        python: Option<PathBuf>,
    },
    /// Time this program and the Python package alternately on the same files, and print the ratios.
    BenchReference {
        /// Python interpreter with the Python package.
        #[arg(long)]
        python: PathBuf,
        /// Script that times the Python package, stage by stage.
        #[arg(long)]
        script: PathBuf,
        /// Number of runs of each program.
        #[arg(long, default_value_t = 3)]
        pairs: usize,
        /// Number of threads of each program.
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// SIMD level of both programs. Default: the best on this machine.
        #[arg(long, value_parser = ["avx2", "avx512"])]
        simd: Option<String>,
        /// Run only the cases whose names contain this text.
        #[arg(long)]
        only: Option<String>,
        /// Prepared files, each with the column of its prior time if that is not dpt_pseudotime: FILE or FILE=COLUMN.
        #[arg(required = true)]
        files: Vec<String>,
    },
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]
fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Tidy => {
            let complaints = tidy::all();
            complaints.iter().for_each(|complaint| println!("{complaint}"));
            return if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        Command::Imports => Ok(tidy::imports_table()),
        Command::Features { each } => features::run(each),
        Command::ScoreFates { out, from, to, program, python } => {
            let script = "tests/cellrank_fates.py".into();
            score_fates::run(&score_fates::Plan { program, out, seeds: from..to + 1, python, script })
        }
        Command::BenchReference { python, script, pairs, threads, simd, only, files } => {
            bench_reference::run(&bench_reference::Plan { python, script, pairs, threads, simd, only, files })
        }
    };
    match result {
        Ok(table) => {
            println!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
