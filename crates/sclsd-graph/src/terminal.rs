//! Terminal states: sets of cells in which differentiation ends.
//!
//! A walk that enters a terminal set stays within it ([`Transition::absorbing`](crate::Transition::absorbing)). Without
//! terminal sets a walk never ends. At the tip of one branch some neighbours belong to another branch, and those that
//! are later in pseudotime attract the walk. Most walks from a mature cell then end in another mature cluster.
//!
//! A terminal state is a *leaf*: a cluster from which no other cluster descends. Its terminal set consists of the
//! latest cells of that leaf: see [`Terminal::latest`] for their number. Leaves are named by the user, are those of a
//! [`Phylogeny`], or are found by [`Leaves::find`].

mod error;
mod leaves;

use std::fmt;
use std::str::FromStr;

use sclsd_data::{Categorical, CsrView};
use sclsd_spec::UnknownName;
use serde::{Deserialize, Serialize};

use crate::Phylogeny;
use crate::graph::{check_graph, neighbors_of};

pub use error::TerminalError;
pub use leaves::{Leaf, Leaves};

/// Minimum number of terminal cells of a state, if that is at most half of the cluster.
const LEAST: usize = 30;

/// The terminal states in which walks end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TerminalSpec {
    /// None: walks never end, as in the Python package.
    #[default]
    None,
    /// The leaves of the phylogeny if there is one, otherwise leaves that are found from pseudotime and the graph.
    Auto,
    /// The clusters with these names.
    #[serde(untagged)]
    Clusters(Vec<String>),
}

/// `none`, `auto`, or a JSON list of cluster names, which may contain commas.
impl fmt::Display for TerminalSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("none"),
            Self::Auto => f.pad("auto"),
            Self::Clusters(names) => f.pad(&serde_json::Value::from(names.as_slice()).to_string()),
        }
    }
}

impl FromStr for TerminalSpec {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        match text {
            "none" => Ok(Self::None),
            "auto" => Ok(Self::Auto),
            list => serde_json::from_str(list).map(Self::Clusters).map_err(|_| {
                UnknownName::new(
                    "terminal states",
                    text,
                    vec!["none", "auto", "a JSON list of names (such as [\"Beta\"])"],
                )
            }),
        }
    }
}

impl From<&[String]> for TerminalSpec {
    fn from(names: &[String]) -> Self {
        Self::Clusters(names.to_vec())
    }
}

/// Sets of terminal cells, each with a name.
///
/// Invariants, checked on construction: there is at least one set, no set is empty, no cell is in two sets, and at
/// least one cell is in none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    names: Vec<String>,
    of: Vec<Option<u32>>,
}

impl Terminal {
    /// Creates named sets. `sets.codes()` holds the set of every cell, and `None` for a cell that is not terminal.
    ///
    /// # Errors
    /// [`TerminalError`] if there is no set, a set is empty, or every cell is in a set.
    pub fn new(sets: &Categorical) -> Result<Self, TerminalError> {
        if sets.categories().is_empty() {
            return Err(TerminalError::NoStates);
        }
        for (code, name) in (0_u32..).zip(sets.categories()) {
            if !sets.codes().contains(&Some(code)) {
                return Err(TerminalError::Empty { name: name.clone(), cells: 0 });
            }
        }
        if sets.codes().iter().all(Option::is_some) {
            return Err(TerminalError::Everything);
        }
        Ok(Self { names: sets.categories().to_vec(), of: sets.codes().to_vec() })
    }

    /// The latest cells of the named clusters, by pseudotime.
    ///
    /// In a leaf of n cells the latest m cells are terminal:
    ///
    /// ```text
    /// m = min(⌊n / 2⌋, max(⌈n / 3⌉, 30))
    /// ```
    ///
    /// That is one third of the cells. A small leaf has as many terminal cells as in CellRank (30), so that walks find
    /// them. At most half of the cells are terminal, so that fates of mature cells are computed and not given.
    /// `docs/fates.md` compares fractions.
    ///
    /// # Errors
    /// [`TerminalError`] if a name is unknown, is given twice, or belongs to a cluster with fewer than two cells.
    pub fn latest(clusters: &Categorical, pseudotime: &[f64], names: &[String]) -> Result<Self, TerminalError> {
        let (found, expected) = (pseudotime.len(), clusters.codes().len());
        if found != expected {
            return Err(TerminalError::Cells { what: "pseudotime", found, expected });
        }
        let categories = clusters.categories();
        let mut of = vec![None; expected];
        for (set, name) in (0_u32..).zip(names) {
            let Some(code) = categories.iter().position(|c| c == name).and_then(|c| u32::try_from(c).ok()) else {
                return Err(TerminalError::Unknown { name: name.clone(), known: categories.join(", ") });
            };
            if names[..set as usize].contains(name) {
                return Err(TerminalError::Twice { name: name.clone() });
            }
            let mut cells: Vec<usize> = (0..expected).filter(|&cell| clusters.codes()[cell] == Some(code)).collect();
            if cells.len() < 2 {
                return Err(TerminalError::Empty { name: name.clone(), cells: cells.len() });
            }
            cells.sort_by(|&a, &b| pseudotime[b].total_cmp(&pseudotime[a]).then(a.cmp(&b)));
            let latest = (cells.len() / 2).min(cells.len().div_ceil(3).max(LEAST));
            cells[..latest].iter().for_each(|&cell| of[cell] = Some(set));
        }
        Self::new(&Categorical::new(of, names.to_vec(), false))
    }

    /// Names of the terminal states.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of terminal states.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Always false, because there is at least one state.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Number of cells, terminal or not.
    #[must_use]
    pub fn n_cells(&self) -> usize {
        self.of.len()
    }

