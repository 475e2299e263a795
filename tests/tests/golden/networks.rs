//! Every network in evaluation mode.

use burn::tensor::Tensor;
use sclsd::model::{Array, Lsd};
use sclsd_tests::{assert_close, tensors};

use super::{B, tiny_networks};

fn close<const D: usize>(what: &str, found: Tensor<B, D>, golden: &std::collections::BTreeMap<String, Array>) {
    assert_close(what, &Array::from_tensor(found).values, &golden[what].values);
}

#[test]
fn every_network_gives_the_golden_output() {
    let golden = tensors("tiny_networks.safetensors");
    let model = tiny_networks();
    let device = Default::default();
    let x: Tensor<B, 2> = golden["x"].to_tensor([20, 30], &device);

    let (z_loc, z_scale) = model.encode_x(x.clone());
    close("z_scale", z_scale, &golden);
    close("z_loc", z_loc.clone(), &golden);
    let (b_loc, b_scale) = model.encode_z(z_loc.clone());
    close("b_scale", b_scale, &golden);
    close("b_loc", b_loc.clone(), &golden);
    let (loc, scale) = model.decode_b(b_loc);
    close("b_decoder_loc", loc, &golden);
    close("b_decoder_scale", scale, &golden);
    let (gate, rate) = Lsd::gate_and_rate(model.z_decoder.evaluate(z_loc.clone()));
    close("gate_logits", gate, &golden);
    close("mu", rate, &golden);
    let (l_loc, l_scale) = Lsd::location_scale(model.xl_encoder.evaluate(x.clone()));
    close("xl_loc", l_loc, &golden);
    close("xl_scale", l_scale, &golden);
    close("rnn_prior", model.rnn.forward(model.rnn.project(x), &model.h_0.val(), 5), &golden);
    close("potential", model.potential.value(z_loc.clone()), &golden);
    close("minus_grad_potential", model.potential.drift(z_loc), &golden);
}

#[test]
fn drift_is_minus_the_gradient_of_the_potential() {
    let golden = tensors("tiny_networks.safetensors");
    let model = tiny_networks();
    let z: Tensor<B, 2> = golden["z_loc"].to_tensor([20, 6], &Default::default());
    let z = z.require_grad();
    let gradients = model.potential.value(z.clone()).sum().backward();
    let gradient = Array::from_tensor(z.grad(&gradients).expect("a gradient").neg());
    assert_close("drift", &Array::from_tensor(model.potential.drift(z)).values, &gradient.values);
}
