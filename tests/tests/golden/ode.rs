//! The gradient flow and its gradients.

use burn::backend::Flex;
use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use sclsd::model::ode::{Method, OdeSpec, solve};
use sclsd::model::{Array, tensor_name};
use sclsd_tests::{assert_close, tensors};

use super::{B, tiny_networks};

fn grid(array: &Array) -> Vec<f64> {
    array.values.iter().map(|&t| f64::from(t)).collect()
}

fn spec(method: Method) -> OdeSpec {
    OdeSpec { method, substeps: 20, ..OdeSpec::default() }
}

#[test]
fn the_flow_follows_the_golden_path_for_short_and_long_times() {
    let golden = tensors("tiny_ode.safetensors");
    let model = tiny_networks().valid(); // no gradient is taken, so none is prepared
    for method in [Method::Dopri5, Method::Tsit5, Method::Rk4] {
        for (times, states) in [("t", "solution"), ("long_t", "long_solution")] {
            let start = golden["z0"].to_tensor::<Flex, 2>([4, 6], &Default::default());
            let spec = spec(method).check().expect("a specification");
            let found = solve(|_, z| model.potential.drift(z), start, &grid(&golden[times]), &spec).expect("a path");
            let found = Array::from_tensor(Tensor::stack::<3>(found.states, 0));
            assert_close(&format!("{states} by {method:?}"), &found.values, &golden[states].values);
        }
    }
}

#[test]
fn gradients_through_the_flow_are_the_golden_ones() {
    let golden = tensors("tiny_ode.safetensors");
    let device = Default::default();
    for method in [Method::Dopri5, Method::Tsit5, Method::Rk4] {
        let model = tiny_networks();
        let start = golden["z0"].to_tensor::<B, 2>([4, 6], &device).require_grad();
        let spec = spec(method).check().expect("a specification");
        let path = solve(|_, z| model.potential.drift(z), start.clone(), &grid(&golden["t"]), &spec).expect("a path");
        let cotangent = golden["cotangent"].to_tensor::<B, 3>([5, 4, 6], &device);
        let gradients = (Tensor::stack::<3>(path.states, 0) * cotangent).sum().backward();
        let found = Array::from_tensor(start.grad(&gradients).expect("a gradient"));
        assert_close(&format!("grad.z0 by {method:?}"), &found.values, &golden["grad.z0"].values);
        for (i, layer) in model.potential.layers.iter().enumerate() {
            let name = |leaf: &str| {
                let path = ["potential", "layers", &i.to_string(), "linear", leaf].map(str::to_owned);
                format!("grad.{}", tensor_name(&path))
            };
            let weight = Array::from_tensor(layer.linear.weight.val().grad(&gradients).expect("a gradient"));
            assert_close(&name("weight"), &weight.values, &golden[&name("weight")].values);
            let bias = Array::from_tensor(layer.linear.bias.val().grad(&gradients).expect("a gradient"));
            assert_close(&name("bias"), &bias.values, &golden[&name("bias")].values);
        }
        let gate = Array::from_tensor(model.potential.gate.val().grad(&gradients).expect("a gradient"));
        assert_close("grad.potential.gate", &gate.values, &golden["grad.potential.gate"].values);
    }
}
