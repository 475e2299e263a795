//! Adam with the gradient of each tensor clipped by its own norm.
//!
//! ```text
//! g ← g · min(1, clip / (‖g‖ + 1e-6))      one tensor at a time, as the Python package's optimiser does
//! ```
//!
//! The update itself is Burn's, or one pass over host memory with the same result. Its state is kept by the tensor's
//! interchange name, so that it can be saved beside it.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{AdamConfig, AdamState, AdaptiveMomentumState, SimpleOptimizer};
use burn::tensor::{Tensor, TensorData, backend::AutodiffBackend};

use sclsd_model::{Array, Kernels, Lsd, Peers, tensor_name};

use crate::AdamSpec;

mod on_host;

/// β₁, β₂ and ε.
const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// First and second moment of one tensor, and how often it was updated.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Updates so far.
    pub updates: usize,
    /// Mean of the gradient.
    pub first: Array,
    /// Mean of the squared gradient.
    pub second: Array,
}

/// The optimiser's state.
pub struct Adam<B: AutodiffBackend> {
    clip_norm: f64,
    states: States<B>,
}

/// Moments by tensor: where the updates are made.
enum States<B: AutodiffBackend> {
    Device(burn::optim::Adam, BTreeMap<String, AdamState<B::InnerBackend, 1>>),
    Host(BTreeMap<String, Moments>),
}

impl<B: AutodiffBackend> Adam<B> {
    /// An optimiser that has seen nothing, or one that goes on from `moments`.
    #[must_use]
    pub fn new(spec: &AdamSpec, moments: &BTreeMap<String, Moments>, kernels: Kernels, device: &B::Device) -> Self {
        let state = |(name, m): (&String, &Moments)| {
            let flat = |a: &Array| a.to_tensor([a.values.len()], device);
            (name.clone(), AdamState::new(AdaptiveMomentumState::new(m.updates, flat(&m.first), flat(&m.second))))
        };
        let states = match kernels {
            Kernels::Host => States::Host(moments.clone()),
            Kernels::Tensors => {
                let adam = AdamConfig::new().with_beta_1(BETA_1).with_beta_2(BETA_2).with_epsilon(EPSILON).build();
                States::Device(adam, moments.iter().map(state).collect())
            }
        };
        Self { clip_norm: spec.clip_norm, states }
    }

    /// The state on the host.
    #[must_use]
    pub fn moments(&self) -> BTreeMap<String, Moments> {
        let host = |state: &AdamState<B::InnerBackend, 1>| Moments {
            updates: state.momentum.time,
            first: Array::from_tensor(state.momentum.moment_1.clone()),
            second: Array::from_tensor(state.momentum.moment_2.clone()),
        };
        match &self.states {
            States::Host(moments) => moments.clone(),
            States::Device(_, states) => states.iter().map(|(name, state)| (name.clone(), host(state))).collect(),
        }
    }

    /// Updates every tensor of the model that has a gradient, by the sum of it over peers.
    ///
    /// # Errors
    /// The name of the first tensor whose gradient is not finite; the model is then returned as it was.
    pub fn step(
        &mut self,
        lr: f64,
        model: Lsd<B>,
        gradients: B::Gradients,
        peers: &Peers,
    ) -> Result<Lsd<B>, (Box<Lsd<B>>, String)> {
        let on_host = matches!(self.states, States::Host(_));
        let mut collect = Collect::<B> { path: Vec::new(), gradients, on_host, found: Vec::new() };
        model.visit(&mut collect);
        let mut found = collect.found;
        total(&mut found, peers);
        let norms = norms(&found);
        if let Some(bad) = norms.iter().position(|norm| !norm.is_finite()) {
            return Err((Box::new(model), found[bad].0.clone()));
        }
        let factor = |norm: f64| (self.clip_norm / (norm + 1e-6)).min(1.0);
        let gradients = found.into_iter().zip(norms).map(|((name, g), norm)| (name, (g, factor(norm)))).collect();
        Ok(model.map(&mut Update { path: Vec::new(), lr, gradients, states: &mut self.states }))
    }
}

