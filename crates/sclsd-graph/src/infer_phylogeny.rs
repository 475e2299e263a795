//! Infers a phylogeny from the connectivity between clusters.
//!
//! The inference starts at the root and proceeds in rounds. The clusters that are most connected to the current parents
//! become children, and each child belongs to the parent that it is most connected to. Then the parents' cells are
//! removed, principal components and neighbours are recomputed for the remaining cells, and the children become the
//! next parents.
//!
//! ```text
//! c(A, B) = Σ_{a ∈ A, b ∈ B} C(a, b) / (|A| |B|),   divided by its sum over A; 0 for A = B
//! ```
//!
//! Reference: `compute_normalized_cluster_connectivity` and `infer_phylo`.

use std::collections::BTreeMap;

use sclsd_data::{Categorical, Csr, CsrView, pca};
use sclsd_spec::{OutOfRange, in_range};
use serde::{Deserialize, Serialize};

use crate::graph::{GraphError, check_graph, neighbors_of};
use crate::{KnnError, Phylogeny, PhylogenyError, connectivities, neighbors};

/// Number of principal components of the cells that remain after a round; scanpy's default.
const N_PCS: usize = 50;
/// Number of neighbours of the cells that remain after a round; scanpy's default.
const N_NEIGHBORS: usize = 15;

/// Thresholds of the connectivity between a parent and its children.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InferPhylogenySpec {
    /// Fraction of a cluster's strongest connection from which on another cluster is its child. 0 to 1. Default: 0.3.
    pub ratio: f64,
    /// Lower threshold for clusters to which the parent is connected more strongly than all its other children are. A
    /// fraction as in `ratio`. Default: 0.05.
    pub hot_ratio: f64,
    /// Seed of the neighbour search above 50,000 cells. Default: 0.
    pub random_state: u64,
}

impl Default for InferPhylogenySpec {
    fn default() -> Self {
        Self { ratio: 0.3, hot_ratio: 0.05, random_state: 0 }
    }
}

/// Normalised connectivity between clusters.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterConnectivity {
    /// Cluster codes in the order of rows and columns, which is the order of each cluster's first cell.
    pub clusters: Vec<u32>,
    /// Row-major values. The diagonal is 0; including it, columns would sum to one.
    pub values: Vec<f64>,
}

impl ClusterConnectivity {
    /// Connectivity from one row to one column.
    #[must_use]
    pub fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.clusters.len() + column]
    }
}

/// Connectivity between clusters of cells. `codes[i]` is the cluster of cell `i` of the graph.
///
/// # Errors
/// [`GraphError`] if the graph does not have these cells, or a weight is negative or not finite.
pub fn cluster_connectivity<'a>(
    connectivities: impl Into<CsrView<'a>>,
    codes: &[u32],
) -> Result<ClusterConnectivity, GraphError> {
    let connectivities = connectivities.into();
    check_graph(connectivities, codes.len())?;
    let mut clusters: Vec<u32> = Vec::new();
    let mut place: BTreeMap<u32, usize> = BTreeMap::new();
    for &code in codes {
        place.entry(code).or_insert_with(|| {
            clusters.push(code);
            clusters.len() - 1
        });
    }
    let n = clusters.len();
    let mut sizes = vec![0.0; n];
    let mut values = vec![0.0; n * n];
    for (cell, code) in codes.iter().enumerate() {
        let from = place[code];
        sizes[from] += 1.0;
        for (other, weight) in neighbors_of(connectivities, cell) {
            values[from * n + place[&codes[other as usize]]] += f64::from(weight);
        }
    }
    for (entry, value) in values.iter_mut().enumerate() {
        *value /= sizes[entry / n] * sizes[entry % n];
    }
    for column in 0..n {
        let total: f64 = (0..n).map(|row| values[row * n + column]).sum();
        (0..n).for_each(|row| values[row * n + column] /= if total > 0.0 { total } else { 1.0 });
    }
    (0..n).for_each(|i| values[i * n + i] = 0.0);
    Ok(ClusterConnectivity { clusters, values })
}

