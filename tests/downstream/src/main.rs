//! Uses walks, a solver and a trained model with plain slices, without a `Dataset`.
//!
//! `cargo run --manifest-path tests/downstream/Cargo.toml -- MODEL.safetensors`

use sclsd::Error;
use sclsd::data::Csr;
use sclsd::graph::{Transition, WalkSpec};
use sclsd::infer::Checkpoint;
use sclsd::model::Evaluator;
use sclsd::model::ode::{Brownian, OdeSpec, Sde, SdeSpec, linspace, sample_paths};

/// dz = (z − z³) dt + σ dW: a custom double-well SDE.
struct DoubleWell {
    sigma: f64,
}

impl Sde for DoubleWell {
    fn width(&self) -> usize {
        1
    }

    fn drift(&self, _t: f64, z: &[f64], out: &mut [f64]) {
        out[0] = z[0] - z[0].powi(3);
    }

    fn diffusion(&self, _t: f64, _z: &[f64], out: &mut [f64]) {
        out[0] = self.sigma;
    }
}

fn main() -> Result<(), Error> {
    // walks on a ring of ten cells, forward in time
    let neighbors = |i: u32| {
        let mut both = vec![((i + 1) % 10, 1.0_f32), ((i + 9) % 10, 1.0)];
        both.sort_by_key(|edge| edge.0); // columns of a row must increase
        both
    };
    let graph = Csr::from_rows(10, (0..10).map(neighbors))?;
    let time: Vec<f64> = (0..10).map(|i| f64::from(i) / 9.0).collect();
    let prior = Transition::from_pseudotime(&graph, &time, 5.0)?;
    let walks = prior.walks(&WalkSpec { num_walks: 4, path_len: 6, ..WalkSpec::default() }.check()?);
    println!("a walk: {:?}", walks.walk(0));

    // a solver: how many of 1,000 paths are in the right well at time 5
    let well = DoubleWell { sigma: 0.5 };
    let paths = sample_paths(&well, &[0.0; 1000], &[0.0, 5.0], &SdeSpec::default().check()?, Brownian::new(1))?;
    println!("in the right well: {} of 1000", paths[1].iter().filter(|z| **z > 0.0).count());

    // a trained model: the result for a cell without any expression
    let Some(path) = std::env::args().nth(1) else { return Ok(()) };
    let model = Checkpoint::load(path.as_ref())?.model;
    let networks = Evaluator::new(&model)?;
    let (z, _) = networks.encode_dense(&vec![0.0; networks.n_genes()])?;
    for state in networks.follow(&z, &linspace(0.0, 1.0, 5), &OdeSpec::default().check()?)? {
        let (v, expected) = (networks.potential(&state)[0], networks.decode(&state, 1000.0)[0]);
        println!("V = {v:.4}, expected count of the first gene {expected:.3}");
    }
    Ok(())
}
