//! Options of the commands that take a model that is trained: `annotate`, `convert`, `inspect`.

use std::path::PathBuf;

use clap::Args;

use super::headings::{FILES, GRAPH, SETTINGS};
use super::machine::ThreadArgs;
use super::write::WriteArgs;

#[derive(Debug, Args)]
pub(crate) struct AnnotateArgs {
    /// File with the cells (.h5ad): expression of the model's genes in X, and a neighbor graph.
    pub input: PathBuf,
    /// Result to write: a copy of the input with latent states, potential, pseudotime and directions added.
    #[arg(short, long, value_name = "FILE", help_heading = FILES)]
    pub output: PathBuf,
    /// Trained model.
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub model: PathBuf,
    #[command(flatten)]
    pub write: WriteArgs,
    /// Neighbor graph of obsp [default: the one that the model was trained with].
    #[arg(long, value_name = "OBSP", help_heading = GRAPH)]
    pub connectivities: Option<String>,
    /// Embedding of obsm that directions are written for [default: the first of X_umap, X_tsne and X_pca in the file].
    #[arg(long, value_name = "OBSM", help_heading = GRAPH)]
    pub basis: Option<String>,
    #[command(flatten)]
    pub threads: ThreadArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// Checkpoint of the Python package (.pth).
    pub input: PathBuf,
    /// Model to write (.safetensors).
    pub output: PathBuf,
    /// File with the genes of the model, in its order (.h5ad): the one that the model was trained on [default: none].
    ///
    /// Give it if you can. Without names of genes, a file is only checked for the number of its genes.
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub genes: Option<PathBuf>,
    /// Configuration that the model was trained with (TOML or JSON) [default: the settings of the Python package].
    #[arg(long, value_name = "FILE", help_heading = SETTINGS)]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// An .h5ad file or a model (.safetensors).
    pub input: PathBuf,
}
