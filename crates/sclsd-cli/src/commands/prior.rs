//! Transitions of the walks of a training run, and what they were made of.

use anyhow::bail;
use sclsd::data::Dataset;
use sclsd::graph::{ByPseudotime, GraphError, Phylogeny, Prior as _, Terminal, Transition, TransitionError};
use sclsd::infer::TrainSpec;

/// Transitions and what they were made of.
pub(super) struct Prior {
    pub transition: Transition,
    /// Time of every cell, where there is one.
    pub time: Option<Vec<f64>>,
    /// Whether the time was made here, and is to be kept.
    pub bootstrapped: bool,
    pub phylogeny: Option<Phylogeny>,
    /// Where walks end; nothing where they do not.
    pub terminal: Option<Terminal>,
}

impl Prior {
    /// The same by other settings of its transitions: time, phylogeny and terminal states stay.
    pub(super) fn again(self, data: &Dataset, spec: &TrainSpec) -> anyhow::Result<Self> {
        let Some(time) = &self.time else { return Ok(self) };
        let unending = transition(data, spec, time, self.phylogeny.as_ref())?;
        let transition = match &self.terminal {
            Some(terminal) => unending.absorbing(terminal),
            None => unending,
        };
        Ok(Self { transition, ..self })
    }
}

/// Steps by a time, before walks end.
pub(super) fn transition(
    data: &Dataset,
    spec: &TrainSpec,
    time: &[f64],
    phylogeny: Option<&Phylogeny>,
) -> anyhow::Result<Transition> {
    let (keys, choice) = (&spec.keys, &spec.prior);
    let graph = data.graph(&keys.connectivities)?;
    let clusters = phylogeny.map(|_| data.groups(&keys.clusters)).transpose()?;
    let prior = ByPseudotime {
        pseudotime: time,
        beta: choice.beta,
        kernel: choice.kernel,
        weighted: choice.weighted,
        phylogeny: phylogeny.zip(clusters.as_ref()).map(|(phylogeny, clusters)| (phylogeny, clusters, choice.descent)),
    };
    let made = prior.transition(graph.into()).map_err(|error| match error {
        TransitionError::Isolated { cell, isolated } => anyhow::anyhow!(
            "obsp[\"{}\"]: cell {} has no neighbour ({isolated} such cells in all); remove them or rebuild the graph",
            keys.connectivities,
            data.obs.names[cell]
        ),
        time @ (TransitionError::ConstantTime { .. } | TransitionError::Time { .. }) => {
            anyhow::Error::new(time).context(format!("obs[\"{}\"]", keys.time))
        }
        TransitionError::Graph(GraphError::Weight { from, to, weight }) => anyhow::anyhow!(
            "obsp[\"{}\"] has weight {weight} on the edge from cell {} to cell {}, expected a finite number of 0 or more; build \
             the graph anew, as sc.pp.neighbors(adata) does",
            keys.connectivities,
            data.obs.names[from],
            data.obs.names[to as usize]
        ),
        other => anyhow::Error::new(other).context(format!("obsp[\"{}\"]", keys.connectivities)),
    })?;
    if choice.require_all_cells && !made.dropped().is_empty() {
        bail!(
            "{} cells have no neighbour that the phylogeny lets them go to, the first is {}",
            made.dropped().len(),
            data.obs.names[made.dropped()[0]]
        );
    }
    Ok(made)
}
