//! A graph of cells, validated on input.
//!
//! Weights are finite and not negative. A stored zero is not an edge, and an edge from a cell to itself is ignored.
//! Random walks follow edges in their stored direction. Clustering, diffusion maps and layouts use an undirected graph:
//! if the two directions of an edge have different weights, both get the larger weight.
//!
//! ```text
//! U(i, j) = U(j, i) = max(W(i, j), W(j, i)),   U(i, i) = 0
//! ```
//!
//! For an edge that is stored in one direction only, this equals scanpy's fuzzy union a + b − ab. The fuzzy union
//! itself would change the weights of a graph that is already symmetric.

use std::sync::Arc;

use sclsd_data::{Csr, CsrView, Pattern};

/// The reason why a matrix is not a graph of cells.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// The graph does not have one row and one column per cell.
    #[error("the graph is {rows} × {columns}, but there are {cells} cells")]
    Shape {
        /// Rows of the graph.
        rows: usize,
        /// Columns of the graph.
        columns: usize,
        /// Number of cells.
        cells: usize,
    },
    /// A weight is negative or not finite.
    #[error("edge {from} -> {to} of the graph has weight {weight}, expected a finite number of 0 or more")]
    Weight {
        /// Start of the edge.
        from: usize,
        /// End of the edge.
        to: u32,
        /// Weight of the edge.
        weight: f64,
    },
}

/// Checks that a graph of `n_cells` cells is square and has finite weights of at least 0. O(edges) time.
///
/// # Errors
/// [`GraphError`] names the wrong shape or the first invalid edge.
pub fn check_graph<'a>(graph: impl Into<CsrView<'a>>, n_cells: usize) -> Result<(), GraphError> {
    let graph = graph.into();
    let (rows, columns) = (graph.n_rows(), graph.n_cols());
    if rows != n_cells || columns != n_cells {
        return Err(GraphError::Shape { rows, columns, cells: n_cells });
    }
    let bad = |w: &f32| !w.is_finite() || *w < 0.0;
    if !graph.values().iter().any(bad) {
        return Ok(());
    }
    for from in 0..rows {
        let (to, weights) = graph.row(from);
        if let Some(at) = weights.iter().position(bad) {
            return Err(GraphError::Weight { from, to: to[at], weight: f64::from(weights[at]) });
        }
    }
    Ok(())
}

/// The neighbors of a cell with their weights, without stored zeros and without the cell itself.
pub fn neighbors_of<'a, G: Into<CsrView<'a>>>(
    graph: G,
    cell: usize,
) -> impl Iterator<Item = (u32, f32)> + Clone + use<'a, G> {
    let (others, weights) = graph.into().row(cell);
    let edges = others.iter().copied().zip(weights.iter().copied());
    edges.filter(move |&(other, weight)| weight > 0.0 && other as usize != cell)
}

/// An undirected graph: every edge is stored in both directions.
///
/// Invariants of [`Undirected::new`]: square and symmetric, every weight finite and above 0, empty diagonal.
#[derive(Debug, Clone)]
pub struct Undirected<'a> {
    graph: Graph<'a>,
    one_way: usize,
    no_edges: usize,
}

#[derive(Debug, Clone)]
enum Graph<'a> {
    AsItWas(CsrView<'a>),
    Changed(Csr),
}

impl<'a> Undirected<'a> {
    /// Makes a graph undirected. A graph that is undirected already is borrowed. O(edges) time.
    ///
    /// # Errors
    /// [`GraphError`] if the graph is not square, or a weight is negative or not finite.
    #[expect(clippy::missing_panics_doc, reason = "rows that are merged in order are a pattern")]
    pub fn new(graph: impl Into<CsrView<'a>>) -> Result<Self, GraphError> {
        let graph = graph.into();
        let n = graph.n_rows();
        check_graph(graph, n)?;
        let edges: usize = (0..n).map(|cell| neighbors_of(graph, cell).count()).sum();
        let no_edges = graph.nnz() - edges;
        let back = graph.transpose();
        if no_edges == 0 && same(graph, &back) {
            return Ok(Self { graph: Graph::AsItWas(graph), one_way: 0, no_edges: 0 });
        }
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        let mut one_way = 0;
        for cell in 0..n {
            merge(neighbors_of(graph, cell), neighbors_of(&back, cell), |other, there, back| {
                indices.push(other);
                values.push(there.max(back));
                // each such edge is visited at both of its ends
                one_way += usize::from(there < back);
            });
            indptr.push(indices.len());
        }
        let pattern = Pattern::new(n, indptr, indices).expect("rows merged in order");
        Ok(Self { graph: Graph::Changed(Csr::over(Arc::new(pattern), values)), one_way, no_edges })
    }

