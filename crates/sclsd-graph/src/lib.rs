//! Graphs of cells: neighbours, connectivities, prior transitions and the random walks drawn from them.
//!
//! [`nearest_neighbors`] and [`connectivities`] make the graph; a [`Transition`] directs it by a prior pseudotime, if
//! wanted within the bounds of a [`Phylogeny`]; [`Transition::walks`] draws [`Walks`] from it. Everything is sparse and
//! in `f64`; nothing is ever cells × cells.
//!
//! ```
//! use sclsd_data::Csr;
//! use sclsd_graph::{Transition, WalkSpec};
//!
//! // three cells in a row, each a neighbour of the next
//! let graph = Csr::from_rows(3, [vec![(1, 1.0_f32)], vec![(0, 1.0), (2, 1.0)], vec![(1, 1.0)]])?;
//! let prior = Transition::from_pseudotime(&graph, &[0.0, 0.5, 1.0], 50.0)?;
//! let walks = prior.walks(&WalkSpec { num_walks: 8, path_len: 4, ..WalkSpec::default() }.check()?);
//! assert_eq!(walks.walk(0).len(), 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod connectivities;
mod knn;
mod phylogeny;
mod transition;
mod walks;

pub use connectivities::connectivities;
pub use knn::{KnnError, Neighbors, nearest_neighbors};
pub use phylogeny::{Descent, Phylogeny, PhylogenyError};
pub use transition::{Transition, TransitionError, boltzmann_rows, pseudotime_in_range, scale_time};
pub use walks::{CheckedWalkSpec, WalkError, WalkSpec, Walks};