/// The reason why a phylogeny cannot be inferred.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferPhylogenyError {
    /// The root is not a cluster.
    #[error("root cluster \"{root}\" is not one of {known}")]
    Root {
        /// Name of the requested root.
        root: String,
        /// Names of the clusters in the data.
        known: String,
    },
    /// The root has no cells.
    #[error("root cluster \"{root}\" has no cells")]
    Empty {
        /// Name of the root.
        root: String,
    },
    /// A ratio is out of range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// The matrix is not a valid graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Neighbours of the remaining cells cannot be computed.
    #[error(transparent)]
    Neighbors(#[from] KnnError),
    /// The result is not a forest.
    #[error(transparent)]
    Phylogeny(#[from] PhylogenyError),
}

/// Infers which cluster gives rise to which, starting at `root`. `x` is the normalised expression, from which
/// neighbours are recomputed after parents are removed. A cluster that is never reached has no parent. Cells without a
/// cluster are ignored.
///
/// # Errors
/// [`InferPhylogenyError`] if the root is unknown, a ratio is not between 0 and 1, or the graph does not have these
/// cells or has a weight that is negative or not finite.
///
/// # Panics
/// If expression and clusters have different numbers of cells.
pub fn infer_phylogeny(
    x: &Csr,
    connectivities: &Csr,
    clusters: &Categorical,
    root: &str,
    spec: &InferPhylogenySpec,
) -> Result<Phylogeny, InferPhylogenyError> {
    for (field, value) in [("phylogeny.ratio", spec.ratio), ("phylogeny.hot_ratio", spec.hot_ratio)] {
        in_range(field, value, (0.0..=1.0).contains(&value), "a number from 0 to 1")?;
    }
    let n = clusters.codes().len();
    assert_eq!(x.n_rows(), n, "one row per cell");
    check_graph(connectivities, n)?;
    let names = clusters.categories();
    let Some(root) = names.iter().position(|name| name == root).and_then(|r| u32::try_from(r).ok()) else {
        return Err(InferPhylogenyError::Root { root: root.to_owned(), known: names.join(", ") });
    };

    if !clusters.codes().contains(&Some(root)) {
        return Err(InferPhylogenyError::Empty { root: names[root as usize].clone() });
    }
    let mut cells: Vec<usize> = (0..n).filter(|&cell| clusters.codes()[cell].is_some()).collect();
    let mut graph = connectivities.select_rows(&cells).select_columns(&cells);
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut reached = vec![root];
    let mut parents = vec![root];
    while !parents.is_empty() {
        let codes: Vec<u32> = cells.iter().filter_map(|&cell| clusters.codes()[cell]).collect();
        let connectivity = cluster_connectivity(&graph, &codes)?;
        if connectivity.clusters.len() <= parents.len() {
            break;
        }
        let found = assign(&connectivity, &parents, spec);
        parents = found.iter().flat_map(|(_, children)| children.iter().copied()).collect();
        reached.extend(&parents);
        cells.retain(|&cell| clusters.codes()[cell].is_none_or(|code| found.iter().all(|(parent, _)| *parent != code)));
        children.extend(found);
        if cells.len() > 2 && reached.len() < names.len() {
            graph = neighborhood(&x.select_rows(&cells), spec.random_state)?;
        } else {
            break;
        }
    }
    let name = |code: u32| names[code as usize].clone();
    let mut table: BTreeMap<String, Vec<String>> = names.iter().map(|name| (name.clone(), Vec::new())).collect();
    for (parent, found) in children {
        table.insert(name(parent), found.into_iter().map(name).collect());
    }
    Ok(Phylogeny::new(table)?)
}

/// Connectivities of cells from their own principal components with scanpy's defaults. There are fewer neighbours if
/// there are few cells. `seed` only has an effect above 50,000 cells.
///
/// # Errors
/// [`KnnError`] if there are fewer than two cells.
pub fn neighborhood(x: &Csr, seed: u64) -> Result<Csr, KnnError> {
    let n = x.n_rows();
    if n < 2 {
        return Err(KnnError::TooFewCells { n_neighbors: 2, n_cells: n });
    }
    let k = if N_NEIGHBORS > n { 1 + n / 2 } else { N_NEIGHBORS };
    let n_pcs = N_PCS.min(n.min(x.n_cols()).saturating_sub(1)).max(1);
    Ok(connectivities(&neighbors(&pca(x, n_pcs).scores, k, seed)?))
}

/// Children of every parent, in the order of `parents`.
fn assign(connectivity: &ClusterConnectivity, parents: &[u32], spec: &InferPhylogenySpec) -> Vec<(u32, Vec<u32>)> {
    let clusters = &connectivity.clusters;
    let place = |code: u32| clusters.iter().position(|&c| c == code);
    // candidate children with the parents that claim them, in the order of discovery
    let mut claims: Vec<(usize, Vec<usize>)> = Vec::new();
    for source in parents.iter().filter_map(|&parent| place(parent)) {
        for target in candidates(connectivity, source, spec) {
            if parents.contains(&clusters[target]) {
                continue;
            }
            match claims.iter_mut().find(|claim| claim.0 == target) {
                Some(claim) => claim.1.push(source),
                None => claims.push((target, vec![source])),
            }
        }
    }
    let mut found: Vec<(u32, Vec<u32>)> = parents.iter().map(|&parent| (parent, Vec::new())).collect();
    for (target, sources) in claims {
        let strongest = |best: usize, next: usize| {
            if connectivity.at(next, target) > connectivity.at(best, target) { next } else { best }
        };
        if let Some(parent) = sources.into_iter().reduce(strongest)
            && let Some(entry) = found.iter_mut().find(|entry| entry.0 == clusters[parent])
        {
            entry.1.push(clusters[target]);
        }
    }
    found
}

/// Clusters to which `source` is strongly connected.
fn candidates(connectivity: &ClusterConnectivity, source: usize, spec: &InferPhylogenySpec) -> Vec<usize> {
    let others = || (0..connectivity.clusters.len()).filter(|&other| other != source);
    let strongest_in = others().map(|row| connectivity.at(row, source)).fold(0.0, f64::max);
    let strongest = others()
        .reduce(|best, next| if connectivity.at(source, next) > connectivity.at(source, best) { next } else { best });
    let mut found: Vec<usize> = strongest.into_iter().collect();
    for target in others() {
        if connectivity.at(source, target) >= spec.ratio * strongest_in && !found.contains(&target) {
            found.push(target);
        }
    }
    let sure = found.clone();
    for target in others() {
        let own = connectivity.at(source, target);
        if own >= spec.hot_ratio * strongest_in
            && !sure.contains(&target)
            && sure.iter().all(|&rival| connectivity.at(rival, target) < own)
        {
            found.push(target);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_root_is_an_error_with_the_clusters_there_are() {
        let graph = Csr::from_rows(2, [vec![(1, 1.0)], vec![(0, 1.0)]]).unwrap();
        let clusters = Categorical::from_names(["a", "b"]);
        let error = infer_phylogeny(&graph, &graph, &clusters, "c", &InferPhylogenySpec::default()).unwrap_err();
        assert_eq!(error.to_string(), "root cluster \"c\" is not one of a, b");
        let clusters = Categorical::new(vec![Some(0), Some(0)], vec!["a".into(), "b".into()], false);
        let error = infer_phylogeny(&graph, &graph, &clusters, "b", &InferPhylogenySpec::default()).unwrap_err();
        assert_eq!(error.to_string(), "root cluster \"b\" has no cells");
    }
}
