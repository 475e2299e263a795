//! The landscapes that can be simulated, each a tree of valleys in the plane.
//!
//! At a fork a cell takes the valley on whose side noise has placed it, so the geometry determines how often each
//! valley is taken. Mirror-image valleys are taken equally often. A longer valley that takes the same time is steeper
//! and is taken more often.

use std::fmt;
use std::str::FromStr;

use sclsd_spec::{Choice, UnknownName};
use serde::{Deserialize, Serialize};

use super::valleys::Point;

/// The shape of the simulated landscape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Topology {
    /// One path through three stages, without a fork.
    Linear,
    /// One path that forks into two.
    Bifurcation,
    /// One path that forks into three at one point. The three ends are reached about equally often.
    Trifurcation,
    /// One path that forks into two, twice.
    Tree,
    /// One path with an early, short branch (Fate A) that later forks into two. Of 100 cells about 30 end as Fate A, 55
    /// as Fate B and 15 as Fate C. Fate A ends at time 0.6: its cells then leave the tissue and are not sampled later.
    #[serde(rename = "unequal-tree")]
    UnequalTree,
    /// A ring. No potential can move cells around a ring, so the model cannot describe it: a case to warn about.
    Cycle,
}

impl Choice for Topology {
    const WHAT: &'static str = "topology";
    const ALL: &'static [Self] =
        &[Self::Linear, Self::Bifurcation, Self::Trifurcation, Self::Tree, Self::UnequalTree, Self::Cycle];

    fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Bifurcation => "bifurcation",
            Self::Trifurcation => "trifurcation",
            Self::Tree => "tree",
            Self::UnequalTree => "unequal-tree",
            Self::Cycle => "cycle",
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Topology {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::named(name)
    }
}

/// One valley of a topology: its name, parent valley, end point and end time.
pub(super) struct Branch {
    pub(super) name: &'static str,
    /// Index of the parent valley; `None` for the first valley, which starts at (0, 0) at time 0.
    pub(super) parent: Option<usize>,
    pub(super) to: Point,
    pub(super) end: f64,
}

impl Topology {
    /// The valleys, parents before children; empty for a cycle.
    pub(super) fn branches(self) -> Vec<Branch> {
        let rows: &[(&'static str, Option<usize>, Point, f64)] = match self {
            Self::Linear => &[
                ("Stem", None, [0.4, 0.0], 0.33),
                ("Transit", Some(0), [0.8, 0.0], 0.66),
                ("Mature", Some(1), [1.2, 0.0], 1.0),
            ],
            Self::Bifurcation => &[
                ("Stem", None, [0.35, 0.0], 0.25),
                ("Progenitor", Some(0), [0.6, 0.0], 0.5),
                ("Fate A", Some(1), [1.2, 0.6], 1.0),
                ("Fate B", Some(1), [1.2, -0.6], 1.0),
            ],
            // the length of Fate B sets how often it is taken: if it ended at x = 1.2, less than one time in ten
            Self::Trifurcation => &[
                ("Stem", None, [0.35, 0.0], 0.25),
                ("Progenitor", Some(0), [0.6, 0.0], 0.5),
                ("Fate A", Some(1), [1.1, 0.6], 1.0),
                ("Fate B", Some(1), [1.4, 0.0], 1.0),
                ("Fate C", Some(1), [1.1, -0.6], 1.0),
            ],
            Self::Tree => &[
                ("Stem", None, [0.4, 0.0], 0.3),
                ("Upper", Some(0), [0.8, 0.6], 0.6),
                ("Lower", Some(0), [0.8, -0.6], 0.6),
                ("Fate A", Some(1), [1.2, 1.0], 1.0),
                ("Fate B", Some(1), [1.3, 0.35], 1.0),
                ("Fate C", Some(2), [1.3, -0.35], 1.0),
                ("Fate D", Some(2), [1.2, -1.0], 1.0),
            ],
            Self::UnequalTree => &[
                ("Stem", None, [0.3, 0.0], 0.25),
                ("Progenitor", Some(0), [0.7, -0.25], 0.55),
                ("Fate A", Some(0), [0.5, 0.27], 0.6),
                ("Fate B", Some(1), [1.3, -0.25], 1.0),
                ("Fate C", Some(1), [0.9, -0.65], 1.0),
            ],
            Self::Cycle => &[],
        };
        rows.iter().map(|&(name, parent, to, end)| Branch { name, parent, to, end }).collect()
    }
}
