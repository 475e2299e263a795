//! Finds the leaves among clusters from pseudotime and the graph.
//!
//! Cluster D *descends from* C if D is clearly later and C is one of its closest relatives among the earlier clusters:
//!
//! ```text
//! later(C, D) = P(τ_d > τ_c), c ∈ C, d ∈ D             ≥ 3/4        (the area under the ROC curve)
//! link(C, D)  = Σ_{c ∈ C, d ∈ D} w(c, d) / (|C| |D|)    ≥ half of D's strongest link to an earlier cluster
//! ```
//!
//! with one exception: C is not a parent of D if both descend from a closer parent of D, because then they are
//! siblings. A leaf descends from some cluster, and no cluster descends from a leaf. Two mature clusters that touch
//! have the same age, so neither descends from the other, however many edges connect them. Local maxima of pseudotime
//! on the graph cannot distinguish that case from one cluster that follows the other.

use sclsd_data::{Categorical, CsrView};

use super::error::TerminalError;
use crate::graph::{check_graph, neighbors_of};

/// Minimum probability that a cell of the later cluster is later than a cell of the earlier one.
const LATER: f64 = 0.75;
/// Fraction of the strongest link from which on another cluster is a parent too.
const LINK: f64 = 0.5;

/// A cluster in which differentiation ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Name of the cluster.
    pub name: String,
    /// Clusters that the leaf descends from, the closest first.
    pub parents: Vec<String>,
}

/// The leaves among a set of clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaves(Vec<Leaf>);

impl Leaves {
    /// Finds the leaves. Cells without a cluster and clusters of one cell are ignored.
    ///
    /// # Errors
    /// [`TerminalError`] if sizes differ, a weight is negative or not finite, or no cluster is a leaf.
    pub fn find<'a>(
        graph: impl Into<CsrView<'a>>,
        clusters: &Categorical,
        pseudotime: &[f64],
    ) -> Result<Self, TerminalError> {
        let graph = graph.into();
        let expected = graph.n_rows();
        check_graph(graph, expected)?;
        for (what, found) in [("pseudotime", pseudotime.len()), ("clusters", clusters.codes().len())] {
            if found != expected {
                return Err(TerminalError::Cells { what, found, expected });
            }
        }
        let n = clusters.categories().len();
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); n];
        for (code, time) in clusters.codes().iter().zip(pseudotime) {
            if let Some(code) = code {
                times[*code as usize].push(*time);
            }
        }
        times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
        let links = links(graph, clusters, &times);
        let mut earlier: Vec<Vec<usize>> = Vec::with_capacity(n);
        for later in 0..n {
            let mut before: Vec<(usize, f64)> = (0..n)
                .filter(|&c| c != later && links[c * n + later] > 0.0)
                .filter(|&c| later_share(&times[c], &times[later]) >= LATER)
                .map(|c| (c, links[c * n + later]))
                .collect();
            before.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let strongest = before.first().map_or(0.0, |first| first.1);
            before.retain(|(_, link)| *link >= LINK * strongest);
            earlier.push(before.into_iter().map(|(c, _)| c).collect());
        }
        let sibling = |c: usize, closer: &[usize]| closer.iter().any(|parent| earlier[c].contains(parent));
        let parents: Vec<Vec<usize>> = earlier
            .iter()
            .map(|all| (0..all.len()).filter(|&i| !sibling(all[i], &all[..i])).map(|i| all[i]).collect())
            .collect();
        let has_children = |c: usize| parents.iter().any(|parents| parents.contains(&c));
        let name = |c: &usize| clusters.categories()[*c].clone();
        let leaves: Vec<Leaf> = (0..n)
            .filter(|&c| times[c].len() >= 2 && !parents[c].is_empty() && !has_children(c))
            .map(|c| Leaf { name: name(&c), parents: parents[c].iter().map(name).collect() })
            .collect();
        if leaves.is_empty() { Err(TerminalError::NoStates) } else { Ok(Self(leaves)) }
    }

    /// The leaves, in the order of the clusters.
    #[must_use]
    pub fn all(&self) -> &[Leaf] {
        &self.0
    }

    /// Names of the leaves.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|leaf| leaf.name.clone()).collect()
    }
}

