//! Cells that a graph joins to no other.

use sclsd::data::{Dataset, DatasetError};
use sclsd::graph::neighbors_of;

/// The first cell that the graph joins to no other, and how many there are; `None` where there is none.
pub(super) fn first_lonely(data: &Dataset, graph: &str) -> Result<Option<String>, DatasetError> {
    let edges = data.graph(graph)?;
    let cells = 0..edges.n_rows().min(data.n_cells());
    let alone: Vec<usize> = cells.filter(|&cell| neighbors_of(edges, cell).next().is_none()).collect();
    Ok(alone.first().map(|&first| {
        let many = if alone.len() == 1 { String::new() } else { format!(" (nor have {} others)", alone.len() - 1) };
        format!("cell {} has no neighbour in obsp[\"{graph}\"]{many}", data.obs.names[first])
    }))
}
