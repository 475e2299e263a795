//! What a result says of the run it came from, in `uns["sclsd"]`: version, configuration, history, phylogeny.

use std::collections::BTreeMap;

use anyhow::Context;
use sclsd::data::{Dataset, Uns};
use sclsd::graph::Phylogeny;
use sclsd::infer::{Checkpoint, EpochRecord, TrainSpec};

/// Where it stands in `uns`.
pub(super) const KEY: &str = "sclsd";

/// A run as its result remembers it.
pub(super) struct Record {
    pub spec: TrainSpec,
    /// Values by epoch, under the names they have in the file.
    pub history: BTreeMap<String, Vec<f64>>,
    pub phylogeny: Option<Phylogeny>,
}

/// Reads what [`write`] wrote; nothing where the file was not trained here.
pub(super) fn read(data: &Dataset) -> anyhow::Result<Option<Record>> {
    let Some(Uns::Map(entries)) = data.uns.get(KEY) else { return Ok(None) };
    let Some(Uns::Text(config)) = entries.get("config") else { return Ok(None) };
    let spec = serde_json::from_str(config).context("uns[\"sclsd\"][\"config\"]")?;
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
    Ok(Some(Record { spec, history, phylogeny }))
}

fn floats(value: &Uns) -> Option<Vec<f64>> {
    match value {
        Uns::Floats(_, values) => Some(values.clone()),
        _ => None,
    }
}

/// What is kept of the run in `uns["sclsd"]`: version, configuration, history, and the phylogeny that bounded the walks.
pub(super) fn write(fit: &Checkpoint, phylogeny: Option<&Phylogeny>) -> anyhow::Result<Uns> {
    let epochs = fit.history.len();
    let curve = |f: &dyn Fn(&EpochRecord) -> f64| Uns::Floats(vec![epochs], fit.history.iter().map(f).collect());
    let mut history = BTreeMap::from([
        ("loss".to_owned(), curve(&|r| r.loss.total())),
        ("potential_rise".to_owned(), curve(&|r| r.potential_rise)),
        ("entropy_rise".to_owned(), curve(&|r| r.entropy_rise)),
        ("learning_rate".to_owned(), curve(&|r| r.learning_rate)),
    ]);
    for (i, (name, _)) in sclsd::infer::Loss::default().terms().into_iter().enumerate() {
        history.insert(format!("loss_{name}"), curve(&|r| r.loss.terms()[i].1));
    }
    let mut record = BTreeMap::from([
        ("version".to_owned(), Uns::Text(env!("CARGO_PKG_VERSION").to_owned())),
        ("config".to_owned(), Uns::Text(serde_json::to_string(&fit.spec)?)),
        ("history".to_owned(), Uns::Map(history)),
    ]);
    if let Some(phylogeny) = phylogeny {
        record.insert("phylogeny".to_owned(), Uns::Text(serde_json::to_string(phylogeny.children())?));
    }
    Ok(Uns::Map(record))
}
