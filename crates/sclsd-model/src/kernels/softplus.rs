//! ln(1 + eˣ) of every element, with its derivative σ(x).

use burn::tensor::{Tensor, TensorData, backend::Backend};
use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::vector::{exp, ln};

/// Elements handled by one thread at a time.
const CHUNK: usize = 1 << 14;

/// Softplus by a loop over host memory, as a tensor that knows its derivative: (x − x₀) σ(x) + softplus(x), where x₀ is x
/// as a constant. The tensor code is [`softplus`](crate::special::softplus).
///
/// # Shapes
/// - `x`: `[rows, n]` → `[rows, n]`
pub(crate) fn softplus_on_host<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 2> {
    let (shape, device) = (x.dims(), x.device());
    let mut value: Vec<f32> = x.clone().into_data().into_vec().expect("tensors of f32");
    let mut slope = vec![0.0; value.len()];
    let arch = Arch::new();
    value
        .par_chunks_mut(CHUNK)
        .zip(slope.par_chunks_mut(CHUNK))
        .for_each(|(value, slope)| arch.dispatch(Both { value, slope }));
    let tensor = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, shape), &device);
    (x.clone() - x.detach()) * tensor(slope) + tensor(value)
}

/// Softplus and σ of the same elements; x is taken from `value`.
struct Both<'a> {
    value: &'a mut [f32],
    slope: &'a mut [f32],
}

impl NullaryFnOnce for Both<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (v, s) in self.value.iter_mut().zip(self.slope) {
            let x = *v;
            let a = exp(-x.abs());
            let inverse = 1.0 / (1.0 + a);
            *s = if x >= 0.0 { inverse } else { a * inverse };
            *v = x.max(0.0) + ln(1.0 + a);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, Flex};

    use super::*;
    use crate::special::softplus;

    #[test]
    fn value_and_derivative_are_those_of_the_tensor_code() {
        let x: Vec<f32> = (-400..400_i16).map(|i| f32::from(i) * 0.25).collect();
        let leaf = || {
            let data = TensorData::new(x.clone(), [x.len(), 1]);
            Tensor::<Autodiff<Flex>, 2>::from_data(data, &Default::default()).require_grad()
        };
        let both = |f: fn(Tensor<Autodiff<Flex>, 2>) -> Tensor<Autodiff<Flex>, 2>| {
            let x = leaf();
            let y = f(x.clone());
            let gradients = (y.clone() * 3.0).sum().backward();
            let host = |t: TensorData| -> Vec<f32> { t.into_vec().unwrap() };
            (host(y.into_data()), host(x.grad(&gradients).unwrap().into_data()))
        };
        let (found, expected) = (both(softplus_on_host), both(softplus));
        for (a, b) in found.0.iter().zip(&expected.0).chain(found.1.iter().zip(&expected.1)) {
            assert!((a - b).abs() <= 1e-6 * (1.0 + b.abs()), "{a} {b}");
        }
    }
}
