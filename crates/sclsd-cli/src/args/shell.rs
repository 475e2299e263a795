//! Options of the commands that help a shell: `completions` and `man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::headings::FILES;

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell that the script is for.
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Directory to write the pages to: sclsd.1, sclsd-train.1 and so on. The directory is created if it does not
    /// exist.
    #[arg(long, value_name = "DIR", help_heading = FILES)]
    pub out: PathBuf,
}
