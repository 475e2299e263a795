//! The prior of a training run, which directs the walks: a time, a phylogeny, both, or the user's own matrix.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sclsd::Device;
use sclsd::data::{Dataset, read_matrix_market};
use sclsd::graph::{
    InferPhylogenySpec, Leaves, Phylogeny, Terminal, TerminalError, TerminalSpec, Transition, infer_phylogeny, leiden,
    steps_to_absorption,
};
use sclsd::infer::{Bootstrap, BootstrapSpec, Event, TrainSpec};

use super::prior::{Prior, transition};
use super::reading::read_text;
use super::record::{PRIOR_MATRIX, Record};
use super::time::{given_time, smoothed, used_time};
use crate::args::TrainArgs;
use crate::progress::{Output, Progress};
use crate::signals::{StopAfterStep, Stopped};

/// What was chosen on the command line.
#[derive(Debug, Default)]
pub(super) struct PriorChoice {
    phylogeny: PhylogenyChoice,
    /// A small model that computes the prior time, and the device that trains it.
    bootstrap: Option<(BootstrapSpec, Device)>,
    matrix: Option<PathBuf>,
    /// Whether the prior of a finished run was the user's own matrix, which its result stores.
    own: bool,
    /// Whether `--cluster-key` was given: the column must then exist, even if nothing needs it.
    clusters_named: bool,
}

#[derive(Debug, Default)]
enum PhylogenyChoice {
    #[default]
    None,
    Given(Phylogeny),
    Inferred {
        root: String,
        spec: InferPhylogenySpec,
    },
}

impl PriorChoice {
    pub(super) fn new(args: &TrainArgs, device: Device) -> anyhow::Result<Self> {
        let phylogeny = match (&args.phylogeny, &args.infer_phylogeny) {
            (Some(path), _) => PhylogenyChoice::Given(read_phylogeny(path)?),
            (None, Some(root)) => {
                let random_state = InferPhylogenySpec::default().random_state;
                let spec = InferPhylogenySpec { ratio: args.ratio, hot_ratio: args.hot_ratio, random_state };
                PhylogenyChoice::Inferred { root: root.clone(), spec }
            }
            (None, None) => PhylogenyChoice::None,
        };
        if args.bootstrap_prior && matches!(phylogeny, PhylogenyChoice::None) {
            bail!("--bootstrap-prior needs a phylogeny: give --phylogeny FILE or --infer-phylogeny ROOT_CLUSTER");
        }
        let spec = || BootstrapSpec {
            num_epochs: args.bootstrap_epochs,
            per_branch: args.bootstrap_per_branch,
            ..BootstrapSpec::default()
        };
        let bootstrap = args.bootstrap_prior.then(|| (spec(), device));
        let clusters_named = args.cluster_key.is_some();
        Ok(Self { phylogeny, bootstrap, matrix: args.prior.clone(), own: false, clusters_named })
    }

    /// The prior of a finished run, as its result records it.
    pub(super) fn recorded(record: &Record) -> Self {
        let phylogeny = record.phylogeny.clone().map_or(PhylogenyChoice::None, PhylogenyChoice::Given);
        Self { phylogeny, own: record.own_prior, ..Self::default() }
    }

    /// The transitions without terminal states.
    pub(super) fn unending(&self, data: &Dataset, spec: &TrainSpec) -> anyhow::Result<Transition> {
        if self.own {
            return own_matrix(data);
        }
        let phylogeny = match &self.phylogeny {
            PhylogenyChoice::Given(phylogeny) => Some(phylogeny),
            _ => None,
        };
        transition(data, spec, &used_time(data, spec)?, phylogeny)
    }

    /// Columns of obs that the prior reads.
    pub(super) fn columns(&self, spec: &TrainSpec) -> Vec<String> {
        let time = (self.bootstrap.is_none() && self.matrix.is_none()).then(|| spec.keys.time.clone());
        let ends = matches!(spec.prior.terminal, TerminalSpec::Clusters(_));
        let clusters = (ends || self.clusters_named || !matches!(self.phylogeny, PhylogenyChoice::None))
            .then(|| spec.keys.clusters.clone());
        time.into_iter().chain(clusters).collect()
    }

