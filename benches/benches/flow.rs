//! Gradient flow of latent states down the potential.

use burn::backend::{Autodiff, Flex};
use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use sclsd::model::ode::{OdeSpec, linspace};
use sclsd::model::{Kernels, PotentialNetwork};

type B = Autodiff<Flex>;

fn main() {
    divan::main();
}

/// Forward and backward pass.
#[divan::bench(args = [Kernels::Host, Kernels::Tensors], sample_count = 10)]
fn rows_256_of_10_over_50_times(bencher: divan::Bencher, kernels: Kernels) {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let potential = PotentialNetwork::<B>::new(10, &[32, 32], &mut rng, &Default::default());
    let rows: Vec<f32> = (0..2560).map(|_| rng.random_range(-1.0..1.0)).collect();
    let (grid, spec) = (linspace(0.0, 1.0, 50), OdeSpec::default().check().expect("a specification"));
    bencher.bench_local(|| {
        let start = Tensor::<B, 2>::from_data(TensorData::new(rows.clone(), [256, 10]), &Default::default());
        let states = potential.follow(start.require_grad(), &grid, &spec, kernels).expect("a solution").states;
        states.sum().backward()
    });
}
