//! The `sclsd` program: command line in, files and figures out.
//!
//! The only crate with standard output, exit codes and `anyhow`. Exit status 0: success; 1: an error in the data or the
//! run; 2: an error in the command line; 3: `--strict` was given and the verdict is "do not believe"; 130, 143, 129:
//! training was stopped by Ctrl-C, SIGTERM, SIGHUP. An error is one sentence on standard error.

mod args;
mod choices;
mod commands;
mod config;
mod escape;
mod figures;
mod flags;
mod memory;
mod pipe;
mod progress;
mod signals;
mod standard;

use std::process::ExitCode;

use args::{Arguments, Command};
use flags::FlagTable;
pub use memory::keep_memory;

/// Runs the program with the process's own arguments.
#[must_use]
pub fn main() -> ExitCode {
    pipe::end_with_reader();
    signals::wait_for_end();
    let arguments = args::parse();
    keep_memory();
    let flags = FlagTable::of(&arguments.command);
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<signals::Stopped>() {
            Some(stopped) => {
                standard::complain(&escape::line(&stopped.to_string()));
                ExitCode::from(stopped.signal.exit_code())
            }
            None if error.is::<commands::audit::NotBelieved>() => {
                standard::complain(&escape::line(&error.to_string()));
                ExitCode::from(commands::audit::NOT_BELIEVED)
            }
            None => {
                // one sentence, causes after a colon
                let advice = flags.advice(&error);
                standard::complain(&format!("error: {}", escape::line(&format!("{error:#}{advice}"))));
                ExitCode::FAILURE
            }
        },
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let output = progress::Output { quiet: arguments.quiet, json: arguments.json, beside: false };
    if let Some(level) = arguments.simd {
        level.parse::<sclsd::model::SimdLevel>()?.force()?;
    }
    match arguments.command {
        Command::Demo(args) => commands::demo::run(&args, output),
        Command::Simulate(args) => commands::simulate::run(&args, output),
        Command::Prepare(args) => commands::prepare::run(&args, output),
        Command::Train(args) => commands::train::run(&args, output),
        Command::Combine(args) => commands::combine::run(&args, output),
        Command::Annotate(args) => commands::annotate::run(&args, output),
        Command::Fates(args) => commands::fates::run(&args, output),
        Command::Perturb(args) => commands::perturb::run(&args, output),
        Command::Audit(args) => commands::audit::run(&args, output),
        Command::Evaluate(args) => commands::evaluate::run(&args, output),
        Command::Plot(picture) => commands::plot::run(&picture.into(), output),
        Command::Report(args) => commands::report::run(&args, output),
        Command::Convert(args) => commands::convert::run(&args, output),
        Command::Inspect(args) => commands::inspect::run(&args, output),
        Command::Completions(args) => commands::shell::completions(&args),
        Command::Man(args) => commands::shell::man(&args, output),
    }
}
