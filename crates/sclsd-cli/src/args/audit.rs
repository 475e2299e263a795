//! Options of `audit`.

use std::path::PathBuf;

use clap::Args;

use super::headings::{CELLS, CHECKS, FILES};
use super::machine::ThreadArgs;

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Result of sclsd train or fates (.h5ad).
    pub input: PathBuf,
    /// Model that the input was trained with.
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub model: PathBuf,
    /// Column of obs with the clusters (cell types) [default: the one that the model was trained with].
    #[arg(long, value_name = "COLUMN", help_heading = CELLS)]
    pub cluster_key: Option<String>,
    /// End with exit status 3 if the verdict is "do not believe". Use it in scripts.
    #[arg(long, help_heading = CHECKS)]
    pub strict: bool,
    /// Also deal the prior times out anew among the cells, and compare how far the pseudotime rises along walks of such
    /// a prior. It does not train again.
    #[arg(long, help_heading = CHECKS)]
    pub null: bool,
    #[command(flatten)]
    pub threads: ThreadArgs,
}
