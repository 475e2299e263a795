//! What a result says of the run it came from, in `uns["sclsd"]`: version, configuration, history, phylogeny.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use sclsd::data::{Dataset, Inspection, Keys, Uns, read_h5ad};
use sclsd::graph::Phylogeny;
use sclsd::infer::{Checkpoint, EpochRecord, TrainSpec};

use super::prior::Prior;

/// Where it stands in `uns`.
pub(super) const KEY: &str = "sclsd";

/// Column of obs with a prior time that was made by a small model.
pub(super) const PRIOR_TIME: &str = "prior_pseudotime";
/// What directed walks: a time of the file, a time that was made, or a matrix of the user's own.
const GIVEN: &str = "time";
const MADE: &str = "bootstrap";
const OWN: &str = "matrix";

/// A run as its result remembers it.
pub(super) struct Record {
    pub spec: TrainSpec,
    /// Values by epoch, under the names they have in the file.
    pub history: BTreeMap<String, Vec<f64>>,
    pub phylogeny: Option<Phylogeny>,
    /// Whether walks were directed by a matrix of the user's own, which the file does not have.
    pub own_prior: bool,
}

/// The record of a file that has been looked into.
pub(super) fn of_file(path: &Path, has: &Inspection) -> anyhow::Result<Option<Record>> {
    if !has.has("uns", KEY) {
        return Ok(None);
    }
    read(&read_h5ad(path, &Keys { uns: vec![KEY.into()], ..Keys::none() })?)
}

/// Reads what [`write`] wrote; nothing where the file was not trained here.
pub(super) fn read(data: &Dataset) -> anyhow::Result<Option<Record>> {
    let Some(Uns::Map(entries)) = data.uns.get(KEY) else { return Ok(None) };
    let Some(Uns::Text(config)) = entries.get("config") else { return Ok(None) };
    let mut spec: TrainSpec = serde_json::from_str(config).context("uns[\"sclsd\"][\"config\"]")?;
    let prior = match entries.get("prior") {
        Some(Uns::Text(prior)) => prior.as_str(),
        _ => GIVEN,
    };
    if prior == MADE {
        // it is stored as it was used
        spec.keys.time = PRIOR_TIME.into();
        (spec.prior.scale_time, spec.prior.smooth_time) = (false, 0);
    }
    let own_prior = prior == OWN;
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
    Ok(Some(Record { spec, history, phylogeny, own_prior }))
}

fn floats(value: &Uns) -> Option<Vec<f64>> {
    match value {
        Uns::Floats(_, values) => Some(values.clone()),
        _ => None,
    }
}

/// What is kept of the run in `uns["sclsd"]`: version, configuration, history, and the phylogeny that bounded the walks.
pub(super) fn write(fit: &Checkpoint, prior: &Prior) -> anyhow::Result<Uns> {
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
    let from = match (&prior.time, prior.bootstrapped) {
        (None, _) => OWN,
        (Some(_), true) => MADE,
        (Some(_), false) => GIVEN,
    };
    let mut record = BTreeMap::from([
        ("version".to_owned(), Uns::Text(env!("CARGO_PKG_VERSION").to_owned())),
        ("config".to_owned(), Uns::Text(serde_json::to_string(&fit.spec)?)),
        ("history".to_owned(), Uns::Map(history)),
        ("prior".to_owned(), Uns::Text(from.to_owned())),
    ]);
    if let Some(phylogeny) = &prior.phylogeny {
        record.insert("phylogeny".to_owned(), Uns::Text(serde_json::to_string(phylogeny.children())?));
    }
    Ok(Uns::Map(record))
}
