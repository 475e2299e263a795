//! Errors of terminal states.

use crate::GraphError;

/// The reason why terminal states cannot be determined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TerminalError {
    /// The matrix is not a valid graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A name is not a cluster of the data.
    #[error("terminal cluster \"{name}\" is not one of {known}")]
    Unknown {
        /// The requested name.
        name: String,
        /// Names of the clusters in the data.
        known: String,
    },
    /// A cluster has too few cells to be terminal.
    #[error("terminal cluster \"{name}\" has {cells} cells, but needs at least 2")]
    Empty {
        /// Name of the cluster.
        name: String,
        /// Number of cells in the cluster.
        cells: usize,
    },
    /// A cluster is named twice.
    #[error("terminal cluster \"{name}\" is named twice")]
    Twice {
        /// Name of the cluster.
        name: String,
    },
    /// No state was named or found.
    #[error("there is no terminal state; name the clusters in which differentiation ends")]
    NoStates,
    /// Every cell is terminal, so no walk can move.
    #[error("every cell is terminal, so no walk has anywhere to go; name fewer terminal states")]
    Everything,
    /// No edge leads into a set.
    #[error(
        "terminal state \"{name}\" is entered by no walk: no cell outside it has a neighbor in it; \
         leave it out, or rebuild the graph"
    )]
    NeverEntered {
        /// Name of the set.
        name: String,
    },
    /// Numbers of cells differ.
    #[error("the {what} is of {found} cells, but there are {expected}")]
    Cells {
        /// The input with a different number of cells.
        what: &'static str,
        /// Number of cells of that input.
        found: usize,
        /// Expected number of cells.
        expected: usize,
    },
}
