//! Computes velocities on an embedding from custom transitions, and scores them at the boundary of two clusters.

use sclsd_analysis::{cross_boundary_correctness, mean_score, velocity_from_transitions};
use sclsd_data::{SimulateSpec, simulate};
use sclsd_graph::{boltzmann_rows, connectivities, nearest_neighbors};

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spec = SimulateSpec { n_cells: 400, n_genes: 60, ..SimulateSpec::default() };
    let cells = simulate(&spec.check()?);
    let embedding = &cells.obsm["X_true_state"];
    let graph = connectivities(&nearest_neighbors(embedding, 15)?);

    // transitions towards cells with a later true time
    let transitions = boltzmann_rows(&graph, &cells.numbers("true_time")?, 20.0)?;
    let velocity = velocity_from_transitions(&transitions, &graph, embedding)?;
    let edges = [("Stem".to_owned(), "Progenitor".to_owned()), ("Progenitor".to_owned(), "Fate A".to_owned())];
    let clusters = cells.groups("clusters")?;
    let scores = cross_boundary_correctness(embedding, &velocity, &graph, &clusters, &edges)?;
    for score in &scores {
        println!("{}: {:?} over {} cells", score.name, score.mean, score.n_cells);
    }
    println!("mean: {:?}", mean_score(&scores));
    Ok(())
}
