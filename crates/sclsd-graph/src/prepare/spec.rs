//! Configuration of the preparation.

use std::fmt;

use sclsd_data::Flavor;

/// The root of pseudotime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// The cell with this name.
    Cell(String),
    /// The cell of this cluster with the largest mean squared diffusion distance to all cells.
    Cluster(String),
}

/// `cell NAME` or `cluster NAME`.
impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cell(name) => write!(f, "cell {name}"),
            Self::Cluster(name) => write!(f, "cluster {name}"),
        }
    }
}

/// Configuration of the preparation.
#[derive(Debug, Clone, PartialEq)]
pub struct PrepareSpec {
    /// Layer of the counts. If there is no such layer, the counts are taken from X and moved there. Default: `raw`.
    pub counts: String,
    /// Number of most variable genes to select. Default: 5,000, or all genes with a count if there are fewer.
    pub n_top_genes: Option<usize>,
    /// How variability is measured. Default: dispersion of raw counts, as in the Python package.
    pub flavor: Flavor,
    /// Names of genes to select instead of the most variable ones. Default: none.
    pub genes: Vec<String>,
    /// Library size of every cell after normalisation, in counts. Default: 10,000.
    pub target_sum: f64,
    /// Number of principal components. Default: 50.
    pub n_pcs: usize,
    /// Number of neighbours of a cell, including the cell itself. Default: 15.
    pub n_neighbors: usize,
    /// Number of components of the diffusion map. Default: 15.
    pub n_diffusion_components: usize,
    /// Number of diffusion components from which pseudotime is computed. Default: 10.
    pub n_dcs: usize,
    /// Column of `obs` with clusters. If it is missing, clusters are computed by the Leiden algorithm. Default:
    /// `clusters`.
    pub clusters: String,
    /// Resolution of the Leiden algorithm. Larger values give more clusters. Default: 1.
    pub resolution: f64,
    /// Root of pseudotime. Without a root, no pseudotime is computed. Default: none.
    pub root: Option<Root>,
    /// Whether to remove cells that are not connected to the root. Default: no; the pseudotime of these cells is
    /// infinite, as in scanpy.
    pub drop_unreachable: bool,
    /// Whether to recompute elements that the data already has. Default: no.
    pub force: bool,
    /// Seed of the clusters, the layout, and the neighbour search above 50,000 cells. Default: 0.
    pub random_state: u64,
}

impl Default for PrepareSpec {
    fn default() -> Self {
        Self {
            counts: "raw".into(),
            n_top_genes: None,
            flavor: Flavor::Dispersion,
            genes: Vec::new(),
            target_sum: 1e4,
            n_pcs: 50,
            n_neighbors: 15,
            n_diffusion_components: 15,
            n_dcs: 10,
            clusters: "clusters".into(),
            resolution: 1.0,
            root: None,
            drop_unreachable: false,
            force: false,
            random_state: 0,
        }
    }
}
