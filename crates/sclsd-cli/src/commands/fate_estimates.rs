//! Estimates of the fates of a result's cells, by any method, for several commands.

use std::collections::BTreeMap;

use anyhow::Context;
use sclsd::analysis::{
    Absorbed, DriftDirected, EndOfFlow, FateMethod, FateProbabilities, NeighborVote, drift, sigma_of_walks,
};
use sclsd::data::{Additions, Categorical, Column, Dataset, Inspection, Keys, Uns, pca};
use sclsd::graph::{Leaves, Phylogeny, Terminal, Transition};
use sclsd::infer::{Checkpoint, PriorSpec, StepKernel, TrainSpec};
use sclsd::plot::group_colors;

use super::fate_paths::{self, FatePaths};
use super::prior_choice::PriorChoice;
use super::record::{KEY, PRIOR_MATRIX, Record, TERMINAL};
use crate::args::{FateMethodArg, SdeArgs};
use crate::progress::Output;

/// Probabilities by the chosen method.
pub(super) const PROBABILITIES: &str = "fate_probabilities";
/// Absorption of the prior.
pub(super) const BY_PRIOR: &str = "fate_probabilities_prior";
/// Vote of the nearest terminal cells.
pub(super) const BY_NEIGHBORS: &str = "fate_probabilities_neighbors";

/// Terminal cells that vote in the baseline and at the end of the flow.
const VOTERS: usize = 15;
/// Sharpness of the drift's preference for neighbors in its direction.
const SOFTMAX_SCALE: f64 = 10.0;
/// Principal components for the neighbor search, if the file has none.
const N_PCS: usize = 50;

/// What fates are estimated from.
pub(super) struct FateEstimator<'a> {
    pub data: &'a Dataset,
    pub record: Option<&'a Record>,
    pub checkpoint: Option<&'a Checkpoint>,
    /// β of the absorbed walks, in 1/pseudotime.
    pub beta: f64,
    /// Weight of the prior's steps in the walks of method `transitions`; `None`: [`PRIOR_WEIGHT`], or 0 if the file
    /// does not have the prior.
    pub prior_weight: Option<f64>,
    pub output: Output,
}

/// Default of `--prior-weight`, the weight of the prior's steps in the walks of method `transitions`: the prior
/// counteracts the potential of a training that is biased to one branch. `docs/fates.md` compares this with the model
/// alone.
pub(crate) const PRIOR_WEIGHT: f64 = 0.5;

/// The elements of a file that estimates of fates need; `spec` is the configuration of the run.
pub(super) fn keys(has: &Inspection, spec: &TrainSpec, cluster_key: Option<&String>) -> Keys {
    let present = |slot: &'static str, keys: &[&str]| -> Vec<String> {
        keys.iter().filter(|key| has.has(slot, key)).map(ToString::to_string).collect()
    };
    let mut obs = present("obs", &[TERMINAL, &spec.keys.time, &spec.keys.clusters, "lsd_pseudotime"]);
    obs.extend(cluster_key.cloned());
    obs.sort();
    obs.dedup();
    let pcs = present("obsm", &["X_pca"]);
    Keys {
        x: pcs.is_empty(),
        obs,
        obsm: pcs.into_iter().chain(present("obsm", &["X_cell_state"])).collect(),
        obsp: present("obsp", &[&spec.keys.connectivities, "transitions", PRIOR_MATRIX]),
        uns: present("uns", &[KEY]),
        ..Keys::none()
    }
}

/// Probabilities, and the named numbers that they depend on.
pub(super) struct Estimate {
    pub found: FateProbabilities,
    pub about: Vec<(&'static str, Uns)>,
}

impl FateEstimator<'_> {
    fn spec(&self) -> TrainSpec {
        let recorded = self.record.map(|record| record.spec.clone());
        recorded.or_else(|| self.checkpoint.map(|c| c.spec.clone())).unwrap_or_default()
    }

