//! Benchmarks, one file per hot path under `benches/`: `cargo bench -p sclsd-benches`. Beside them the program
//! `stages`, which times every stage on a file as the Python package's own timing script does;
//! `cargo xtask bench-reference` runs the two in turn.

use sclsd::data::{Dataset, SimulateSpec, simulate};
use sclsd::graph::{Transition, WalkSpec, Walks, connectivities, nearest_neighbors};

/// Simulated cells with a graph of neighbours.
///
/// # Panics
/// When the sizes are too small to simulate.
#[must_use]
pub fn cells(n_cells: usize, n_genes: usize) -> Dataset {
    let spec = SimulateSpec { n_cells, n_genes, ..SimulateSpec::default() };
    let mut cells = simulate(&spec.check().expect("sizes to simulate"));
    let scores = sclsd::data::pca(cells.expression().expect("expression"), 20).scores;
    let neighbors = nearest_neighbors(&scores, 15).expect("neighbours");
    cells.obsp.insert("connectivities".into(), connectivities(&neighbors));
    cells
}

/// The prior of simulated cells.
///
/// # Panics
/// When the cells have no graph.
#[must_use]
pub fn prior(cells: &Dataset) -> Transition {
    let graph = cells.graph("connectivities").expect("a graph");
    let time = cells.numbers("prior_time").expect("a time");
    Transition::from_pseudotime(graph, &time, 50.0).expect("a prior")
}

/// Walks over simulated cells.
///
/// # Panics
/// When there are no steps.
#[must_use]
pub fn walks(cells: &Dataset, num_walks: usize, path_len: usize) -> Walks {
    let spec = WalkSpec { num_walks, path_len, ..WalkSpec::default() };
    prior(cells).walks(&spec.check().expect("walks"))
}
