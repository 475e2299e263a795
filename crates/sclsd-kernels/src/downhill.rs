//! A user-defined potential V(z), evaluated one row at a time, and the field −∇V that rows follow.

use std::fmt::Debug;
use std::sync::Arc;

use rayon::prelude::*;
use sclsd_ode::Field;
use sclsd_ode::lanes::{LANES, Lane};

/// A potential V(z) with trained parameters. All methods must be deterministic. `parameters` always has the length of
/// the vector that [`initial`](Self::initial) returns.
pub trait Potential: Debug + Send + Sync {
    /// Name of the potential, stored in models that are trained with it.
    fn name(&self) -> &str;

    /// Parameters before training, for states of `z_dim` numbers.
    fn initial(&self, z_dim: usize) -> Vec<f32>;

    /// V at a state.
    fn value(&self, parameters: &[f32], z: &[f32]) -> f32;

    /// Adds `grad` times the gradient of V with respect to the parameters to `grad_parameters`.
    fn value_vjp(&self, parameters: &[f32], z: &[f32], grad: f32, grad_parameters: &mut [f32]);

    /// Writes −∇V at a state to `out`, which holds zeros.
    fn drift(&self, parameters: &[f32], z: &[f32], out: &mut [f32]);

    /// The vector–Jacobian product of [`drift`](Self::drift): writes the gradient of Σ `grad` · drift with respect to z
    /// to `grad_z`, which holds zeros, and adds the gradient with respect to the parameters to `grad_parameters`.
    fn drift_vjp(&self, parameters: &[f32], z: &[f32], grad: &[f32], grad_z: &mut [f32], grad_parameters: &mut [f32]);
}

/// A user-defined potential with its parameters.
#[derive(Debug, Clone)]
pub struct Downhill {
    potential: Arc<dyn Potential>,
    parameters: Vec<f32>,
    width: usize,
}

impl Downhill {
    /// A potential over states of `width` numbers.
    #[must_use]
    pub fn new(potential: Arc<dyn Potential>, parameters: Vec<f32>, width: usize) -> Self {
        Self { potential, parameters, width }
    }

    /// V of every row.
    #[must_use]
    pub fn values(&self, rows: &[f32]) -> Vec<f32> {
        rows.par_chunks(self.width).map(|z| self.potential.value(&self.parameters, z)).collect()
    }

    /// −∇V at every row.
    #[must_use]
    pub fn drifts(&self, rows: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; rows.len()];
        rows.par_chunks(self.width)
            .zip(out.par_chunks_mut(self.width))
            .for_each(|(z, out)| self.potential.drift(&self.parameters, z, out));
        out
    }

    /// The gradients of V at a row with respect to the row and with respect to the parameters.
    #[must_use]
    pub fn value_grads(&self, z: &[f32]) -> [Vec<f32>; 2] {
        let (mut grad_z, mut grad_parameters) = (vec![0.0; z.len()], vec![0.0; self.parameters.len()]);
        self.potential.drift(&self.parameters, z, &mut grad_z);
        grad_z.iter_mut().for_each(|v| *v = -*v);
        self.potential.value_vjp(&self.parameters, z, 1.0, &mut grad_parameters);
        [grad_z, grad_parameters]
    }
}

/// Scratch space for one row: its state, the input and the output.
#[derive(Debug)]
pub struct DownhillScratch([Vec<f32>; 3]);

impl Field for Downhill {
    type Scratch = DownhillScratch;
    type Accumulator = Vec<f32>;

    fn width(&self) -> usize {
        self.width
    }

    fn scratch(&self) -> DownhillScratch {
        DownhillScratch(std::array::from_fn(|_| vec![0.0; self.width]))
    }

    fn accumulator(&self) -> Vec<f32> {
        vec![0.0; self.parameters.len()]
    }

    fn total(&self, sums: &Vec<f32>) -> Vec<f32> {
        sums.clone()
    }

    fn drift(&self, z: &[Lane], out: &mut [Lane], DownhillScratch([row, found, _]): &mut DownhillScratch) {
        for lane in 0..LANES {
            take(z, lane, row);
            found.fill(0.0);
            self.potential.drift(&self.parameters, row, found);
            put(found, lane, out);
        }
    }

    fn drift_vjp(
        &self,
        z: &[Lane],
        grad: &[Lane],
        grad_z: &mut [Lane],
        sums: &mut Vec<f32>,
        scratch: &mut DownhillScratch,
    ) {
        let DownhillScratch([row, given, found]) = scratch;
        for lane in 0..LANES {
            take(z, lane, row);
            take(grad, lane, given);
            found.fill(0.0);
            self.potential.drift_vjp(&self.parameters, row, given, found, sums);
            put(found, lane, grad_z);
        }
    }
}

fn take(lanes: &[Lane], lane: usize, row: &mut [f32]) {
    row.iter_mut().zip(lanes).for_each(|(v, lanes)| *v = lanes[lane]);
}

fn put(row: &[f32], lane: usize, lanes: &mut [Lane]) {
    row.iter().zip(lanes).for_each(|(v, lanes)| lanes[lane] = *v);
}
