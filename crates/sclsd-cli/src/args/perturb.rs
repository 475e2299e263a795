//! Options of `perturb`.

use std::path::PathBuf;

use clap::Args;

use super::headings::{CELLS, FILES, FOLLOWING, GENES};
use super::machine::ThreadArgs;
use super::symbols::SymbolArgs;

#[derive(Debug, Args)]
pub(crate) struct PerturbArgs {
    /// File with the cells (.h5ad): expression in X, and the clusters that are the fates.
    pub input: PathBuf,
    /// Table to write: how many cells of each cluster end in each cluster, with and without the perturbation (.csv).
    #[arg(short, long, value_name = "FILE", help_heading = FILES)]
    pub output: PathBuf,
    /// Second table to write: the fates of each cell (.csv) [default: not written].
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub cells_out: Option<PathBuf>,
    /// Trained model.
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub model: PathBuf,
    /// Genes to perturb, all together unless --each is given; may be repeated.
    #[arg(long, required = true, num_args = 1.., value_name = "NAME", help_heading = GENES)]
    pub gene: Vec<String>,
    /// Perturb each gene alone, not all together. The table then has rows for each gene.
    #[arg(long, help_heading = GENES)]
    pub each: bool,
    /// Expression that the genes are set to, in units of X: 0 is a knockout, the largest value in X an overexpression.
    #[arg(long, default_value_t = 0.0, help_heading = GENES)]
    pub level: f64,
    #[command(flatten)]
    pub symbols: SymbolArgs,
    /// Column of obs with the clusters (cell types) [default: the one that the model was trained with].
    #[arg(long, value_name = "COLUMN", help_heading = CELLS)]
    pub cluster_key: Option<String>,
    /// Clusters whose cells are perturbed [default: all]; may be repeated. Name the progenitors to see what the genes
    /// do before the fates part.
    #[arg(long, num_args = 1.., value_name = "NAME", help_heading = CELLS)]
    pub clusters: Vec<String>,
    /// Number of times that the genes are set again while cells are followed. Raise it for a longer perturbation.
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = FOLLOWING)]
    pub rounds: usize,
    /// Time for which cells are followed in each round, in units of a training walk's length.
    #[arg(long, value_name = "TIME", default_value_t = 0.2, help_heading = FOLLOWING)]
    pub dt_pert: f64,
    /// Time for which cells are followed after the last round, in units of a training walk's length.
    #[arg(long, value_name = "TIME", default_value_t = 15.0, help_heading = FOLLOWING)]
    pub time_range: f64,
    #[command(flatten)]
    pub threads: ThreadArgs,
}
