//! The Waddington potential and its drift.
//!
//! ```text
//! V(z)   = σ(g) f(a_n),   a_1 = W_1 z + b_1,   a_{i+1} = W_{i+1} f(a_i) + b_{i+1},   f = ln cosh
//! −∇V(z) = −σ(g) W_1ᵀ (f'(a_1) ⊙ W_2ᵀ (f'(a_2) ⊙ … W_nᵀ f'(a_n))),   f' = tanh
//! ```
//!
//! The drift is written as a formula instead of being differentiated by Burn, because Burn differentiates only once:
//! its gradient is used for the drift's own backward pass.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, activation, backend::Backend};

use sclsd_kernels::{Downhill, FlowPlan, Peers, Potential, PotentialWeights, PrecomputedGradients};
use sclsd_ode::{CheckedOdeSpec, OdeError, Work, check_grid, solve};

use super::linear::Linear;
use super::stack::Layer;
use crate::accelerated::{self, FlowCheck};
use crate::derivative::{Trainable, function, input, joined, values};
use crate::executor::Kernels;
use crate::special::log_cosh;

/// The result of following rows down a potential.
#[derive(Debug, Clone)]
pub struct Flow<B: Trainable> {
    /// The state of every row at every time, `[rows, times · z]`.
    pub states: Tensor<B, 2>,
    /// Work counters of the block of rows that took the most steps; 0 on a device, which is not waited for.
    pub work: Work,
    /// The status of the rows on a device.
    pub check: Option<FlowCheck<B::InnerBackend>>,
}

/// A user-defined potential and its parameters.
#[derive(Module, Debug)]
pub struct CustomPotential<B: Backend> {
    /// The trained parameters.
    pub parameters: Param<Tensor<B, 1>>,
    #[module(skip)]
    potential: Arc<dyn Potential>,
    #[module(skip)]
    z_dim: usize,
}

impl<B: Backend> CustomPotential<B> {
    fn field(&self, parameters: Vec<f32>) -> Downhill {
        Downhill::new(Arc::clone(&self.potential), parameters, self.z_dim)
    }
}

/// The potential network V: `[cells, z]` → `[cells, 1]`. Reference: `PotentialNet` and `GradientNet`.
#[derive(Module, Debug)]
pub struct PotentialNetwork<B: Backend> {
    /// A user-defined potential that replaces the layers, which are then empty.
    pub custom: Option<CustomPotential<B>>,
    /// Linear layers, with ln cosh after each of them, including the last.
    pub layers: Vec<Layer<B>>,
    /// Present in the Python package and never used; stored so that its weights survive a round trip.
    pub lin: Linear<B>,
    /// g, `[1]`.
    pub gate: Param<Tensor<B, 1>>,
}

impl<B: Backend> PotentialNetwork<B> {
    /// A potential over `z_dim` dimensions with these hidden widths. The gate starts at 0.
    #[must_use]
    pub fn new(z_dim: usize, hidden: &[usize], rng: &mut impl rand::Rng, device: &B::Device) -> Self {
        let sizes: Vec<usize> = [z_dim].into_iter().chain(hidden.iter().copied()).chain([1]).collect();
        let layers = sizes
            .windows(2)
            .map(|pair| Layer { linear: Linear::new(pair[0], pair[1], rng, device), norm: None })
            .collect();
        let gate = Param::from_tensor(Tensor::zeros([1], device));
        Self { custom: None, layers, lin: Linear::new(z_dim, 1, rng, device), gate }
    }

    /// The same network with a user-defined potential instead of the layers.
    #[must_use]
    pub(crate) fn replaced(self, potential: Option<Arc<dyn Potential>>, z_dim: usize, device: &B::Device) -> Self {
        let Some(potential) = potential else { return self };
        let initial = potential.initial(z_dim);
        let n = initial.len();
        let parameters = Param::from_tensor(Tensor::from_data(TensorData::new(initial, [n]), device));
        Self { custom: Some(CustomPotential { parameters, potential, z_dim }), layers: Vec::new(), ..self }
    }

