//! `sclsd evaluate`: directions, pseudotime and fates against what is known, each beside the same score of the prior and,
//! for fates, of nearest neighbours.

mod fates;

use anyhow::{Context, bail};
use sclsd::Device;
use sclsd::analysis::{
    Score, cross_boundary_correctness, cross_boundary_correlation, evaluate, mean_score, spearman,
    velocity_from_transitions,
};
use sclsd::data::{Categorical, Csr, Dataset, Uns, inspect};
use sclsd::infer::{Checkpoint, TrainSpec};
use serde_json::{Map, Value, json};

use super::record::{self, Record};
use super::{read_with_hint, telling, use_threads};
use crate::args::EvaluateArgs;
use crate::figures::Figures;
use crate::progress::Output;

/// Why a score across boundaries is missing.
const APART: &str = "the two clusters never touch";

pub(crate) fn run(args: &EvaluateArgs, output: Output) -> anyhow::Result<()> {
    use_threads(args.threads)?;
    let suffix = args.basis.strip_prefix("X_").unwrap_or(&args.basis);
    let drift = format!("drift_velocity_{suffix}");
    let has = inspect(&args.input)?;
    let checkpoint = args.model.as_deref().map(Checkpoint::load).transpose()?;
    let record = record::of_file(&args.input, &has)?;
    let spec = record.as_ref().map(|record| record.spec.clone()).unwrap_or_default();
    let cluster_key = match (&args.cluster_key, &record) {
        (Some(key), _) => key.clone(),
        (None, Some(record)) => record.spec.keys.clusters.clone(),
        (None, None) => bail!(
            "{} does not say which clusters its model was trained with; name their column of obs with --cluster-key",
            args.input.display()
        ),
    };

    let mut wanted = telling::keys(&has, &spec, Some(&cluster_key));
    wanted.obs.push("lsd_pseudotime".into());
    wanted.obs.extend(args.time_key.iter().cloned());
    wanted.obs.extend(has.keys("obs").filter(|key| key.starts_with(fates::TRUTH)).map(str::to_owned));
    wanted.obsm.push(args.basis.clone());
    wanted.obsm.extend(args.sisters.clone());
    for key in [&drift, telling::PROBABILITIES, telling::BY_PRIOR, telling::BY_NEIGHBORS] {
        wanted.obsm.extend(has.has("obsm", key).then(|| key.to_owned()));
    }
    wanted.obsp = vec!["transitions".into(), args.connectivities.clone()];
    let mut uns = vec![telling::PROBABILITIES];
    uns.extend(args.sisters.as_ref().map(|_| args.sister_names.as_str()));
    wanted.uns.extend(uns.into_iter().filter(|key| has.has("uns", key)).map(str::to_owned));
    let tree = record.as_ref().and_then(|record| record.phylogeny.as_ref());
    if args.edges.is_none() && (tree.is_none() || has.has("uns", "cluster_edges")) {
        wanted.uns.push("cluster_edges".into());
    }
    let hint = match args.edges {
        Some(_) => "evaluation needs what sclsd train or annotate writes",
        None => {
            "evaluation needs what sclsd train or annotate writes, and --edges \"A>B,B>C\" or uns[\"cluster_edges\"]"
        }
    };
    wanted.x |= !has.has("obsm", "X_pca");
    for list in [&mut wanted.obs, &mut wanted.obsm, &mut wanted.uns] {
        list.sort();
        list.dedup();
    }
    let data = read_with_hint(&args.input, &wanted, hint)?;
    let teller = telling::Teller {
        data: &data,
        record: record.as_ref(),
        checkpoint: checkpoint.as_ref(),
        device: Device::parse(Device::DEFAULT).ok(),
        beta: telling::BETA,
        prior_weight: None,
        output,
    };
    let scored = Scored { args, data: &data, record: record.as_ref(), teller: &teller, spec: &spec };
    scored
        .report(&cluster_key, data.obsm.contains_key(&drift).then_some(drift.as_str()), output)
        .with_context(|| args.input.display().to_string())
}

/// A result and what it is scored with.
struct Scored<'a> {
    args: &'a EvaluateArgs,
    data: &'a Dataset,
    record: Option<&'a Record>,
    teller: &'a telling::Teller<'a>,
    spec: &'a TrainSpec,
}

