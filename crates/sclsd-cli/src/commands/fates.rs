//! `sclsd fates`: the probability that a cell ends in each terminal state, or with `--hard` where its flow ends.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, bail};
use safetensors::tensor::{Dtype, TensorView};
use sclsd::analysis::{FateProbabilities, FateTable, HardFateSpec, HardFates, hard_fates};
use sclsd::data::{Additions, Categorical, Column, H5ad, Keys, Uns};
use sclsd::graph::Terminal;
use sclsd::infer::{Checkpoint, Ensemble};
use serde_json::{Map, Value, json};

use super::adding::add;
use super::fate_estimates::{self, Estimate, FateEstimator};
use super::fate_members::{self, MemberSpread};
use super::fate_paths::{self, GenePathTable};
use super::files::{self, Files};
use super::lonely::first_lonely;
use super::reading::{hinted, named_apart};
use super::record::TERMINAL;
use super::threads::start;
use super::{groups, model_file, record, symbols};
use crate::args::{FateMethodArg, FatesArgs};
use crate::escape;
use crate::figures::Figures;
use crate::progress::Output;

pub(crate) fn run(args: &FatesArgs, output: Output) -> anyhow::Result<()> {
    start(&args.threads, output)?;
    check_options(args)?;
    let mut files = Files::default().reads("INPUT", &args.input).reads("--model", &args.model).writes_over(
        "-o",
        &args.output,
        &args.input,
    );
    if let Some(table) = &args.sde.gene_paths {
        files = files.writes_text("--gene-paths", table);
    }
    match &args.paths {
        Some(paths) => files.writes("--paths", paths).check()?,
        None => files.check()?,
    }
    check_options(args)?;
    let output = args.sde.gene_paths.as_ref().map_or(output, |table| output.with_file(table));
    if args.hard {
        return hard(args, &model_file::first(&args.model, output)?, output);
    }
    let fates = probabilities(args, &model_file::members(&args.model, output)?, output)?;
    let mut figures = Figures::default();
    figures.count("cells", fates.found.n_cells());
    figures.text("method", args.method.name());
    if let Some(spread) = &fates.spread {
        figures.count("members", spread.members);
        figures.number("mean width of the interval", spread.width(), 4);
    }
    for (name, shown) in [("sigma", "sigma"), ("unabsorbed", "share of paths in no terminal set")] {
        if let Some((_, Uns::Floats(_, value))) = fates.about.iter().find(|(known, _)| *known == name)
            && let [value] = value[..]
        {
            figures.number(shown, value, 4);
        }
    }
    figures.count("cells that reach no terminal state", fates.found.unreachable());
    let (shown, value) = table(&fates);
    figures.nested("fates", shown, value);
    figures.text("result", args.output.display());
    if let Some(table) = &args.sde.gene_paths {
        figures.text("gene paths", table.display());
    }
    figures.print(output)
}

/// Checks that the options belong to the method, and that paths can be drawn with them.
fn check_options(args: &FatesArgs) -> anyhow::Result<()> {
    let method = if args.hard { "--hard".to_owned() } else { format!("--method {}", args.method.name()) };
    if args.prior_weight.is_some() && args.method != FateMethodArg::Transitions {
        bail!("--prior-weight needs --method transitions, but the command has {method}");
    }
    match args.sde.given() {
        Some(flag) if args.method != FateMethodArg::Sde => {
            bail!("{flag} needs --method sde, but the command has {method}")
        }
        _ if args.method == FateMethodArg::Sde => {
            fate_paths::spec(&args.sde, args.sde.sigma.unwrap_or_default(), args.time_range).map(|_| ())
        }
        _ => Ok(()),
    }
}

