//! Adam, with the gradient of each tensor clipped by its own norm.
//!
//! ```text
//! g ← g · min(1, clip / (‖g‖ + 1e-6))      for each tensor, as the Python package's optimiser does
//! ```
//!
//! The update is Burn's, or an equivalent kernel that makes one pass over memory, on the host or on the device. The
//! moments are stored under the interchange names of their tensors, so that a checkpoint can hold both.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{AdamConfig, AdamState, AdaptiveMomentumState, SimpleOptimizer};
use burn::tensor::{Tensor, TensorData, backend::AutodiffBackend, backend::Backend};

use sclsd_model::adam::{BETA_1, BETA_2, EPSILON, norm, update};
use sclsd_model::{AdamStep, Array, Kernels, Lsd, OnDeviceAdam, Peers, tensor_name};

use crate::spec::AdamSpec;

/// Added to a norm before dividing by the norm.
const CLIP_EPSILON: f64 = 1e-6;

/// First and second moment of one tensor, and its number of updates.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamMoments {
    /// Number of updates so far.
    pub updates: usize,
    /// First moment: moving average of the gradient.
    pub first: Array,
    /// Second moment: moving average of the squared gradient.
    pub second: Array,
}

/// The optimiser with its state.
pub struct Adam<B: AutodiffBackend> {
    clip_norm: f64,
    kernels: Kernels,
    states: States<B>,
}

/// Moments by tensor, on the host or on the device, wherever the updates are computed.
enum States<B: AutodiffBackend> {
    Device(burn::optim::Adam, BTreeMap<String, AdamState<B::InnerBackend, 1>>),
    Host(BTreeMap<String, AdamMoments>),
}

/// Euclidean norms of the gradients of one step, by tensor. They stay where they were computed, so that nothing waits
/// for the device.
#[derive(Debug)]
pub struct Norms<B: Backend> {
    names: Vec<String>,
    norms: Values<B>,
}

#[derive(Debug)]
enum Values<B: Backend> {
    Host(Vec<f64>),
    Device(Tensor<B, 1>),
}

impl<B: Backend> Norms<B> {
    /// Name of the first tensor whose gradient is not finite. Waits for the device.
    #[must_use]
    pub fn not_finite(self) -> Option<String> {
        let norms = match self.norms {
            Values::Host(norms) => norms,
            Values::Device(norms) => norms.into_data().iter::<f64>().collect(),
        };
        norms.into_iter().zip(self.names).find(|(norm, _)| !norm.is_finite()).map(|(_, name)| name)
    }
}

impl<B: AutodiffBackend> Adam<B> {
    /// An optimiser that continues from `moments`; empty moments start a new one.
    #[must_use]
    pub fn new(spec: &AdamSpec, moments: &BTreeMap<String, AdamMoments>, kernels: Kernels, device: &B::Device) -> Self {
        let state = |(name, m): (&String, &AdamMoments)| {
            let flat = |a: &Array| a.to_tensor([a.values.len()], device);
            (name.clone(), AdamState::new(AdaptiveMomentumState::new(m.updates, flat(&m.first), flat(&m.second))))
        };
        let states = match kernels {
            Kernels::Host => States::Host(moments.clone()),
            Kernels::Tensors | Kernels::Device(_) => {
                let adam = AdamConfig::new().with_beta_1(BETA_1).with_beta_2(BETA_2).with_epsilon(EPSILON).build();
                States::Device(adam, moments.iter().map(state).collect())
            }
        };
        Self { clip_norm: spec.clip_norm, kernels, states }
    }

    /// Copies the state to the host.
    #[must_use]
    pub fn moments(&self) -> BTreeMap<String, AdamMoments> {
        let host = |state: &AdamState<B::InnerBackend, 1>| AdamMoments {
            updates: state.momentum.time,
            first: Array::from_tensor(state.momentum.moment_1.clone()),
            second: Array::from_tensor(state.momentum.moment_2.clone()),
        };
        match &self.states {
            States::Host(moments) => moments.clone(),
            States::Device(_, states) => states.iter().map(|(name, state)| (name.clone(), host(state))).collect(),
        }
    }

