//! A phylogeny read off the connectivity of clusters.
//!
//! From the root outwards: the clusters most connected to those reached last become their children, each given to the
//! parent it is most connected to; then the parents' cells are taken away, principal components and neighbours are
//! computed anew for what is left, and the children are next.
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

/// Principal components and neighbours of what is left after a round, as scanpy's defaults.
const N_PCS: usize = 50;
/// See [`N_PCS`].
const N_NEIGHBORS: usize = 15;

/// How strong a connection makes a child.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InferPhylogenySpec {
    /// Share of a cluster's strongest connection from which on another is its child. 0 to 1. Default: 0.3.
    pub ratio: f64,
    /// The same for a cluster to which this one is connected more strongly than all its children are. Default: 0.05.
    pub hot_ratio: f64,
    /// Seed of the neighbour search above 50,000 cells. Default: 0.
    pub random_state: u64,
}

impl Default for InferPhylogenySpec {
    fn default() -> Self {
        Self { ratio: 0.3, hot_ratio: 0.05, random_state: 0 }
    }
}

/// Connectivity between clusters.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterConnectivity {
    /// Categories in the order of rows and columns: that of their first cells.
    pub clusters: Vec<u32>,
    /// Rows first; columns would sum to one with the diagonal, which is set to 0.
    pub values: Vec<f64>,
}

impl ClusterConnectivity {
    /// Connection from one row to one column.
    #[must_use]
    pub fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.clusters.len() + column]
    }
}

/// Connectivity between the clusters of some cells; `codes[i]` is the cluster of cell `i` of the graph.
///
/// # Errors
/// [`GraphError`] where the graph is not one of these cells, or a weight is negative or not finite.
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

/// Why no phylogeny is inferred.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferPhylogenyError {
    /// The root is not a cluster.
    #[error("root cluster \"{root}\" is not one of {known}")]
    Root {
        /// What was named.
        root: String,
        /// The clusters there are.
        known: String,
    },
    /// The root has no cells.
    #[error("root cluster \"{root}\" has no cells")]
    Empty {
        /// Its name.
        root: String,
    },
    /// A ratio is out of range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// The graph is none.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Neighbours of what is left cannot be found.
    #[error(transparent)]
    Neighbors(#[from] KnnError),
    /// What was found is no forest.
    #[error(transparent)]
    Phylogeny(#[from] PhylogenyError),
}

/// Infers which cluster gives rise to which, from `root` outwards. `x` is the normalised expression, from which
/// neighbours are computed anew once parents are taken away. A cluster that is never reached stands alone; cells
/// without a cluster are left out.
///
/// # Errors
/// [`InferPhylogenyError`] where the root is unknown, a ratio is not between 0 and 1, or the graph is not one of these
/// cells with finite weights of 0 or more.
///
/// # Panics
/// When expression and clusters are of different cells.
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

/// Connectivities of some cells by their own principal components, as scanpy's defaults make them; fewer neighbours
/// where there are few cells. `seed` matters above 50,000 cells.
///
/// # Errors
/// [`KnnError`] where there are fewer than two cells.
pub fn neighborhood(x: &Csr, seed: u64) -> Result<Csr, KnnError> {
    let n = x.n_rows();
    if n < 2 {
        return Err(KnnError::TooFewCells { n_neighbors: 2, n_cells: n });
    }
    let k = if N_NEIGHBORS > n { 1 + n / 2 } else { N_NEIGHBORS };
    let n_pcs = N_PCS.min(n.min(x.n_cols()).saturating_sub(1)).max(1);
    Ok(connectivities(&neighbors(&pca(x, n_pcs).scores, k, seed)?))
}

/// Children of every parent, parents in the order given.
fn assign(connectivity: &ClusterConnectivity, parents: &[u32], spec: &InferPhylogenySpec) -> Vec<(u32, Vec<u32>)> {
    let clusters = &connectivity.clusters;
    let place = |code: u32| clusters.iter().position(|&c| c == code);
    // every parent's candidates, in the order in which they were found
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
