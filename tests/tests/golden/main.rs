//! The library against golden values of the Python package.

mod analysis;
mod elbo;
mod forms;
mod networks;
mod ode;
mod prepare;
mod priors;
mod trained;

use burn::backend::{Autodiff, Flex};
use sclsd::model::{Lsd, Model};
use sclsd_tests::tensors;

type B = Autodiff<Flex>;

/// The tiny model with θ of the golden loss.
fn tiny() -> Model {
    let mut weights = tensors("tiny_weights.safetensors");
    weights.insert("inverse_dispersion".into(), tensors("tiny_elbo.safetensors")["inverse_dispersion"].clone());
    Model::from_weights(weights, Vec::new()).expect("a model")
}

fn tiny_networks() -> Lsd<B> {
    tiny().on(&Default::default()).expect("networks")
}
