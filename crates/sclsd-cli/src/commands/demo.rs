//! `sclsd demo`: from nothing to a trained model that can be compared with the truth.

use anyhow::Context;
use sclsd::analysis::spearman;
use sclsd::data::{SimulateSpec, plain_reason, write_h5ad};
use sclsd::graph::WalkSpec;
use sclsd::infer::{AdamSpec, DataKeys, LearningRate, OptimizerSpec, TrainSpec};
use sclsd::model::{LayerDims, ModelSpec};

use super::prior::PriorChoice;
use super::simulate::with_graph;
use super::train::Job;
use super::{check_writable, device};
use crate::args::DemoArgs;
use crate::progress::Output;

pub(crate) fn run(args: &DemoArgs, output: Output) -> anyhow::Result<()> {
    let device = device(&args.machine)?;
    std::fs::create_dir_all(&args.out)
        .map_err(|error| anyhow::anyhow!("{} cannot be made: {}", args.out.display(), plain_reason(&error)))?;
    let [simulated, result, model] =
        ["simulated.h5ad", "result.h5ad", "model.safetensors"].map(|name| args.out.join(name));
    check_writable(&simulated)?;

    output.note(format!("simulating {} cells with {} genes", args.cells, args.genes));
    let data = with_graph(&SimulateSpec {
        n_cells: args.cells,
        n_genes: args.genes,
        seed: args.seed,
        ..SimulateSpec::default()
    })?;
    write_h5ad(&simulated, &data)?;

    let job = Job {
        input: &simulated,
        output: &result,
        model: &model,
        spec: spec(args),
        prior: PriorChoice::default(),
        basis: "X_umap",
        checkpoint_every: 10,
        resume: false,
        device,
    };
    let (pseudotime, mut figures) = job.run(output)?;
    let truth = data.numbers("true_time").context("the simulated cells")?;
    figures.number("spearman with true time", spearman(&pseudotime, &truth), 4);
    figures.text("simulated", simulated.display());
    figures.text("model", model.display());
    figures.text("result", result.display());
    figures.print(output);
    Ok(())
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
        keys: DataKeys { time: "prior_time".into(), ..DataKeys::default() },
        num_epochs: args.epochs,
        random_state: args.seed,
        ..TrainSpec::default()
    }
}