    /// The undirected graph.
    #[must_use]
    pub fn graph(&self) -> CsrView<'_> {
        match &self.graph {
            Graph::AsItWas(graph) => *graph,
            Graph::Changed(graph) => graph.into(),
        }
    }

    /// Number of edges whose two directions differed, usually because one of them was not stored.
    #[must_use]
    pub fn one_way(&self) -> usize {
        self.one_way
    }

    /// Number of stored entries that are not edges: zeros, and edges from a cell to itself.
    #[must_use]
    pub fn no_edges(&self) -> usize {
        self.no_edges
    }

    /// The undirected graph, if it differs from the input.
    #[must_use]
    pub fn changed(self) -> Option<Csr> {
        match self.graph {
            Graph::AsItWas(_) => None,
            Graph::Changed(graph) => Some(graph),
        }
    }
}

fn same(a: CsrView<'_>, b: &Csr) -> bool {
    a.values() == b.values() && a.indptr() == b.pattern().indptr() && a.indices() == b.pattern().indices()
}

/// Calls `each` for every column of two rows in increasing order, with the value in both rows; 0 where a row has none.
pub(crate) fn merge<T: Copy + Default>(
    a: impl Iterator<Item = (u32, T)>,
    b: impl Iterator<Item = (u32, T)>,
    mut each: impl FnMut(u32, T, T),
) {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    loop {
        let column = match (a.peek(), b.peek()) {
            (Some(left), Some(right)) => left.0.min(right.0),
            (Some(only), None) | (None, Some(only)) => only.0,
            (None, None) => return,
        };
        let left = a.next_if(|entry| entry.0 == column).map_or_else(T::default, |entry| entry.1);
        let right = b.next_if(|entry| entry.0 == column).map_or_else(T::default, |entry| entry.1);
        each(column, left, right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(rows: [Vec<(u32, f32)>; 3]) -> Csr {
        Csr::from_rows(3, rows).unwrap()
    }

    #[test]
    fn an_edge_stored_one_way_goes_both_ways_and_loops_and_zeros_are_no_edges() {
        let odd = graph([vec![(0, 1.0), (1, 0.5)], vec![(2, 0.0)], vec![(1, 0.25)]]);
        let found = Undirected::new(&odd).unwrap();
        assert_eq!((found.one_way(), found.no_edges()), (2, 2));
        let expected = graph([vec![(1, 0.5)], vec![(0, 0.5), (2, 0.25)], vec![(1, 0.25)]]);
        assert_eq!(found.changed(), Some(expected.clone()));
        assert_eq!(Undirected::new(&expected).unwrap().changed(), None, "a symmetric graph stays what it is");
    }

    #[test]
    fn weights_that_are_no_connectivities_are_errors_that_name_the_edge() {
        for (weight, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (-1.0, "-1")] {
            let error = Undirected::new(&graph([vec![(1, 1.0)], vec![(0, 1.0), (2, weight)], vec![]])).unwrap_err();
            let expected =
                format!("edge 1 -> 2 of the graph has weight {shown}, expected a finite number of 0 or more");
            assert_eq!(error.to_string(), expected);
        }
        let error = check_graph(&graph([vec![], vec![], vec![]]), 4).unwrap_err();
        assert_eq!(error.to_string(), "the graph is 3 × 3, but there are 4 cells");
    }
}
