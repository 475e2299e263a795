//! The Waddington potential and its drift.
//!
//! ```text
//! V(z)   = σ(g) f(a_n),   a_1 = W_1 z + b_1,   a_{i+1} = W_{i+1} f(a_i) + b_{i+1},   f = ln cosh
//! −∇V(z) = −σ(g) W_1ᵀ (f'(a_1) ⊙ W_2ᵀ (f'(a_2) ⊙ … W_nᵀ f'(a_n))),   f' = tanh
//! ```
//!
//! The drift is written out so that it can itself be differentiated: Burn differentiates once.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation, backend::Backend};

use sclsd_kernels::{FlowPlan, Peers, PotentialWeights};
use sclsd_ode::{CheckedOdeSpec, OdeError, Work, check_grid, solve};

use super::linear::Linear;
use super::stack::Layer;
use crate::accelerated;
use crate::derivative::{Trainable, function, input, joined, values};
use crate::device::Kernels;
use crate::special::log_cosh;

/// V: `[cells, z]` → `[cells, 1]`. Reference: `PotentialNet` and `GradientNet`.
#[derive(Module, Debug)]
pub struct Potential<B: Backend> {
    /// Linear layers, ln cosh after each, the last included.
    pub layers: Vec<Layer<B>>,
    /// Present in the Python package and never used; kept so that its weights survive a round trip.
    pub lin: Linear<B>,
    /// g, `[1]`.
    pub gate: Param<Tensor<B, 1>>,
}

impl<B: Backend> Potential<B> {
    /// A potential over `z_dim` dimensions with these hidden sizes; the gate starts at 0.
    #[must_use]
    pub fn new(z_dim: usize, hidden: &[usize], rng: &mut impl rand::Rng, device: &B::Device) -> Self {
        let sizes: Vec<usize> = [z_dim].into_iter().chain(hidden.iter().copied()).chain([1]).collect();
        let layers = sizes
            .windows(2)
            .map(|pair| Layer { linear: Linear::new(pair[0], pair[1], rng, device), norm: None })
            .collect();
        Self { layers, lin: Linear::new(z_dim, 1, rng, device), gate: Param::from_tensor(Tensor::zeros([1], device)) }
    }

    /// From z to V.
    pub(crate) fn widths(&self) -> Vec<usize> {
        let input = self.layers.first().map(|layer| layer.linear.weight.dims()[1]);
        input.into_iter().chain(self.layers.iter().map(|layer| layer.linear.weight.dims()[0])).collect()
    }

    /// All weights as one row of numbers: of every layer the matrix and the biases, at last the gate.
    pub(crate) fn flat(&self) -> Tensor<B, 1> {
        let row = |layer: &Layer<B>| {
            let weight = layer.linear.weight.val();
            let n = weight.shape().num_elements();
            [weight.reshape([n]), layer.linear.bias.val()]
        };
        joined(self.layers.iter().flat_map(row).chain([self.gate.val()]).collect(), 0)
    }

    /// V.
    ///
    /// # Shapes
    /// - `z`: `[cells, z]` → `[cells, 1]`
    #[must_use]
    pub fn value(&self, z: Tensor<B, 2>) -> Tensor<B, 2> {
        self.value_through(z, Linear::forward)
    }

    fn value_through(
        &self,
        z: Tensor<B, 2>,
        linear: impl Fn(&Linear<B>, Tensor<B, 2>) -> Tensor<B, 2>,
    ) -> Tensor<B, 2> {
        let out = self.layers.iter().fold(z, |z, layer| log_cosh(linear(&layer.linear, z)));
        out * activation::sigmoid(self.gate.val()).unsqueeze()
    }

    /// −∇V, the deterministic part of dz/dt.
    ///
    /// # Shapes
    /// - `z`: `[cells, z]` → `[cells, z]`
    ///
    /// # Panics
    /// Never: a potential has a layer.
    #[must_use]
    pub fn drift(&self, z: Tensor<B, 2>) -> Tensor<B, 2> {
        let mut slopes = Vec::with_capacity(self.layers.len());
        let mut h = z;
        for (depth, layer) in self.layers.iter().enumerate() {
            let a = layer.linear.forward(h.clone()); // [cells, width]
            slopes.push(a.clone().tanh());
            h = if depth + 1 < self.layers.len() { log_cosh(a) } else { a };
        }
        let back = self.layers.iter().zip(slopes).rev().fold(None, |above: Option<Tensor<B, 2>>, (layer, slope)| {
            let g = match above {
                Some(above) => above * slope,
                None => slope,
            };
            Some(g.matmul(layer.linear.weight.val())) // [cells, width below]
        });
        let gradient = back.expect("a potential has a layer");
        gradient * activation::sigmoid(self.gate.val()).neg().unsqueeze()
    }
}

impl<B: Trainable> Potential<B> {
    /// The states of every row at every time of `grid`, of dz/dt = −∇V, and what solving took (of the block of rows that
    /// took most; on a device, which nothing waits for, 0).
    ///
    /// # Shapes
    /// - `start`: `[rows, z]` → `[rows, times · z]`
    ///
    /// # Errors
    /// As [`solve`].
    pub fn follow(
        &self,
        start: Tensor<B, 2>,
        grid: &[f64],
        spec: &CheckedOdeSpec,
        kernels: Kernels,
    ) -> Result<(Tensor<B, 2>, Work), OdeError> {
        if kernels == Kernels::Host {
            let ([rows, width], flat) = (start.dims(), self.flat());
            let field = PotentialWeights::new(&self.widths(), &values(&flat));
            let found = sclsd_kernels::follow(field, &values(&start), grid, spec)?;
            let shape = [rows, grid.len() * width];
            let states = function(&[input(start), input(flat)], found.states, shape, found.derivative);
            return Ok((states, found.work));
        }
        if let Kernels::Device(kernels) = kernels
            && let Some(plan) = FlowPlan::new(self.widths(), grid, spec)
        {
            check_grid(grid)?;
            return Ok((accelerated::follow(kernels, start, self.flat(), &plan), Work::default()));
        }
        let solution = solve(|_, z| self.drift(z), start, grid, spec)?;
        Ok((joined(solution.states, 1), solution.work))
    }

    /// The largest V² of all rows of all peers; 0 for those peers that do not have it.
    ///
    /// # Shapes
    /// - `z`: `[rows, z]` → `[1]`
    #[must_use]
    pub fn largest_square(&self, z: Tensor<B, 2>, peers: &Peers, kernels: Kernels) -> Tensor<B, 1> {
        let z = match kernels {
            Kernels::Tensors | Kernels::Device(_) => z,
            Kernels::Host => {
                // only the row that has it plays a part, in value and derivative
                let field = PotentialWeights::new(&self.widths(), &values(&self.flat()));
                let all = field.values(&values(&z));
                let largest =
                    (0..all.len()).reduce(|best, next| if all[next].abs() > all[best].abs() { next } else { best });
                z.narrow(0, largest.unwrap_or(0), 1)
            }
        };
        let largest = self.value_through(z, |layer, z| layer.train(z, kernels)).powi_scalar(2).max();
        if peers.count() == 1 || peers.largest(values(&largest)[0]).1 { largest } else { largest.mul_scalar(0.0) }
    }
}