    /// Widths of the layers, from z to V.
    pub(crate) fn widths(&self) -> Vec<usize> {
        let input = self.layers.first().map(|layer| layer.linear.weight.dims()[1]);
        input.into_iter().chain(self.layers.iter().map(|layer| layer.linear.weight.dims()[0])).collect()
    }

    /// All weights as one vector: the matrix and the biases of every layer, then the gate.
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
        if let Some(custom) = &self.custom {
            let field = custom.field(numbers_of(custom.parameters.val()));
            let (n, device) = (z.dims()[0], z.device());
            return Tensor::from_data(TensorData::new(field.values(&numbers_of(z)), [n, 1]), &device);
        }
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

    /// The drift −∇V, the deterministic part of dz/dt.
    ///
    /// # Shapes
    /// - `z`: `[cells, z]` → `[cells, z]`
    ///
    /// # Panics
    /// Never: a potential has at least one layer.
    #[must_use]
    pub fn drift(&self, z: Tensor<B, 2>) -> Tensor<B, 2> {
        if let Some(custom) = &self.custom {
            let field = custom.field(numbers_of(custom.parameters.val()));
            let (shape, device) = (z.dims(), z.device());
            return Tensor::from_data(TensorData::new(field.drifts(&numbers_of(z)), shape), &device);
        }
        let mut grads = Vec::with_capacity(self.layers.len());
        let mut h = z;
        for (depth, layer) in self.layers.iter().enumerate() {
            let a = layer.linear.forward(h.clone()); // [cells, width]
            grads.push(a.clone().tanh());
            h = if depth + 1 < self.layers.len() { log_cosh(a) } else { a };
        }
        let back = self.layers.iter().zip(grads).rev().fold(None, |above: Option<Tensor<B, 2>>, (layer, grad)| {
            let g = match above {
                Some(above) => above * grad,
                None => grad,
            };
            Some(g.matmul(layer.linear.weight.val())) // [cells, width below]
        });
        let gradient = back.expect("a potential has a layer");
        gradient * activation::sigmoid(self.gate.val()).neg().unsqueeze()
    }
}

impl<B: Trainable> PotentialNetwork<B> {
    /// The states of every row at every time of `grid`, for dz/dt = −∇V.
    ///
    /// # Shapes
    /// - `start`: `[rows, z]`
    ///
    /// # Errors
    /// As [`solve`].
    pub fn follow(
        &self,
        start: Tensor<B, 2>,
        grid: &[f64],
        spec: &CheckedOdeSpec,
        kernels: Kernels,
    ) -> Result<Flow<B>, OdeError> {
        if let Some(custom) = &self.custom {
            let ([rows, width], parameters) = (start.dims(), custom.parameters.val());
            let found = sclsd_kernels::follow(custom.field(values(&parameters)), &values(&start), grid, spec)?;
            let shape = [rows, grid.len() * width];
            let states = function(&[input(start), input(parameters)], found.states, shape, found.derivative);
            return Ok(Flow { states, work: found.work, check: None });
        }
        if kernels == Kernels::Host {
            let ([rows, width], flat) = (start.dims(), self.flat());
            let field = PotentialWeights::new(&self.widths(), &values(&flat));
            let found = sclsd_kernels::follow(field, &values(&start), grid, spec)?;
            let shape = [rows, grid.len() * width];
            let states = function(&[input(start), input(flat)], found.states, shape, found.derivative);
            return Ok(Flow { states, work: found.work, check: None });
        }
        if let Kernels::Device(kernels) = kernels
            && let Some(plan) = FlowPlan::new(self.widths(), grid, spec)
        {
            check_grid(grid)?;
            let (states, check) = accelerated::follow(kernels, start, self.flat(), &plan);
            return Ok(Flow { states, work: Work::default(), check: Some(check) });
        }
        let solution = solve(|_, z| self.drift(z), start, grid, spec)?;
        Ok(Flow { states: joined(solution.states, 1), work: solution.work, check: None })
    }

