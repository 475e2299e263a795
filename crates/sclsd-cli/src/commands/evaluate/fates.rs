//! Scores of fates against true probabilities, sister cells and mature cells, for each method in the file.

use std::fmt::Write;

use anyhow::bail;
use sclsd::analysis::{EndOfFlow, FateProbabilities, agreement, fate_retention, off_data, sister_agreement};
use sclsd::data::{Categorical, Dataset, Uns};
use sclsd::graph::Terminal;
use serde_json::{Map, Value, json};

use crate::args::EvaluateArgs;
use crate::commands::fate_estimates::{self, BY_NEIGHBORS, BY_PRIOR, FateEstimator, PROBABILITIES};
use crate::escape;
use crate::figures::Figures;

/// Beginning of the names of columns of obs with true probabilities; spaces in the name of a fate are underscores.
pub(super) const TRUTH: &str = "true_fate_";

/// Adds the scores of fates, if the file has fates.
pub(super) fn report(
    args: &EvaluateArgs,
    cluster_key: &str,
    estimator: &FateEstimator<'_>,
    clusters: &Categorical,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let data = estimator.data;
    let Some(fates) = fate_estimates::stored(data, PROBABILITIES) else {
        if args.sisters.is_some() {
            bail!(
                "obsm[\"{PROBABILITIES}\"] is missing, so there are no fates to score against --sisters; run sclsd fates first"
            );
        }
        return Ok(());
    };
    let method = fate_estimates::stored_method(data).unwrap_or_else(|| "model".into());
    let mut all = vec![(method, fates)];
    for (name, key) in [("prior", BY_PRIOR), ("neighbors", BY_NEIGHBORS)] {
        all.extend(fate_estimates::stored(data, key).map(|found| (name.to_owned(), found)));
    }
    let terminal = estimator.terminal(&[], Some(cluster_key))?;
    let truth = fate_estimates::truth(data, &all[0].1)?;
    let sisters = sisters(args, data)?;
    let (mut shown, mut values) = (String::new(), Map::new());
    for (name, fates) in &all {
        let (line, value) = one(fates, clusters, &terminal, truth.as_deref(), sisters.as_ref());
        let _ = write!(shown, "\n    {name:<12} {line}");
        values.insert(name.clone(), value);
    }
    figures.nested("fates", shown, Value::Object(values));
    if let Some(checkpoint) = estimator.checkpoint
        && let Some(states) = data.obsm.get("X_cell_state")
    {
        let ode = checkpoint.spec.ode.clone().check()?;
        let flow = EndOfFlow { model: &checkpoint.model, cell_state: states, time_range: 15.0, k: 15, ode: &ode };
        figures.number("share of path ends off the data", off_data(&flow.ends()?, states)?, 4);
    }
    Ok(())
}

/// The scores of one method: for people and for machines.
fn one(
    fates: &FateProbabilities,
    clusters: &Categorical,
    terminal: &Terminal,
    truth: Option<&[f64]>,
    sisters: Option<&(Vec<String>, sclsd::data::Matrix)>,
) -> (String, Value) {
    let mut words = Vec::new();
    let mut value = Map::new();
    if let Some(found) = truth.and_then(|truth| agreement(fates, truth)) {
        let accuracy =
            found.accuracy.map_or_else(|| "none (no cell has a clear true fate)".into(), |a| format!("{a:.4}"));
        words.push(format!(
            "accuracy {accuracy}  squared error {:.4}  Brier {:.4}  calibration error {:.4}",
            found.mean_squared_error, found.brier, found.calibration.error
        ));
        let bins = &found.calibration.bins;
        value.insert("accuracy".into(), json!(found.accuracy));
        value.insert("mean_squared_error".into(), json!(found.mean_squared_error));
        value.insert("brier".into(), json!(found.brier));
        value.insert("calibration_error".into(), json!(found.calibration.error));
        let curve: Vec<Value> =
            bins.iter().map(|b| json!({"predicted": b.predicted, "observed": b.observed, "count": b.count})).collect();
        value.insert("calibration".into(), Value::Array(curve));
    }
    let retention = fate_retention(fates, clusters, terminal);
    let listed: Vec<String> = retention
        .iter()
        .filter_map(|(name, fraction, _)| fraction.map(|fraction| format!("{} {fraction:.3}", escape::line(name))))
        .collect();
    if !listed.is_empty() {
        words.push(format!("mature cells that keep their fate: {}", listed.join(", ")));
    }
    let retention: Map<String, Value> =
        retention.into_iter().map(|(name, share, cells)| (name, json!({"share": share, "cells": cells}))).collect();
    value.insert("kept".into(), Value::Object(retention));
    value.insert("unreachable".into(), json!(fates.unreachable()));
    if let Some(found) = sisters.and_then(|(names, counts)| sister_agreement(fates, names, counts)) {
        words.push(format!("sisters: r {:.3}  AUROC {:.3} ({} cells)", found.pearson, found.auroc, found.n_cells));
        value.insert(
            "sisters".into(),
            json!({"pearson": found.pearson, "auroc": found.auroc, "cells": found.n_cells, "fates": found.fates}),
        );
    }
    (words.join("  "), Value::Object(value))
}

/// Names and counts of sister cells by fate.
fn sisters(args: &EvaluateArgs, data: &Dataset) -> anyhow::Result<Option<(Vec<String>, sclsd::data::Matrix)>> {
    let Some(key) = &args.sisters else { return Ok(None) };
    let counts = &data.obsm[key];
    match data.uns.get(&args.sister_names) {
        Some(Uns::Texts(_, names)) if names.len() == counts.n_cols() => Ok(Some((names.clone(), counts.clone()))),
        _ => bail!(
            "uns[\"{}\"] is not a list of {} names, one for each column of obsm[\"{key}\"]; name the element of uns with --sister-names",
            args.sister_names,
            counts.n_cols()
        ),
    }
}
