//! Connected components of a graph of cells.

use sclsd_data::Csr;

/// Component of every cell, numbered from 0 in the order of their first cells; the graph is taken as undirected.
#[must_use]
pub fn components(graph: &Csr) -> Vec<usize> {
    let mut sets = petgraph::unionfind::UnionFind::<u32>::new(graph.n_rows());
    for (cell, at) in (0_u32..).zip(0..graph.n_rows()) {
        let (others, weights) = graph.row(at);
        for (&other, _) in others.iter().zip(weights).filter(|(_, w)| **w > 0.0) {
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
    sets.into_labeling().into_iter().map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_numbered_by_their_first_cells() {
        let graph = Csr::from_rows(4, [vec![(3, 1.0)], vec![(1, 0.0)], vec![], vec![(0, 1.0)]]).unwrap();
        assert_eq!(components(&graph), [0, 1, 2, 0]);
    }
}
