//! Likelihood of a batch of visits including the decoder, forward and backward pass.

use burn::backend::{Autodiff, Flex};
use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use sclsd::model::{GlobalBatch, Kernels, Lsd, ModelSpec, SparseRows};

type B = Autodiff<Flex>;

fn main() {
    divan::main();
}

#[divan::bench(args = [Kernels::Host, Kernels::Tensors], sample_count = 5)]
fn visits_1280_genes_1000(bencher: divan::Bencher, kernels: Kernels) {
    let (visits, genes) = (1280, 1000);
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let spec = ModelSpec::default().check().expect("a specification");
    let model: Lsd<B> = Lsd::new(&spec, genes, &mut rng, &Default::default());
    let mut draw = |width: usize| {
        let values: Vec<f32> = (0..visits * width).map(|_| rng.random_range(-1.0..1.0)).collect();
        Tensor::<B, 2>::from_data(TensorData::new(values, [visits, width]), &Default::default())
    };
    let (z, library, global) = (draw(10), draw(1) + 7.0, GlobalBatch::alone(visits));
    let indptr: Vec<usize> = (0..=visits).map(|visit| 200 * visit).collect();
    let indices: Vec<u32> = (0..visits).flat_map(|_| (0..1000).step_by(5)).collect();
    let values: Vec<f32> = (0_u8..4).map(|v| f32::from(v) + 1.0).cycle().take(indices.len()).collect();
    let rows: Vec<u32> = (0..1280).collect();
    let counts = SparseRows { indptr: &indptr, indices: &indices, values: &values, rows: &rows };
    bencher.bench_local(|| {
        model.reconstruct(z.clone().require_grad(), library.clone(), counts, &global, kernels).0.backward()
    });
}
