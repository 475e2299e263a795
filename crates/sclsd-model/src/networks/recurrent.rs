//! The recurrent prior of the differentiation state.
//!
//! ```text
//! h⁰_s = relu(W_ih⁰ x_s + b_ih⁰ + W_hh⁰ h⁰_{s−1} + b_hh⁰)
//! h¹_s = relu(W_ih¹ h⁰_s + b_ih¹ + W_hh¹ h¹_{s−1} + b_hh¹)
//! ```
//!
//! Both layers are as wide as B. The network runs along the steps of a walk; the mean of p(B) at step s is h¹_s.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation, backend::Backend};

use sclsd_kernels::recurrent::Recurrent;
use sclsd_kernels::stack;

use super::cells::Cells;
use super::parameters::uniform;
use crate::accelerated;
use crate::derivative::{Trainable, function, input, joined, numbers, values};
use crate::executor::Kernels;

/// The recurrent prior of B. Reference: `torch.nn.RNN(nonlinearity="relu", num_layers=2)`.
#[derive(Module, Debug)]
pub struct RecurrentPrior<B: Backend> {
    /// Weights from expression to the first layer, `[B, genes]`.
    pub weight_ih_l0: Param<Tensor<B, 2>>,
    /// Recurrent weights of the first layer, `[B, B]`.
    pub weight_hh_l0: Param<Tensor<B, 2>>,
    /// Bias of the expression, first layer, `[B]`.
    pub bias_ih_l0: Param<Tensor<B, 1>>,
    /// Bias of the recurrence, first layer, `[B]`.
    pub bias_hh_l0: Param<Tensor<B, 1>>,
    /// Weights from the first to the second layer, `[B, B]`.
    pub weight_ih_l1: Param<Tensor<B, 2>>,
    /// Recurrent weights of the second layer, `[B, B]`.
    pub weight_hh_l1: Param<Tensor<B, 2>>,
    /// Bias of the input, second layer, `[B]`.
    pub bias_ih_l1: Param<Tensor<B, 1>>,
    /// Bias of the recurrence, second layer, `[B]`.
    pub bias_hh_l1: Param<Tensor<B, 1>>,
}

impl<B: Backend> RecurrentPrior<B> {
    /// Draws initial values like `torch.nn.RNN`: uniform within ±1/√B.
    #[must_use]
    pub fn new(n_genes: usize, b_dim: usize, rng: &mut impl rand::Rng, device: &B::Device) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "layer sizes are far below 2^52")]
        let bound = 1.0 / (b_dim as f64).sqrt();
        Self {
            weight_ih_l0: uniform([b_dim, n_genes], bound, rng, device),
            weight_hh_l0: uniform([b_dim, b_dim], bound, rng, device),
            bias_ih_l0: uniform([b_dim], bound, rng, device),
            bias_hh_l0: uniform([b_dim], bound, rng, device),
            weight_ih_l1: uniform([b_dim, b_dim], bound, rng, device),
            weight_hh_l1: uniform([b_dim, b_dim], bound, rng, device),
            bias_ih_l1: uniform([b_dim], bound, rng, device),
            bias_hh_l1: uniform([b_dim], bound, rng, device),
        }
    }

    /// The first layer's projection of the expression, which depends on the cell only.
    ///
    /// # Shapes
    /// - `x`: `[cells, genes]` → `[cells, B]`
    #[must_use]
    pub fn project(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        x.matmul(self.weight_ih_l0.val().transpose()) + self.bias_ih_l0.val().unsqueeze()
    }

    /// Mean of p(B) at every visit, from the [projection](Self::project) of its cell.
    ///
    /// # Shapes
    /// - `projected`: `[walks · steps, B]`, walk after walk
    /// - `start`: `[2, 1, B]`, the state of both layers before the first step
    /// - out: `[walks · steps, B]`, walk after walk
    #[must_use]
    pub fn forward(&self, projected: Tensor<B, 2>, start: &Tensor<B, 3>, steps: usize) -> Tensor<B, 2> {
        let walks = projected.dims()[0] / steps;
        let b_dim = start.dims()[2];
        let input = projected.reshape([walks, steps, b_dim]);
        let first = |layer: usize| start.clone().narrow(0, layer, 1).reshape([1, b_dim]).expand([walks, b_dim]);
        let (mut h0, mut h1) = (first(0), first(1));
        let step = |x: Tensor<B, 2>, h: Tensor<B, 2>, w: &Param<Tensor<B, 2>>, b: &Param<Tensor<B, 1>>| {
            activation::relu(x + h.matmul(w.val().transpose()) + b.val().unsqueeze())
        };
        let mut out = Vec::with_capacity(steps);
        for s in 0..steps {
            let x = input.clone().narrow(1, s, 1).reshape([walks, b_dim]);
            h0 = step(x, h0, &self.weight_hh_l0, &self.bias_hh_l0); // [walks, B]
            let x = h0.clone().matmul(self.weight_ih_l1.val().transpose()) + self.bias_ih_l1.val().unsqueeze();
            h1 = step(x, h1, &self.weight_hh_l1, &self.bias_hh_l1); // [walks, B]
            out.push(h1.clone());
        }
        joined(out, 1).reshape([walks * steps, b_dim])
    }
}

impl<B: Trainable> RecurrentPrior<B> {
    /// Mean of p(B) at every visit of walks of `steps` visits.
    ///
    /// # Shapes
    /// - `start`: `[2, 1, B]` → `[visits, B]`, walk after walk
    #[must_use]
    pub fn train(&self, cells: &Cells<B>, start: &Tensor<B, 3>, steps: usize, kernels: Kernels) -> Tensor<B, 2> {
        let projected = match kernels {
            Kernels::Host => {
                let (weight, expression) = (self.weight_ih_l0.val(), &cells.expression);
                let (outputs, n_cells) = (weight.dims()[0], expression.n_cells());
                let (out, derivative) = stack::project(Arc::clone(expression), &numbers(&weight), outputs);
                function(&[input(weight)], out, [n_cells, outputs], derivative)
            }
            Kernels::Tensors | Kernels::Device(_) => {
                accelerated::product(kernels, cells.to_tensor(), self.weight_ih_l0.val().transpose())
            }
        } + self.bias_ih_l0.val().unsqueeze();
        let projected = cells.at_visits(projected); // [visits, B]
        match kernels {
            Kernels::Tensors => self.forward(projected, start, steps),
            Kernels::Device(kernels) => accelerated::recur(kernels, projected, self.flat(start), steps),
            Kernels::Host => {
                let ([visits, width], flat) = (projected.dims(), self.flat(start));
                let recurrent = Recurrent::new(values(&flat), &values(&projected), width, steps);
                let out = recurrent.out();
                function(&[input(projected), input(flat)], out, [visits, width], recurrent)
            }
        }
    }

    /// Weights and initial states as one vector, in the order of the kernels.
    fn flat(&self, start: &Tensor<B, 3>) -> Tensor<B, 1> {
        let width = start.dims()[2];
        let matrix = |w: &Param<Tensor<B, 2>>| w.val().reshape([width * width]);
        let parts = vec![
            matrix(&self.weight_hh_l0),
            self.bias_hh_l0.val(),
            matrix(&self.weight_ih_l1),
            self.bias_ih_l1.val(),
            matrix(&self.weight_hh_l1),
            self.bias_hh_l1.val(),
            start.clone().reshape([2 * width]),
        ];
        joined(parts, 0)
    }
}
