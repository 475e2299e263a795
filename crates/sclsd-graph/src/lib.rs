//! Graphs of cells: nearest neighbours, connectivities, diffusion pseudotime, prior transitions and random walks.
//!
//! [`prepare`] turns raw counts into a data set that a model can be trained on. The individual steps are public too:
//!
//! [`neighbors`] and [`connectivities`] compute the graph, [`diffusion_map`] gives pseudotime from a root, [`leiden`]
//! gives clusters, and [`layout`] a two-dimensional embedding. [`infer_phylogeny`] infers which cluster gives rise to
//! which. A [`Transition`] directs the graph by a prior pseudotime, optionally restricted by a [`Phylogeny`], and
//! [`Transition::walks`] draws [`Walks`] from it. A [`Prior`] is anything that defines a transition, such as
//! [`ByPseudotime`]. Graphs are sparse and computations are in `f64`. Nothing has dense size cells × cells.
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

mod absorption;
mod components;
mod connectivities;
mod diffusion;
mod graph;
mod infer_phylogeny;
mod knn;
mod lanczos;
mod layout;
mod leiden;
mod nearest;
mod phylogeny;
mod prepare;
mod prior;
mod resample;
mod terminal;
mod transition;
mod walks;

pub use absorption::{Absorption, AbsorptionError, absorption, steps_to_absorption};
pub use components::components;
pub use connectivities::connectivities;
pub use diffusion::{DiffusionError, DiffusionMap, diffusion_map};
pub use graph::{GraphError, Undirected, check_graph, neighbors_of};
pub use infer_phylogeny::{
    ClusterConnectivity, InferPhylogenyError, InferPhylogenySpec, cluster_connectivity, infer_phylogeny, neighborhood,
};
pub use knn::{EXACT_CELLS, KnnError, Neighbors, approximate_neighbors, nearest_neighbors, neighbors};
pub use layout::layout;
pub use leiden::leiden;
pub use nearest::{Nearest, NearestError};
pub use phylogeny::{Descent, Phylogeny, PhylogenyError};
pub use prepare::{PrepareError, PrepareSpec, Prepared, Root, prepare, prepare_from};
pub use prior::{ByPseudotime, Prior, StepKernel};
pub use resample::Resampled;
pub use terminal::{Leaf, Leaves, Terminal, TerminalError, TerminalSpec};
pub use transition::{Transition, TransitionError, boltzmann_rows, pseudotime_in_range, scale_time, smooth_time};
pub use walks::{CheckedWalkSpec, WalkSpec, Walks};
