//! Priors: what directs random walks.

use std::fmt::{self, Debug};
use std::str::FromStr;

use sclsd_data::{Categorical, CsrView};
use sclsd_spec::{Choice, UnknownName};
use serde::{Deserialize, Serialize};

use crate::phylogeny::{Descent, Phylogeny};
use crate::transition::{Transition, TransitionError};

/// Gives the probability of each neighbor of a cell to come next in a walk. Any source of transition probabilities can
/// implement this trait, such as velocities, a lineage tree or optimal transport between days.
///
/// ```
/// use sclsd_data::{Csr, CsrView};
/// use sclsd_graph::{Prior, Transition, TransitionError};
///
/// /// Cells go to the neighbor with the heavier edge.
/// #[derive(Debug)]
/// struct ByWeight;
///
/// impl Prior for ByWeight {
///     fn transition(&self, graph: CsrView<'_>) -> Result<Transition, TransitionError> {
///         Transition::from_matrix(&graph.to_owned().map(|weight| f64::from(weight)))
///     }
/// }
///
/// let graph = Csr::from_rows(3, [vec![(1, 1.0_f32)], vec![(0, 1.0), (2, 3.0)], vec![(1, 1.0)]])?;
/// assert_eq!(ByWeight.transition((&graph).into())?.matrix().row(1).1, [0.25, 0.75]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Prior: Debug {
    /// Transition probabilities along a graph of cells, before terminal states are made absorbing.
    ///
    /// # Errors
    /// [`TransitionError`] names the cell or number that makes the transition invalid.
    fn transition(&self, graph: CsrView<'_>) -> Result<Transition, TransitionError>;
}

/// How a step of a walk depends on the difference in time Δτ between two neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StepKernel {
    /// exp(β Δτ): among later neighbours, the latest is preferred.
    #[default]
    Softmax,
    /// min(1, exp(β Δτ)), the Metropolis acceptance probability: later neighbours are equally likely, earlier ones
    /// rare.
    Metropolis,
}

impl Choice for StepKernel {
    const WHAT: &'static str = "step kernel";
    const ALL: &'static [Self] = &[Self::Softmax, Self::Metropolis];

    fn name(self) -> &'static str {
        match self {
            Self::Softmax => "softmax",
            Self::Metropolis => "metropolis",
        }
    }
}

impl fmt::Display for StepKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for StepKernel {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::named(name)
    }
}

/// A prior from pseudotime, optionally restricted by a phylogeny.
#[derive(Debug, Clone, Copy)]
pub struct ByPseudotime<'a> {
    /// Pseudotime of every cell.
    pub pseudotime: &'a [f64],
    /// β, in 1/pseudotime. At least 0.
    pub beta: f64,
    /// How a step depends on β and the difference in pseudotime.
    pub kernel: StepKernel,
    /// Whether the graph's weights multiply the step probabilities.
    pub weighted: bool,
    /// The phylogeny, the cluster of every cell, and how far down the phylogeny one step may lead.
    pub phylogeny: Option<(&'a Phylogeny, &'a Categorical, Descent)>,
}

impl Prior for ByPseudotime<'_> {
    fn transition(&self, graph: CsrView<'_>) -> Result<Transition, TransitionError> {
        let bias = match self.kernel {
            StepKernel::Softmax => self.beta,
            StepKernel::Metropolis => 0.0,
        };
        let made = match self.phylogeny {
            None => Transition::from_pseudotime(graph, self.pseudotime, bias)?,
            Some((phylogeny, clusters, descent)) => {
                Transition::from_phylogeny(graph, self.pseudotime, bias, phylogeny, clusters, descent)?
            }
        };
        let made = if self.weighted { made.weighted_by(graph)? } else { made };
        match self.kernel {
            StepKernel::Softmax => Ok(made),
            StepKernel::Metropolis => made.metropolis(self.pseudotime, self.beta),
        }
    }
}
