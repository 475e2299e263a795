//! Scores of velocities: correctness across cluster boundaries, and coherence within clusters.
//!
//! Reference: `cross_boundary_correctness`, `inner_cluster_coh`, `summary_scores`, after VeloAE (Qiao and Huang, 2021).

use std::collections::BTreeMap;

use sclsd_data::{Categorical, Csr, Matrix};
use sclsd_graph::{GraphError, check_graph, neighbors_of};

use crate::velocity::cosine;

/// Score of a pair of clusters, or of one cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// `A->B`, or the name of the cluster.
    pub name: String,
    /// Mean over the cells that count, −1 to 1; `None` if no cell counts, as for clusters that do not touch.
    pub mean: Option<f64>,
    /// Number of cells that count: those with a neighbour in the other cluster, or in their own.
    pub n_cells: usize,
}

/// The reason why scores cannot be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// A cluster is not in the data.
    #[error("cluster \"{cluster}\" is not one of {known}")]
    Cluster {
        /// The requested name.
        cluster: String,
        /// Names of the clusters in the data.
        known: String,
    },
    /// The matrix is not a valid graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Sizes differ.
    #[error("{what} is of {found} cells, but there are {expected}")]
    Cells {
        /// The input with a different number of cells.
        what: &'static str,
        /// Number of cells of that input.
        found: usize,
        /// Expected number of cells.
        expected: usize,
    },
}

/// Cross-boundary correctness. For each edge A → B, over the cells of A with neighbours in B: mean cosine of the angle
/// between a cell's velocity and the displacement to those neighbours on the embedding.
///
/// # Errors
/// [`MetricsError`] if an edge names an unknown cluster or sizes differ.
pub fn cross_boundary_correctness(
    embedding: &Matrix,
    velocity: &Matrix,
    connectivities: &Csr,
    clusters: &Categorical,
    edges: &[(String, String)],
) -> Result<Vec<Score>, MetricsError> {
    check(connectivities, clusters, &[("the embedding", embedding), ("the velocity", velocity)])?;
    let code = |cluster: &String| code(clusters, cluster);
    edges
        .iter()
        .map(|(from, to)| {
            let (a, b) = (code(from)?, code(to)?);
            let likeness = |cell: usize, other: usize| {
                let way = embedding.row(other).iter().zip(embedding.row(cell)).map(|(there, here)| there - here);
                cosine(way.zip(velocity.row(cell).iter().copied()))
            };
            Ok(score(format!("{from}->{to}"), connectivities, clusters, a, b, likeness))
        })
        .collect()
}

/// CellRank's variant of cross-boundary correctness, for transitions instead of velocities on an embedding. For each
/// edge A → B, over the cells of A with neighbours in B: mean Pearson correlation over coordinates between the expected
/// displacement of the transitions, `Σ_j p_ij x_j − x_i`, and the weighted mean displacement to those neighbours.
/// `points` are coordinates with at least two columns, such as principal components.
///
/// Reference: `cbc` of CellRank's kernels, over all boundary cells.
///
/// # Errors
/// [`MetricsError`] if an edge names an unknown cluster or sizes differ.
pub fn cross_boundary_correlation(
    points: &Matrix,
    transitions: &Csr<f64>,
    connectivities: &Csr,
    clusters: &Categorical,
    edges: &[(String, String)],
) -> Result<Vec<Score>, MetricsError> {
    check(connectivities, clusters, &[("the embedding", points)])?;
    let way = |cell: usize, weighted: &mut dyn Iterator<Item = (u32, f64)>| {
        let (mut sum, mut total) = (vec![0.0; points.n_cols()], 0.0);
        for (other, weight) in weighted {
            total += weight;
            let step =
                points.row(other as usize).iter().zip(points.row(cell)).map(|(there, here)| f64::from(there - here));
            sum.iter_mut().zip(step).for_each(|(sum, step)| *sum += weight * step);
        }
        sum.iter_mut().for_each(|v| *v /= if total > 0.0 { total } else { 1.0 });
        sum
    };
    edges
        .iter()
        .map(|(from, to)| {
            let (a, b) = (code(clusters, from)?, code(clusters, to)?);
            let (mut sum, mut n_cells) = (0.0, 0_usize);
            for cell in (0..connectivities.n_rows()).filter(|&cell| clusters.codes()[cell] == Some(a)) {
                let near: Vec<(u32, f64)> = neighbors_of(connectivities, cell)
                    .filter(|(other, _)| clusters.codes()[*other as usize] == Some(b))
                    .map(|(other, w)| (other, f64::from(w)))
                    .collect();
                let (next, p) = transitions.row(cell);
                let estimated = way(cell, &mut next.iter().copied().zip(p.iter().copied()));
                let likeness = crate::pearson(&estimated, &way(cell, &mut near.iter().copied()));
                if !near.is_empty() && likeness.is_finite() {
                    sum += likeness;
                    n_cells += 1;
                }
            }
            #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
            let mean = (n_cells > 0).then(|| sum / n_cells as f64);
            Ok(Score { name: format!("{from}->{to}"), mean, n_cells })
        })
        .collect()
}

