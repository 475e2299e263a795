//! Options of `combine`.

use std::path::PathBuf;

use clap::Args;

use super::headings::FILES;
use super::machine::ThreadArgs;
use super::write::WriteArgs;

#[derive(Debug, Args)]
pub(crate) struct CombineArgs {
    /// Result to write: the one that a single sclsd train of all members writes.
    #[arg(short, long, value_name = "FILE", help_heading = FILES)]
    pub output: PathBuf,
    /// Model to write (.safetensors), with all members.
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub model: PathBuf,
    /// What sclsd train --shard I/N wrote: the model and the part (.h5ad) of each shard, in any order.
    #[arg(long, num_args = 1.., required = true, value_name = "PART", help_heading = FILES)]
    pub parts: Vec<PathBuf>,
    #[command(flatten)]
    pub write: WriteArgs,
    #[command(flatten)]
    pub threads: ThreadArgs,
}
