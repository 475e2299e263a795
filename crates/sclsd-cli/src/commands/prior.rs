//! Transitions of the walks of a training run, and what they were computed from.

use anyhow::bail;
use sclsd::data::Dataset;
use sclsd::graph::{ByPseudotime, GraphError, Phylogeny, Prior as _, Terminal, Transition, TransitionError};
use sclsd::infer::TrainSpec;

/// Transitions and what they were computed from.
pub(super) struct Prior {
    pub transition: Transition,
    /// Time of each cell; `None` if a matrix directs the walks.
    pub time: Option<Vec<f64>>,
    /// Whether a small model computed the time, which is then stored in the result.
    pub bootstrapped: bool,
    pub phylogeny: Option<Phylogeny>,
    /// Where walks end; `None` if they do not end.
    pub terminal: Option<Terminal>,
}

impl Prior {
    /// Recomputes the transitions with other settings; time, phylogeny and terminal states stay the same.
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

/// Transitions directed by a time, without terminal states.
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
    let found = prior.transition(graph.into()).map_err(|error| match error {
        TransitionError::Isolated { cell, isolated } => anyhow::anyhow!(
            "obsp[\"{}\"]: cell {} has no neighbour ({isolated} such cells in all); remove them or rebuild the graph",
            keys.connectivities,
            data.obs.names[cell]
        ),
        time @ (TransitionError::ConstantTime { .. } | TransitionError::Time { .. }) => {
            anyhow::Error::new(time).context(format!("obs[\"{}\"]", keys.time))
        }
        TransitionError::Graph(GraphError::Weight { from, to, weight }) => anyhow::anyhow!(
            "obsp[\"{}\"] has weight {weight} on the edge from cell {} to cell {}, expected a finite number of 0 or more; \
             rebuild the graph, in scanpy with sc.pp.neighbors(adata)",
            keys.connectivities,
            data.obs.names[from],
            data.obs.names[to as usize]
        ),
        other => anyhow::Error::new(other).context(format!("obsp[\"{}\"]", keys.connectivities)),
    })?;
    if choice.require_all_cells && !found.dropped().is_empty() {
        bail!(
            "the phylogeny forbids all steps from {} cells to their neighbours, the first is cell {}; set \
             prior.require_all_cells=false to leave such cells out",
            found.dropped().len(),
            data.obs.names[found.dropped()[0]]
        );
    }
    Ok(found)
}