    /// The terminal states: those of `names`, else those of the run, else those found from the graph.
    pub(super) fn terminal(&self, names: &[String], cluster_key: Option<&str>) -> anyhow::Result<Terminal> {
        let spec = self.spec();
        if names.is_empty()
            && let Some(column) = self.data.obs.get(TERMINAL)
        {
            let sets =
                column.to_categorical().with_context(|| format!("obs[\"{TERMINAL}\"] has no names of states"))?;
            return Terminal::new(&sets).with_context(|| format!("obs[\"{TERMINAL}\"]"));
        }
        let key = cluster_key
            .context("the column of obs with the clusters is not known; name the column with --cluster-key")?;
        let clusters = self.data.groups(key)?;
        let time = self.time()?;
        let names = match (names, self.phylogeny().map(Phylogeny::leaves)) {
            ([], Some(leaves)) if !leaves.is_empty() => leaves,
            ([], _) => Leaves::find(self.data.graph(&spec.keys.connectivities)?, &clusters, &time)
                .with_context(|| format!("obs[\"{key}\"]; name terminal clusters with --terminal"))?
                .names(),
            (names, _) => names.to_vec(),
        };
        let terminal = Terminal::latest(&clusters, &time, &names).with_context(|| format!("obs[\"{key}\"]"))?;
        terminal
            .check_entered(self.data.graph(&spec.keys.connectivities)?)
            .with_context(|| format!("obsp[\"{}\"]", spec.keys.connectivities))?;
        Ok(terminal)
    }

    fn phylogeny(&self) -> Option<&Phylogeny> {
        self.record.and_then(|record| record.phylogeny.as_ref())
    }

    /// The time that directed the run's walks, or the model's pseudotime, if the file does not record or contain that
    /// time.
    fn time(&self) -> anyhow::Result<Vec<f64>> {
        match self.record.map(|record| record.time(self.data)).transpose()?.flatten() {
            Some(time) => Ok(time),
            None => Ok(self.data.numbers("lsd_pseudotime")?),
        }
    }

    /// Fates by one method.
    pub(super) fn estimate(
        &self,
        method: FateMethodArg,
        terminal: &Terminal,
        time_range: f64,
        sde: &SdeArgs,
    ) -> anyhow::Result<Estimate> {
        let float = |value: f64| Uns::Floats(Vec::new(), vec![value]);
        let mut about = Vec::new();
        if matches!(method, FateMethodArg::Prior | FateMethodArg::Transitions) {
            about.push(("beta", float(self.beta)));
        }
        let found = match method {
            FateMethodArg::Prior => {
                Absorbed { transitions: self.prior_of_fates()?.matrix() }.probabilities(terminal)?
            }
            FateMethodArg::Neighbors => self.neighbors(terminal)?,
            FateMethodArg::Transitions => {
                let (transitions, weight) = self.combined()?;
                about.push(("prior_weight", float(weight)));
                Absorbed { transitions: transitions.matrix() }.probabilities(terminal)?
            }
            FateMethodArg::Drift => {
                let states = &self.data.obsm["X_cell_state"];
                let method = DriftDirected {
                    drift: &drift(&self.checkpoint()?.model, states)?,
                    cell_state: states,
                    connectivities: self.data.graph(&self.spec().keys.connectivities)?,
                    softmax_scale: SOFTMAX_SCALE,
                };
                method.probabilities(terminal)?
            }
            FateMethodArg::Flow => {
                let checkpoint = self.checkpoint()?;
                let method = EndOfFlow {
                    model: &checkpoint.model,
                    cell_state: &self.data.obsm["X_cell_state"],
                    time_range,
                    k: VOTERS,
                    ode: &checkpoint.spec.ode.clone().check()?,
                };
                method.probabilities(terminal)?
            }
            FateMethodArg::Sde => {
                let (found, settings) = self.paths(terminal, time_range, sde)?.absorbed(self.output)?;
                about.extend(settings);
                found
            }
        };
        Ok(Estimate { found, about })
    }

    fn checkpoint(&self) -> anyhow::Result<&Checkpoint> {
        self.checkpoint.context("this method follows the drift of the model; give the model with --model")
    }