    /// Updates every tensor of the model that has a gradient, after summing the gradients over peers. Nothing waits for
    /// the device: if the norms turn out [not to be finite](Norms::not_finite), the model must be discarded.
    #[must_use]
    pub fn step(
        &mut self,
        lr: f64,
        model: Lsd<B>,
        gradients: B::Gradients,
        peers: &Peers,
    ) -> (Lsd<B>, Norms<B::InnerBackend>) {
        let on_host = matches!(self.states, States::Host(_));
        let mut collect = Collect::<B> { path: Vec::new(), gradients, on_host, found: Vec::new() };
        model.visit(&mut collect);
        let mut found = collect.found;
        total(&mut found, peers);
        let device = found.iter().find_map(|(_, gradient)| gradient.device());
        let on_device = match (self.kernels, &device) {
            (Kernels::Device(kernels), Some(device)) => Some(OnDeviceAdam::new(kernels, found.len(), device)),
            _ => None,
        };
        let mut update = Update {
            path: Vec::new(),
            lr,
            clip_norm: self.clip_norm,
            gradients: found.into_iter().collect(),
            states: &mut self.states,
            on_device,
            names: Vec::new(),
            on_host: Vec::new(),
            on_tensors: Vec::new(),
        };
        let model = model.map(&mut update);
        let norms = match update.on_device {
            Some(steps) => Values::Device(steps.norms()),
            None if update.on_tensors.is_empty() => Values::Host(update.on_host),
            None => Values::Device(Tensor::cat(update.on_tensors, 0)),
        };
        (model, Norms { names: update.names, norms })
    }
}

/// The gradient of a tensor, flattened.
enum Gradient<B: AutodiffBackend> {
    Host(Vec<f32>),
    Device(Tensor<B::InnerBackend, 1>),
}

impl<B: AutodiffBackend> Gradient<B> {
    fn device(&self) -> Option<B::Device> {
        match self {
            Self::Host(_) => None,
            Self::Device(tensor) => Some(tensor.device()),
        }
    }
}

/// Replaces all gradients by their sums over peers, in one all-reduce.
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

