//! Clusters of a graph of cells by the Leiden algorithm (Traag, Waltman and van Eck, 2019).

use leiden_rs::{GraphDataBuilder, Leiden, LeidenConfig, QualityType};
use sclsd_data::{Categorical, CsrView};

use crate::graph::{GraphError, Undirected, neighbors_of};

/// Computes clusters named `0`, `1`, … from the largest to the smallest. A higher resolution gives more clusters;
/// scanpy's default is 1. Maximises the modularity of the connectivities, which are made [undirected](Undirected)
/// first, as `scanpy.tl.leiden` does.
///
/// # Errors
/// [`GraphError`] if the graph is not square, or a weight is negative or not finite.
///
/// # Panics
/// Never, because the cells and weights of a checked graph are valid.
pub fn leiden<'a>(
    connectivities: impl Into<CsrView<'a>>,
    resolution: f64,
    seed: u64,
) -> Result<Categorical, GraphError> {
    let connectivities = connectivities.into();
    let undirected = Undirected::new(connectivities)?;
    let n = connectivities.n_rows();
    let mut builder = GraphDataBuilder::new(n);
    for cell in 0..n {
        for (other, weight) in neighbors_of(undirected.graph(), cell).filter(|edge| edge.0 as usize > cell) {
            builder.add_edge(cell, other as usize, f64::from(weight)).expect("an edge between two cells");
        }
    }
    let graph = builder.build().expect("a graph of cells");
    let config = LeidenConfig::builder()
        .resolution(resolution)
        .seed(seed)
        .quality(QualityType::RBConfiguration)
        // the result of the parallel mode may depend on the number of threads
        .parallel_local_moving_threshold(usize::MAX)
        .parallel_aggregation_threshold(usize::MAX)
        .build();
    let partition = Leiden::new(config).run(&graph).expect("a partition").partition;
    let community = partition.as_slice();
    let mut sizes = vec![0_usize; community.iter().max().map_or(0, |m| m + 1)];
    community.iter().for_each(|&c| sizes[c] += 1);
    let mut order: Vec<usize> = (0..sizes.len()).filter(|&c| sizes[c] > 0).collect();
    order.sort_by_key(|&c| (usize::MAX - sizes[c], c));
    let mut code = vec![None; sizes.len()];
    for (new, &old) in (0_u32..).zip(&order) {
        code[old] = Some(new);
    }
    let names = (0..order.len()).map(|c| c.to_string()).collect();
    Ok(Categorical::new(community.iter().map(|&c| code[c]).collect(), names, false))
}

#[cfg(test)]
mod tests {
    use sclsd_data::Csr;

    use super::*;

    #[test]
    fn two_cliques_joined_by_an_edge_are_two_clusters_the_larger_first() {
        let clique = |i: u32| if i < 6 { 0..6 } else { 6..15_u32 };
        let rows = (0..15_u32).map(|i| {
            let joined = |j: &u32| *j != i && (clique(i).contains(j) || (i.min(*j), i.max(*j)) == (5, 6));
            (0..15).filter(joined).map(|j| (j, 1.0_f32)).collect()
        });
        let graph = Csr::from_rows(15, rows.collect::<Vec<_>>()).unwrap();
        let clusters = leiden(&graph, 1.0, 0).unwrap();
        assert_eq!(clusters.categories(), ["0", "1"]);
        assert!((0..6).all(|c| clusters.name(c) == Some("1")) && (6..15).all(|c| clusters.name(c) == Some("0")));
    }
    #[test]
    fn an_edge_counts_whichever_way_it_is_stored() {
        let clique = |i: u32| if i < 6 { 0..6 } else { 6..15_u32 };
        let graph = |stored: fn(u32, u32) -> bool| {
            let rows = (0..15_u32).map(|i| {
                let joined = |j: &u32| *j != i && (clique(i).contains(j) || (i.min(*j), i.max(*j)) == (5, 6));
                (0..15).filter(joined).filter(|&j| stored(i, j)).map(|j| (j, 1.0_f32)).collect()
            });
            Csr::from_rows(15, rows.collect::<Vec<_>>()).unwrap()
        };
        let both = leiden(&graph(|_, _| true), 1.0, 0).unwrap();
        assert_eq!(leiden(&graph(|i, j| i > j), 1.0, 0).unwrap(), both);
        assert_eq!(leiden(&graph(|i, j| i < j), 1.0, 0).unwrap(), both);
    }
}
