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
    /// Page to write (.html). It loads nothing from the network and can be sent by mail.
    #[arg(short, long, value_name = "FILE", help_heading = FILES)]
    pub output: PathBuf,
    /// Model that the input was trained or annotated with [default: none]. Without it the page has no trajectories.
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub model: Option<PathBuf>,
    /// Column of obs with the clusters (cell types) [default: the one that the model was trained with].
    #[arg(long, value_name = "COLUMN", help_heading = CELLS)]
    pub cluster_key: Option<String>,
    /// Time for which cells are followed, in units of a training walk's length. Lower it if everything ends in one
    /// cluster.
    #[arg(long, value_name = "TIME", default_value_t = 15.0, help_heading = CELLS)]
    pub time_range: f64,
    /// Embedding of obsm to draw on [default: the first of X_umap, X_tsne and X_pca in the file].
    #[arg(long, value_name = "OBSM", help_heading = LOOKS)]
    pub basis: Option<String>,
    /// Further columns of obs, or genes, that cells can be colored by on the page [default: none]; may be repeated.
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
