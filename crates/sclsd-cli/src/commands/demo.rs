//! `sclsd demo`: from nothing, by way of raw counts, to a trained model that can be compared with the truth.

use anyhow::Context;
use sclsd::analysis::spearman;
use sclsd::data::{Dataset, SimulateSpec, plain_reason, simulate, write_h5ad};
use sclsd::graph::{PrepareSpec, Root, WalkSpec, prepare};
use sclsd::infer::{AdamSpec, LearningRate, OptimizerSpec, TrainSpec};
use sclsd::model::{LayerDims, ModelSpec, Peers};

use super::prior::PriorChoice;
use super::report;
use super::train::Job;
use super::{check_writable, device};
use crate::args::DemoArgs;
use crate::progress::Output;

/// The cluster in which simulated cells begin.
const STEM: &str = "Stem";

pub(crate) fn run(args: &DemoArgs, output: Output) -> anyhow::Result<()> {
    let device = device(&args.machine)?;
    std::fs::create_dir_all(&args.out)
        .map_err(|error| anyhow::anyhow!("{} cannot be made: {}", args.out.display(), plain_reason(&error)))?;
    let [simulated, prepared, result, model, page] =
        ["simulated.h5ad", "prepared.h5ad", "result.h5ad", "model.safetensors", "report.html"]
            .map(|name| args.out.join(name));
    check_writable(&simulated)?;

    output.note(format!("simulating {} cells with {} genes", args.cells, args.genes));
    let truth = counts_only(&SimulateSpec {
        n_cells: args.cells,
        n_genes: args.genes,
        seed: args.seed,
        ..SimulateSpec::default()
    })?;
    write_h5ad(&simulated, &truth)?;
    output.note("preparing them: genes, components, neighbours, diffusion pseudotime");
    let root = Some(Root::Cluster(STEM.into()));
    let cells = prepare(truth, &PrepareSpec { root, random_state: args.seed, ..PrepareSpec::default() })?.data;
    let time = spearman(&cells.numbers("dpt_pseudotime")?, &cells.numbers("true_time")?);
    write_h5ad(&prepared, &cells)?;

    let job = Job {
        input: &prepared,
        output: &result,
        model: &model,
        spec: spec(args),
        prior: PriorChoice::default(),
        basis: "X_umap",
        checkpoint_every: 10,
        resume: false,
        devices: vec![device],
        peers: Peers::alone(),
    };
    let (pseudotime, mut figures) = job.run(output)?;
    let choice = report::Choice {
        input: &result,
        model: Some(&model),
        basis: "X_umap",
        cluster_key: Some("clusters".into()),
        color: &[],
        time_range: 15.0,
        title: Some("Simulated cells".into()),
    };
    report::write(&choice, &page, device)?;
    let truth = cells.numbers("true_time").context("the simulated cells")?;
    figures.number("spearman of prior with true time", time, 4);
    figures.number("spearman with true time", spearman(&pseudotime, &truth), 4);
    figures.text("simulated", simulated.display());
    figures.text("prepared", prepared.display());
    figures.text("model", model.display());
    figures.text("result", result.display());
    figures.text("report", page.display());
    figures.print(output);
    Ok(())
}

/// The simulated counts in X, and what is true of the cells; nothing that preparation makes.
fn counts_only(spec: &SimulateSpec) -> anyhow::Result<Dataset> {
    let mut cells = simulate(&spec.clone().check()?);
    cells.x = cells.layers.remove("raw");
    cells.obs.columns.retain(|(name, _)| !["librarysize", "prior_time"].contains(&name.as_str()));
    Ok(cells)
}

/// Small networks, long walks, small batches and a high learning rate that falls: what brings a thousand cells to a
/// settled potential in about a minute on two cores.
fn spec(args: &DemoArgs) -> TrainSpec {
    TrainSpec {
        model: ModelSpec {
            layer_dims: LayerDims { x_encoder: vec![64, 32], z_decoder: vec![32, 64], ..LayerDims::default() },
            ..ModelSpec::default()
        },
        optimizer: OptimizerSpec {
            adam: AdamSpec {
                lr: 0.007,
                schedule: LearningRate::Cosine,
                t_0: args.epochs.max(1),
                ..AdamSpec::default()
            },
            ..OptimizerSpec::default()
        },
        walks: WalkSpec { num_walks: 512, path_len: 20, batch_size: 32, random_state: args.seed },
        num_epochs: args.epochs,
        random_state: args.seed,
        ..TrainSpec::default()
    }
}
