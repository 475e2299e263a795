//! Options of `prepare`.

use std::path::PathBuf;

use clap::Args;

use super::headings::{CELLS, FILES, GENES, GRAPH, MACHINE, ROOT, SETTINGS};
use sclsd::data::Flavor;

use super::machine::thread_count;
use super::symbols::SymbolArgs;
use super::write::WriteArgs;
use crate::choices::{FLAVORS, choices};

#[derive(Debug, Args)]
pub(crate) struct PrepareArgs {
    /// File with raw counts: an .h5ad file, or the .h5 file or directory that Cell Ranger writes.
    pub input: PathBuf,
    /// Prepared file to write (.h5ad).
    #[arg(short, long, value_name = "FILE", help_heading = FILES)]
    pub output: PathBuf,
    #[command(flatten)]
    pub write: WriteArgs,
    /// Place of the raw counts: the name of a layer, X, or raw.X [default: the first of layers raw and counts, raw.X
    /// and X that holds counts].
    ///
    /// Set it if the file has counts in several places. The prepared file has the counts in the layer raw.
    #[arg(long, value_name = "LAYER|X|raw.X", help_heading = FILES)]
    pub counts: Option<String>,
    /// Number of highly variable genes to select [default: 5000, or all expressed genes if there are fewer].
    ///
    /// 1000 to 5000 are usual. Fewer genes train faster; too few lose rare cell types.
    #[arg(long, value_name = "N", help_heading = GENES)]
    pub n_top_genes: Option<usize>,
    /// Measure of the variability of genes. Change it to select the same genes as scanpy.
    #[arg(long, value_parser = choices(FLAVORS), default_value_t = Flavor::Dispersion, help_heading = GENES)]
    pub flavor: Flavor,
    /// Text file with the genes to use, one name per line, instead of the highly variable genes [default: none].
    ///
    /// Use this option to prepare new cells for a trained model, with the genes of the model. (In sclsd convert --genes
    /// is an .h5ad file, in sclsd simulate a number.)
    #[arg(long, value_name = "FILE", conflicts_with = "n_top_genes", help_heading = GENES)]
    pub genes: Option<PathBuf>,
    #[command(flatten)]
    pub symbols: SymbolArgs,
    /// Total counts of each cell after normalization. Rarely changed.
    #[arg(long, value_name = "COUNTS", default_value_t = 1e4, help_heading = GENES)]
    pub target_sum: f64,
    /// Number of principal components. Rarely changed.
    #[arg(long, value_name = "N", default_value_t = 50, help_heading = GRAPH)]
    pub n_pcs: usize,
    /// Number of neighbors of each cell in the graph, including the cell itself. Raise it if cells or clusters are not
    /// connected to the rest.
    #[arg(long, value_name = "N", default_value_t = 15, help_heading = GRAPH)]
    pub n_neighbors: usize,
    /// Column of obs with the clusters (cell types). Set it if the column has another name in your file.
    ///
    /// If the file has no such column, clusters are computed by the Leiden algorithm. Give the same name to sclsd train
    /// --cluster-key (configuration key keys.clusters).
    #[arg(long, value_name = "COLUMN", default_value = "clusters", help_heading = CELLS)]
    pub cluster_key: String,
    /// Resolution of the Leiden algorithm. Raise it for more and smaller clusters. It has no effect if the file has
    /// clusters.
    #[arg(long, default_value_t = 1.0, help_heading = CELLS)]
    pub resolution: f64,
    /// Cluster in which pseudotime starts, usually the stem cells or progenitors [default: none].
    ///
    /// The root is the cell of the cluster that is farthest from all other cells in diffusion space. No pseudotime is
    /// computed without --root-cluster or --root-cell.
    #[arg(long, value_name = "NAME", help_heading = ROOT)]
    pub root_cluster: Option<String>,
    /// Cell in which pseudotime starts, by its name (barcode) [default: none]. Use it if you know an early cell.
    #[arg(long, value_name = "NAME", conflicts_with = "root_cluster", help_heading = ROOT)]
    pub root_cell: Option<String>,
    /// Drop cells that no path in the graph connects to the root. Use it if prepare reports such cells.
    ///
    /// Their pseudotime would be infinite, and training refuses infinite values.
    #[arg(long, help_heading = ROOT)]
    pub drop_unreachable: bool,
    /// Recompute everything except clusters, even if the file already has it. Use it after changing options such as
    /// --n-neighbors.
    #[arg(long, help_heading = SETTINGS)]
    pub force: bool,
    /// Seed of the random numbers of clusters and layout (UMAP). Rarely changed.
    #[arg(long, default_value_t = 0, help_heading = SETTINGS)]
    pub seed: u64,
    /// Number of CPU threads, 1 to 1024 [default: one per core]. Lower it to leave cores to other programs.
    #[arg(long, value_name = "N", value_parser = thread_count(), help_heading = MACHINE)]
    pub threads: Option<u16>,
}
