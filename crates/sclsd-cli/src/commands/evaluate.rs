//! `sclsd evaluate`: directions and pseudotime against what is known.

use anyhow::{Context, bail};
use sclsd::analysis::{
    Score, cross_boundary_correctness, inner_cluster_coherence, mean_score, spearman, stages, velocity_from_transitions,
};
use sclsd::data::{Categorical, Dataset, Keys, Uns, inspect, read_h5ad};
use serde_json::{Map, Value, json};

use super::use_threads;
use crate::args::EvaluateArgs;
use crate::figures::Figures;
use crate::progress::Output;

pub(crate) fn run(args: &EvaluateArgs, output: Output) -> anyhow::Result<()> {
    use_threads(args.threads)?;
    let suffix = args.basis.strip_prefix("X_").unwrap_or(&args.basis);
    let drift = format!("drift_velocity_{suffix}");
    let file = inspect(&args.input)?;
    let mut wanted = Keys::none().with_obs(&args.cluster_key).with_obs("lsd_pseudotime").with_obsm(&args.basis);
    wanted.obs.extend(args.time_key.iter().cloned());
    wanted.obsp = vec!["transitions".into(), args.connectivities.clone()];
    if args.edges.is_none() {
        wanted.uns.push("cluster_edges".into());
    }
    if file.has("obsm", &drift) {
        wanted.obsm.push(drift.clone());
    }
    let data = read_h5ad(&args.input, &wanted).with_context(|| match args.edges {
        Some(_) => "evaluation needs what sclsd train or annotate writes",
        None => {
            "evaluation needs what sclsd train or annotate writes, and --edges \"A>B,B>C\" or uns[\"cluster_edges\"]"
        }
    })?;
    evaluate(args, &data, data.obsm.contains_key(&drift).then_some(drift.as_str()), output)
        .with_context(|| args.input.display().to_string())
}

fn evaluate(args: &EvaluateArgs, data: &Dataset, drift: Option<&str>, output: Output) -> anyhow::Result<()> {
    let clusters = data.groups(&args.cluster_key)?;
    let edges = match &args.edges {
        Some(text) => parse_edges(text)?,
        None => stored_edges(data)?,
    };
    let graph = data.graph(&args.connectivities)?;
    let embedding = &data.obsm[&args.basis];
    let transitions = data.graph("transitions")?.map(f64::from);
    let velocity = velocity_from_transitions(&transitions, graph, embedding)?;
    let across = cross_boundary_correctness(embedding, &velocity, graph, &clusters, &edges)?;
    let within = inner_cluster_coherence(&velocity, graph, &clusters)?;

    let mut figures = Figures::default();
    figures.count("cells", data.n_cells());
    scores(&mut figures, "cross-boundary correctness", &across, "the two clusters never touch");
    scores(&mut figures, "in-cluster coherence", &within, "no two of its cells are neighbours");
    if let Some(key) = drift {
        let by_drift = cross_boundary_correctness(embedding, &data.obsm[key], graph, &clusters, &edges)?;
        scores(&mut figures, "cross-boundary correctness of the drift", &by_drift, "the two clusters never touch");
    }
    let pseudotime = data.numbers("lsd_pseudotime")?;
    let absent = "the edges run in a circle";
    figures.optional("stage correlation", stage_correlation(&pseudotime, &clusters, &edges), 4, absent);
    for key in &args.time_key {
        let correlation = spearman(&pseudotime, &data.numbers(key)?);
        let known = correlation.is_finite().then_some(correlation);
        figures.optional(&format!("spearman with {key}"), known, 4, "one of the two does not vary");
    }
    figures.print(output);
    Ok(())
}

/// The mean, then every score by itself.
fn scores(figures: &mut Figures, title: &str, scores: &[Score], absent: &str) {
    let all: Map<String, Value> =
        scores.iter().map(|s| (s.name.clone(), json!({"score": s.mean, "cells": s.n_cells}))).collect();
    let mean = mean_score(scores);
    let shown = mean.map_or_else(|| absent.to_owned(), |m| format!("{m:.4}"));
    let each: Vec<String> = scores
        .iter()
        .map(|s| match s.mean {
            Some(mean) => format!("\n    {} {mean:.4} ({} cells)", s.name, s.n_cells),
            None => format!("\n    {} none: {absent}", s.name),
        })
        .collect();
    figures.nested(title, format!("{shown}{}", each.concat()), json!({"mean": mean, "each": all}));
}

/// Spearman's correlation of pseudotime with the number of edges before a cell's cluster.
fn stage_correlation(pseudotime: &[f64], clusters: &Categorical, edges: &[(String, String)]) -> Option<f64> {
    let stages = stages(edges)?;
    let staged = |cell: usize| clusters.name(cell).and_then(|name| stages.get(name)).copied();
    #[expect(clippy::cast_precision_loss, reason = "a number of edges")]
    let pairs: Vec<(f64, f64)> =
        (0..pseudotime.len()).filter_map(|cell| staged(cell).map(|s| (pseudotime[cell], s as f64))).collect();
    let (times, stages): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    Some(spearman(&times, &stages)).filter(|c| c.is_finite())
}

fn parse_edges(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let edge = |part: &str| match part.split_once('>') {
        Some((from, to)) if !from.trim().is_empty() && !to.trim().is_empty() => {
            Ok((from.trim().to_owned(), to.trim().to_owned()))
        }
        _ => bail!("--edges: \"{part}\" is no edge, expected A>B"),
    };
    text.split(',').map(edge).collect()
}

fn stored_edges(data: &Dataset) -> anyhow::Result<Vec<(String, String)>> {
    match data.uns.get("cluster_edges") {
        Some(Uns::Texts(shape, names)) if shape.len() == 2 && shape[1] == 2 => {
            Ok(names.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
        }
        _ => bail!("uns[\"cluster_edges\"] is no table of two columns of names; give --edges \"A>B,B>C\""),
    }
}
