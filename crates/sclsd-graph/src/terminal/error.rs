//! Why there are no terminal states.

use crate::GraphError;

/// Why there are no terminal states.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TerminalError {
    /// The graph is none.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A name is not a cluster.
    #[error("terminal cluster \"{name}\" is not one of {known}")]
    Unknown {
        /// What was named.
        name: String,
        /// The clusters there are.
        known: String,
    },
    /// A cluster has too few cells to end in.
    #[error("terminal cluster \"{name}\" has {cells} cells, but needs at least 2")]
    Empty {
        /// Its name.
        name: String,
        /// Its cells.
        cells: usize,
    },
    /// A cluster is named twice.
    #[error("terminal cluster \"{name}\" is named twice")]
    Twice {
        /// Its name.
        name: String,
    },
    /// No state was named or found.
    #[error("there is no terminal state; name the clusters in which differentiation ends")]
    NoStates,
    /// No cell is left that could go anywhere.
    #[error("every cell is terminal, so no walk has anywhere to go; name fewer terminal states")]
    Everything,
    /// No edge leads into a set.
    #[error(
        "terminal state \"{name}\" is entered by no walk: no cell outside it has a neighbor in it; \
         leave it out, or rebuild the graph"
    )]
    NeverEntered {
        /// Its name.
        name: String,
    },
    /// Numbers of cells disagree.
    #[error("the {what} is of {found} cells, but there are {expected}")]
    Cells {
        /// What is of another size.
        what: &'static str,
        /// Its cells.
        found: usize,
        /// Cells there are.
        expected: usize,
    },
}