    /// Paths with noise, whose σ is that of the walks of the training in z unless it is given.
    pub(super) fn paths<'b>(
        &'b self,
        terminal: &'b Terminal,
        time_range: f64,
        args: &SdeArgs,
    ) -> anyhow::Result<FatePaths<'b>> {
        let (model, states) = (&self.checkpoint()?.model, &self.data.obsm["X_cell_state"]);
        let measured = || -> anyhow::Result<f64> {
            let walks = self.prior()?.absorbing(terminal).walks(&self.spec().walks.check()?);
            Ok(sigma_of_walks(&drift(model, states)?, states, &walks))
        };
        let sigma = args.sigma.map_or_else(measured, Ok).context("σ cannot be measured on walks; give --sigma")?;
        Ok(FatePaths { model, states, terminal, spec: fate_paths::spec(args, sigma, time_range)? })
    }

    fn neighbors(&self, terminal: &Terminal) -> anyhow::Result<FateProbabilities> {
        let computed;
        let points = match self.data.obsm.get("X_pca") {
            Some(points) => points,
            None => {
                computed =
                    pca(self.data.expression()?, N_PCS.min(self.data.n_cells().min(self.data.n_genes()) - 1)).scores;
                &computed
            }
        };
        NeighborVote { points, k: VOTERS }.probabilities(terminal).context("obsm[\"X_pca\"]")
    }

    fn recorded(&self) -> anyhow::Result<&Record> {
        self.record
            .context("the file does not record the prior of the training, which sclsd train writes to uns[\"sclsd\"]")
    }

    /// The prior's transitions, without terminal states.
    pub(super) fn prior(&self) -> anyhow::Result<Transition> {
        let record = self.recorded()?;
        PriorChoice::recorded(record).unending(self.data, &record.spec)
    }

    /// The prior's transitions for absorbed walks: with the Metropolis kernel at [`beta`](Self::beta), weighted by the
    /// graph.
    fn prior_of_fates(&self) -> anyhow::Result<Transition> {
        let record = self.recorded()?;
        let mut spec = record.spec.clone();
        spec.prior = PriorSpec { beta: self.beta, kernel: StepKernel::Metropolis, weighted: true, ..spec.prior };
        PriorChoice::recorded(record).unending(self.data, &spec)
    }

    /// The model's transitions at the same β as the prior's: V has no scale of its own, so β multiplies differences of
    /// `lsd_pseudotime`, which is −V scaled to 0…1.
    fn transitions(&self) -> anyhow::Result<Transition> {
        let spec = self.spec();
        let graph = self.data.graph(&spec.keys.connectivities)?;
        let time = self.data.numbers("lsd_pseudotime")?;
        let place = || format!("obsp[\"{}\"]", spec.keys.connectivities);
        let unbiased = Transition::from_pseudotime(graph, &time, 0.0).with_context(place)?;
        unbiased.weighted_by(graph).and_then(|p| p.metropolis(&time, self.beta)).with_context(place)
    }

    /// Transitions of the model mixed with those of the prior, and the weight of the prior; the model's alone if the
    /// file does not have the prior and `--prior-weight` was not given.
    fn combined(&self) -> anyhow::Result<(Transition, f64)> {
        let own = self.transitions()?;
        let weight = self.prior_weight.unwrap_or(PRIOR_WEIGHT);
        if weight <= 0.0 {
            return Ok((own, 0.0));
        }
        match self.prior_of_fates() {
            Ok(prior) => Ok((own.combined(&prior, weight), weight)),
            Err(error) if self.prior_weight.is_some() => Err(error.context("--prior-weight")),
            Err(error) => {
                self.output.note(format!("fates are computed from the model's transitions alone: {error:#}"));
                Ok((own, 0.0))
            }
        }
    }

    /// Fates by the prior and by neighbors, if they can be estimated, to compare the model with.
    pub(super) fn baselines(&self, terminal: &Terminal) -> Vec<(&'static str, FateProbabilities)> {
        [(BY_PRIOR, FateMethodArg::Prior), (BY_NEIGHBORS, FateMethodArg::Neighbors)]
            .into_iter()
            .filter_map(|(key, method)| match self.estimate(method, terminal, 0.0, &SdeArgs::default()) {
                Ok(fates) => Some((key, fates.found)),
                Err(error) => {
                    self.output.note(format!("obsm[\"{key}\"] is not written: {error:#}"));
                    None
                }
            })
            .collect()
    }
}