    /// The largest V² over all rows of all peers; 0 on peers that do not have the largest value.
    ///
    /// # Shapes
    /// - `z`: `[rows, z]` → `[1]`
    #[must_use]
    pub fn largest_square(&self, z: Tensor<B, 2>, peers: &Peers, kernels: Kernels) -> Tensor<B, 1> {
        // only the row with the largest value contributes to value and gradient
        let largest_of = |all: &[f32]| {
            (0..all.len()).reduce(|best, next| if all[next].abs() > all[best].abs() { next } else { best }).unwrap_or(0)
        };
        let largest = match (&self.custom, kernels) {
            (Some(custom), _) => {
                let parameters = custom.parameters.val();
                let field = custom.field(values(&parameters));
                let all = field.values(&values(&z));
                let row = z.narrow(0, largest_of(&all), 1);
                let value = all.get(largest_of(&all)).copied().unwrap_or(0.0);
                let grads = PrecomputedGradients(field.value_grads(&values(&row)).into());
                function::<B, 1>(&[input(row), input(parameters)], vec![value], [1], grads).powi_scalar(2)
            }
            (None, Kernels::Tensors | Kernels::Device(_)) => {
                self.value_through(z, |layer, z| layer.train(z, kernels)).powi_scalar(2).max()
            }
            (None, Kernels::Host) => {
                let field = PotentialWeights::new(&self.widths(), &values(&self.flat()));
                let row = z.clone().narrow(0, largest_of(&field.values(&values(&z))), 1);
                self.value_through(row, |layer, z| layer.train(z, kernels)).powi_scalar(2).max()
            }
        };
        if peers.count() == 1 || peers.largest(values(&largest)[0]).1 { largest } else { largest.mul_scalar(0.0) }
    }
}

