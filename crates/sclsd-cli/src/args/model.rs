//! Options of the commands that read a trained model: `annotate`, `convert`, `inspect`.

use std::path::PathBuf;

use clap::Args;

use super::headings::{FILES, GRAPH, SETTINGS};
use super::machine::ThreadArgs;
use super::write::WriteArgs;

#[derive(Debug, Args)]
pub(crate) struct AnnotateArgs {
    /// File with the cells (.h5ad): expression of the model's genes in X, and a neighbor graph in obsp.
    pub input: PathBuf,
    /// Result to write (.h5ad): a copy of the input with latent states, potential, pseudotime and directions added.
    #[arg(short, long, value_name = "FILE", help_heading = FILES)]
    pub output: PathBuf,
    /// Trained model (.safetensors).
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub model: PathBuf,
    #[command(flatten)]
    pub write: WriteArgs,
    /// Neighbor graph of obsp [default: the one that the model was trained with].
    ///
    /// Set it if the graph has another name in this file. Configuration key of the training: keys.connectivities.
    #[arg(long, value_name = "OBSP", help_heading = GRAPH)]
    pub connectivities: Option<String>,
    /// Embedding of obsm that directions are computed on [default: the first of X_umap, X_tsne and X_pca in the file].
    ///
    /// Name another embedding to draw streamlines on it later.
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
    /// File (.h5ad) whose genes are those of the model, in the same order: the file that the model was trained on
    /// [default: none].
    ///
    /// Give it if you can: without gene names, sclsd can check only the number of genes of other files. (In other
    /// commands --genes is a text file or a number.)
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub genes: Option<PathBuf>,
    /// Configuration that the model was trained with (.toml or .json) [default: the settings of the Python package].
    /// Give it if the model was trained with other settings.
    #[arg(long, value_name = "FILE", help_heading = SETTINGS)]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// File to inspect: an .h5ad file or a model (.safetensors).
    pub input: PathBuf,
}
