//! Connected components of a graph of cells.

use sclsd_data::CsrView;

use crate::graph::{GraphError, check_graph, neighbors_of};

/// Component of every cell, numbered from 0 in the order of each component's first cell. Edges count as undirected.
///
/// # Errors
/// [`GraphError`] if the graph is not square, or a weight is negative or not finite.
pub fn components<'a>(graph: impl Into<CsrView<'a>>) -> Result<Vec<usize>, GraphError> {
    let graph = graph.into();
    check_graph(graph, graph.n_rows())?;
    let mut sets = petgraph::unionfind::UnionFind::<u32>::new(graph.n_rows());
    for (cell, at) in (0_u32..).zip(0..graph.n_rows()) {
        for (other, _) in neighbors_of(graph, at) {
            sets.union(cell, other);
        }
    }
    let mut number = vec![usize::MAX; graph.n_rows()];
    let mut next = 0;
    let label = |root: u32| {
        let slot = &mut number[root as usize];
        if *slot == usize::MAX {
            *slot = next;
            next += 1;
        }
        *slot
    };
    Ok(sets.into_labeling().into_iter().map(label).collect())
}

#[cfg(test)]
mod tests {
    use sclsd_data::Csr;

    use super::*;

    #[test]
    fn components_are_numbered_by_their_first_cells() {
        let graph = Csr::from_rows(4, [vec![(3, 1.0)], vec![(1, 0.0)], vec![], vec![(0, 1.0)]]).unwrap();
        assert_eq!(components(&graph).unwrap(), [0, 1, 2, 0]);
    }
}