/// The gradient of a tensor, as one row.
enum Gradient<B: AutodiffBackend> {
    Host(Vec<f32>),
    Device(Tensor<B::InnerBackend, 1>),
}

/// Replaces all gradients by their sums over peers, at once.
fn total<B: AutodiffBackend>(gradients: &mut [(String, Gradient<B>)], peers: &Peers) {
    if peers.count() == 1 {
        return;
    }
    let mut numbers = Vec::new();
    for (_, gradient) in &*gradients {
        match gradient {
            Gradient::Host(values) => numbers.extend_from_slice(values),
            Gradient::Device(tensor) => numbers.extend(tensor.to_data().iter::<f32>()),
        }
    }
    peers.sum(&mut numbers);
    let mut rest = &numbers[..];
    for (_, gradient) in gradients {
        let n = match gradient {
            Gradient::Host(values) => values.len(),
            Gradient::Device(tensor) => tensor.shape().num_elements(),
        };
        let (these, others) = rest.split_at(n);
        rest = others;
        match gradient {
            Gradient::Host(values) => values.copy_from_slice(these),
            Gradient::Device(tensor) => *tensor = Tensor::from_floats(these, &tensor.device()),
        }
    }
}

/// Euclidean norm of every gradient; those on a device are brought over at once.
fn norms<B: AutodiffBackend>(gradients: &[(String, Gradient<B>)]) -> Vec<f64> {
    let squares = |gradient: &Gradient<B>| match gradient {
        Gradient::Host(_) => None,
        Gradient::Device(tensor) => Some(tensor.clone().powi_scalar(2).sum()),
    };
    let squares: Vec<Tensor<B::InnerBackend, 1>> = gradients.iter().filter_map(|(_, g)| squares(g)).collect();
    let squares =
        if squares.is_empty() { Vec::new() } else { Tensor::cat(squares, 0).into_data().iter::<f64>().collect() };
    let mut squares = squares.into_iter();
    let norm = |gradient: &Gradient<B>| match gradient {
        Gradient::Host(values) => on_host::norm(values),
        Gradient::Device(_) => squares.next().map_or(f64::NAN, f64::sqrt),
    };
    gradients.iter().map(|(_, gradient)| gradient).map(norm).collect()
}

/// Takes the gradients out, each as one row.
struct Collect<B: AutodiffBackend> {
    path: Vec<String>,
    gradients: B::Gradients,
    on_host: bool,
    found: Vec<(String, Gradient<B>)>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Collect<B> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = param.val().grad_remove(&mut self.gradients) {
            let n = gradient.shape().num_elements();
            let gradient = if self.on_host {
                Gradient::Host(gradient.into_data().into_vec().expect("floats"))
            } else {
                Gradient::Device(gradient.reshape([n]))
            };
            self.found.push((tensor_name(&self.path), gradient));
        }
    }
}

struct Update<'a, B: AutodiffBackend> {
    path: Vec<String>,
    lr: f64,
    /// Gradients with the factor that clips them.
    gradients: BTreeMap<String, (Gradient<B>, f64)>,
    states: &'a mut States<B>,
}

