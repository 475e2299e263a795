//! Adam with the gradient of each tensor clipped by its own norm.
//!
//! ```text
//! g ← g · min(1, clip / (‖g‖ + 1e-6))      one tensor at a time, as the Python package's optimiser does
//! ```
//!
//! The update itself is Burn's. Its state is kept by the tensor's interchange name, so that it can be saved beside it.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{AdamConfig, AdamState, AdaptiveMomentumState, SimpleOptimizer};
use burn::tensor::{Tensor, backend::AutodiffBackend};

use sclsd_model::{Array, Lsd, tensor_name};

use crate::AdamSpec;

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

/// The optimiser's state on a device.
pub struct Adam<B: AutodiffBackend> {
    adam: burn::optim::Adam,
    clip_norm: f64,
    states: BTreeMap<String, AdamState<B::InnerBackend, 1>>,
}

impl<B: AutodiffBackend> Adam<B> {
    /// An optimiser that has seen nothing, or one that goes on from `moments`.
    #[must_use]
    pub fn new(spec: &AdamSpec, moments: &BTreeMap<String, Moments>, device: &B::Device) -> Self {
        let adam = AdamConfig::new().with_beta_1(0.9).with_beta_2(0.999).with_epsilon(1e-8).build();
        let states = moments
            .iter()
            .map(|(name, m)| {
                let flat = |a: &Array| a.to_tensor([a.values.len()], device);
                let momentum = AdaptiveMomentumState::new(m.updates, flat(&m.first), flat(&m.second));
                (name.clone(), AdamState::new(momentum))
            })
            .collect();
        Self { adam, clip_norm: spec.clip_norm, states }
    }

    /// The state on the host.
    #[must_use]
    pub fn moments(&self) -> BTreeMap<String, Moments> {
        let host = |state: &AdamState<B::InnerBackend, 1>| Moments {
            updates: state.momentum.time,
            first: Array::from_tensor(state.momentum.moment_1.clone()),
            second: Array::from_tensor(state.momentum.moment_2.clone()),
        };
        self.states.iter().map(|(name, state)| (name.clone(), host(state))).collect()
    }

    /// Updates every tensor of the model that has a gradient.
    ///
    /// # Errors
    /// The name of the first tensor whose gradient is not finite; the model is then returned as it was.
    pub fn step(&mut self, lr: f64, model: Lsd<B>, gradients: &B::Gradients) -> Result<Lsd<B>, (Box<Lsd<B>>, String)> {
        let mut norms = Norms::<B> { path: Vec::new(), gradients, names: Vec::new(), norms: Vec::new() };
        model.visit(&mut norms);
        let (names, norms) = (norms.names, norms.norms);
        if let Some(bad) = first_not_finite::<B>(&norms) {
            return Err((Box::new(model), names[bad].clone()));
        }
        let norms = names.into_iter().zip(norms).collect();
        Ok(model.map(&mut Update { path: Vec::new(), lr, gradients, norms, adam: self }))
    }
}

fn first_not_finite<B: AutodiffBackend>(norms: &[Tensor<B::InnerBackend, 1>]) -> Option<usize> {
    if norms.is_empty() {
        return None;
    }
    Tensor::cat(norms.to_vec(), 0).into_data().iter::<f32>().position(|v| !v.is_finite())
}

/// Norm of every gradient, `[1]` each.
struct Norms<'a, B: AutodiffBackend> {
    path: Vec<String>,
    gradients: &'a B::Gradients,
    names: Vec<String>,
    norms: Vec<Tensor<B::InnerBackend, 1>>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Norms<'_, B> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            let (rows, all) = (gradient.dims()[0], gradient.shape().num_elements());
            let squares = gradient.powi_scalar(2).reshape([rows, all / rows]);
            self.names.push(tensor_name(&self.path));
            self.norms.push(crate::elbo::total(squares).sqrt());
        }
    }
}

struct Update<'a, B: AutodiffBackend> {
    path: Vec<String>,
    lr: f64,
    gradients: &'a B::Gradients,
    norms: BTreeMap<String, Tensor<B::InnerBackend, 1>>,
    adam: &'a mut Adam<B>,
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
        let (Some(gradient), Some(norm)) = (tensor.grad(self.gradients), self.norms.remove(&name)) else {
            return Param::from_mapped_value(id, tensor, mapper);
        };
        let shape = tensor.dims();
        let n: usize = shape.iter().product();
        let factor = norm.add_scalar(1e-6).recip().mul_scalar(self.adam.clip_norm).clamp_max(1.0);
        let gradient = gradient.reshape([n]) * factor;
        let state = self.adam.states.remove(&name);
        let (updated, state) = self.adam.adam.step(self.lr, tensor.inner().reshape([n]), gradient, state);
        if let Some(state) = state {
            self.adam.states.insert(name, state);
        }
        let updated = Tensor::from_inner(updated.reshape(shape)).require_grad();
        Param::from_mapped_value(id, updated, mapper)
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
        let model = small();
        // four entries with a gradient of 100 each, a norm of 200; and three with 0.5
        let loss = model.h_0.val().sum() * 100.0 + model.log_inverse_dispersion.val().sum() * 0.5;
        let mut adam = Adam::<B>::new(&AdamSpec::default(), &BTreeMap::new(), &Default::default());
        adam.step(1e-3, model, &loss.backward()).expect("a step");
        let moments = adam.moments();
        assert_eq!(moments.len(), 2, "tensors without a gradient are left alone");
        // the first moment is a tenth of the gradient
        assert!(moments["h_0"].first.values.iter().all(|v| (v - 0.5).abs() < 1e-5), "{:?}", moments["h_0"]);
        let other = &moments["log_inverse_dispersion"].first.values;
        assert!(other.iter().all(|v| (v - 0.05).abs() < 1e-6), "{other:?}");
    }

    #[test]
    fn a_gradient_that_is_not_finite_is_named_and_the_model_stays() {
        let model = small();
        let before = Array::from_tensor(model.h_0.val());
        let loss = model.h_0.val().sum() * f32::INFINITY + model.log_inverse_dispersion.val().sum();
        let mut adam = Adam::<B>::new(&AdamSpec::default(), &BTreeMap::new(), &Default::default());
        let (model, name) = adam.step(1e-3, model, &loss.backward()).expect_err("no step");
        assert_eq!((name.as_str(), Array::from_tensor(model.h_0.val())), ("h_0", before));
        assert!(adam.moments().is_empty());
    }
}
