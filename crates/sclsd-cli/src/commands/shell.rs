//! `sclsd completions` and `sclsd man`: completion scripts and man pages, generated from the command-line definition.

use sclsd::data::plain_reason;

use crate::args::{CompletionsArgs, ManArgs, command};
use crate::figures::Figures;
use crate::progress::Output;
use crate::standard;

/// Prints the script for a shell.
pub(crate) fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "sclsd", &mut script);
    standard::write(&script)
}

/// Writes a page for the program, for each command, and for each kind of picture.
pub(crate) fn man(args: &ManArgs, output: Output) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.out)
        .and_then(|()| clap_mangen::generate_to(command(), &args.out))
        .map_err(|error| anyhow::anyhow!("{} cannot be written: {}", args.out.display(), plain_reason(&error)))?;
    let mut figures = Figures::default();
    figures.text("pages", args.out.display());
    figures.print(output)
}
