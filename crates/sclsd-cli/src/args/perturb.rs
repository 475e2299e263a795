//! Options of `perturb`.

use std::path::PathBuf;

use clap::Args;

use super::headings::{CELLS, FILES, FOLLOWING, GENES};
use super::machine::ThreadArgs;
use super::symbols::SymbolArgs;

#[derive(Debug, Args)]
pub(crate) struct PerturbArgs {
    /// File with the cells (.h5ad): expression in X, and a column of clusters, which are the fates.
    pub input: PathBuf,
    /// Table to write (.csv): the number of cells of each cluster that end in each cluster, with and without the
    /// perturbation.
    #[arg(short, long, value_name = "FILE", help_heading = FILES)]
    pub output: PathBuf,
    /// Second table to write (.csv): the fate of each cell, with and without the perturbation [default: not written].
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub cells_out: Option<PathBuf>,
    /// Trained model (.safetensors).
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub model: PathBuf,
    /// Names of the genes to perturb, separated by spaces; may be repeated. All are perturbed together, unless --each
    /// is given.
    #[arg(long, required = true, num_args = 1.., value_name = "NAME", help_heading = GENES)]
    pub gene: Vec<String>,
    /// Perturb each gene alone, one after the other. Use it to screen a list of genes: the table then has rows for each
    /// gene.
    #[arg(long, help_heading = GENES)]
    pub each: bool,
    /// Expression that the genes are set to, in units of X. 0 is a knockout; use the largest value in X for an
    /// overexpression.
    #[arg(long, default_value_t = 0.0, help_heading = GENES)]
    pub level: f64,
    #[command(flatten)]
    pub symbols: SymbolArgs,
    /// Column of obs with the clusters (cell types) [default: the one that the model was trained with].
    ///
    /// Set it if the column has another name in this file. Configuration key of the training: keys.clusters.
    #[arg(long, value_name = "COLUMN", help_heading = CELLS)]
    pub cluster_key: Option<String>,
    /// Clusters whose cells are perturbed [default: all]; may be repeated. Name the progenitors to see the effect
    /// before the paths to the fates part.
    #[arg(long, num_args = 1.., value_name = "NAME", help_heading = CELLS)]
    pub clusters: Vec<String>,
    /// Number of rounds of perturbation: in each round the genes are set to --level and the cells are followed for
    /// --dt-pert. Raise it for a longer perturbation.
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = FOLLOWING)]
    pub rounds: usize,
    /// Time for which cells are followed in each round, in units of the length of a training walk. Raise it for a
    /// longer perturbation.
    #[arg(long, value_name = "TIME", default_value_t = 0.2, help_heading = FOLLOWING)]
    pub dt_pert: f64,
    /// Time for which cells are followed after the last round, in units of the length of a training walk. Lower it if
    /// all cells end in one cluster.
    #[arg(long, value_name = "TIME", default_value_t = 15.0, help_heading = FOLLOWING)]
    pub time_range: f64,
    #[command(flatten)]
    pub threads: ThreadArgs,
}
