//! `sclsd evaluate`: scores of directions, pseudotime and fates against known facts, each beside the same score of the
//! prior and, for fates, of nearest neighbours.

mod fates;

use anyhow::{Context, bail};
use sclsd::analysis::{
    Directions, Score, cross_boundary_correctness, cross_boundary_correlation, evaluate, mean_score, spearman,
    velocity_from_transitions,
};
use sclsd::data::{Categorical, Csr, Dataset, Matrix, inspect, read_h5ad};
use serde_json::{Map, Value, json};

use super::edges::{self, Edges};
use super::reading::{graph_option, hinted, named_apart};
use super::record::{self, Record};
use super::threads::use_threads;
use super::{basis, fate_estimates, groups, model_file};
use crate::args::{EvaluateArgs, FATE_BETA};
use crate::escape;
use crate::figures::Figures;
use crate::progress::Output;

/// Why a score across boundaries is missing.
const APART: &str = "no cells of the two clusters are neighbours";

pub(crate) fn run(args: &EvaluateArgs, output: Output) -> anyhow::Result<()> {
    use_threads(args.threads)?;
    let named = args.edges.as_deref().map(edges::parse).transpose()?;
    let has = inspect(&args.input)?;
    let basis = basis::of_picture(&args.input, &has, args.basis.as_deref(), |_| true)?;
    let drift = Directions::Drift.key(basis::suffix(&basis));
    let checkpoint = args.model.as_deref().map(|path| model_file::first(path, output)).transpose()?;
    let record = record::of_file(&args.input, &has)?;
    let spec = record.as_ref().map(|record| record.spec.clone()).unwrap_or_default();
    let specs = [record.as_ref().map(|record| &record.spec), checkpoint.as_ref().map(|checkpoint| &checkpoint.spec)];
    let cluster_key = groups::cluster_key(args.cluster_key.as_ref(), &specs, &has)
        .with_context(|| args.input.display().to_string())?;

    let mut wanted = fate_estimates::keys(&has, &spec, Some(&cluster_key));
    wanted.obs.push("lsd_pseudotime".into());
    wanted.obs.extend(args.time_key.iter().cloned());
    wanted.obs.extend(has.keys("obs").filter(|key| key.starts_with(fates::TRUTH)).map(str::to_owned));
    wanted.obsm.push(basis.clone());
    wanted.obsm.extend(args.sisters.clone());
    for key in [&drift, fate_estimates::PROBABILITIES, fate_estimates::BY_PRIOR, fate_estimates::BY_NEIGHBORS] {
        wanted.obsm.extend(has.has("obsm", key).then(|| key.to_owned()));
    }
    let graph = args.connectivities.as_ref().unwrap_or(&spec.keys.connectivities);
    wanted.obsp.extend(["transitions".into(), graph.clone()]);
    let mut uns = vec![fate_estimates::PROBABILITIES];
    uns.extend(args.sisters.as_ref().map(|_| args.sister_names.as_str()));
    wanted.uns.extend(uns.into_iter().filter(|key| has.has("uns", key)).map(str::to_owned));
    let tree = record.as_ref().and_then(|record| record.phylogeny.as_ref());
    if named.is_none() && (tree.is_none() || has.has("uns", edges::STORED)) {
        wanted.uns.push(edges::STORED.into());
    }
    let hint = match named {
        Some(_) => "evaluation needs what sclsd train or annotate writes",
        None => {
            "evaluation needs what sclsd train or annotate writes, and --edges \"A>B,B>C\" or uns[\"cluster_edges\"]"
        }
    };
    wanted.x |= !has.has("obsm", "X_pca");
    for list in [&mut wanted.obs, &mut wanted.obsm, &mut wanted.obsp, &mut wanted.uns] {
        list.sort();
        list.dedup();
    }
    let shown = || args.input.display().to_string();
    let read = read_h5ad(&args.input, &wanted).map_err(|error| graph_option(error, "--connectivities NAME"));
    let mut data = named_apart(&args.input, hinted(read, hint)?)?;
    groups::name(&mut data, &cluster_key).with_context(shown)?;
    if let (Some(path), Some(checkpoint)) = (&args.model, &checkpoint) {
        model_file::check_genes(path, checkpoint, &data).with_context(shown)?;
        if !data.obsm.contains_key(fate_estimates::PROBABILITIES) {
            output.note(
                "--model changes nothing here: it serves the scores of fates, and the file has none; run sclsd fates",
            );
        }
    }
    let estimator = fate_estimates::FateEstimator {
        data: &data,
        record: record.as_ref(),
        checkpoint: checkpoint.as_ref(),
        beta: FATE_BETA,
        prior_weight: None,
        output,
    };
    let drift = data.obsm.contains_key(&drift).then_some(drift);
    let scored =
        Scored { args, data: &data, record: record.as_ref(), estimator: &estimator, basis, graph, drift, named };
    scored.report(&cluster_key, output).with_context(shown)
}

/// Transitions, and the time that directs them, if there is one.
type StepsAndTime = (Csr<f64>, Option<Vec<f64>>);

/// A result and what its scores need.
struct Scored<'a> {
    args: &'a EvaluateArgs,
    data: &'a Dataset,
    record: Option<&'a Record>,
    estimator: &'a fate_estimates::FateEstimator<'a>,
    basis: String,
    /// Graph of obsp.
    graph: &'a str,
    /// Element of obsm with directions by the drift, if the file has it.
    drift: Option<String>,
    /// Edges of the command line.
    named: Option<Edges>,
}

/// What directions are scored on, restricted to the cells with a place on the embedding.
struct Placed<'a> {
    embedding: Matrix,
    graph: Csr,
    clusters: Categorical,
    cells: &'a [usize],
    all: bool,
}