/// Fates that were estimated and written.
pub(super) struct WrittenFates {
    pub found: FateProbabilities,
    /// What they depend on, by name.
    pub about: Vec<(&'static str, Uns)>,
    pub terminal: Terminal,
    pub baselines: Vec<(&'static str, FateProbabilities)>,
    /// Over members, where there are several.
    pub spread: Option<MemberSpread>,
}

/// Tells the probabilities of every terminal state, beside those of the prior and of neighbors, and writes them.
pub(super) fn probabilities(args: &FatesArgs, run: &Ensemble, output: Output) -> anyhow::Result<WrittenFates> {
    let checkpoint = run.first().context("the model has no member")?;
    let by_members = run.members.len() > 1 && args.method.uses_model();
    let shown = || args.input.display().to_string();
    let file = H5ad::open(&args.input)?;
    let has = file.inspect()?;
    let record = record::of_file(&args.input, &has)?;
    let spec = record.as_ref().map_or(&checkpoint.spec, |record| &record.spec).clone();
    let specs = [record.as_ref().map(|record| &record.spec), Some(&checkpoint.spec)];
    let cluster_key = match groups::cluster_key(args.cluster_key.as_ref(), &specs, &has) {
        // terminal cells are known already; clusters would only give them colors
        Err(_) if args.terminal.is_empty() && has.has("obs", TERMINAL) => None,
        key => Some(key.with_context(shown)?),
    };
    let mut wanted = fate_estimates::keys(&has, &spec, cluster_key.as_ref());
    for (slot, keys, key) in
        [("obs", &mut wanted.obs, "lsd_pseudotime"), ("obsp", &mut wanted.obsp, spec.keys.connectivities.as_str())]
    {
        if !keys.iter().any(|k| k == key) && !has.has(slot, key) {
            keys.push(key.to_owned()); // reading then fails with an error that lists what the file has
        }
    }
    if !has.has("obsm", "X_cell_state") {
        wanted.obsm.push("X_cell_state".into());
    }
    wanted.x |= by_members; // each member encodes the cells anew
    let hint = "fates are computed from what sclsd train or annotate writes";
    let mut data = named_apart(&args.input, hinted(file.read(&wanted), hint)?)?;
    model_file::check_genes(&args.model, checkpoint, &data).with_context(shown)?;
    if let Some(key) = &cluster_key {
        groups::name(&mut data, key).with_context(shown)?;
    }
    let estimator = FateEstimator {
        data: &data,
        record: record.as_ref(),
        checkpoint: Some(checkpoint),
        beta: args.beta,
        prior_weight: args.prior_weight,
        output,
    };
    let terminal = estimator.terminal(&args.terminal, cluster_key.as_deref()).with_context(shown)?;
    if let Some(lonely) = first_lonely(&data, &checkpoint.spec.keys.connectivities)? {
        bail!("{}: {lonely}; remove such cells, or rebuild the graph", args.input.display());
    }
    let with = || format!("{} with {}", args.input.display(), args.model.display());
    let clusters = cluster_key.as_ref().and_then(|key| data.obs.get(key)).and_then(Column::to_categorical);
    let known = if checkpoint.model.genes.is_empty() { &data.var.names } else { &checkpoint.model.genes };
    if let Some((table, paths)) = gene_paths(args, known, clusters.as_ref()).with_context(shown)? {
        let drawn = estimator.paths(&terminal, args.time_range, &args.sde).with_context(with)?;
        files::write(table, &paths.csv(&drawn).with_context(with)?)?;
    }
    let (estimate, spread, baselines) = if by_members {
        // before the members put their own pseudotime and states into the data
        let baselines = estimator.baselines(&terminal);
        let (mean, spread) =
            fate_members::estimate(run, &mut data, record.as_ref(), args, &terminal, output).with_context(with)?;
        (mean, Some(spread), baselines)
    } else {
        fate_members::say_none(run, args, &has, output);
        let estimate = estimator.estimate(args.method, &terminal, args.time_range, &args.sde).with_context(with)?;
        (estimate, None, estimator.baselines(&terminal))
    };
    let mut additions = fate_estimates::additions(&estimate, args.method.name(), &baselines, clusters.as_ref());
    let states = fate_estimates::colored(terminal.column(), clusters.as_ref());
    additions.obs.push((TERMINAL.into(), Column::Categorical(states)));
    if let Some(spread) = &spread {
        spread.add_to(&mut additions)?;
    }
    add(&file, &args.output, &additions, args.write.compress, output)?;

    let Estimate { found, about } = estimate;
    let unreachable = found.unreachable();
    if unreachable > 0 {
        output.note(format!(
            "{unreachable} of {} cells cannot reach a terminal state, because the graph does not connect them to one: their \
             probabilities are 0 and they have no fate",
            data.n_cells()
        ));
    }
    Ok(WrittenFates { found, about, terminal, baselines, spread })
}

/// The table of genes along paths that is to be written, and where.
fn gene_paths<'a>(
    args: &'a FatesArgs,
    model_genes: &[String],
    clusters: Option<&Categorical>,
) -> anyhow::Result<Option<(&'a Path, GenePathTable)>> {
    let Some(table) = &args.sde.gene_paths else { return Ok(None) };
    let clusters = clusters.context("--gene-paths needs clusters: name their column of obs with --cluster-key")?;
    let genes = symbols::names(&args.input, &args.sde.gene, args.sde.symbols.gene_symbols.as_deref())?;
    Ok(Some((table, GenePathTable::new(model_genes, &genes, clusters, &args.sde.clusters)?)))
}

/// For each fate: its terminal cells, the cells it is likeliest for, its mean probability, and that of the baselines.
fn table(fates: &WrittenFates) -> (String, Value) {
    let WrittenFates { found, terminal, baselines, .. } = fates;
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    let mean = |fates: &FateProbabilities, k: usize| {
        let reaching = fates.n_cells() - fates.unreachable();
        (0..fates.n_cells()).map(|cell| fates.row(cell)[k]).sum::<f64>() / reaching.max(1) as f64
    };
    let likely = |k: usize| (0..found.n_cells()).filter(|&cell| found.likeliest(cell) == Some(k)).count();
    let width = found.names().iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let (mut shown, mut values) = (String::new(), Map::new());
    for (k, name) in found.names().iter().enumerate() {
        let beside: Vec<(&str, f64)> = baselines
            .iter()
            .map(|(key, fates)| (key.trim_start_matches("fate_probabilities_"), mean(fates, k)))
            .collect();
        let words: Vec<String> = beside.iter().map(|(key, mean)| format!("{key} {mean:.3}")).collect();
        let beside_shown = if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) };
        let shown_name = escape::line(name);
        let (mean, likely, cells) = (mean(found, k), likely(k), terminal.sizes()[k]);
        let _ = write!(
            shown,
            "\n    {shown_name:<width$}  mean probability {mean:.3}{beside_shown}  likeliest of {likely} cells  {cells} terminal cells"
        );
        let means: Map<String, Value> = beside.into_iter().map(|(key, mean)| (key.to_owned(), json!(mean))).collect();
        values.insert(
            name.clone(),
            json!({
                "mean": mean,
                "baselines": means,
                "cells": likely,
                "terminal_cells": cells,
            }),
        );
    }
    (shown, Value::Object(values))
}

