//! Options of `evaluate`.

use std::path::PathBuf;

use clap::Args;

use super::headings::{CELLS, FILES, GRAPH, KNOWN, MACHINE};
use super::machine::thread_count;

#[derive(Debug, Args)]
pub(crate) struct EvaluateArgs {
    /// Result of sclsd train, annotate or fates (.h5ad).
    pub input: PathBuf,
    /// Trained model (.safetensors) [default: none]. Give it to learn also which fraction of cells the model moves to
    /// states far from all data.
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub model: Option<PathBuf>,
    /// Which cluster is known to give rise to which: "A>B,B>C", or a JSON file of {"parent": ["child", …], …}
    /// [default: the phylogeny of the training, or uns cluster_edges].
    ///
    /// Directions across clusters are scored against these edges. Use the JSON file if names of clusters contain
    /// commas.
    #[arg(long, value_name = "EDGES", help_heading = KNOWN)]
    pub edges: Option<String>,
    /// Columns of obs with times that you know, such as days, to score the pseudotime against [default: none]; may be
    /// repeated.
    ///
    /// The score is the rank correlation with lsd_pseudotime. These times change no result. They are not the prior
    /// time, which sclsd train --time-key names; the score of the prior time is printed beside that of the model.
    #[arg(long, num_args = 1.., value_name = "COLUMN", help_heading = KNOWN)]
    pub time_key: Vec<String>,
    /// Element of obsm with the number of sister cells (same clone) in each fate, to score fate probabilities against
    /// [default: none]. Set it if the cells are from a lineage tracing experiment.
    #[arg(long, value_name = "OBSM", help_heading = KNOWN)]
    pub sisters: Option<String>,
    /// Element of uns with the names of the fates, one for each column of --sisters. Set it if the element has another
    /// name in your file.
    #[arg(long, value_name = "UNS", default_value = "fate_names", requires = "sisters", help_heading = KNOWN)]
    pub sister_names: String,
    /// Column of obs with the clusters (cell types) [default: the one that the model was trained with].
    ///
    /// Set it if the column has another name in this file. Configuration key of the training: keys.clusters.
    #[arg(long, value_name = "COLUMN", help_heading = CELLS)]
    pub cluster_key: Option<String>,
    /// Embedding of obsm that directions are scored on [default: the first of X_umap, X_tsne and X_pca in the file].
    /// Name another embedding to see whether the scores depend on it.
    #[arg(long, value_name = "OBSM", help_heading = GRAPH)]
    pub basis: Option<String>,
    /// Neighbor graph of obsp [default: the one that the model was trained with].
    ///
    /// Set it if the graph has another name in this file. Configuration key of the training: keys.connectivities.
    #[arg(long, value_name = "OBSP", help_heading = GRAPH)]
    pub connectivities: Option<String>,
    /// Number of CPU threads, 1 to 1024 [default: one per core]. Lower it to leave cores to other programs.
    #[arg(long, value_name = "N", value_parser = thread_count(), help_heading = MACHINE)]
    pub threads: Option<u16>,
}
