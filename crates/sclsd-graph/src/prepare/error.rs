//! Errors of the preparation.

use sclsd_data::{DatasetError, H5adError, VariableGenesError, did_you_mean};
use sclsd_spec::OutOfRange;

use crate::{DiffusionError, GraphError, KnnError};

/// The reason why a data set cannot be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// An element is missing or has invalid content.
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// A listed gene is not in the data.
    #[error("gene {gene} is not in the data{}", did_you_mean(.closest))]
    Gene {
        /// Name of the gene.
        gene: String,
        /// The most similar gene names in the data.
        closest: Vec<String>,
    },
    /// Genes cannot be selected.
    #[error(transparent)]
    VariableGenes(#[from] VariableGenesError),
    /// No cell has a count of any selected gene.
    #[error("no cell has a count of any of the {n_genes} selected genes")]
    AllEmpty {
        /// Number of selected genes.
        n_genes: usize,
    },
    /// A field of [`PrepareSpec`](super::PrepareSpec) is out of range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// An existing graph has a weight that is negative or not finite.
    #[error(
        "obsp[\"connectivities\"] has weight {weight} on the edge from cell {from} to cell {to}, expected a finite number of \
         0 or more; recompute everything (--force), or only the graph (in scanpy: sc.pp.neighbors)"
    )]
    Weight {
        /// Name of the cell that the edge starts from.
        from: String,
        /// Name of the cell that the edge leads to.
        to: String,
        /// Weight of the edge.
        weight: f64,
    },
    /// The existing matrix is not a graph of these cells.
    #[error("obsp[\"connectivities\"]: {0}")]
    Graph(#[from] GraphError),
    /// An existing or computed element has a value that is not finite.
    #[error(
        "{element} of cell {cell} is {value}, expected a finite number; remove the cell or the element, or recompute \
         everything (--force)"
    )]
    NotFinite {
        /// The element.
        element: String,
        /// Name of the cell.
        cell: String,
        /// The value.
        value: f64,
    },
    /// Neighbours cannot be computed.
    #[error(transparent)]
    Neighbors(#[from] KnnError),
    /// The root is not in the data.
    #[error("root {what} \"{name}\" is not in the data{known}")]
    Root {
        /// `cell` or `cluster`.
        what: &'static str,
        /// The requested name.
        name: String,
        /// The names in the data.
        known: String,
    },
    /// The root cluster has no cells.
    #[error("root cluster \"{name}\" has no cells")]
    EmptyRoot {
        /// Name of the cluster.
        name: String,
    },
    /// The root is not connected to any other cell.
    #[error(
        "root cell {name} is joined to no other cell by the graph, so no pseudotime runs from it; choose another root"
    )]
    LonelyRoot {
        /// Name of the root.
        name: String,
    },
    /// The diffusion map cannot be computed.
    #[error(transparent)]
    Diffusion(#[from] DiffusionError),
    /// A matrix cannot be read from its file.
    #[error(transparent)]
    File(#[from] H5adError),
}
