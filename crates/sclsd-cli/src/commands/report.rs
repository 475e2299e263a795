//! `sclsd report`: a result on one page.

use std::path::Path;

use anyhow::{Context, bail};
use sclsd::analysis::audit::Audit;
use sclsd::analysis::{Directions, cluster_flow, evaluate, inner_cluster_coherence, mean_score, spearman, trends};
use sclsd::data::{Categorical, Dataset, Inspection, Keys, inspect};
use sclsd::infer::{Checkpoint, Ensemble, TrainSpec};
use sclsd::plot::{
    Coloring, FateEstimates, Landscape, Places, Report, ReportCells, ReportFates, ReportLandscape, ReportTrajectories,
    ReportTrends, StreamStyle, group_colors, pack_streamlines, shown_cells, stream_lines,
};

use super::fate_estimates::{self, FateEstimator};
use super::files::{self, Files};
use super::model_file::check_genes;
use super::plot::{FateEstimate, coloring};
use super::reading::read_with_hint;
use super::record::{self, Record};
use super::threads::start;
use super::trajectories::{choose, follow, on_embedding};
use super::{audit, basis, edges, groups, symbols};
use crate::args::{FATE_BETA, FateMethodArg, ReportArgs, SdeArgs};
use crate::figures::Figures;
use crate::progress::Output;

/// Trajectories on the page.
const PATHS: usize = 150;
/// Bins of a gene's trend.
const BINS: usize = 40;
/// Genes whose trends are shown at first.
const FIRST: usize = 6;
/// A cluster counts as entered if the probability of entering it in one step, summed over all cells, is at least this
/// fraction of its number of cells.
const ENTERED: f64 = 0.002;

pub(crate) fn run(args: &ReportArgs, output: Output) -> anyhow::Result<()> {
    start(&args.threads, output)?;
    Files::default()
        .reads("INPUT", &args.input)
        .may_read("--model", args.model.as_ref())
        .writes_text("-o", &args.output)
        .check()?;
    let output = output.with_file(&args.output);
    let has = inspect(&args.input)?;
    let (columns, genes): (Vec<String>, Vec<String>) = args.color.iter().cloned().partition(|key| has.has("obs", key));
    let genes = symbols::names(&args.input, &genes, args.symbols.gene_symbols.as_deref())?;
    let color = [columns, genes].concat();
    let choice = Choice {
        input: &args.input,
        model: args.model.as_deref(),
        basis: args.basis.as_deref(),
        cluster_key: args.cluster_key.clone(),
        color: &color,
        time_range: args.time_range,
        title: args.title.clone(),
    };
    write(&choice, &args.output)?;
    let mut figures = Figures::default();
    figures.text("report", args.output.display());
    figures.print(output)
}

/// What a report shows, and how.
pub(super) struct Choice<'a> {
    pub input: &'a Path,
    pub model: Option<&'a Path>,
    pub basis: Option<&'a str>,
    pub cluster_key: Option<String>,
    pub color: &'a [String],
    pub time_range: f64,
    pub title: Option<String>,
}

/// Writes a report.
pub(super) fn write(choice: &Choice<'_>, output: &Path) -> anyhow::Result<()> {
    // X_cell_state is that of the first member
    let checkpoint = choice.model.map(Ensemble::load).transpose()?.and_then(Ensemble::into_first);
    let source = Source::read(choice, checkpoint).with_context(|| choice.input.display().to_string())?;
    let page = source.report().with_context(|| choice.input.display().to_string())?;
    files::write(output, page.html()?.as_bytes())
}

/// The parts of the file that a report shows, and the model.
struct Source<'a> {
    choice: &'a Choice<'a>,
    basis: String,
    data: Dataset,
    record: Option<Record>,
    checkpoint: Option<Checkpoint>,
    clusters: Option<(String, Categorical)>,
    velocity: Option<String>,
    pseudotime: Vec<f64>,
}

