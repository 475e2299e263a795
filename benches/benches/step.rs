//! A training epoch of one step: loss, gradients and update.

use sclsd::Device;
use sclsd::infer::{TrainSpec, Trainer, TrainingData};

fn main() {
    divan::main();
}

#[divan::bench(args = [10, 50], sample_count = 5)]
fn epoch_of_256_walks_3000_cells_1000_genes(bencher: divan::Bencher, steps: usize) {
    let cells = sclsd_benches::cells(3000, 1000);
    let walks = sclsd_benches::walks(&cells, 256, steps);
    let spec = TrainSpec { num_epochs: 1, ..TrainSpec::default() }.check().expect("a specification");
    let training = TrainingData::new(&cells, &spec.get().keys).expect("data to train on");
    let device = "cpu".parse::<Device>().expect("a device");
    bencher.bench_local(|| Trainer::new(spec.clone()).device(device).fit(&training, &walks).expect("an epoch"));
}