/// Inner-cluster coherence. For each cluster, over its cells with neighbours in it: mean cosine of the angle between a
/// cell's velocity and the velocities of these neighbours. Velocities may have any number of dimensions.
///
/// # Errors
/// [`MetricsError`] if sizes differ.
pub fn inner_cluster_coherence(
    velocity: &Matrix,
    connectivities: &Csr,
    clusters: &Categorical,
) -> Result<Vec<Score>, MetricsError> {
    check(connectivities, clusters, &[("the velocity", velocity)])?;
    let likeness =
        |cell: usize, other: usize| cosine(velocity.row(cell).iter().copied().zip(velocity.row(other).iter().copied()));
    let names = (0_u32..).zip(clusters.categories());
    Ok(names.map(|(c, name)| score(name.clone(), connectivities, clusters, c, c, likeness)).collect())
}

/// Mean over the groups that have a score; `None` if there are none.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "numbers of groups are far below 2^52")]
pub fn mean_score(scores: &[Score]) -> Option<f64> {
    let known: Vec<f64> = scores.iter().filter_map(|s| s.mean).collect();
    if known.is_empty() { None } else { Some(known.iter().sum::<f64>() / known.len() as f64) }
}

/// Stage of every cluster: the largest number of edges on a path to the cluster. `None` if the edges contain a cycle.
#[must_use]
pub fn stages(edges: &[(String, String)]) -> Option<BTreeMap<String, usize>> {
    let mut stage: BTreeMap<String, usize> = BTreeMap::new();
    for (from, to) in edges {
        stage.insert(from.clone(), 0);
        stage.insert(to.clone(), 0);
    }
    for _ in 0..stage.len() {
        let mut settled = true;
        for (from, to) in edges {
            let next = stage[from] + 1;
            if let Some(at) = stage.get_mut(to)
                && *at < next
            {
                *at = next;
                settled = false;
            }
        }
        if settled {
            return Some(stage);
        }
    }
    None
}

fn code(clusters: &Categorical, cluster: &str) -> Result<u32, MetricsError> {
    let found = clusters.categories().iter().position(|name| name == cluster).and_then(|c| u32::try_from(c).ok());
    found.ok_or_else(|| MetricsError::Cluster { cluster: cluster.to_owned(), known: clusters.categories().join(", ") })
}

fn check(graph: &Csr, clusters: &Categorical, matrices: &[(&'static str, &Matrix)]) -> Result<(), MetricsError> {
    let expected = clusters.codes().len();
    let sizes = matrices.iter().map(|(what, matrix)| (*what, matrix.n_rows())).chain([("the graph", graph.n_rows())]);
    match sizes.into_iter().find(|(_, found)| *found != expected) {
        Some((what, found)) => Err(MetricsError::Cells { what, found, expected }),
        None => Ok(check_graph(graph, expected)?),
    }
}

/// Mean over the cells of cluster `a` of the mean over their neighbours in cluster `b`.
#[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
fn score(
    name: String,
    graph: &Csr,
    clusters: &Categorical,
    a: u32,
    b: u32,
    likeness: impl Fn(usize, usize) -> f64,
) -> Score {
    let (mut sum, mut n_cells) = (0.0, 0);
    for cell in (0..graph.n_rows()).filter(|&cell| clusters.codes()[cell] == Some(a)) {
        let near = neighbors_of(graph, cell).map(|(other, _)| other as usize);
        let there: Vec<f64> =
            near.filter(|&o| clusters.codes()[o] == Some(b)).map(|other| likeness(cell, other)).collect();
        if !there.is_empty() {
            sum += there.iter().sum::<f64>() / there.len() as f64;
            n_cells += 1;
        }
    }
    Score { name, mean: (n_cells > 0).then(|| sum / n_cells as f64), n_cells }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(a: &str, b: &str) -> (String, String) {
        (a.to_owned(), b.to_owned())
    }

    #[test]
    fn clusters_that_never_touch_have_no_score_rather_than_nought() {
        let graph = Csr::from_rows(3, [vec![(1, 1.0)], vec![(0, 1.0)], vec![]]).unwrap();
        let clusters = Categorical::from_names(["a", "b", "c"]);
        let places = Matrix::new(2, vec![0.0, 0.0, 1.0, 0.0, 5.0, 5.0]);
        let right = Matrix::new(2, vec![1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        let edges = [edge("a", "b"), edge("b", "a"), edge("a", "c")];
        let found = cross_boundary_correctness(&places, &right, &graph, &clusters, &edges).unwrap();
        assert_eq!(found.iter().map(|s| s.mean).collect::<Vec<_>>(), [Some(1.0), Some(-1.0), None]);
        assert_eq!(mean_score(&found), Some(0.0));
        let coherence = inner_cluster_coherence(&right, &graph, &clusters).unwrap();
        assert!(coherence.iter().all(|s| s.mean.is_none()), "clusters of one cell have none either");
        let error = cross_boundary_correctness(&places, &right, &graph, &clusters, &[edge("a", "z")]).unwrap_err();
        assert_eq!(error.to_string(), "cluster \"z\" is not one of a, b, c");
    }

    #[test]
    fn stages_count_edges_from_the_beginning_and_circles_have_none() {
        let found = stages(&[edge("b", "c"), edge("a", "b"), edge("a", "c"), edge("b", "d")]).unwrap();
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [("a", 0), ("b", 1), ("c", 2), ("d", 2)].map(|(n, s)| (n.to_owned(), s))
        );
        assert_eq!(stages(&[edge("a", "b"), edge("b", "a")]), None);
    }
}