    pub(super) fn make(&self, data: &Dataset, spec: &TrainSpec, output: Output) -> anyhow::Result<Prior> {
        let matrix = match &self.matrix {
            Some(path) => Some(from_matrix(path, data)?),
            None if self.own => Some(own_matrix(data)?),
            None => None,
        };
        if let Some(transition) = matrix {
            return Ok(Prior { transition, time: None, bootstrapped: false, phylogeny: None, terminal: None });
        }
        let phylogeny = self.phylogeny(data, spec, output)?;
        let time = match (&self.bootstrap, &phylogeny) {
            (Some((bootstrap, device)), Some(phylogeny)) => {
                let bootstrap = BootstrapSpec { random_state: spec.random_state, ..bootstrap.clone() };
                bootstrapped(data, spec, phylogeny, bootstrap, *device, output)?
            }
            _ => given_time(data, spec)?,
        };
        let time = smoothed(data, spec, time)?;
        let unending = transition(data, spec, &time, phylogeny.as_ref())?;
        let terminal = terminal(data, spec, &time, phylogeny.as_ref(), &unending, output)?;
        let transition = terminal.as_ref().map_or_else(|| unending.clone(), |terminal| unending.absorbing(terminal));
        let bootstrapped = self.bootstrap.is_some();
        Ok(Prior { transition, time: Some(time), bootstrapped, phylogeny, terminal })
    }

    fn phylogeny(&self, data: &Dataset, spec: &TrainSpec, output: Output) -> anyhow::Result<Option<Phylogeny>> {
        match &self.phylogeny {
            PhylogenyChoice::None => Ok(None),
            PhylogenyChoice::Given(phylogeny) => Ok(Some(phylogeny.clone())),
            PhylogenyChoice::Inferred { root, spec: choice } => {
                let clusters = data.groups(&spec.keys.clusters)?;
                let graph = data.graph(&spec.keys.connectivities)?;
                let found = infer_phylogeny(data.expression()?, graph, &clusters, root, choice)
                    .with_context(|| format!("obs[\"{}\"]", spec.keys.clusters))?;
                let edges = found.children().iter().flat_map(|(p, c)| c.iter().map(move |c| format!("{p} > {c}")));
                output.note(format!("inferred phylogeny: {}", edges.collect::<Vec<_>>().join(", ")));
                Ok(Some(found))
            }
        }
    }
}

/// The prior time that a small model computes, unless a signal stops the training.
fn bootstrapped(
    data: &Dataset,
    spec: &TrainSpec,
    phylogeny: &Phylogeny,
    bootstrap: BootstrapSpec,
    device: Device,
    output: Output,
) -> anyhow::Result<Vec<f64>> {
    output.note(format!("computing the prior time: {} epochs of a small model", bootstrap.num_epochs));
    let progress = Progress::new(output, 0, bootstrap.num_epochs);
    let stop = StopAfterStep::begin();
    let observe = |event: Event<'_>| {
        progress.show(&event);
        if stop.asked().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let time = Bootstrap::new(bootstrap).device(device).observe(observe).time(data, &spec.keys, phylogeny);
    progress.finish();
    match stop.end() {
        Some(signal) => {
            let place = "while the prior time was computed: nothing is saved, and the same command starts again".into();
            Err(Stopped { signal, place }.into())
        }
        None => Ok(time?),
    }
}