/// The terminal states, in the colors of the clusters of the same names.
pub(super) fn colored(fates: Categorical, clusters: Option<&Categorical>) -> Categorical {
    let own = group_colors(&fates);
    let hex = |[r, g, b]: [u8; 3]| format!("#{r:02x}{g:02x}{b:02x}");
    let of = clusters.map(|clusters| (clusters, group_colors(clusters)));
    let color = |(k, name): (usize, &String)| {
        let place =
            of.as_ref().and_then(|(c, colors)| c.categories().iter().position(|n| n == name).map(|at| colors[at]));
        hex(place.unwrap_or(own[k]))
    };
    let colors = fates.categories().iter().enumerate().map(color).collect();
    fates.with_colors(colors)
}

/// Version of `uns["fate_probabilities"]` (docs/formats.md).
const FORMAT_VERSION: i64 = 1;

/// All elements about fates that are added to a result.
pub(super) fn additions(
    Estimate { found: fates, about: settings }: &Estimate,
    method: &str,
    baselines: &[(&'static str, FateProbabilities)],
    clusters: Option<&Categorical>,
) -> Additions {
    let column = colored(fates.column(), clusters);
    let texts = |texts: &[String]| Uns::Texts(vec![texts.len()], texts.to_vec());
    let mut about = BTreeMap::from([
        ("names".to_owned(), texts(fates.names())),
        ("colors".to_owned(), texts(column.colors())),
        ("method".to_owned(), Uns::Text(method.to_owned())),
        ("format_version".to_owned(), Uns::Integers(Vec::new(), vec![FORMAT_VERSION])),
    ]);
    about.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let mut added = Additions {
        obs: vec![
            ("fate".into(), Column::Categorical(column)),
            ("fate_entropy".into(), Column::Float(fates.entropy())),
        ],
        ..Additions::default()
    };
    added.obsm.insert(PROBABILITIES.into(), fates.matrix());
    added.obsm.extend(baselines.iter().map(|(key, found)| ((*key).to_owned(), found.matrix())));
    added.uns.insert(PROBABILITIES.into(), Uns::Map(about));
    added
}

/// The probabilities that a file has under a key, with the names of the fates.
pub(super) fn stored(data: &Dataset, key: &str) -> Option<FateProbabilities> {
    let Some(Uns::Map(about)) = data.uns.get(PROBABILITIES) else { return None };
    let Some(Uns::Texts(_, names)) = about.get("names") else { return None };
    let values = data.obsm.get(key).filter(|m| m.n_cols() == names.len())?;
    FateProbabilities::from_rows(names.clone(), values.values().iter().map(|&v| f64::from(v)).collect()).ok()
}

/// The method that estimated a file's probabilities.
pub(super) fn stored_method(data: &Dataset) -> Option<String> {
    match data.uns.get(PROBABILITIES) {
        Some(Uns::Map(about)) => match about.get("method") {
            Some(Uns::Text(method)) => Some(method.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// True probabilities in the order of the fates, from obs `true_fate_<name>`; `None` if the file lacks one of them.
pub(super) fn truth(data: &Dataset, fates: &FateProbabilities) -> anyhow::Result<Option<Vec<f64>>> {
    let key = |name: &String| format!("true_fate_{}", name.replace(' ', "_"));
    if fates.names().iter().any(|name| data.obs.get(&key(name)).is_none()) {
        return Ok(None);
    }
    let columns = fates.names().iter().map(|name| Ok(data.numbers(&key(name))?)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Some((0..data.n_cells()).flat_map(|cell| columns.iter().map(move |column| column[cell])).collect()))
}