fn numbers_of<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, Flex};
    use rand::{RngExt, SeedableRng};

    use sclsd_ode::{Method, OdeSpec, linspace, solve_rows};

    use super::*;

    type B = Autodiff<Flex>;

    #[test]
    fn a_row_that_is_not_finite_is_named_by_its_number_in_the_batch() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        let potential = PotentialNetwork::<B>::new(2, &[5], &mut rng, &Default::default());
        let mut start = vec![0.5_f32; 40 * 2];
        start[2 * 37 + 1] = f32::NAN;
        for method in [Method::Dopri5, Method::Rk4] {
            let spec = OdeSpec { method, ..OdeSpec::default() }.check().unwrap();
            let field = PotentialWeights::new(&potential.widths(), &values(&potential.flat()));
            let error = solve_rows(&field, &start, &[0.0, 1.0], &spec).unwrap_err();
            assert!(matches!(error, OdeError::NotFinite { row: 37, time: 0.0 }), "{method:?}: {error}");
            let data = burn::tensor::TensorData::new(start.clone(), [40, 2]);
            let rows = Tensor::<B, 2>::from_data(data, &Default::default());
            let error = potential.follow(rows, &[0.0, 1.0], &spec, Kernels::Host).unwrap_err();
            assert!(matches!(error, OdeError::NotFinite { row: 37, time: 0.0 }), "{method:?}: {error}");
        }
    }

    #[test]
    fn paths_and_their_derivatives_are_those_of_the_tensor_code() {
        for (rows, hidden, times) in
            [(3, vec![5], 2), (16, vec![8, 8], 5), (37, vec![32, 32], 10), (20, vec![7, 6, 5], 4)]
        {
            for method in [Method::Dopri5, Method::Tsit5, Method::Rk4, Method::Euler] {
                let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(rows);
                let potential = PotentialNetwork::<B>::new(4, &hidden, &mut rng, &Default::default());
                let rows = usize::try_from(rows).unwrap();
                let mut draw = |shape: [usize; 2]| {
                    let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| rng.random_range(-2.0..2.0)).collect();
                    Tensor::<B, 2>::from_data(burn::tensor::TensorData::new(values, shape), &Default::default())
                };
                let (start, weight) = (draw([rows, 4]), draw([rows, times * 4]));
                let grid = linspace(0.0, 3.0, times);
                let spec = OdeSpec { method, rtol: 1e-6, ..OdeSpec::default() }.check().unwrap();
                let (s, t) = (start.clone().require_grad(), start.require_grad());
                let found = potential.follow(s.clone(), &grid, &spec, Kernels::Host).unwrap().states;
                let states = sclsd_ode::solve(|_, z| potential.drift(z), t.clone(), &grid, &spec).unwrap().states;
                let expected = Tensor::stack::<3>(states, 1).reshape([rows, times * 4]);
                let close = |a: Vec<f32>, b: Vec<f32>, what: &str| {
                    let largest = b.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
                    for (i, (a, b)) in a.iter().zip(&b).enumerate() {
                        assert!((a - b).abs() < 1e-4 * (1e-2 + largest), "{method:?} {rows} {what}[{i}]: {a} {b}");
                    }
                };
                close(values(&found), values(&expected), "state");
                let gradients = [(found * weight.clone()).sum().backward(), (expected * weight).sum().backward()];
                let host = |t: Tensor<Flex, 2>| t.into_data().into_vec::<f32>().unwrap();
                close(host(s.grad(&gradients[0]).unwrap()), host(t.grad(&gradients[1]).unwrap()), "by start");
                for (depth, layer) in potential.layers.iter().enumerate() {
                    let by = |g| host(layer.linear.weight.val().grad(g).unwrap());
                    close(by(&gradients[0]), by(&gradients[1]), &format!("by weight of layer {depth}"));
                    let by = |g| layer.linear.bias.val().grad(g).unwrap().into_data().into_vec::<f32>().unwrap();
                    close(by(&gradients[0]), by(&gradients[1]), &format!("by bias of layer {depth}"));
                }
                let by = |g| potential.gate.val().grad(g).unwrap().into_data().into_vec::<f32>().unwrap();
                close(by(&gradients[0]), by(&gradients[1]), "by the gate");
            }
        }
    }

    /// The network without hidden layers, as a user-defined potential with parameters w, b and g.
    #[derive(Debug)]
    struct OneLayer;

    /// ln cosh a, tanh a and σ(g).
    fn parts(p: &[f32], z: &[f32]) -> [f32; 3] {
        let n = z.len();
        let a = p[..n].iter().zip(z).map(|(w, z)| w * z).sum::<f32>() + p[n];
        [a.cosh().ln(), a.tanh(), 1.0 / (1.0 + (-p[n + 1]).exp())]
    }

    impl Potential for OneLayer {
        fn name(&self) -> &'static str {
            "one_layer"
        }

        fn initial(&self, z_dim: usize) -> Vec<f32> {
            vec![0.1; z_dim + 2]
        }

        fn value(&self, p: &[f32], z: &[f32]) -> f32 {
            let [h, _, c] = parts(p, z);
            c * h
        }

        fn value_vjp(&self, p: &[f32], z: &[f32], grad: f32, grad_p: &mut [f32]) {
            let ([h, t, c], n) = (parts(p, z), z.len());
            (0..n).for_each(|i| grad_p[i] += grad * c * t * z[i]);
            grad_p[n] += grad * c * t;
            grad_p[n + 1] += grad * c * (1.0 - c) * h;
        }

        fn drift(&self, p: &[f32], z: &[f32], out: &mut [f32]) {
            let [_, t, c] = parts(p, z);
            // adds to `out`, which is correct because `out` holds zeros
            out.iter_mut().zip(p).for_each(|(out, w)| *out -= c * t * w);
        }

        fn drift_vjp(&self, p: &[f32], z: &[f32], grad: &[f32], grad_z: &mut [f32], grad_p: &mut [f32]) {
            let ([_, t, c], n) = (parts(p, z), z.len());
            let along: f32 = p.iter().zip(grad).map(|(w, s)| w * s).sum();
            let bend = c * (1.0 - t * t) * along;
            for i in 0..n {
                grad_z[i] -= bend * p[i];
                grad_p[i] -= bend * z[i] + c * t * grad[i];
            }
            grad_p[n] -= bend;
            grad_p[n + 1] -= c * (1.0 - c) * t * along;
        }
    }

    #[test]
    fn a_potential_of_ones_own_has_the_paths_and_derivatives_of_the_network_that_it_is() {
        let (rows, width, device) = (37, 4, Default::default());
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(8);
        let network = PotentialNetwork::<B>::new(width, &[], &mut rng, &device);
        let mut own = network.clone().replaced(Some(Arc::new(OneLayer)), width, &device);
        if let Some(custom) = &mut own.custom {
            custom.parameters = Param::from_tensor(network.flat().detach().require_grad());
        }
        let mut draw = |n: usize| -> Vec<f32> { (0..rows * n).map(|_| rng.random_range(-2.0..2.0)).collect() };
        let (start, weight) = (draw(width), draw(3 * width));
        let tensor =
            |values: &[f32], n: usize| Tensor::<B, 2>::from_data(TensorData::new(values.to_vec(), [rows, n]), &device);
        let spec = OdeSpec { rtol: 1e-6, ..OdeSpec::default() }.check().unwrap();
        for kernels in [Kernels::Host, Kernels::Tensors] {
            // the states and V, and the gradients of both with respect to the start and to all parameters
            let run = |potential: &PotentialNetwork<B>, square: bool| {
                let start = tensor(&start, width).require_grad();
                let (out, sum) = if square {
                    let largest = potential.largest_square(start.clone(), &Peers::alone(), kernels);
                    (values(&largest), largest)
                } else {
                    let path = potential.follow(start.clone(), &[0.0, 0.5, 1.0], &spec, kernels).unwrap().states;
                    (values(&path), (path * tensor(&weight, 3 * width)).sum())
                };
                let gradients = sum.backward();
                let grad_start: Vec<f32> = start.grad(&gradients).unwrap().into_data().to_vec().unwrap();
                let grad = |t: Option<Tensor<Flex, 1>>| t.unwrap().into_data().to_vec::<f32>().unwrap();
                let grad_parameters = match &potential.custom {
                    Some(custom) => grad(custom.parameters.val().grad(&gradients)),
                    None => {
                        let linear = &potential.layers[0].linear;
                        let w: Vec<f32> = linear.weight.val().grad(&gradients).unwrap().into_data().to_vec().unwrap();
                        [w, grad(linear.bias.val().grad(&gradients)), grad(potential.gate.val().grad(&gradients))]
                            .concat()
                    }
                };
                [out, grad_start, grad_parameters]
            };
            for square in [false, true] {
                for (found, exact) in run(&own, square).iter().zip(run(&network, square)) {
                    let largest = exact.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
                    assert!(largest > 0.0 && found.len() == exact.len());
                    for (a, b) in found.iter().zip(&exact) {
                        assert!((a - b).abs() < 1e-4 * largest, "{kernels:?} {square}: {a} {b} of {largest}");
                    }
                }
            }
        }
        let z = tensor(&start, width);
        assert!(
            (values(&own.value(z.clone())).iter().zip(values(&network.value(z.clone()))))
                .all(|(a, b)| (a - b).abs() < 1e-5)
        );
        assert!(
            (values(&own.drift(z.clone())).iter().zip(values(&network.drift(z)))).all(|(a, b)| (a - b).abs() < 1e-5)
        );
    }
}