impl<'a> Source<'a> {
    fn read(choice: &'a Choice<'a>, checkpoint: Option<Checkpoint>) -> anyhow::Result<Self> {
        let has = inspect(choice.input)?;
        let mut keys = Keys { x: has.entries.iter().any(|e| e.slot == "X"), ..Keys::none() };
        keys.uns = ["sclsd", "cluster_edges", fate_estimates::PROBABILITIES]
            .into_iter()
            .filter(|k| has.has("uns", k))
            .map(Into::into)
            .collect();
        let uns = read_with_hint(choice.input, &Keys { uns: keys.uns.clone(), ..Keys::none() }, "")?;
        let record = record::read(&uns)?;
        let spec = record.as_ref().map(|r| &r.spec).or(checkpoint.as_ref().map(|c| &c.spec));
        let specs = [record.as_ref().map(|r| &r.spec), checkpoint.as_ref().map(|c| &c.spec)];
        let cluster_key = groups::cluster_key(choice.cluster_key.as_ref(), &specs, &has).ok();

        let velocity_on = |basis: &str| Directions::Transitions.key(basis::suffix(basis));
        let directed = |basis: &str| has.has("obsm", &velocity_on(basis));
        let basis = basis::of_picture(choice.input, &has, choice.basis, directed)?;
        keys.obsm = vec![basis.clone()];
        let velocity = Some(velocity_on(&basis)).filter(|key| has.has("obsm", key));
        keys.obsm.extend(velocity.clone());
        if checkpoint.is_some() {
            keys.obsm.push("X_cell_state".into());
        }
        let fates = [fate_estimates::PROBABILITIES, fate_estimates::BY_PRIOR, fate_estimates::BY_NEIGHBORS, "X_pca"];
        keys.obsm.extend(fates.into_iter().filter(|key| has.has("obsm", key)).map(str::to_owned));
        keys.obsm.sort();
        keys.obsm.dedup();
        keys.obs = ["lsd_pseudotime", "potential"].map(Into::into).to_vec();
        let wanted = cluster_key.iter().cloned().chain(optional_columns(&has, record.as_ref(), choice.color));
        for key in wanted {
            if !keys.obs.contains(&key) {
                keys.obs.push(key);
            }
        }
        let graphs = ["transitions", record::PRIOR_MATRIX];
        keys.obsp.extend(graphs.into_iter().filter(|key| has.has("obsp", key)).map(str::to_owned));
        keys.obsp.extend(spec.map(|s| s.keys.connectivities.clone()).filter(|key| has.has("obsp", key)));
        let mut data = read_with_hint(choice.input, &keys, "a report shows what sclsd train or annotate writes")?;
        if let (Some(path), Some(checkpoint)) = (choice.model, &checkpoint) {
            check_genes(path, checkpoint, &data)?;
        }
        if data.obsm[&basis].n_cols() < 2 {
            bail!("obsm[\"{basis}\"] has one column, but a picture needs two");
        }
        let clusters = match cluster_key {
            Some(key) => {
                groups::name(&mut data, &key)?;
                Some((key.clone(), data.groups(&key)?))
            }
            None => None,
        };
        let pseudotime = data.numbers("lsd_pseudotime")?;
        Ok(Self { choice, basis, data, record, checkpoint, clusters, velocity, pseudotime })
    }

    fn spec(&self) -> Option<&TrainSpec> {
        self.record.as_ref().map(|r| &r.spec).or(self.checkpoint.as_ref().map(|c| &c.spec))
    }

