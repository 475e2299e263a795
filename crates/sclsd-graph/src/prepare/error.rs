//! Why a data set cannot be prepared.

use sclsd_data::{DatasetError, H5adError, VariableGenesError, did_you_mean};
use sclsd_spec::OutOfRange;

use crate::{DiffusionError, GraphError, KnnError};

/// Why a data set cannot be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// An element is missing or holds what it must not.
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// A gene of the list is not in the data.
    #[error("gene {gene} is not in the data{}", did_you_mean(.closest))]
    Gene {
        /// Its name.
        gene: String,
        /// The most similar names there are.
        closest: Vec<String>,
    },
    /// Genes cannot be selected.
    #[error(transparent)]
    VariableGenes(#[from] VariableGenesError),
    /// No cell has a count of any gene that is kept.
    #[error("no cell has a count of any of the {n_genes} selected genes")]
    AllEmpty {
        /// Genes that are kept.
        n_genes: usize,
    },
    /// A field of [`PrepareSpec`](super::PrepareSpec) is out of range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// A graph that was kept has a weight that is none.
    #[error(
        "obsp[\"connectivities\"] has weight {weight} on the edge from cell {from} to cell {to}, expected a finite number of \
         0 or more; recompute everything (--force), or only the graph (in scanpy: sc.pp.neighbors)"
    )]
    Weight {
        /// Name of the cell it starts from.
        from: String,
        /// Name of the cell it leads to.
        to: String,
        /// Its weight.
        weight: f64,
    },
    /// A matrix is not a graph of these cells.
    #[error("obsp[\"connectivities\"]: {0}")]
    Graph(#[from] GraphError),
    /// Something that was kept or computed is not finite.
    #[error(
        "{element} of cell {cell} is {value}, expected a finite number; remove the cell or the element, or recompute \
         everything (--force)"
    )]
    NotFinite {
        /// Where it is.
        element: String,
        /// Name of the cell.
        cell: String,
        /// The value.
        value: f64,
    },
    /// Neighbours cannot be found.
    #[error(transparent)]
    Neighbors(#[from] KnnError),
    /// There is no such root.
    #[error("root {what} \"{name}\" is not in the data{known}")]
    Root {
        /// Cell or cluster.
        what: &'static str,
        /// What was named.
        name: String,
        /// What there is instead.
        known: String,
    },
    /// The root cluster has no cells.
    #[error("root cluster \"{name}\" has no cells")]
    EmptyRoot {
        /// Its name.
        name: String,
    },
    /// The root reaches nothing.
    #[error(
        "root cell {name} is joined to no other cell by the graph, so no pseudotime runs from it; choose another root"
    )]
    LonelyRoot {
        /// Name of the root.
        name: String,
    },
    /// There is no diffusion map.
    #[error(transparent)]
    Diffusion(#[from] DiffusionError),
    /// A matrix cannot be read from its file.
    #[error(transparent)]
    File(#[from] H5adError),
}
