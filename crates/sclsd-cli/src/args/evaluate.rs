//! Options of `evaluate`.

use std::path::PathBuf;

use clap::Args;

use super::headings::{CELLS, FILES, GRAPH, KNOWN, MACHINE};
use super::machine::thread_count;

#[derive(Debug, Args)]
pub(crate) struct EvaluateArgs {
    /// Result of sclsd train, annotate or fates (.h5ad).
    pub input: PathBuf,
    /// Trained model [default: none]. With it, evaluate also reports how many cells flow to a state far from all data.
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub model: Option<PathBuf>,
    /// Which cluster gives rise to which: "A>B,B>C", or a JSON file of {"parent": ["child", …], …}
    /// [default: the phylogeny of the training, or uns cluster_edges].
    ///
    /// Use the JSON file if names of clusters have commas in them.
    #[arg(long, value_name = "EDGES", help_heading = KNOWN)]
    pub edges: Option<String>,
    /// Columns of obs with times that you know, to compare lsd_pseudotime with [default: none]; may be repeated.
    #[arg(long, num_args = 1.., value_name = "COLUMN", help_heading = KNOWN)]
    pub time_key: Vec<String>,
    /// Element of obsm with the number of sister cells (same clone) in each fate [default: none]. Fate probabilities
    /// are compared with it.
    #[arg(long, value_name = "OBSM", help_heading = KNOWN)]
    pub sisters: Option<String>,
    /// Element of uns with the names of the fates, one for each column of --sisters.
    #[arg(long, value_name = "UNS", default_value = "fate_names", requires = "sisters", help_heading = KNOWN)]
    pub sister_names: String,
    /// Column of obs with the clusters (cell types) [default: the one that the model was trained with].
    #[arg(long, value_name = "COLUMN", help_heading = CELLS)]
    pub cluster_key: Option<String>,
    /// Embedding of obsm that directions are scored on [default: the first of X_umap, X_tsne and X_pca in the file].
    #[arg(long, value_name = "OBSM", help_heading = GRAPH)]
    pub basis: Option<String>,
    /// Neighbor graph of obsp [default: the one that the model was trained with].
    #[arg(long, value_name = "OBSP", help_heading = GRAPH)]
    pub connectivities: Option<String>,
    /// Number of threads, 1 to 1024 [default: one per core].
    #[arg(long, value_name = "N", value_parser = thread_count(), help_heading = MACHINE)]
    pub threads: Option<u16>,
}
