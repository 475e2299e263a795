//! Random walks on the neighbour graph.

fn main() {
    divan::main();
}

#[divan::bench(args = [10, 50])]
fn walks_4096_of_3000_cells(bencher: divan::Bencher, steps: usize) {
    let cells = sclsd_benches::cells(3000, 100);
    let prior = sclsd_benches::prior(&cells);
    let spec = sclsd::graph::WalkSpec { num_walks: 4096, path_len: steps, ..Default::default() };
    let spec = spec.check().expect("walks");
    bencher.bench(|| prior.walks(&spec));
}
