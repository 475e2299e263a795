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

use super::{Layer, Linear};
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

    /// V.
    ///
    /// # Shapes
    /// - `z`: `[cells, z]` → `[cells, 1]`
    #[must_use]
    pub fn value(&self, z: Tensor<B, 2>) -> Tensor<B, 2> {
        let out = self.layers.iter().fold(z, |z, layer| log_cosh(layer.linear.forward(z)));
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
