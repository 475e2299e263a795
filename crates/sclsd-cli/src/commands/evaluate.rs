//! `sclsd evaluate`: directions and pseudotime against what is known.

use anyhow::{Context, bail};
use sclsd::analysis::{Score, cross_boundary_correctness, evaluate, mean_score, spearman, velocity_from_transitions};
use sclsd::data::{Dataset, Keys, Uns, inspect};
use serde_json::{Map, Value, json};

use super::{read_with_hint, use_threads};
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
    let hint = match args.edges {
        Some(_) => "evaluation needs what sclsd train or annotate writes",
        None => {
            "evaluation needs what sclsd train or annotate writes, and --edges \"A>B,B>C\" or uns[\"cluster_edges\"]"
        }
    };
    let data = read_with_hint(&args.input, &wanted, hint)?;
    report(args, &data, data.obsm.contains_key(&drift).then_some(drift.as_str()), output)
        .with_context(|| args.input.display().to_string())
}

fn report(args: &EvaluateArgs, data: &Dataset, drift: Option<&str>, output: Output) -> anyhow::Result<()> {
    let clusters = data.groups(&args.cluster_key)?;
    let edges = match &args.edges {
        Some(text) => parse_edges(text)?,
        None => stored_edges(data)?,
    };
    let graph = data.graph(&args.connectivities)?;
    let embedding = &data.obsm[&args.basis];
    let transitions = data.graph("transitions")?.map(f64::from);
    let velocity = velocity_from_transitions(&transitions, graph, embedding)?;
    let pseudotime = data.numbers("lsd_pseudotime")?;
    let found = evaluate(embedding, &velocity, graph, &clusters, &edges, &pseudotime)?;

    let mut figures = Figures::default();
    figures.count("cells", data.n_cells());
    let (apart, alone) = ("the two clusters never touch", "no two of its cells are neighbours");
    scores(&mut figures, "cross-boundary correctness", &found.cross_boundary, apart);
    scores(&mut figures, "in-cluster coherence", &found.inner_cluster, alone);
    if let Some(key) = drift {
        let by_drift = cross_boundary_correctness(embedding, &data.obsm[key], graph, &clusters, &edges)?;
        scores(&mut figures, "cross-boundary correctness of the drift", &by_drift, apart);
    }
    let absent = "none: the edges run in a circle, or pseudotime does not vary";
    figures.optional("stage correlation", found.stage_correlation, 4, absent);
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
