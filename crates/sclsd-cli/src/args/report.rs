//! Options of `report`.

use std::path::PathBuf;

use clap::Args;

use super::headings::{CELLS, FILES, LOOKS};
use super::machine::ThreadArgs;
use super::symbols::SymbolArgs;

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Result of sclsd train, annotate or fates (.h5ad).
    pub input: PathBuf,
    /// Page to write (.html). The page loads nothing from the network and can be sent by mail.
    #[arg(short, long, value_name = "FILE", help_heading = FILES)]
    pub output: PathBuf,
    /// Model (.safetensors) that the input was trained or annotated with [default: none]. Give it to show trajectories
    /// on the page.
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub model: Option<PathBuf>,
    /// Column of obs with the clusters (cell types) [default: the one that the model was trained with].
    ///
    /// Set it if the column has another name in this file. Configuration key of the training: keys.clusters.
    #[arg(long, value_name = "COLUMN", help_heading = CELLS)]
    pub cluster_key: Option<String>,
    /// Time for which cells are followed, in units of the length of a training walk. Lower it if all cells end in one
    /// cluster.
    #[arg(long, value_name = "TIME", default_value_t = 15.0, help_heading = CELLS)]
    pub time_range: f64,
    /// Embedding of obsm to draw on [default: the first of X_umap, X_tsne and X_pca in the file].
    #[arg(long, value_name = "OBSM", help_heading = LOOKS)]
    pub basis: Option<String>,
    /// More columns of obs, or genes, to color cells by on the page [default: none]; may be repeated.
    #[arg(long, num_args = 1.., value_name = "COLUMN|GENE", help_heading = LOOKS)]
    pub color: Vec<String>,
    /// Title of the page [default: the name of the file].
    #[arg(long, value_name = "TEXT", help_heading = LOOKS)]
    pub title: Option<String>,
    #[command(flatten)]
    pub symbols: SymbolArgs,
    #[command(flatten)]
    pub threads: ThreadArgs,
}
