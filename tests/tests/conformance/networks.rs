//! Checks every network in evaluation mode.

use burn::tensor::Tensor;
use sclsd::model::{Array, Executor as _, Job, Lsd, Trainable};
use sclsd_tests::tensors;

use super::{Errors, everywhere, tiny_networks};

#[test]
fn every_network_gives_the_golden_output() {
    everywhere("networks", |place| place.allowed.golden, |place| place.run(Networks));
}

struct Networks;

impl Job for Networks {
    type Output = Vec<(String, f64)>;

    fn run<B: Trainable>(self, device: &B::Device) -> Self::Output {
        let golden = tensors("tiny_networks.safetensors");
        let model = tiny_networks::<B>(device);
        let mut errors = Errors::default();
        let x: Tensor<B, 2> = golden["x"].to_tensor([20, 30], device);
        let (z_loc, z_scale) = model.encode_x(x.clone());
        let (b_loc, b_scale) = model.encode_z(z_loc.clone());
        let (b_decoder_loc, b_decoder_scale) = model.decode_b(b_loc.clone());
        let (gate, rate) = Lsd::gate_and_rate(model.z_decoder.forward_eval(z_loc.clone()));
        let (l_loc, l_scale) = Lsd::location_scale(model.xl_encoder.forward_eval(x.clone()));
        let outputs = [
            ("z_scale", z_scale),
            ("z_loc", z_loc.clone()),
            ("b_scale", b_scale),
            ("b_loc", b_loc),
            ("b_decoder_loc", b_decoder_loc),
            ("b_decoder_scale", b_decoder_scale),
            ("gate_logits", gate),
            ("mu", rate),
            ("xl_loc", l_loc),
            ("xl_scale", l_scale),
            ("rnn_prior", model.rnn.forward(model.rnn.project(x), &model.h_0.val(), 5)),
            ("minus_grad_potential", model.potential.drift(z_loc.clone())),
        ];
        for (name, output) in outputs {
            errors.compare(name, &Array::from_tensor(output), &golden[name]);
        }
        errors.compare("potential", &Array::from_tensor(model.potential.value(z_loc)), &golden["potential"]);
        errors.0
    }
}

#[test]
fn the_drift_is_minus_the_gradient_of_the_potential() {
    everywhere("drift", |place| place.allowed.golden, |place| place.run(Drift));
}

struct Drift;

impl Job for Drift {
    type Output = Vec<(String, f64)>;

    fn run<B: Trainable>(self, device: &B::Device) -> Self::Output {
        let golden = tensors("tiny_networks.safetensors");
        let model = tiny_networks::<B>(device);
        let z = golden["z_loc"].to_tensor::<B, 2>([20, 6], device).require_grad();
        let gradients = model.potential.value(z.clone()).sum().backward();
        let gradient = Array::from_tensor(z.grad(&gradients).expect("a gradient").neg());
        let mut errors = Errors::default();
        errors.compare("drift", &Array::from_tensor(model.potential.drift(z)), &gradient);
        errors.0
    }
}
