//! `cargo xtask tidy`, `imports`, `features`, `bench-reference`, `score-fates`: chores of the workspace.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{bench_reference, features, score_fates, tidy};

/// Chores of the workspace.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks that also run in `cargo test`.
    Tidy,
    /// Lines of every crate, who imports whom in it, and imports that are not to be.
    Imports,
    /// Checks that every subset of the backends' features builds.
    Features {
        /// Only each alone, all together, and none.
        #[arg(long)]
        each: bool,
    },
    /// Scores fates of simulated cells by every method against the truth, and beside it CellRank's; goes on where it
    /// was.
    ScoreFates {
        /// Where simulated sets and the table of scores are kept.
        #[arg(long, default_value = "target/score-fates")]
        out: PathBuf,
        /// First seed.
        #[arg(long, default_value_t = 10)]
        from: u64,
        /// Last seed.
        #[arg(long, default_value_t = 29)]
        to: u64,
        /// The program [default: the one built with --release].
        #[arg(long, default_value = "target/release/sclsd")]
        program: PathBuf,
        /// A Python with CellRank, to score that on the same sets.
        #[arg(long)]
        python: Option<PathBuf>,
    },
    /// Times this program and the Python package in turn on the same files and prints the ratios.
    BenchReference {
        /// Interpreter that has the Python package.
        #[arg(long)]
        python: PathBuf,
        /// The script that times the Python package, stage by stage.
        #[arg(long)]
        script: PathBuf,
        /// Runs of each, in turn.
        #[arg(long, default_value_t = 3)]
        pairs: usize,
        /// Threads of each.
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// SIMD level of both, the best of this machine unless named.
        #[arg(long, value_parser = ["avx2", "avx512"])]
        simd: Option<String>,
        /// Only the cases whose names contain this.
        #[arg(long)]
        only: Option<String>,
        /// Prepared files, each with the column of its prior time where that is not dpt_pseudotime: FILE or
        /// FILE=COLUMN.
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