impl Scored<'_> {
    fn report(&self, cluster_key: &str, drift: Option<&str>, output: Output) -> anyhow::Result<()> {
        let (args, data) = (self.args, self.data);
        let clusters = data.groups(cluster_key)?;
        let edges = self.edges(&clusters)?;
        let graph = data.graph(&args.connectivities)?;
        let embedding = &data.obsm[&args.basis];
        let transitions = data.graph("transitions")?.map(f64::from);
        let velocity = velocity_from_transitions(&transitions, graph, embedding)?;
        let pseudotime = data.numbers("lsd_pseudotime")?;
        let found = evaluate(embedding, &velocity, graph, &clusters, &edges, &pseudotime)?;
        // the same of the prior: its own time and transitions, before walks end
        let prior = self.prior();
        let before = match &prior {
            Some((transitions, time)) => {
                let velocity = velocity_from_transitions(transitions, graph, embedding)?;
                Some(evaluate(embedding, &velocity, graph, &clusters, &edges, time)?)
            }
            None => None,
        };

        let mut figures = Figures::default();
        figures.count("cells", data.n_cells());
        let alone = "no two of its cells are neighbours";
        let (across, within) = match &before {
            Some(before) => (Some(&before.cross_boundary), Some(&before.inner_cluster)),
            None => (None, None),
        };
        scores(&mut figures, "cross-boundary correctness", &found.cross_boundary, across, APART);
        scores(&mut figures, "in-cluster coherence", &found.inner_cluster, within, alone);
        if let Some(key) = drift {
            let by_drift = cross_boundary_correctness(embedding, &data.obsm[key], graph, &clusters, &edges)?;
            scores(&mut figures, "cross-boundary correctness of the drift", &by_drift, across, APART);
        }
        if let Some(points) = data.obsm.get("X_pca") {
            let of = |p: &Csr<f64>| cross_boundary_correlation(points, p, graph, &clusters, &edges);
            let before = prior.as_ref().map(|(p, _)| of(p)).transpose()?;
            scores(
                &mut figures,
                "cross-boundary correlation (CellRank's cbc)",
                &of(&transitions)?,
                before.as_ref(),
                APART,
            );
        }
        let absent = "none: the edges run in a circle, or pseudotime does not vary";
        let prior_stage = before.as_ref().and_then(|before| before.stage_correlation);
        beside(&mut figures, "stage correlation", found.stage_correlation, prior_stage, absent);
        for key in &args.time_key {
            let known = data.numbers(key)?;
            let correlation = |time: &[f64]| spearman(time, &known);
            let prior = prior.as_ref().and_then(|(_, time)| correlation(time));
            let name = format!("spearman with {key}");
            beside(&mut figures, &name, correlation(&pseudotime), prior, "one of the two does not vary");
        }
        fates::report(self, &clusters, &mut figures)?;
        figures.print(output);
        Ok(())
    }

    /// The prior's transitions and its time, where the file says what they were.
    fn prior(&self) -> Option<(Csr<f64>, Vec<f64>)> {
        self.record?;
        let time = self.data.numbers(&self.spec.keys.time).ok()?;
        Some((self.teller.prior().ok()?.matrix().clone(), time))
    }

    fn edges(&self, clusters: &Categorical) -> anyhow::Result<Vec<(String, String)>> {
        if let Some(text) = &self.args.edges {
            return parse_edges(text);
        }
        match self.record.and_then(|record| record.phylogeny.as_ref()) {
            Some(tree) if !self.data.uns.contains_key("cluster_edges") => {
                let known = |name: &String| clusters.categories().contains(name);
                let all = tree.children().iter().flat_map(|(p, all)| all.iter().map(move |c| (p.clone(), c.clone())));
                Ok(all.filter(|(from, to)| known(from) && known(to)).collect())
            }
            _ => stored_edges(self.data),
        }
    }
}

/// A figure with the prior's beside it.
fn beside(figures: &mut Figures, name: &str, value: Option<f64>, prior: Option<f64>, absent: &str) {
    let shown = value.map_or_else(|| absent.to_owned(), |v| format!("{v:.4}"));
    let shown = prior.map_or(shown.clone(), |p| format!("{shown}  (prior {p:.4})"));
    figures.nested(name, shown, json!(value));
    figures.hidden(&format!("{name} of the prior"), json!(prior));
}

/// The mean, then every score by itself, the prior's beside.
fn scores(figures: &mut Figures, title: &str, scores: &[Score], prior: Option<&Vec<Score>>, absent: &str) {
    let of_prior = |name: &str| prior.and_then(|all| all.iter().find(|s| s.name == name)).and_then(|s| s.mean);
    let all: Map<String, Value> = scores
        .iter()
        .map(|s| (s.name.clone(), json!({"score": s.mean, "cells": s.n_cells, "prior": of_prior(&s.name)})))
        .collect();
    let with = |text: String, prior: Option<f64>| prior.map_or(text.clone(), |p| format!("{text}  (prior {p:.4})"));
    let (mean, mean_of_prior) = (mean_score(scores), prior.and_then(|all| mean_score(all)));
    let shown = with(mean.map_or_else(|| absent.to_owned(), |m| format!("{m:.4}")), mean_of_prior);
    let each: Vec<String> = scores
        .iter()
        .map(|s| match s.mean {
            Some(mean) => {
                format!("\n    {}", with(format!("{} {mean:.4} ({} cells)", s.name, s.n_cells), of_prior(&s.name)))
            }
            None => format!("\n    {} none: {absent}", s.name),
        })
        .collect();
    let value = json!({"mean": mean, "prior": mean_of_prior, "each": all});
    figures.nested(title, format!("{shown}{}", each.concat()), value);
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