/// The terminal states, with a note on which they are and why.
fn terminal(
    data: &Dataset,
    spec: &TrainSpec,
    time: &[f64],
    phylogeny: Option<&Phylogeny>,
    unending: &Transition,
    output: Output,
) -> anyhow::Result<Option<Terminal>> {
    let place = || format!("obs[\"{}\"]", spec.keys.clusters);
    let graph = data.graph(&spec.keys.connectivities)?;
    let clusters = match (&spec.prior.terminal, data.obs.get(&spec.keys.clusters)) {
        (TerminalSpec::None, _) => return Ok(None),
        (TerminalSpec::Auto, None) => {
            output.note(format!(
                "{} is missing: terminal states are looked for among clusters computed by the Leiden algorithm",
                place()
            ));
            leiden(graph, 1.0, spec.random_state)?
        }
        _ => data.groups(&spec.keys.clusters)?,
    };
    let (names, why) = match (&spec.prior.terminal, phylogeny.map(Phylogeny::leaves)) {
        (TerminalSpec::Clusters(names), _) => (names.clone(), "as named".to_owned()),
        (_, Some(leaves)) if !leaves.is_empty() => (leaves, "leaves of the phylogeny".to_owned()),
        _ => match Leaves::find(graph, &clusters, time) {
            Ok(leaves) => (leaves.names(), "clusters from which no later cluster descends".to_owned()),
            Err(TerminalError::NoStates) => {
                output.note(
                    "warning: no terminal state was found, because no cluster is clearly later than its neighbors. Walks do \
                     not end, and fates cannot be computed. Name the final clusters with --terminal",
                );
                return Ok(None);
            }
            Err(error) => return Err(error).with_context(place),
        },
    };
    let terminal = Terminal::latest(&clusters, time, &names).with_context(place)?;
    terminal.check_entered(graph).with_context(|| format!("obsp[\"{}\"]", spec.keys.connectivities))?;
    let sizes = terminal.sizes();
    let listed = names.iter().zip(&sizes).map(|(name, n)| format!("{name} ({n} cells)"));
    output.note(format!("terminal states, {why}: {}", listed.collect::<Vec<_>>().join(", ")));
    if names.len() == 1 {
        output.note(format!(
            "warning: {} is the only terminal state, so it is the only possible fate; name others with --terminal \
             if there are any",
            names[0]
        ));
    }
    // only for a warning: if the solver does not converge, training continues
    let steps = steps_to_absorption(unending.matrix(), &terminal).unwrap_or_default();
    let lost = steps.iter().filter(|steps| steps.is_infinite()).count();
    if lost > 0 {
        let why = match phylogeny {
            Some(_) => "the phylogeny or the graph does not connect them to one",
            None => "the graph has disconnected parts",
        };
        output.note(format!(
            "warning: {lost} of {} cells cannot reach a terminal state, because {why}. Name a terminal cluster in each \
             part with --terminal",
            data.n_cells()
        ));
    }
    Ok(Some(terminal))
}

fn from_matrix(path: &Path, data: &Dataset) -> anyhow::Result<Transition> {
    let weights = read_matrix_market(path)?;
    let (rows, columns, cells) = (weights.n_rows(), weights.n_cols(), data.n_cells());
    if rows != cells || columns != cells {
        bail!("{} is {rows} × {columns}, but there are {cells} cells", path.display());
    }
    Transition::from_matrix(&weights).with_context(|| path.display().to_string())
}

/// The matrix that directed the walks of a finished run.
fn own_matrix(data: &Dataset) -> anyhow::Result<Transition> {
    let Some(weights) = data.obsp.get(PRIOR_MATRIX) else {
        bail!(
            "the model's walks were directed by a matrix (--prior), which the file does not have in \
             obsp[\"{PRIOR_MATRIX}\"]"
        );
    };
    Transition::from_matrix(&weights.map(f64::from)).with_context(|| format!("obsp[\"{PRIOR_MATRIX}\"]"))
}

fn read_phylogeny(path: &Path) -> anyhow::Result<Phylogeny> {
    let (text, shown) = (read_text(path)?, path.display());
    let children: BTreeMap<String, Vec<String>> = serde_json::from_str(&text)
        .map_err(|error| anyhow::anyhow!("{shown} is not JSON of the form {{\"parent\": [\"child\"]}}: {error}"))?;
    Phylogeny::new(children).with_context(|| shown.to_string())
}
