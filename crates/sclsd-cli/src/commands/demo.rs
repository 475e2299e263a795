//! `sclsd demo`: simulates raw counts, prepares them, trains a model, and compares the result with the truth.

use std::path::PathBuf;

use anyhow::Context;
use sclsd::Device;
use sclsd::analysis::{agreement, fate_retention, spearman};
use sclsd::data::{Compression, Dataset, SimulateSpec, plain_reason, simulate, write_h5ad};
use sclsd::graph::{PrepareSpec, Root, prepare};
use sclsd::infer::Ensemble;
use sclsd::model::Peers;

use super::fate_estimates;
use super::fates::{self, WrittenFates};
use super::files::Files;
use super::inspect::quoted;
use super::members::Members;
use super::prior_choice::PriorChoice;
use super::report;
use super::settings::Settings;
use super::threads::device;
use super::train::Job;
use crate::args::{DemoArgs, FatesArgs};
use crate::figures::Figures;
use crate::progress::Output;

/// The cluster in which simulated cells start.
const STEM: &str = "Stem";

pub(crate) fn run(args: &DemoArgs, output: Output) -> anyhow::Result<()> {
    let device = device(&args.machine)?;
    std::fs::create_dir_all(&args.out)
        .map_err(|error| anyhow::anyhow!("{} cannot be created: {}", args.out.display(), plain_reason(&error)))?;
    let [simulated, prepared, result, model, page] =
        ["simulated.h5ad", "prepared.h5ad", "result.h5ad", "model.safetensors", "report.html"]
            .map(|name| args.out.join(name));
    let written = [&simulated, &prepared, &result, &model, &page];
    written.into_iter().fold(Files::default(), |files, path| files.writes("--out", path)).check()?;

    output.note(format!("simulating {} cells with {} genes", args.cells, args.genes));
    let truth = counts_only(&SimulateSpec {
        n_cells: args.cells,
        n_genes: args.genes,
        seed: args.seed,
        ..SimulateSpec::default()
    })?;
    write_h5ad(&simulated, &truth, Compression::None)?;
    output.note("preparing the cells: genes, principal components, neighbours, diffusion pseudotime");
    let root = Some(Root::Cluster(STEM.into()));
    let cells = prepare(truth, &PrepareSpec { root, random_state: args.seed, ..PrepareSpec::default() })?.data;
    let time = spearman(&cells.numbers("dpt_pseudotime")?, &cells.numbers("true_time")?);
    write_h5ad(&prepared, &cells, Compression::None)?;

    let job = Job {
        input: &prepared,
        output: &result,
        model: &model,
        members: Members::ONE,
        settings: Settings::recommended(args.epochs, args.seed),
        prior: PriorChoice::default(),
        basis: None,
        compression: Compression::None,
        checkpoint_every: 10,
        resume: false,
        goes_on: goes_on(args, [&prepared, &result, &model]),
        devices: vec![device],
        peers: Peers::alone(),
    };
    let (pseudotime, mut figures) = job.run(output)?;
    let fates = fates::probabilities(
        &FatesArgs::of(&result, &model),
        &Ensemble::load(&model)?,
        Output { quiet: true, ..output },
    )?;
    let choice = report::Choice {
        input: &result,
        model: Some(&model),
        basis: None,
        cluster_key: Some("clusters".into()),
        color: &[],
        time_range: 15.0,
        title: Some("Simulated cells".into()),
    };
    report::write(&choice, &page)?;
    let truth = cells.numbers("true_time").context("the simulated cells")?;
    let absent = "none: one of the two does not vary";
    figures.optional("spearman of prior with true time", time, 4, absent);
    figures.optional("spearman with true time", spearman(&pseudotime, &truth), 4, absent);
    score(&fates, &cells, &mut figures)?;
    figures.text("simulated", simulated.display());
    figures.text("prepared", prepared.display());
    figures.text("model", model.display());
    figures.text("result", result.display());
    figures.text("report", page.display());
    figures.print(output)
}

/// The `sclsd train` command that continues the training of a demo that was stopped.
fn goes_on(args: &DemoArgs, files: [&PathBuf; 3]) -> String {
    let [prepared, result, model] = files.map(|path| quoted(path));
    let epochs = args.epochs.map(|epochs| format!(" --epochs {epochs}")).unwrap_or_default();
    let device = if args.machine.device == Device::DEFAULT {
        String::new()
    } else {
        format!(" --device {}", args.machine.device)
    };
    format!(
        "to continue, run sclsd train {prepared} -o {result} --model {model} --seed {}{epochs}{device} --resume",
        args.seed
    )
}

/// Fates against the truth, beside those of the prior and of neighbors.
fn score(written: &WrittenFates, cells: &Dataset, figures: &mut Figures) -> anyhow::Result<()> {
    let clusters = cells.groups("clusters")?;
    let all = [("model", &written.found)].into_iter();
    let all = all.chain(written.baselines.iter().map(|(key, f)| (key.trim_start_matches("fate_probabilities_"), f)));
    for (name, fates) in all {
        let Some(found) = fate_estimates::truth(cells, fates)?.and_then(|truth| agreement(fates, &truth)) else {
            continue;
        };
        let retention = fate_retention(fates, &clusters, &written.terminal);
        #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
        let (stay, mature) = retention.iter().fold((0.0, 0.0), |(stay, all), (_, fraction, cells)| {
            (stay + fraction.unwrap_or(0.0) * *cells as f64, all + *cells as f64)
        });
        figures.optional(
            &format!("fates by {name}: accuracy"),
            found.accuracy,
            4,
            "none: no cell has a clear true fate",
        );
        figures.number(&format!("fates by {name}: mean squared error"), found.mean_squared_error, 4);
        figures.number(&format!("fates by {name}: mature cells that keep theirs"), stay / f64::max(mature, 1.0), 4);
    }
    Ok(())
}

/// The simulated counts in X, and the truth about the cells; without the elements that preparation computes.
fn counts_only(spec: &SimulateSpec) -> anyhow::Result<Dataset> {
    let mut cells = simulate(&spec.clone().check()?);
    cells.x = cells.layers.remove("raw");
    cells.obs.columns.retain(|(name, _)| !["librarysize", "prior_time"].contains(&name.as_str()));
    Ok(cells)
}
