//! Builds a graph of cells, computes diffusion pseudotime on it, and draws random walks along it.

use sclsd_data::{SimulateSpec, pca, simulate};
use sclsd_graph::{Transition, WalkSpec, connectivities, diffusion_map, nearest_neighbors};

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spec = SimulateSpec { n_cells: 400, n_genes: 80, ..SimulateSpec::default() };
    let cells = simulate(&spec.check()?);
    let graph = connectivities(&nearest_neighbors(&pca(cells.expression()?, 20).scores, 15)?);

    // pseudotime, rooted at the stem cell that is furthest from all cells
    let clusters = cells.groups("clusters")?;
    let stem: Vec<usize> = (0..400).filter(|&cell| clusters.name(cell) == Some("Stem")).collect();
    let map = diffusion_map(&graph, 15)?;
    let root = map.outermost(&stem, 10).ok_or("there are no stem cells")?;
    let time = map.pseudotime(&graph, root, 10)?;

    // walks towards later pseudotime
    let prior = Transition::from_pseudotime(&graph, &time, 50.0)?;
    let walks = prior.walks(&WalkSpec { num_walks: 100, path_len: 20, ..WalkSpec::default() }.check()?);
    for walk in (0..3).map(|w| walks.walk(w)) {
        let (first, last) = (walk[0] as usize, walk[19] as usize);
        println!("{:?} at {:.2} to {:?} at {:.2}", clusters.name(first), time[first], clusters.name(last), time[last]);
    }
    Ok(())
}
