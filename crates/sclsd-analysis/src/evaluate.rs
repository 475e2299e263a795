//! Evaluates velocities and pseudotime against known transitions between clusters.
//!
//! Reference: `evaluate`.

use sclsd_data::{Categorical, Csr, Matrix};

use crate::{MetricsError, Score, cross_boundary_correctness, inner_cluster_coherence, mean_score, spearman, stages};

/// Agreement of velocities and pseudotime with known edges between clusters.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Cross-boundary correctness of every edge A → B.
    pub cross_boundary: Vec<Score>,
    /// Mean over the edges that have a score.
    pub cross_boundary_mean: Option<f64>,
    /// Inner-cluster coherence of every cluster.
    pub inner_cluster: Vec<Score>,
    /// Mean over the clusters that have a score.
    pub inner_cluster_mean: Option<f64>,
    /// Spearman's correlation of pseudotime with the [stage](stages) of a cell's cluster, over the cells of clusters in
    /// the edges. `None` if the edges contain a cycle, or pseudotime or stage is constant.
    pub stage_correlation: Option<f64>,
}

/// Evaluates velocities on an embedding (both `n_cells × 2`) and a pseudotime.
///
/// # Errors
/// [`MetricsError`] if an edge names an unknown cluster or sizes differ.
pub fn evaluate(
    embedding: &Matrix,
    velocity: &Matrix,
    connectivities: &Csr,
    clusters: &Categorical,
    edges: &[(String, String)],
    pseudotime: &[f64],
) -> Result<Evaluation, MetricsError> {
    let (found, expected) = (pseudotime.len(), clusters.codes().len());
    if found != expected {
        return Err(MetricsError::Cells { what: "the pseudotime", found, expected });
    }
    let cross_boundary = cross_boundary_correctness(embedding, velocity, connectivities, clusters, edges)?;
    let inner_cluster = inner_cluster_coherence(velocity, connectivities, clusters)?;
    Ok(Evaluation {
        cross_boundary_mean: mean_score(&cross_boundary),
        inner_cluster_mean: mean_score(&inner_cluster),
        cross_boundary,
        inner_cluster,
        stage_correlation: stage_correlation(pseudotime, clusters, edges),
    })
}

fn stage_correlation(pseudotime: &[f64], clusters: &Categorical, edges: &[(String, String)]) -> Option<f64> {
    let stages = stages(edges)?;
    let staged = |cell: usize| clusters.name(cell).and_then(|name| stages.get(name)).copied();
    #[expect(clippy::cast_precision_loss, reason = "a number of edges")]
    let pairs = (0..pseudotime.len()).filter_map(|cell| staged(cell).map(|s| (pseudotime[cell], s as f64)));
    let (times, stages): (Vec<f64>, Vec<f64>) = pairs.unzip();
    spearman(&times, &stages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_compared_over_the_clusters_that_edges_name() {
        let clusters = Categorical::from_names(["a", "b", "b", "c", "elsewhere"]);
        let edge = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let edges = [edge("a", "b"), edge("b", "c")];
        let correlation = stage_correlation(&[0.1, 0.2, 0.2, 0.9, 0.0], &clusters, &edges).unwrap();
        assert!((correlation - 1.0).abs() < 1e-12);
        assert_eq!(stage_correlation(&[0.5; 5], &clusters, &edges), None);
        assert_eq!(stage_correlation(&[0.1, 0.2, 0.2, 0.9, 0.0], &clusters, &[edge("a", "b"), edge("b", "a")]), None);
    }
}
