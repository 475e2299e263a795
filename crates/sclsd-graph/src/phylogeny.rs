//! The phylogeny of clusters: a validated forest that says which cluster may give rise to which.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use petgraph::algo::toposort;
use petgraph::graphmap::DiGraphMap;
use sclsd_data::Categorical;
use sclsd_spec::{Choice, UnknownName};
use serde::{Deserialize, Serialize};

/// A forest of clusters: parent → children.
///
/// Invariants of [`Phylogeny::new`]: every cluster has at most one parent, and no cluster is its own ancestor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phylogeny {
    children: BTreeMap<String, Vec<String>>,
}

/// How far down the phylogeny one step of a walk may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Descent {
    /// To the cluster itself and its children, as in the Python package (which calls them descendants).
    #[default]
    Children,
    /// To the cluster itself and all clusters below it.
    Descendants,
}

impl Choice for Descent {
    const WHAT: &'static str = "descent";
    const ALL: &'static [Self] = &[Self::Children, Self::Descendants];

    fn name(self) -> &'static str {
        match self {
            Self::Children => "children",
            Self::Descendants => "descendants",
        }
    }
}

impl fmt::Display for Descent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Descent {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::named(name)
    }
}

/// The reason why a table of parents and children is not a valid phylogeny of the data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PhylogenyError {
    /// A cluster is its own ancestor.
    #[error("the phylogeny has a cycle through cluster {cluster}")]
    Cycle {
        /// A cluster on the cycle.
        cluster: String,
    },
    /// A cluster has two parents.
    #[error("the phylogeny gives cluster {cluster} two parents, {first} and {second}")]
    TwoParents {
        /// The cluster.
        cluster: String,
        /// One parent.
        first: String,
        /// The other.
        second: String,
    },
    /// A name is not a cluster of the data.
    #[error("the phylogeny names {unknown}, but the clusters are {known}")]
    Unknown {
        /// Names in the phylogeny that are not clusters.
        unknown: String,
        /// Names of the clusters in the data.
        known: String,
    },
}

impl Phylogeny {
    /// Creates a phylogeny from a table of parents and their children.
    ///
    /// # Errors
    /// [`PhylogenyError`] names a cluster that has two parents or is its own ancestor.
    pub fn new(children: BTreeMap<String, Vec<String>>) -> Result<Self, PhylogenyError> {
        let mut parents: BTreeMap<&str, &str> = BTreeMap::new();
        let mut graph: DiGraphMap<&str, ()> = DiGraphMap::new();
        for (parent, children) in &children {
            for child in children {
                if let Some(first) = parents.insert(child, parent)
                    && first != parent
                {
                    return Err(PhylogenyError::TwoParents {
                        cluster: child.clone(),
                        first: first.into(),
                        second: parent.clone(),
                    });
                }
                graph.add_edge(parent, child, ());
            }
        }
        match toposort(&graph, None) {
            Ok(_) => Ok(Self { children }),
            Err(cycle) => Err(PhylogenyError::Cycle { cluster: cycle.node_id().to_owned() }),
        }
    }

    /// Parent → children.
    #[must_use]
    pub fn children(&self) -> &BTreeMap<String, Vec<String>> {
        &self.children
    }

    /// Whether a cell of the first category may become one of the second, for each pair of categories; row-major.
    ///
    /// # Errors
    /// [`PhylogenyError::Unknown`] if the phylogeny names a cluster that is not a category.
    pub fn allowed(&self, clusters: &Categorical, descent: Descent) -> Result<Vec<bool>, PhylogenyError> {
        let categories = clusters.categories();
        let code = |name: &String| categories.iter().position(|c| c == name);
        let mut unknown: Vec<&String> =
            self.children.iter().flat_map(|(parent, children)| children.iter().chain([parent])).collect();
        unknown.retain(|name| code(name).is_none());
        unknown.sort();
        unknown.dedup();
        if !unknown.is_empty() {
            let quote = |names: Vec<&String>| names.iter().map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ");
            return Err(PhylogenyError::Unknown { unknown: quote(unknown), known: quote(categories.iter().collect()) });
        }
        let n = categories.len();
        let mut allowed = vec![false; n * n];
        for (from, name) in categories.iter().enumerate() {
            allowed[from * n + from] = true;
            let mut open: Vec<&String> = self.children.get(name).into_iter().flatten().collect();
            while let Some(child) = open.pop() {
                if let Some(to) = code(child) {
                    allowed[from * n + to] = true;
                }
                if descent == Descent::Descendants {
                    open.extend(self.children.get(child).into_iter().flatten());
                }
            }
        }
        Ok(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        rows.iter().map(|(p, c)| ((*p).to_owned(), c.iter().map(ToString::to_string).collect())).collect()
    }

    #[test]
    fn cycles_two_parents_and_unknown_clusters_are_errors_with_names() {
        let cycle = Phylogeny::new(table(&[("a", &["b"]), ("b", &["a"])])).unwrap_err();
        assert!(cycle.to_string().starts_with("the phylogeny has a cycle through cluster "));
        let two = Phylogeny::new(table(&[("a", &["c"]), ("b", &["c"])])).unwrap_err();
        assert_eq!(two.to_string(), "the phylogeny gives cluster c two parents, a and b");
        let clusters = Categorical::from_names(["a", "b"]);
        let unknown =
            Phylogeny::new(table(&[("a", &["z"])])).unwrap().allowed(&clusters, Descent::Children).unwrap_err();
        assert_eq!(unknown.to_string(), "the phylogeny names \"z\", but the clusters are \"a\", \"b\"");
    }

    #[test]
    fn descent_reaches_children_or_everything_below() {
        let phylogeny = Phylogeny::new(table(&[("a", &["b"]), ("b", &["c"])])).unwrap();
        let clusters = Categorical::from_names(["a", "b", "c"]);
        let near = phylogeny.allowed(&clusters, Descent::Children).unwrap();
        assert_eq!(near, [true, true, false, false, true, true, false, false, true]);
        let far = phylogeny.allowed(&clusters, Descent::Descendants).unwrap();
        assert_eq!(far, [true, true, true, false, true, true, false, false, true]);
    }
}