    fn places(&self) -> Places<'_> {
        Places { basis: &self.basis, points: &self.data.obsm[&self.basis] }
    }

    fn report(&self) -> anyhow::Result<Report> {
        let landscape = Landscape::new(self.places(), &self.data.numbers("potential")?);
        let streamlines = self
            .velocity
            .as_ref()
            .map(|key| pack_streamlines(&stream_lines(self.places(), &self.data.obsm[key], &StreamStyle::default())));
        let config = match (&self.record, &self.checkpoint) {
            (Some(record), _) => serde_json::to_string_pretty(&record.config)?,
            (None, Some(checkpoint)) => serde_json::to_string_pretty(&checkpoint.spec)?,
            (None, None) => String::new(),
        };
        let audited = self.audit();
        let mut warnings = self.warnings();
        warnings.extend(audited.as_ref().err().map(|error| format!("The result could not be audited: {error:#}.")));
        Ok(Report {
            title: self.choice.title.clone().unwrap_or_else(|| self.file_name()),
            audit: audited.as_ref().ok().and_then(Option::as_ref).map(audit::for_report),
            facts: self.facts(),
            warnings,
            figures: self.figures()?,
            config,
            cells: self.cells()?,
            streamlines,
            landscape: Some(ReportLandscape::from(&landscape)),
            trajectories: self.trajectories()?,
            history: self.record.as_ref().map(|r| r.history.clone()).unwrap_or_default(),
            fates: self.fates()?,
            trends: self.trends(),
        })
    }

    /// Every check, where the model is there that they are made of.
    fn audit(&self) -> anyhow::Result<Option<Audit>> {
        let Some(model) = self.choice.model else { return Ok(None) };
        let cluster_key = self.choice.cluster_key.as_ref();
        audit::of_files(&audit::Choice { input: self.choice.input, model, cluster_key, null: false }).map(Some)
    }

    fn file_name(&self) -> String {
        self.choice.input.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    fn facts(&self) -> Vec<(String, String)> {
        let mut facts = vec![
            ("file", self.file_name()),
            ("cells", self.data.n_cells().to_string()),
            ("genes", self.data.n_genes().to_string()),
        ];
        if let Some((key, clusters)) = &self.clusters {
            facts.push(("clusters", format!("{} ({key})", clusters.categories().len())));
        }
        if let Some(spec) = self.spec() {
            let walks = &spec.walks;
            facts.push(("walks", format!("{} of {} cells", walks.num_walks, walks.path_len)));
            facts.push(("prior", self.prior_name()));
        }
        if let Some(loss) = self.record.as_ref().and_then(|r| r.history.get("loss")) {
            facts.push(("epochs", loss.len().to_string()));
            facts.extend(loss.last().map(|last| ("final loss", format!("{last:.4}"))));
        }
        facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The time that directed the run's walks, if the file records and contains it.
    fn time(&self) -> Option<Vec<f64>> {
        self.record.as_ref().and_then(|record| record.time(&self.data).ok().flatten())
    }

    /// What directed the run's walks.
    fn prior_name(&self) -> String {
        match self.record.as_ref().map(Record::time_key) {
            Some(Some(key)) if self.data.obs.get(key).is_some() => key.to_owned(),
            Some(Some(key)) => format!("{key}, not in the file"),
            Some(None) => "a matrix of transitions".into(),
            None => "not in the file".into(),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(correlation) = self.time().and_then(|time| spearman(&self.pseudotime, &time)).filter(|c| *c < 0.0) {
            warnings.push(format!(
                "Pseudotime runs against the prior time (Spearman {correlation:.2}): the potential is upside \
                 down. Train again with more epochs, longer walks or another seed."
            ));
        }
        if let Some(loss) = self.record.as_ref().and_then(|r| r.history.get("loss")).filter(|loss| loss.len() >= 10) {
            let tenth = loss.len() / 10;
            #[expect(clippy::cast_precision_loss, reason = "a number of epochs")]
            let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
            let (last, before) =
                (mean(&loss[loss.len() - tenth..]), mean(&loss[loss.len() - 2 * tenth..loss.len() - tenth]));
            if last < before - 0.02 * before.abs() {
                warnings.push(format!(
                    "The loss was still falling when training ended (from {before:.3} to {last:.3} over the last tenths): more \
                     epochs may change the result."
                ));
            }
        }
        warnings.extend(self.never_entered());
        if self.checkpoint.is_none() {
            warnings.push("No model was given (--model), so there are no trajectories.".into());
        }
        if self.velocity.is_none() {
            let basis = &self.basis;
            warnings.push(format!(
                "The file has no directions on {basis}, so there are no streamlines; sclsd annotate writes them."
            ));
        }
        warnings
    }

    /// Clusters that hardly any cell enters, except the cluster that is first in pseudotime.
    fn never_entered(&self) -> Vec<String> {
        let (Some((_, clusters)), Some(transitions)) = (&self.clusters, self.data.obsp.get("transitions")) else {
            return Vec::new();
        };
        let n = clusters.categories().len();
        let flow = cluster_flow(transitions, clusters);
        let (mut sums, mut sizes) = (vec![0.0; n], vec![0.0_f64; n]);
        for (code, time) in clusters.codes().iter().zip(&self.pseudotime) {
            if let Some(code) = code {
                sums[*code as usize] += time;
                sizes[*code as usize] += 1.0;
            }
        }
        let mean = |c: usize| if sizes[c] > 0.0 { sums[c] / sizes[c] } else { f64::INFINITY };
        let first = (0..n).min_by(|&a, &b| mean(a).total_cmp(&mean(b)));
        let entering = |c: usize| (0..n).filter(|&from| from != c).map(|from| flow[from * n + c]).sum::<f64>();
        let alone = (0..n).filter(|&c| n > 1 && sizes[c] > 0.0 && Some(c) != first && entering(c) < ENTERED * sizes[c]);
        alone
            .map(|c| {
                format!(
                    "Hardly any cell of another cluster goes to {}, although pseudotime does not start there: the graph does not \
                     connect this cluster to others, or all cells flow out of the cluster.",
                    clusters.categories()[c]
                )
            })
            .collect()
    }

    fn figures(&self) -> anyhow::Result<Vec<(String, String, String)>> {
        let mut figures = Vec::new();
        let mut add = |name: &str, value: Option<f64>, meaning: &str| {
            if let Some(value) = value.filter(|v| v.is_finite()) {
                figures.push((name.to_owned(), format!("{value:.3}"), meaning.to_owned()));
            }
        };
        if let Some(time) = self.time() {
            let meaning = format!("rank correlation of the pseudotime with {}", self.prior_name());
            add("Spearman with prior time", spearman(&self.pseudotime, &time), &meaning);
        }
        let graph = self.spec().and_then(|spec| self.data.obsp.get(&spec.keys.connectivities));
        let (Some((_, clusters)), Some(graph), Some(velocity)) = (&self.clusters, graph, &self.velocity) else {
            return Ok(figures);
        };
        let cells = basis::placed(&self.data.obsm[&self.basis]);
        let [embedding, velocity] = [&self.basis, velocity].map(|key| self.data.obsm[key].select_rows(&cells));
        let graph = graph.select_rows(&cells).select_columns(&cells);
        let clusters = &groups::some(clusters, &cells);
        let pseudotime: Vec<f64> = cells.iter().map(|&cell| self.pseudotime[cell]).collect();
        let coherence = mean_score(&inner_cluster_coherence(&velocity, &graph, clusters)?);
        add("in-cluster coherence", coherence, "mean cosine between directions of neighbours within a cluster");
        let edges = edges::of_result(self.record.as_ref(), &self.data, clusters);
        if !edges.is_empty() {
            let found = evaluate(&embedding, &velocity, &graph, clusters, &edges, &pseudotime)?;
            let meaning = "mean cosine between a cell's direction and the way to neighbours of the next cluster";
            add("cross-boundary correctness", found.cross_boundary_mean, meaning);
            add("stage correlation", found.stage_correlation, "rank correlation of pseudotime with a cluster's stage");
        }
        Ok(figures)
    }

    fn cells(&self) -> anyhow::Result<ReportCells> {
        let shown = shown_cells(self.data.n_cells());
        let mut keys: Vec<String> = self.clusters.iter().map(|(key, _)| key.clone()).collect();
        keys.extend(self.data.obs.columns.iter().map(|(key, _)| key.clone()));
        keys.extend(self.choice.color.iter().cloned());
        let mut colorings: Vec<(String, Coloring)> = Vec::new();
        for key in keys {
            if colorings.iter().all(|(name, _)| *name != key) {
                let chosen = pick(coloring(&self.data, &key)?, &shown);
                colorings.push((key, chosen));
            }
        }
        let names = shown.iter().map(|&cell| self.data.obs.names[cell].clone()).collect();
        let points = &self.data.obsm[&self.basis];
        let places: Vec<[f64; 2]> =
            shown.iter().map(|&cell| [f64::from(points.row(cell)[0]), f64::from(points.row(cell)[1])]).collect();
        Ok(ReportCells::new(&self.basis, self.data.n_cells(), names, &places, &colorings))
    }

    fn trajectories(&self) -> anyhow::Result<Option<ReportTrajectories>> {
        let Some(checkpoint) = &self.checkpoint else { return Ok(None) };
        let (cells, _) = choose(&self.data, None, &[], PATHS)?;
        let flow = follow(checkpoint, &self.data, &cells, self.choice.time_range)?;
        let paths = on_embedding(&flow, &self.data, &self.basis)?;
        let colors = match &self.clusters {
            Some((_, clusters)) => {
                let palette = group_colors(clusters);
                let of = |&cell: &usize| clusters.codes()[cell].map_or([128; 3], |code| palette[code as usize]);
                cells.iter().map(of).collect()
            }
            None => vec![[0, 114, 178]; cells.len()],
        };
        Ok(Some(ReportTrajectories::new(flow.times, &paths, &colors)))
    }

    /// Fate probabilities: those in the file, or else computed now from the transitions of model and prior; with those
    /// of the baselines.
    fn fates(&self) -> anyhow::Result<Option<ReportFates>> {
        let data = &self.data;
        let (found, baselines, note) = match fate_estimates::stored(data, fate_estimates::PROBABILITIES) {
            Some(found) => {
                let keys = [fate_estimates::BY_PRIOR, fate_estimates::BY_NEIGHBORS];
                let method = fate_estimates::stored_method(data).unwrap_or_else(|| "model".into());
                let baselines: Vec<_> =
                    keys.into_iter().filter_map(|k| Some((k, fate_estimates::stored(data, k)?))).collect();
                (found, baselines, method)
            }
            None => {
                if self.record.is_none() {
                    return Ok(None);
                }
                let output = Output { quiet: true, json: false, beside: false };
                let estimator = FateEstimator {
                    data,
                    record: self.record.as_ref(),
                    checkpoint: self.checkpoint.as_ref(),
                    beta: FATE_BETA,
                    prior_weight: None,
                    output,
                };
                let key = self.clusters.as_ref().map(|(key, _)| key.as_str());
                let Ok(terminal) = estimator.terminal(&[], key) else { return Ok(None) };
                let method = FateMethodArg::Transitions;
                (
                    estimator.estimate(method, &terminal, 0.0, &SdeArgs::default())?.found,
                    estimator.baselines(&terminal),
                    method.name().to_owned(),
                )
            }
        };
        let clusters = self.clusters.as_ref().map(|(_, clusters)| clusters);
        let colors = group_colors(&fate_estimates::colored(found.column(), clusters));
        let model = FateEstimate { found, colors }.into();
        let of = |key: &str| baselines.iter().find(|(k, _)| *k == key).map(|(_, found)| found.values());
        let estimates = FateEstimates {
            model: &model,
            prior: of(fate_estimates::BY_PRIOR),
            neighbors: of(fate_estimates::BY_NEIGHBORS),
            clusters,
            note: Some(method_sentence(&note).to_owned()),
        };
        Ok(Some(ReportFates::new(estimates, &shown_cells(data.n_cells()))))
    }

    fn trends(&self) -> Option<ReportTrends> {
        let x = self.data.x.as_ref()?;
        let found = trends(x, &self.pseudotime, BINS);
        let bins = found.times.len().max(1);
        // genes that change most along pseudotime
        let change = |row: &[f64]| {
            let (low, high) = row.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
            high - low
        };
        let mut order: Vec<(usize, f64)> = found.means.chunks(bins).map(change).enumerate().collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        let first = order.iter().take(FIRST).map(|(gene, _)| *gene).collect();
        Some(ReportTrends::new(self.data.var.names.clone(), found.times, &found.means, first))
    }
}

/// The explanation of a method for readers of the report.
fn method_sentence(method: &str) -> &'static str {
    match method {
        "prior" => {
            "Model: none. These are the probabilities that a walk of the prior is absorbed in each terminal state."
        }
        "neighbors" => "Model: none. These are the states of the 15 nearest terminal cells.",
        "drift" => {
            "Model: the probability that a walk to neighbors in the direction of the drift is absorbed in each terminal \
             state. Prior: the same for a walk by the prior time alone. Neighbors: the states of the 15 nearest \
             terminal cells."
        }
        "sde" => {
            "Model: the share of paths, along the drift and with noise, that enter each terminal state. Prior: the \
             probability that a walk of the prior is absorbed in each terminal state. Neighbors: the states of the 15 \
             nearest terminal cells."
        }
        "flow" => {
            "Model: the terminal cells nearest to where the flow ends, without noise. Prior: the probability that a \
             walk of the prior is absorbed in each terminal state. Neighbors: the states of the 15 nearest terminal cells."
        }
        _ => {
            "Model: the probability that a walk down the model's potential, mixed with steps of the prior if the file \
             has them, is absorbed in each terminal state. Prior: the same for a walk by the prior time alone. Neighbors: the states of the 15 nearest terminal cells."
        }
    }
}

/// Columns that are shown if the file has them; genes among `colors` are read with X.
fn optional_columns(has: &Inspection, record: Option<&Record>, colors: &[String]) -> Vec<String> {
    let known = ["entropy", "fate", "fate_entropy", "terminal_states", "true_time", "prior_pseudotime"]
        .into_iter()
        .map(str::to_owned);
    let time = record.and_then(Record::time_key).map(str::to_owned);
    known.chain(time).chain(colors.iter().cloned()).filter(|key| has.has("obs", key)).collect()
}

/// The coloring of some of the cells.
fn pick(coloring: Coloring, cells: &[usize]) -> Coloring {
    match coloring {
        Coloring::Groups(groups) => Coloring::Groups(groups::some(&groups, cells)),
        Coloring::Numbers { name, values, color_map } => {
            Coloring::Numbers { name, values: cells.iter().map(|&cell| values[cell]).collect(), color_map }
        }
    }
}