    /// The set that a cell is in, if any.
    #[must_use]
    pub fn of(&self, cell: usize) -> Option<usize> {
        self.of[cell].map(|set| set as usize)
    }

    /// Cells of every set.
    #[must_use]
    pub fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![0; self.len()];
        self.of.iter().flatten().for_each(|&set| sizes[set as usize] += 1);
        sizes
    }

    /// The sets as a column of obs: the name of the set for a terminal cell, missing for other cells.
    #[must_use]
    pub fn column(&self) -> Categorical {
        Categorical::new(self.of.clone(), self.names.clone(), false)
    }

    /// Checks that every set can be entered: an edge of `graph` leads into the set from a cell outside all sets.
    ///
    /// # Errors
    /// [`TerminalError`] names the first set that cannot be entered, or says why the graph does not fit these cells.
    pub fn check_entered<'a>(&self, graph: impl Into<CsrView<'a>>) -> Result<(), TerminalError> {
        let graph = graph.into();
        let expected = self.n_cells();
        check_graph(graph, expected)?;
        let mut entered = vec![false; self.len()];
        for from in (0..expected).filter(|&from| self.of(from).is_none()) {
            for (to, _) in neighbors_of(graph, from) {
                if let Some(set) = self.of(to as usize) {
                    entered[set] = true;
                }
            }
        }
        match entered.iter().position(|entered| !entered) {
            Some(set) => Err(TerminalError::NeverEntered { name: self.names[set].clone() }),
            None => Ok(()),
        }
    }
}

impl Phylogeny {
    /// Clusters that have a parent and no children, in alphabetical order.
    #[must_use]
    pub fn leaves(&self) -> Vec<String> {
        let has_children = |name: &String| self.children().get(name).is_some_and(|children| !children.is_empty());
        let mut leaves: Vec<String> =
            self.children().values().flatten().filter(|name| !has_children(name)).cloned().collect();
        leaves.sort();
        leaves.dedup();
        leaves
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sclsd_data::Csr;

    use super::*;

    fn line() -> (Csr, Categorical, Vec<f64>) {
        let rows = (0..8_u32).map(|i| (0..8).filter(|j| i.abs_diff(*j) == 1).map(|j| (j, 1.0_f32)).collect());
        let graph = Csr::from_rows(8, rows.collect::<Vec<_>>()).unwrap();
        let clusters = Categorical::from_names(["stem", "stem", "a", "a", "a", "a", "lone", "b"]);
        (graph, clusters, (0..8_u8).map(f64::from).collect())
    }

    #[test]
    fn a_walk_that_enters_a_terminal_set_stays_within_it() {
        let (graph, clusters, time) = line();
        let terminal = Terminal::latest(&clusters, &time, &["a".into()]).unwrap();
        let scaled: Vec<f64> = time.iter().map(|t| t / 8.0).collect();
        let walk = crate::Transition::from_pseudotime(&graph, &scaled, 1.0).unwrap().absorbing(&terminal);
        for cell in (0..8).filter(|&cell| terminal.of(cell).is_some()) {
            let (to, p) = walk.matrix().row(cell);
            assert!(to.iter().all(|&to| terminal.of(to as usize) == terminal.of(cell)), "cell {cell}");
            assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
        let open = crate::Transition::from_pseudotime(&graph, &scaled, 1.0).unwrap();
        assert_eq!(walk.matrix().row(0), open.matrix().row(0), "elsewhere steps are as they were");
    }

    #[test]
    fn at_most_half_of_a_leaf_is_terminal_and_these_are_its_latest_cells() {
        let (_, clusters, time) = line();
        let terminal = Terminal::latest(&clusters, &time, &["a".into()]).unwrap();
        let size = terminal.sizes()[0];
        assert!((1..=2).contains(&size));
        assert!((0..8).all(|cell| terminal.of(cell).is_some() == (6 - size..6).contains(&cell)));
        assert_eq!(terminal.column().name(5), Some("a"));
    }

    #[test]
    fn bad_terminal_states_are_errors_that_name_them() {
        let (graph, clusters, time) = line();
        let message = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            Terminal::latest(&clusters, &time, &names).unwrap_err().to_string()
        };
        assert_eq!(message(&["z"]), "terminal cluster \"z\" is not one of a, b, lone, stem");
        assert_eq!(message(&["a", "a"]), "terminal cluster \"a\" is named twice");
        assert_eq!(message(&["b"]), "terminal cluster \"b\" has 1 cells, but needs at least 2");
        assert!(message(&[]).starts_with("there is no terminal state"));
        let all = Categorical::from_names(["a"; 8]);
        assert!(Terminal::new(&all).unwrap_err().to_string().starts_with("every cell is terminal"));
        let apart = Csr::from_rows(8, vec![Vec::new(); 8]).unwrap();
        let terminal = Terminal::latest(&clusters, &time, &["a".into()]).unwrap();
        assert!(terminal.check_entered(&graph).is_ok());
        let error = terminal.check_entered(&apart).unwrap_err().to_string();
        assert!(error.starts_with("terminal state \"a\" is entered by no walk"), "{error}");
    }

    #[test]
    fn leaves_of_a_phylogeny_have_a_parent_and_no_children() {
        let table = [("a", vec!["b", "c"]), ("c", vec!["d"]), ("d", vec![]), ("lone", vec![])];
        let table: BTreeMap<String, Vec<String>> =
            table.into_iter().map(|(p, c)| (p.into(), c.into_iter().map(String::from).collect())).collect();
        assert_eq!(Phylogeny::new(table).unwrap().leaves(), ["b", "d"]);
    }
}
