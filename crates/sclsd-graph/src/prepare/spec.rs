//! What to prepare, and how.

use std::fmt;

use sclsd_data::Flavor;

/// Where pseudotime begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// At the cell of this name.
    Cell(String),
    /// At the cell of this cluster that is furthest, by mean squared diffusion distance, from all cells together.
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

/// What to prepare, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct PrepareSpec {
    /// Layer that holds the counts, and gets them where they are in X. Default: `raw`.
    pub counts: String,
    /// Number of most variable genes to keep. Default: 5,000, or all with a count where there are no more.
    pub n_top_genes: Option<usize>,
    /// How variability is measured. Default: dispersion of raw counts, as the Python package does.
    pub flavor: Flavor,
    /// Names of the genes to keep, instead of the most variable ones. Default: none.
    pub genes: Vec<String>,
    /// Counts of a cell after normalisation. Default: 10,000.
    pub target_sum: f64,
    /// Principal components. Default: 50.
    pub n_pcs: usize,
    /// Neighbours of a cell, itself included. Default: 15.
    pub n_neighbors: usize,
    /// Components of the diffusion map. Default: 15.
    pub n_diffusion_components: usize,
    /// Those of them that pseudotime uses. Default: 10.
    pub n_dcs: usize,
    /// Column of `obs` with clusters, made by the Leiden algorithm where there is none. Default: `clusters`.
    pub clusters: String,
    /// Resolution of the Leiden algorithm: more makes more clusters. Default: 1.
    pub resolution: f64,
    /// Where pseudotime begins; without it none is made. Default: none.
    pub root: Option<Root>,
    /// Whether to leave out cells that the graph does not join to the root. Default: no, and their pseudotime is
    /// infinite, as in scanpy.
    pub drop_unreachable: bool,
    /// Whether to make everything anew. Default: no.
    pub force: bool,
    /// Seed of clusters, layout and the neighbour search above 50,000 cells. Default: 0.
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