/// Collects the gradients of all tensors, flattened.
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
    clip_norm: f64,
    gradients: BTreeMap<String, Gradient<B>>,
    states: &'a mut States<B>,
    /// The step on the device, if device kernels compute the step.
    on_device: Option<OnDeviceAdam<B::InnerBackend>>,
    /// Names of the updated tensors, and the norms of their gradients unless the device kernels hold the norms.
    names: Vec<String>,
    on_host: Vec<f64>,
    on_tensors: Vec<Tensor<B::InnerBackend, 1>>,
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
        let Some(gradient) = self.gradients.remove(&name) else {
            return Param::from_mapped_value(id, tensor, mapper);
        };
        self.names.push(name.clone());
        let (shape, device) = (tensor.dims(), tensor.device());
        let updated = match (&mut *self.states, gradient) {
            (States::Host(moments), Gradient::Host(gradient)) => {
                let shape = tensor.dims().to_vec();
                let none = |n: usize| Array { shape: shape.clone(), values: vec![0.0; n] };
                let mut values: Vec<f32> = tensor.inner().into_data().into_vec().expect("floats");
                let n = values.len();
                let new = || AdamMoments { updates: 0, first: none(n), second: none(n) };
                let norm = norm(&gradient);
                self.on_host.push(norm);
                let factor = (self.clip_norm / (norm + CLIP_EPSILON)).min(1.0);
                let AdamMoments { updates, first, second } = moments.entry(name).or_insert_with(new);
                *updates += 1;
                let moments = [&mut first.values[..], &mut second.values];
                update(&mut values, &gradient, [factor, self.lr], moments, *updates);
                Tensor::<B::InnerBackend, D>::from_data(TensorData::new(values, shape), &device)
            }
            (States::Device(adam, states), Gradient::Device(gradient)) => {
                let n = tensor.shape().num_elements();
                let (values, state) = (tensor.inner().reshape([n]), states.remove(&name));
                let (updated, state) = match &mut self.on_device {
                    Some(steps) => {
                        let zeros = || Tensor::zeros([n], &device);
                        let state = state
                            .map_or_else(|| AdaptiveMomentumState::new(0, zeros(), zeros()), |state| state.momentum);
                        let step = AdamStep {
                            lr: self.lr,
                            clip_norm: self.clip_norm,
                            betas: [f64::from(BETA_1), f64::from(BETA_2)],
                            epsilon: f64::from(EPSILON),
                            step: state.time + 1,
                        };
                        let moments = [state.moment_1, state.moment_2];
                        let [updated, first, second] = steps.step(&step, values, gradient, moments);
                        (updated, AdamState::new(AdaptiveMomentumState::new(step.step, first, second)))
                    }
                    None => {
                        let norm = gradient.clone().powi_scalar(2).sum_dim(0).sqrt(); // [1]
                        self.on_tensors.push(norm.clone());
                        let factor = norm.add_scalar(CLIP_EPSILON).recip().mul_scalar(self.clip_norm).clamp_max(1.0);
                        let (updated, state) = adam.step(self.lr, values, gradient * factor, state);
                        (updated, state.expect("Adam has a state"))
                    }
                };
                states.insert(name, state);
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
        // h_0: four entries with a gradient of 100 each, norm 200; ln θ: three entries with a gradient of 0.5
        let loss = model.h_0.val().sum() * 100.0 + model.log_inverse_dispersion.val().sum() * 0.5;
        let mut adam = Adam::<B>::new(&AdamSpec::default(), &BTreeMap::new(), kernels, &Default::default());
        let (_, norms) = adam.step(1e-3, model, loss.backward(), &Peers::alone());
        assert_eq!(norms.not_finite(), None);
        let moments = adam.moments();
        assert_eq!(moments.len(), 2, "tensors without a gradient are left alone");
        // after one step the first moment is a tenth of the clipped gradient
        assert!(moments["h_0"].first.values.iter().all(|v| (v - 0.5).abs() < 1e-5), "{:?}", moments["h_0"]);
        let other = &moments["log_inverse_dispersion"].first.values;
        assert!(other.iter().all(|v| (v - 0.05).abs() < 1e-6), "{other:?}");
    }

    #[test]
    fn a_gradient_that_is_not_finite_is_named() {
        for kernels in [Kernels::Tensors, Kernels::Host] {
            not_finite(kernels);
        }
    }

    fn not_finite(kernels: Kernels) {
        let model = small();
        let loss = model.h_0.val().sum() * f32::INFINITY + model.log_inverse_dispersion.val().sum();
        let mut adam = Adam::<B>::new(&AdamSpec::default(), &BTreeMap::new(), kernels, &Default::default());
        let (_, norms) = adam.step(1e-3, model, loss.backward(), &Peers::alone());
        assert_eq!(norms.not_finite().as_deref(), Some("h_0"));
    }

    #[test]
    fn both_ways_of_updating_lead_to_the_same_weights() {
        let run = |kernels| {
            let mut model = small();
            let mut adam = Adam::<B>::new(&AdamSpec::default(), &BTreeMap::new(), kernels, &Default::default());
            for round in 0..5 {
                let weight = model.x_encoder.layers[0].linear.weight.val();
                let loss = (weight.clone() * weight).sum() * f64::from(round * 40 - 70) + model.h_0.val().sum();
                model = adam.step(0.01, model, loss.backward(), &Peers::alone()).0;
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