impl<B: AutodiffBackend> ModuleMapper<B> for Update<'_, B> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let name = tensor_name(&self.path);
        let (id, tensor, mapper) = param.consume();
        let Some((gradient, factor)) = self.gradients.remove(&name) else {
            return Param::from_mapped_value(id, tensor, mapper);
        };
        let (shape, device) = (tensor.dims(), tensor.device());
        let updated = match (&mut *self.states, gradient) {
            (States::Host(moments), Gradient::Host(gradient)) => {
                let shape = tensor.dims().to_vec();
                let none = |n: usize| Array { shape: shape.clone(), values: vec![0.0; n] };
                let mut values: Vec<f32> = tensor.inner().into_data().into_vec().expect("floats");
                let n = values.len();
                let new = || Moments { updates: 0, first: none(n), second: none(n) };
                on_host::update(&mut values, &gradient, factor, self.lr, moments.entry(name).or_insert_with(new));
                Tensor::<B::InnerBackend, D>::from_data(TensorData::new(values, shape), &device)
            }
            (States::Device(adam, states), Gradient::Device(gradient)) => {
                let n = tensor.shape().num_elements();
                let gradient = gradient.mul_scalar(factor);
                let (updated, state) = adam.step(self.lr, tensor.inner().reshape([n]), gradient, states.remove(&name));
                if let Some(state) = state {
                    states.insert(name, state);
                }
                updated.reshape(shape)
            }
            _ => unreachable!("gradients are where the states are"),
        };
        Param::from_mapped_value(id, Tensor::from_inner(updated).require_grad(), mapper)
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, Flex};
    use rand::SeedableRng;
    use sclsd_model::{LayerDims, ModelSpec};

    use super::*;

    type B = Autodiff<Flex>;

    fn small() -> Lsd<B> {
        let layer_dims = LayerDims {
            b_decoder: vec![2],
            z_decoder: vec![2],
            x_encoder: vec![2],
            potential: vec![2],
            ..LayerDims::default()
        };
        let spec = ModelSpec { z_dim: 2, layer_dims, ..ModelSpec::default() }.check().unwrap();
        Lsd::new(&spec, 3, &mut rand_chacha::ChaCha8Rng::seed_from_u64(0), &Default::default())
    }

    #[test]
    fn gradients_are_clipped_one_tensor_at_a_time() {
        for kernels in [Kernels::Tensors, Kernels::Host] {
            clipped(kernels);
        }
    }

    fn clipped(kernels: Kernels) {
        let model = small();
        // four entries with a gradient of 100 each, a norm of 200; and three with 0.5
        let loss = model.h_0.val().sum() * 100.0 + model.log_inverse_dispersion.val().sum() * 0.5;
        let mut adam = Adam::<B>::new(&AdamSpec::default(), &BTreeMap::new(), kernels, &Default::default());
        adam.step(1e-3, model, loss.backward(), &Peers::alone()).expect("a step");
        let moments = adam.moments();
        assert_eq!(moments.len(), 2, "tensors without a gradient are left alone");
        // the first moment is a tenth of the gradient
        assert!(moments["h_0"].first.values.iter().all(|v| (v - 0.5).abs() < 1e-5), "{:?}", moments["h_0"]);
        let other = &moments["log_inverse_dispersion"].first.values;
        assert!(other.iter().all(|v| (v - 0.05).abs() < 1e-6), "{other:?}");
    }

    #[test]
    fn a_gradient_that_is_not_finite_is_named_and_the_model_stays() {
        for kernels in [Kernels::Tensors, Kernels::Host] {
            not_finite(kernels);
        }
    }

    fn not_finite(kernels: Kernels) {
        let model = small();
        let before = Array::from_tensor(model.h_0.val());
        let loss = model.h_0.val().sum() * f32::INFINITY + model.log_inverse_dispersion.val().sum();
        let mut adam = Adam::<B>::new(&AdamSpec::default(), &BTreeMap::new(), kernels, &Default::default());
        let (model, name) = adam.step(1e-3, model, loss.backward(), &Peers::alone()).expect_err("no step");
        assert_eq!((name.as_str(), Array::from_tensor(model.h_0.val())), ("h_0", before));
        assert!(adam.moments().is_empty());
    }

    #[test]
    fn both_ways_of_updating_lead_to_the_same_weights() {
        let run = |kernels| {
            let mut model = small();
            let mut adam = Adam::<B>::new(&AdamSpec::default(), &BTreeMap::new(), kernels, &Default::default());
            for round in 0..5 {
                let weight = model.x_encoder.layers[0].linear.weight.val();
                let loss = (weight.clone() * weight).sum() * f64::from(round * 40 - 70) + model.h_0.val().sum();
                model = adam
                    .step(0.01, model, loss.backward(), &Peers::alone())
                    .unwrap_or_else(|(_, name)| panic!("{name}"));
            }
            (model.weights(), adam.moments())
        };
        let ((host, moments), (device, others)) = (run(Kernels::Host), run(Kernels::Tensors));
        for (name, array) in &device {
            for (a, b) in host[name].values.iter().zip(&array.values) {
                assert!((a - b).abs() < 1e-6, "{name}: {a} {b}");
            }
        }
        assert!(moments.keys().eq(others.keys()) && moments.values().all(|m| m.updates == 5));
    }
}