impl Placed<'_> {
    fn transitions(&self, all: &Csr<f64>) -> Csr<f64> {
        if self.all { all.clone() } else { basis::among(all, self.cells) }
    }

    fn numbers(&self, values: &[f64]) -> Vec<f64> {
        self.cells.iter().map(|&cell| values[cell]).collect()
    }
}

impl Scored<'_> {
    fn report(&self, cluster_key: &str, output: Output) -> anyhow::Result<()> {
        let (args, data) = (self.args, self.data);
        let clusters = data.groups(cluster_key)?;
        let edges = self.edges(&clusters)?;
        let graph = data.graph(self.graph)?;
        let embedding = &data.obsm[&self.basis];
        let cells = basis::placed(embedding);
        let placed = Placed {
            embedding: embedding.select_rows(&cells),
            graph: graph.select_rows(&cells).select_columns(&cells),
            clusters: groups::some(&clusters, &cells),
            all: cells.len() == data.n_cells(),
            cells: &cells,
        };
        if !placed.all {
            output.note(format!(
                "{} of {} cells have no finite coordinates in obsm[\"{}\"]: scores of directions leave these cells out",
                data.n_cells() - cells.len(),
                data.n_cells(),
                self.basis
            ));
        }
        let transitions = data.graph("transitions")?.map(f64::from);
        let pseudotime = data.numbers("lsd_pseudotime")?;
        let score = |transitions: &Csr<f64>, time: &[f64]| -> anyhow::Result<_> {
            let velocity =
                velocity_from_transitions(&placed.transitions(transitions), &placed.graph, &placed.embedding)?;
            let time = placed.numbers(time);
            Ok(evaluate(&placed.embedding, &velocity, &placed.graph, &placed.clusters, &edges, &time)?)
        };
        let found = score(&transitions, &pseudotime)?;
        // the same scores of the prior: from its own time and transitions, without terminal states
        let prior = self.prior()?;
        let prior_time = prior.as_ref().and_then(|(_, time)| time.as_ref());
        let before = match &prior {
            Some((transitions, time)) => Some(score(transitions, time.as_ref().unwrap_or(&pseudotime))?),
            None => None,
        };

        let mut figures = Figures::default();
        figures.count("cells", data.n_cells());
        figures.text("directions on", &self.basis);
        let alone = "no two of its cells are neighbours";
        let (across, within) = match &before {
            Some(before) => (Some(&before.cross_boundary), Some(&before.inner_cluster)),
            None => (None, None),
        };
        scores(&mut figures, "cross-boundary correctness", &found.cross_boundary, across, APART);
        scores(&mut figures, "in-cluster coherence", &found.inner_cluster, within, alone);
        if let Some(key) = &self.drift {
            let velocity = data.obsm[key].select_rows(&cells);
            let (embedding, graph) = (&placed.embedding, &placed.graph);
            let by_drift = cross_boundary_correctness(embedding, &velocity, graph, &placed.clusters, &edges)?;
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
        let absent = "none: the edges form a cycle, or the pseudotime does not vary";
        let prior_stage = before.as_ref().filter(|_| prior_time.is_some()).and_then(|before| before.stage_correlation);
        beside(&mut figures, "stage correlation", found.stage_correlation, prior_stage, absent);
        for key in &args.time_key {
            let known = data.numbers(key)?;
            let correlation = |time: &[f64]| spearman(time, &known);
            let prior = prior_time.and_then(|time| correlation(time));
            let name = format!("spearman with {key}");
            beside(&mut figures, &name, correlation(&pseudotime), prior, "one of the two does not vary");
        }
        fates::report(args, cluster_key, self.estimator, &clusters, &mut figures)?;
        figures.print(output)
    }

    /// The transitions and the time of the prior, if the file records and contains them. A prior that is a matrix has
    /// no time.
    fn prior(&self) -> anyhow::Result<Option<StepsAndTime>> {
        let Some(record) = self.record else { return Ok(None) };
        let Ok(prior) = self.estimator.prior() else { return Ok(None) };
        Ok(Some((prior.matrix().clone(), record.time(self.data)?)))
    }

    fn edges(&self, clusters: &Categorical) -> anyhow::Result<Edges> {
        if let Some(edges) = &self.named {
            return Ok(edges.clone());
        }
        let edges = edges::of_result(self.record, self.data, clusters);
        if edges.is_empty() {
            bail!(
                "neither the phylogeny of the training nor uns[\"cluster_edges\"] (a table of two columns of names) has an edge \
                 between these clusters; give --edges \"A>B,B>C\" or a JSON file"
            );
        }
        Ok(edges)
    }
}

/// A figure with that of the prior beside it.
fn beside(figures: &mut Figures, name: &str, value: Option<f64>, prior: Option<f64>, absent: &str) {
    let shown = value.map_or_else(|| absent.to_owned(), |v| format!("{v:.4}"));
    let shown = prior.map_or(shown.clone(), |p| format!("{shown}  (prior {p:.4})"));
    figures.nested(name, shown, json!(value));
    figures.hidden(&format!("{name} of the prior"), json!(prior));
}

/// The mean and each score, with those of the prior beside them.
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
                let name = escape::line(&s.name);
                format!("\n    {}", with(format!("{name} {mean:.4} ({} cells)", s.n_cells), of_prior(&s.name)))
            }
            None => format!("\n    {} none: {absent}", escape::line(&s.name)),
        })
        .collect();
    let value = json!({"mean": mean, "prior": mean_of_prior, "each": all});
    figures.nested(title, format!("{shown}{}", each.concat()), value);
}