/// The cell nearest to where each cell ends, as the Python package finds it.
fn hard(args: &FatesArgs, checkpoint: &Checkpoint, output: Output) -> anyhow::Result<()> {
    let shown = || args.input.display().to_string();
    let file = H5ad::open(&args.input)?;
    let has = file.inspect()?;
    let record = record::of_file(&args.input, &has)?;
    let specs = [record.as_ref().map(|record| &record.spec), Some(&checkpoint.spec)];
    let cluster_key = groups::cluster_key(args.cluster_key.as_ref(), &specs, &has).with_context(shown)?;
    let wanted = Keys::none().with_obs(&cluster_key).with_obsm("X_cell_state");
    let hint = "fates start from obsm[\"X_cell_state\"], which sclsd annotate writes";
    let data = named_apart(&args.input, hinted(file.read(&wanted), hint)?)?;
    let clusters = groups::of(&data, &cluster_key).with_context(shown)?;
    let spec = HardFateSpec {
        time_range: args.time_range,
        dt: args.dt,
        paths: args.paths.is_some(),
        ode: checkpoint.spec.ode.clone(),
    };
    let found = hard_fates(&checkpoint.model, &data.obsm["X_cell_state"], &spec)
        .with_context(|| format!("{} with {}", args.input.display(), args.model.display()))?;
    let additions = Additions { obs: vec![("fate".into(), found.column(&clusters))], ..Additions::default() };
    if let Some(paths) = &args.paths {
        write_paths(paths, &found)?;
    }
    add(&file, &args.output, &additions, args.write.compress, output)?;

    let all: Vec<u32> = (0_u32..).take(data.n_cells()).collect();
    let table = FateTable::new(&clusters, &all, &found.cells);
    let mut figures = Figures::default();
    figures.count("cells", data.n_cells());
    figures.number("time", args.time_range, 2);
    let (shown, value) = summary(&table);
    figures.nested("fates", shown, value);
    if let Some(paths) = &args.paths {
        figures.text("paths", paths.display());
    }
    figures.text("result", args.output.display());
    figures.print(output)
}

/// Cells that end in each cluster, and where they come from, as text and as JSON.
fn summary(table: &FateTable) -> (String, Value) {
    let (ends, n) = (table.ends(), table.clusters.len());
    let all: usize = ends.iter().sum();
    let (mut shown, mut fates) = (String::new(), Map::new());
    let width = table.clusters.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (to, name) in table.clusters.iter().enumerate() {
        let shown_name = escape::line(name);
        let origins: Vec<usize> = (0..n).filter(|&from| table.count(from, to) > 0).collect();
        let from: Map<String, Value> =
            origins.iter().map(|&from| (table.clusters[from].clone(), json!(table.count(from, to)))).collect();
        let from_shown: Vec<String> = origins
            .iter()
            .map(|&f| format!("{} of {}", table.count(f, to), escape::line(&table.clusters[f])))
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
        let fraction = ends[to] as f64 / all.max(1) as f64;
        let percent = 100.0 * fraction;
        let line = format!("\n    {shown_name:<width$}  {:>6}  {percent:5.1} %  {}", ends[to], from_shown.join(", "));
        shown.push_str(line.trim_end());
        fates.insert(name.clone(), json!({"cells": ends[to], "fraction": fraction, "from": from}));
    }
    (shown, Value::Object(fates))
}

/// Writes `times` in f64 and `cells`, times × cells, in u32; the metadata has the version (docs/formats.md).
fn write_paths(path: &Path, fates: &HardFates) -> anyhow::Result<()> {
    let times: Vec<u8> = fates.times.iter().flat_map(|t| t.to_le_bytes()).collect();
    let cells: Vec<u8> = fates.paths.iter().flatten().flat_map(|c| c.to_le_bytes()).collect();
    let shape = vec![fates.times.len(), fates.cells.len()];
    let tensors = HashMap::from([
        ("times", TensorView::new(Dtype::F64, vec![fates.times.len()], &times)?),
        ("cells", TensorView::new(Dtype::U32, shape, &cells)?),
    ]);
    let version = HashMap::from([("format_version".to_owned(), "1".to_owned())]);
    files::write(path, &safetensors::serialize(tensors, Some(version))?)
}
