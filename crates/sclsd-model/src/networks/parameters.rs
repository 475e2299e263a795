//! Parameters and their initial values.

use burn::module::{Param, ParamId};
use burn::tensor::{Tensor, backend::Backend};

/// A tensor that is stored with the model but not trained.
pub(super) fn buffer<B: Backend, const D: usize>(value: Tensor<B, D>) -> Param<Tensor<B, D>> {
    Param::initialized(ParamId::new(), value.set_require_grad(false))
}

/// Uniform initial values within ±`bound`, drawn in row-major order.
pub(super) fn uniform<B: Backend, const D: usize>(
    shape: [usize; D],
    bound: f64,
    rng: &mut impl rand::Rng,
    device: &B::Device,
) -> Param<Tensor<B, D>> {
    use rand::RngExt;
    let n = shape.iter().product();
    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
    let values: Vec<f32> = (0..n).map(|_| rng.random_range(-bound..=bound) as f32).collect();
    Param::from_data(burn::tensor::TensorData::new(values, shape), device)
}
