//! The record of the training run in a result, `uns["sclsd"]`: version, configuration, history, phylogeny.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use sclsd::data::{Dataset, Inspection, Keys, Uns, read_h5ad};
use sclsd::graph::Phylogeny;
use sclsd::infer::{Ensemble, EpochRecord, TrainSpec};

use super::time::used_time;

/// Key of the record in `uns`.
pub(super) const KEY: &str = "sclsd";

/// Column of obs with the prior time that a small model computed.
pub(super) const PRIOR_TIME: &str = "prior_pseudotime";
/// Element of obsp with the transitions of the walks, if the user gave them as a matrix (`--prior`).
pub(super) const PRIOR_MATRIX: &str = "prior_transitions";
/// Column of obs with the terminal state of every terminal cell.
pub(super) const TERMINAL: &str = "terminal_states";

/// What directed walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PriorKind {
    /// A time of the file.
    Given,
    /// A time that was made.
    Made,
    /// A matrix of the user's own.
    Own,
}

impl PriorKind {
    /// Its name in a file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Given => "time",
            Self::Made => "bootstrap",
            Self::Own => "matrix",
        }
    }

    /// The kind of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Given, Self::Made, Self::Own].into_iter().find(|kind| kind.name() == name)
    }
}

/// A run as recorded in its result.
pub(super) struct Record {
    pub spec: TrainSpec,
    /// The configuration as stored in the file.
    pub config: serde_json::Value,
    /// Values by epoch, under their names in the file.
    pub history: BTreeMap<String, Vec<f64>>,
    pub phylogeny: Option<Phylogeny>,
    /// Whether the user's own matrix, [`PRIOR_MATRIX`], directed the walks, and not a time.
    pub own_prior: bool,
}

impl Record {
    /// Column of obs with the time that directed the walks; `None` if a matrix did.
    pub(super) fn time_key(&self) -> Option<&str> {
        (!self.own_prior).then_some(self.spec.keys.time.as_str())
    }

    /// The time that directed the walks, scaled and smoothed as in the training; `None` if a matrix did, or if the file
    /// lacks the time.
    pub(super) fn time(&self, data: &Dataset) -> anyhow::Result<Option<Vec<f64>>> {
        match self.time_key() {
            Some(key) if data.obs.get(key).is_some() => used_time(data, &self.spec).map(Some),
            _ => Ok(None),
        }
    }
}

/// The record of a file; `has` lists the elements of the file.
pub(super) fn of_file(path: &Path, has: &Inspection) -> anyhow::Result<Option<Record>> {
    if !has.has("uns", KEY) {
        return Ok(None);
    }
    read(&read_h5ad(path, &Keys { uns: vec![KEY.into()], ..Keys::none() })?)
}

/// Reads what [`write`] wrote; `None` if the file is not a result of training.
pub(super) fn read(data: &Dataset) -> anyhow::Result<Option<Record>> {
    let Some(Uns::Map(entries)) = data.uns.get(KEY) else { return Ok(None) };
    let Some(Uns::Text(config)) = entries.get("config") else { return Ok(None) };
    let place = "uns[\"sclsd\"][\"config\"]";
    let config: serde_json::Value = serde_json::from_str(config).context(place)?;
    let mut spec: TrainSpec = serde_json::from_value(config.clone()).context(place)?;
    let prior = match entries.get("prior") {
        Some(Uns::Text(prior)) => PriorKind::named(prior),
        _ => None,
    };
    if prior == Some(PriorKind::Made) {
        // in files of earlier versions, whose configuration says what was asked for
        as_bootstrapped(&mut spec);
    }
    let own_prior = prior == Some(PriorKind::Own);
    let history = match entries.get("history") {
        Some(Uns::Map(curves)) => {
            curves.iter().filter_map(|(name, curve)| Some((name.clone(), floats(curve)?))).collect()
        }
        _ => BTreeMap::new(),
    };
    let phylogeny = match entries.get("phylogeny") {
        Some(Uns::Text(text)) => {
            let place = "uns[\"sclsd\"][\"phylogeny\"]";
            Some(Phylogeny::new(serde_json::from_str(text).context(place)?).context(place)?)
        }
        _ => None,
    };
    Ok(Some(Record { spec, config, history, phylogeny, own_prior }))
}

/// Names the time that a small model computed, which is stored scaled and smoothed.
fn as_bootstrapped(spec: &mut TrainSpec) {
    spec.keys.time = PRIOR_TIME.into();
    (spec.prior.scale_time, spec.prior.smooth_time) = (false, 0);
}

fn floats(value: &Uns) -> Option<Vec<f64>> {
    match value {
        Uns::Floats(_, values) => Some(values.clone()),
        _ => None,
    }
}

/// Version of `uns["sclsd"]` (docs/formats.md); files without one are older and read alike.
const FORMAT_VERSION: i64 = 1;

/// What is recorded of the run in `uns["sclsd"]`: version, configuration with the prior that was used, history, the
/// phylogeny that bounded the walks, and of several members their number; configuration and history are the first's.
pub(super) fn write(run: &Ensemble, prior: PriorKind, phylogeny: Option<&Phylogeny>) -> anyhow::Result<Uns> {
    let fit = run.first().context("the run has no member")?;
    let epochs = fit.history.len();
    let curve = |f: &dyn Fn(&EpochRecord) -> f64| Uns::Floats(vec![epochs], fit.history.iter().map(f).collect());
    let mut history = BTreeMap::from([
        ("loss".to_owned(), curve(&|r| r.loss.total())),
        ("potential_rise".to_owned(), curve(&|r| r.potential_rise)),
        ("entropy_rise".to_owned(), curve(&|r| r.entropy_rise)),
        ("learning_rate".to_owned(), curve(&|r| r.learning_rate)),
    ]);
    if fit.history.iter().any(|record| record.held_out.is_some()) {
        history.insert("loss_held_out".to_owned(), curve(&|r| r.held_out.unwrap_or(f64::NAN)));
    }
    for (i, (name, _)) in sclsd::infer::Loss::default().terms().into_iter().enumerate() {
        history.insert(format!("loss_{name}"), curve(&|r| r.loss.terms()[i].1));
    }
    let mut used = fit.spec.clone();
    if prior == PriorKind::Made {
        as_bootstrapped(&mut used);
    }
    let mut config = serde_json::to_value(&used)?;
    if prior == PriorKind::Own
        && let Some(keys) = config.get_mut("keys").and_then(serde_json::Value::as_object_mut)
    {
        keys.remove("time");
    }
    let mut record = BTreeMap::from([
        ("format_version".to_owned(), Uns::Integers(Vec::new(), vec![FORMAT_VERSION])),
        ("version".to_owned(), Uns::Text(env!("CARGO_PKG_VERSION").to_owned())),
        ("config".to_owned(), Uns::Text(config.to_string())),
        ("history".to_owned(), Uns::Map(history)),
        ("prior".to_owned(), Uns::Text(prior.name().to_owned())),
    ]);
    if run.count > 1 {
        let count = i64::try_from(run.count).unwrap_or(i64::MAX);
        record.insert("members".to_owned(), Uns::Integers(Vec::new(), vec![count]));
        record.insert("bootstrap".to_owned(), Uns::Booleans(Vec::new(), vec![run.bootstrap]));
    }
    if let Some(phylogeny) = phylogeny {
        record.insert("phylogeny".to_owned(), Uns::Text(serde_json::to_string(phylogeny.children())?));
    }
    Ok(Uns::Map(record))
}
