//! Benchmarks, one file per hot path in `benches/`: `cargo bench -p sclsd-benches`. The program `stages` times every
//! stage on a file, like the Python package's timing script. `cargo xtask bench-reference` runs the two alternately.

use sclsd::data::{Dataset, SimulateSpec, simulate};
use sclsd::graph::{Transition, WalkSpec, Walks, connectivities, nearest_neighbors};

/// Simulated cells with a neighbour graph.
///
/// # Panics
/// If the sizes are too small to simulate.
#[must_use]
pub fn cells(n_cells: usize, n_genes: usize) -> Dataset {
    let spec = SimulateSpec { n_cells, n_genes, ..SimulateSpec::default() };
    let mut cells = simulate(&spec.check().expect("sizes to simulate"));
    let scores = sclsd::data::pca(cells.expression().expect("expression"), 20).scores;
    let neighbors = nearest_neighbors(&scores, 15).expect("neighbours");
    cells.obsp.insert("connectivities".into(), connectivities(&neighbors));
    cells
}

/// Prior of simulated cells.
///
/// # Panics
/// If the cells have no graph.
#[must_use]
pub fn prior(cells: &Dataset) -> Transition {
    let graph = cells.graph("connectivities").expect("a graph");
    let time = cells.numbers("prior_time").expect("a time");
    Transition::from_pseudotime(graph, &time, 50.0).expect("a prior")
}

/// Random walks over simulated cells.
///
/// # Panics
/// If `num_walks` is 0 or `path_len` is below 2.
#[must_use]
pub fn walks(cells: &Dataset, num_walks: usize, path_len: usize) -> Walks {
    let spec = WalkSpec { num_walks, path_len, ..WalkSpec::default() };
    prior(cells).walks(&spec.check().expect("walks"))
}
