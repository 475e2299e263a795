//! Checks the gradient flow and its gradients with every method.

use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use sclsd::model::ode::{CheckedOdeSpec, Method, OdeSpec, solve};
use sclsd::model::{Array, Executor as _, Job, Kernels, Trainable, tensor_name};
use sclsd_tests::tensors;

use super::{Errors, Golden, Place, everywhere, tiny_networks};

/// The methods to test: on the CPU all methods; on a device with a kernel for the flow, the methods of that kernel; on
/// devices with tensor code, where launches are slow, only the method used in training.
fn methods(place: &Place) -> &'static [Method] {
    let all = &[Method::Dopri5, Method::Tsit5, Method::Rk4];
    match place.kernels {
        _ if place.name.starts_with("cpu") => all,
        Kernels::Device(_) => &all[..2],
        Kernels::Tensors | Kernels::Host => &all[..1],
    }
}

#[test]
fn the_flow_follows_the_golden_path_for_short_and_long_times() {
    everywhere("flow", |place| place.allowed.golden, |place| place.run(Flow(*place)));
}

#[test]
fn gradients_through_the_flow_are_the_golden_ones() {
    everywhere("gradients of the flow", |place| place.allowed.grads, |place| place.run(Back(*place)));
}

fn grid(array: &Array) -> Vec<f64> {
    array.values.iter().map(|&t| f64::from(t)).collect()
}

fn spec(method: Method) -> CheckedOdeSpec {
    OdeSpec { method, substeps: 20, ..OdeSpec::default() }.check().expect("a specification")
}

struct Flow(Place);

impl Job for Flow {
    type Output = Vec<(String, f64)>;

    fn run<B: Trainable>(self, device: &B::Device) -> Self::Output {
        let golden = tensors("tiny_ode.safetensors");
        let model = tiny_networks::<B>(device);
        let mut errors = Errors::default();
        for &method in methods(&self.0) {
            for (times, states) in [("t", "solution"), ("long_t", "long_solution")] {
                let times = grid(&golden[times]);
                let path = match self.0.kernels {
                    Kernels::Host | Kernels::Device(_) => {
                        let start = golden["z0"].to_tensor::<B, 2>([4, 6], device);
                        let path = model
                            .potential
                            .follow(start, &times, &spec(method), self.0.kernels)
                            .expect("a path")
                            .states;
                        Array::from_tensor(path.reshape([4, -1, 6]).swap_dims(0, 1))
                    }
                    Kernels::Tensors => {
                        // no gradient is computed, so the model needs no gradient tracking
                        let model = model.valid();
                        let start = golden["z0"].to_tensor::<B::InnerBackend, 2>([4, 6], device);
                        let path =
                            solve(|_, z| model.potential.drift(z), start, &times, &spec(method)).expect("a path");
                        Array::from_tensor(Tensor::stack::<3>(path.states, 0))
                    }
                };
                errors.compare(&format!("{states} by {method:?}"), &path, &golden[states]);
            }
        }
        errors.0
    }
}

struct Back(Place);

impl Job for Back {
    type Output = Vec<(String, f64)>;

    fn run<B: Trainable>(self, device: &B::Device) -> Self::Output {
        let golden = tensors("tiny_ode.safetensors");
        let mut errors = Errors::default();
        for &method in methods(&self.0) {
            back::<B>(method, self.0.kernels, device, &golden, &mut errors);
        }
        errors.0
    }
}

fn back<B: Trainable>(method: Method, kernels: Kernels, device: &B::Device, golden: &Golden, errors: &mut Errors) {
    let model = tiny_networks::<B>(device);
    let start = golden["z0"].to_tensor::<B, 2>([4, 6], device).require_grad();
    let path =
        model.potential.follow(start.clone(), &grid(&golden["t"]), &spec(method), kernels).expect("a path").states;
    let cotangent = golden["cotangent"].to_tensor::<B, 3>([5, 4, 6], device).swap_dims(0, 1).reshape([4, 30]);
    let gradients = (path * cotangent).sum().backward();
    let mut compare =
        |name: &str, found: Array| errors.compare_gradients(&format!("{name} by {method:?}"), &found, &golden[name]);
    compare("grad.z0", Array::from_tensor(start.grad(&gradients).expect("a gradient")));
    for (i, layer) in model.potential.layers.iter().enumerate() {
        let name = |leaf: &str| {
            let path = ["potential", "layers", &i.to_string(), "linear", leaf].map(str::to_owned);
            format!("grad.{}", tensor_name(&path))
        };
        let weight = layer.linear.weight.val().grad(&gradients).expect("a gradient");
        compare(&name("weight"), Array::from_tensor(weight));
        let bias = layer.linear.bias.val().grad(&gradients).expect("a gradient");
        compare(&name("bias"), Array::from_tensor(bias));
    }
    let gate = model.potential.gate.val().grad(&gradients).expect("a gradient");
    compare("grad.potential.gate", Array::from_tensor(gate));
}
