//! Weights on the host, with the names of the Python package.
//!
//! `x_encoder.fc.3.weight` is PyTorch's name of the second Linear of the expression encoder. In a stack with batch
//! normalisation, the linear layers have the indices 0, 3, 6, …, each followed by its normalisation; without batch
//! normalisation, 0, 2, 4, …. Matrices are `[out, in]`, as in PyTorch. θ, the inverse dispersion of the counts, is
//! stored twice: as `inverse_dispersion`, and as its logarithm, which is the trained parameter.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};

/// A tensor on the host, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Length of every dimension.
    pub shape: Vec<usize>,
    /// Values, row-major: the last dimension runs fastest.
    pub values: Vec<f32>,
}

impl Array {
    /// Copies a tensor to the host.
    ///
    /// # Panics
    /// If the backend does not return floats.
    #[must_use]
    pub fn from_tensor<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Self {
        let shape = tensor.dims().to_vec();
        let values = tensor.into_data().convert::<f32>().to_vec().expect("a tensor of floats");
        Self { shape, values }
    }

    /// Copies the array to a device.
    ///
    /// # Panics
    /// If the number of values does not match the shape.
    #[must_use]
    pub fn to_tensor<B: Backend, const D: usize>(&self, shape: [usize; D], device: &B::Device) -> Tensor<B, D> {
        Tensor::from_data(TensorData::new(self.values.clone(), shape), device)
    }
}

/// Every tensor of a model by name.
pub type Weights = BTreeMap<String, Array>;

/// Why weights do not match a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// Tensors of the model are missing.
    #[error("{count} tensors of the model are missing, the first is {first}")]
    Missing {
        /// Number of missing tensors.
        count: usize,
        /// Name of the first missing tensor.
        first: String,
    },
    /// A tensor has the wrong shape.
    #[error("tensor {name} has shape {found:?}, but the model's is {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape of the tensor.
        found: Vec<usize>,
        /// The shape that the model expects.
        expected: Vec<usize>,
    },
    /// A tensor holds a number that is not finite.
    #[error("tensor {name} holds {value}")]
    NotFinite {
        /// Name of the tensor.
        name: String,
        /// The value.
        value: f32,
    },
}

/// All tensors of a model's networks, copied to the host.
pub(crate) fn weights_of<B: Backend>(networks: &impl Module<B>) -> Weights {
    let mut collect = Collect { path: Vec::new(), weights: Weights::new() };
    networks.visit(&mut collect);
    let mut weights = collect.weights;
    if let Some(log) = weights.get(LOG_DISPERSION) {
        let values = log.values.iter().map(|v| v.exp()).collect();
        weights.insert(DISPERSION.into(), Array { shape: log.shape.clone(), values });
    }
    weights
}

/// Networks with these weights. Unknown names are ignored; batch counters and the logarithm of θ may be missing.
///
/// # Errors
/// [`WeightsError`] names a tensor that is missing, of the wrong shape, or not finite.
pub(crate) fn with_weights<B: Backend, M: Module<B>>(networks: M, weights: &Weights) -> Result<M, WeightsError> {
    let mut load = Load { path: Vec::new(), weights, missing: Vec::new(), error: None };
    let networks = networks.map(&mut load);
    if let Some(error) = load.error {
        return Err(error);
    }
    match load.missing.first() {
        Some(first) => Err(WeightsError::Missing { count: load.missing.len(), first: first.clone() }),
        None => Ok(networks),
    }
}

const DISPERSION: &str = "inverse_dispersion";
const LOG_DISPERSION: &str = "log_inverse_dispersion";

/// Networks with batch normalisation, where three PyTorch modules make one layer.
const NORMALIZED: [&str; 3] = ["x_encoder", "xl_encoder", "z_decoder"];

/// The interchange name of the tensor at a path of fields of [`Lsd`](crate::Lsd), as a Burn module visitor lists the
/// path.
///
/// # Panics
/// If a layer has no number.
#[must_use]
pub fn tensor_name(path: &[String]) -> String {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path[..] {
        [network, "layers", layer, part, leaf] => {
            let network = if network == "b_decoder" { "B_decoder" } else { network };
            let stride = if NORMALIZED.contains(&network) { 3 } else { 2 };
            let layer: usize = layer.parse().expect("layers are numbered");
            format!("{network}.fc.{}.{leaf}", stride * layer + usize::from(part == "norm"))
        }
        _ => path.join("."),
    }
}

/// Appends a module to the visitor's path. Burn names every module it enters, including a parameter's field.
fn enter(path: &mut Vec<String>, name: &str) {
    path.push(name.to_owned());
}

struct Collect {
    path: Vec<String>,
    weights: Weights,
}

impl<B: Backend> ModuleVisitor<B> for Collect {
    fn enter_module(&mut self, name: &str, _: &str) {
        enter(&mut self.path, name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.weights.insert(tensor_name(&self.path), Array::from_tensor(param.val()));
    }
}

struct Load<'a> {
    path: Vec<String>,
    weights: &'a Weights,
    missing: Vec<String>,
    error: Option<WeightsError>,
}

impl Load<'_> {
    fn find(&self, name: &str) -> Option<Array> {
        let found = self.weights.get(name).cloned();
        if found.is_none() && name == LOG_DISPERSION {
            let theta = self.weights.get(DISPERSION)?;
            return Some(Array { shape: theta.shape.clone(), values: theta.values.iter().map(|v| v.ln()).collect() });
        }
        found
    }
}

impl<B: Backend> ModuleMapper<B> for Load<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        enter(&mut self.path, name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let name = tensor_name(&self.path);
        let Some(array) = self.find(&name) else {
            if !name.ends_with("num_batches_tracked") {
                self.missing.push(name);
            }
            return param;
        };
        let shape = param.val().dims();
        // a scalar has no dimension in PyTorch, and one dimension of length 1 here
        let scalar = array.shape.is_empty() && shape.iter().product::<usize>() == 1;
        if array.shape != shape && !scalar {
            self.error.get_or_insert(WeightsError::Shape { name, found: array.shape, expected: shape.to_vec() });
            return param;
        }
        if let Some(&value) = array.values.iter().find(|v| !v.is_finite()) {
            self.error.get_or_insert(WeightsError::NotFinite { name, value });
            return param;
        }
        let (id, tensor, mapper) = param.consume();
        let loaded = array.to_tensor(shape, &tensor.device()).set_require_grad(tensor.is_require_grad());
        Param::from_mapped_value(id, loaded, mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_pytorch() {
        let name = |path: &str| tensor_name(&path.split('/').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(name("x_encoder/layers/1/linear/weight"), "x_encoder.fc.3.weight");
        assert_eq!(name("x_encoder/layers/1/norm/running_mean"), "x_encoder.fc.4.running_mean");
        assert_eq!(name("b_decoder/layers/2/linear/bias"), "B_decoder.fc.4.bias");
        assert_eq!(name("potential/layers/1/linear/bias"), "potential.fc.2.bias");
        assert_eq!(name("potential/lin/bias"), "potential.lin.bias");
        assert_eq!(name("rnn/weight_ih_l0"), "rnn.weight_ih_l0");
        assert_eq!(name("h_0"), "h_0");
    }
}
