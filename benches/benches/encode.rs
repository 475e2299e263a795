//! Encoding of cells, as in annotation.

use sclsd::Device;
use sclsd::analysis::annotate;

fn main() {
    divan::main();
}

#[divan::bench(args = [500, 2000], sample_count = 10)]
fn annotate_3000_cells(bencher: divan::Bencher, genes: usize) {
    use sclsd::infer::{TrainSpec, Trainer, TrainingData};

    let cells = sclsd_benches::cells(3000, genes);
    let walks = sclsd_benches::walks(&cells, 8, 4);
    let spec = TrainSpec { num_epochs: 1, ..TrainSpec::default() }.check().expect("a specification");
    let training = TrainingData::new(&cells, &spec.get().keys).expect("data to train on");
    let device = "cpu".parse::<Device>().expect("a device");
    let fit = Trainer::new(spec.clone()).device(device).fit(&training, &walks).expect("an epoch");
    bencher.bench_local(|| annotate(&fit.model, &cells, "connectivities").expect("an annotation"));
}
