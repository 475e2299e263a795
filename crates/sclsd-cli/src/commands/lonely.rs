//! Cells without neighbours in a graph.

use sclsd::data::{Dataset, DatasetError};
use sclsd::graph::neighbors_of;

/// Names the first cell without neighbours, and the number of further such cells; `None` if there is no such cell.
pub(super) fn first_lonely(data: &Dataset, graph: &str) -> Result<Option<String>, DatasetError> {
    let edges = data.graph(graph)?;
    let cells = 0..edges.n_rows().min(data.n_cells());
    let alone: Vec<usize> = cells.filter(|&cell| neighbors_of(edges, cell).next().is_none()).collect();
    Ok(alone.first().map(|&first| {
        let many = if alone.len() == 1 { String::new() } else { format!(" (nor do {} other cells)", alone.len() - 1) };
        format!("cell {} has no neighbour in obsp[\"{graph}\"]{many}", data.obs.names[first])
    }))
}
