//! Trains on a Burn backend that the program chooses, with an observer that stops once the loss is low enough.

use std::ops::ControlFlow;

use burn::backend::{Autodiff, Flex};
use sclsd_data::{SimulateSpec, pca, simulate};
use sclsd_graph::{Transition, WalkSpec, connectivities, nearest_neighbors};
use sclsd_infer::{Event, TrainSpec, Trainer, TrainingData};
use sclsd_model::{LayerDims, ModelSpec, OnBackend};

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spec = SimulateSpec { n_cells: 200, n_genes: 40, ..SimulateSpec::default() };
    let cells = simulate(&spec.check()?);
    let graph = connectivities(&nearest_neighbors(&pca(cells.expression()?, 20).scores, 15)?);
    let prior = Transition::from_pseudotime(&graph, &cells.numbers("prior_time")?, 50.0)?;

    let layer_dims = LayerDims { x_encoder: vec![32, 16], z_decoder: vec![16, 32], ..LayerDims::default() };
    let spec = TrainSpec {
        model: ModelSpec { z_dim: 5, layer_dims, ..ModelSpec::default() },
        walks: WalkSpec { num_walks: 64, batch_size: 32, ..WalkSpec::default() },
        num_epochs: 10,
        ..TrainSpec::default()
    };
    let walks = prior.walks(&spec.walks.clone().check()?);
    let data = TrainingData::new(&cells, &spec.keys)?;
    let watch = |event: Event<'_>| match event {
        Event::EpochDone { epoch, record, .. } => {
            println!("epoch {}: loss {:.3}", epoch + 1, record.loss.total());
            if record.loss.total() < 10.8 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        _ => ControlFlow::Continue(()),
    };
    let device = OnBackend::<Autodiff<Flex>>::default();
    let fit = Trainer::new(spec.check()?).device(device).observe(watch).fit(&data, &walks)?;
    fit.save(&std::env::temp_dir().join("sclsd-example-model.safetensors"))?;
    println!("{} epochs trained", fit.epoch());
    Ok(())
}
