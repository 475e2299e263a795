//! From raw counts to a pseudotime: prepare, walk, train and annotate.

use sclsd::analysis::{annotate, spearman};
use sclsd::data::{Dataset, SimulateSpec, simulate};
use sclsd::graph::{PrepareSpec, Root, Transition, WalkSpec, prepare};
use sclsd::infer::{TrainSpec, Trainer, TrainingData};
use sclsd::{Device, model};

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn main() -> Result<(), sclsd::Error> {
    // counts in X, as in a file of raw counts (read such a file with sclsd::data::read_h5ad)
    let truth = simulate(&SimulateSpec { n_cells: 300, n_genes: 60, ..SimulateSpec::default() }.check()?);
    let counts = Dataset { x: truth.layers.get("raw").cloned(), ..truth.clone() };
    let counts = Dataset { layers: std::collections::BTreeMap::new(), ..counts };
    let root = Some(Root::Cluster("Stem".into()));
    let cells = prepare(counts, &PrepareSpec { root, n_pcs: 20, ..PrepareSpec::default() })?.data;

    let layer_dims = model::LayerDims { x_encoder: vec![32, 16], z_decoder: vec![16, 32], ..Default::default() };
    let mut spec = TrainSpec { num_epochs: 10, ..TrainSpec::default() };
    spec.model.layer_dims = layer_dims;
    spec.walks = WalkSpec { num_walks: 128, batch_size: 32, ..WalkSpec::default() };
    spec.optimizer.adam.lr = 0.005;

    let (graph, time) = (cells.graph("connectivities")?, cells.numbers("dpt_pseudotime")?);
    let prior = Transition::from_pseudotime(graph, &time, spec.prior.beta)?;
    let walks = prior.walks(&spec.walks.clone().check()?);
    let device: Device = "cpu".parse()?;
    let data = TrainingData::new(&cells, &spec.keys)?;
    let fit = Trainer::new(spec.check()?).device(device).fit(&data, &walks)?;
    let message = annotate(&fit.model, &cells, "connectivities")?;
    println!("loss after {} epochs: {:?}", fit.epoch(), fit.history.last().map(|record| record.loss.total()));
    println!("Spearman with true time: {:.3?}", spearman(&message.pseudotime, &cells.numbers("true_time")?));
    Ok(())
}