/// Mean weight between the cells of two clusters, averaged over both directions, `n × n`.
#[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
fn links(graph: CsrView<'_>, clusters: &Categorical, times: &[Vec<f64>]) -> Vec<f64> {
    let n = times.len();
    let mut links = vec![0.0; n * n];
    for from in 0..graph.n_rows() {
        let Some(a) = clusters.codes()[from] else { continue };
        for (to, weight) in neighbors_of(graph, from) {
            if let Some(b) = clusters.codes()[to as usize] {
                links[a as usize * n + b as usize] += 0.5 * f64::from(weight);
                links[b as usize * n + a as usize] += 0.5 * f64::from(weight);
            }
        }
    }
    for (entry, link) in links.iter_mut().enumerate() {
        *link /= (times[entry / n].len() * times[entry % n].len()).max(1) as f64;
    }
    links
}

/// Probability that a value of `later` exceeds one of `earlier`, with ties counted half. Both must be ascending.
#[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
fn later_share(earlier: &[f64], later: &[f64]) -> f64 {
    let below = |v: f64| {
        let (less, not_more) = (earlier.partition_point(|e| *e < v), earlier.partition_point(|e| *e <= v));
        f64::midpoint(less as f64, not_more as f64)
    };
    let pairs = (earlier.len() * later.len()).max(1) as f64;
    later.iter().map(|&v| below(v)).sum::<f64>() / pairs
}

#[cfg(test)]
mod tests {
    use sclsd_data::Csr;

    use super::*;

    /// Clusters of ten cells each at the given times, connected by links with the given weights.
    fn cells(times: &[f64], joined: &[(u32, u32, f32)]) -> (Csr, Categorical, Vec<f64>) {
        let n = u32::try_from(10 * times.len()).unwrap();
        let mut rows: Vec<std::collections::BTreeMap<u32, f32>> = vec![Default::default(); n as usize];
        for i in 0..n {
            let next = i / 10 * 10 + (i + 1) % 10;
            rows[i as usize].insert(next, 1.0);
            rows[next as usize].insert(i, 1.0);
        }
        for &(a, b, weight) in joined {
            rows[10 * a as usize].insert(10 * b + 1, weight);
            rows[10 * b as usize + 1].insert(10 * a, weight);
        }
        let graph = Csr::from_rows(n as usize, rows.into_iter().map(|row| row.into_iter().collect())).unwrap();
        let names: Vec<String> = (0..n).map(|i| format!("c{}", i / 10)).collect();
        let clusters = Categorical::from_names(names.iter().map(String::as_str));
        let time = (0..n).map(|i| times[i as usize / 10] + 0.01 * f64::from(i % 10)).collect();
        (graph, clusters, time)
    }

    fn found(times: &[f64], joined: &[(u32, u32, f32)]) -> Vec<String> {
        let (graph, clusters, time) = cells(times, joined);
        Leaves::find(&graph, &clusters, &time).unwrap().names()
    }

    #[test]
    fn the_ends_of_a_fork_are_its_leaves_though_they_touch() {
        let fork = [(0, 1, 1.0), (1, 2, 1.0), (1, 3, 1.0)];
        assert_eq!(found(&[0.0, 0.4, 0.8, 0.81], &fork), ["c2", "c3"]);
        // an edge between the two mature clusters, as strong as the strongest
        assert_eq!(found(&[0.0, 0.4, 0.8, 0.81], &[&fork[..], &[(2, 3, 1.0)]].concat()), ["c2", "c3"]);
    }

    #[test]
    fn a_sibling_that_is_older_is_no_parent_but_the_middle_of_a_path_is() {
        // c3 is clearly later than its sibling c2, and its link to c2 is weaker than its link to their parent
        assert_eq!(found(&[0.0, 0.4, 0.6, 0.9], &[(0, 1, 1.0), (1, 2, 1.0), (1, 3, 1.0), (2, 3, 0.7)]), ["c2", "c3"]);
        assert_eq!(found(&[0.0, 0.4, 0.6, 0.9], &[(0, 1, 1.0), (1, 2, 1.0), (2, 3, 1.0)]), ["c3"]);
    }

    #[test]
    fn clusters_of_one_age_have_no_leaf() {
        let (graph, clusters, time) = cells(&[0.5, 0.5], &[(0, 1, 1.0)]);
        let error = Leaves::find(&graph, &clusters, &time).unwrap_err();
        assert_eq!(error.to_string(), "there is no terminal state; name the clusters in which differentiation ends");
    }
}
