//! Functions with a hand-written backward pass, registered in Burn's autodiff graph.

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::ops::{FloatTensor, FloatTensorOps};
use burn::tensor::{FloatDType, Shape, Tensor, TensorData, TensorMetadata, TensorPrimitive};
use rayon::prelude::*;
use sclsd_kernels::{Derivative, Peers, Total};

/// Largest number of inputs of a function. Burn needs this number at compile time; unused inputs are empty.
pub(crate) const INPUTS: usize = 32;

/// The vector–Jacobian product of a function on tensors.
pub trait TensorDerivative<B: Backend>: Debug + Send + Sync {
    /// The gradient with respect to every input, given the gradient with respect to the output; `None` stands for zero.
    fn vjp(&self, grad_output: FloatTensor<B>) -> Vec<Option<FloatTensor<B>>>;
}

/// A backend that can train, and that accepts functions with a hand-written backward pass. Every Burn backend under
/// [`Autodiff`] implements this trait.
pub trait Trainable: AutodiffBackend {
    /// A tensor of value `output` that depends on `inputs` (at most 32), with this backward pass.
    fn with_derivative(
        inputs: &[FloatTensor<Self>],
        output: FloatTensor<Self::InnerBackend>,
        derivative: Arc<dyn TensorDerivative<Self::InnerBackend>>,
    ) -> FloatTensor<Self>;
}

#[derive(Debug)]
struct Back;

impl<B: Backend> Backward<B, INPUTS> for Back {
    type State = Arc<dyn TensorDerivative<B>>;

    fn backward(self, ops: Ops<Self::State, INPUTS>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let grads = ops.state.vjp(gradients.consume::<B>(&ops.node));
        for (parent, grad) in ops.parents.into_iter().zip(grads) {
            if let (Some(parent), Some(grad)) = (parent, grad) {
                gradients.register::<B>(parent.id, grad);
            }
        }
    }
}

impl<B: Backend, C: CheckpointStrategy> Trainable for Autodiff<B, C> {
    fn with_derivative(
        inputs: &[FloatTensor<Self>],
        output: FloatTensor<B>,
        derivative: Arc<dyn TensorDerivative<B>>,
    ) -> FloatTensor<Self> {
        assert!(inputs.len() <= INPUTS, "a function has at most {INPUTS} inputs");
        let device = B::float_device(&inputs[0].primitive);
        let nothing = <Self as FloatTensorOps<Self>>::float_zeros(Shape::from([1]), &device, FloatDType::F32);
        let nodes = std::array::from_fn(|i| inputs.get(i).unwrap_or(&nothing).node.clone());
        match Back.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(derivative, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}

/// A backward pass on the host, with the shapes of the inputs.
#[derive(Debug)]
struct OnHost<D> {
    derivative: D,
    shapes: Vec<Shape>,
}

impl<B: Backend, D: Derivative> TensorDerivative<B> for OnHost<D> {
    fn vjp(&self, grad_output: FloatTensor<B>) -> Vec<Option<FloatTensor<B>>> {
        let grad_output = Tensor::<B, 1>::from_primitive(TensorPrimitive::Float(grad_output));
        let device = grad_output.device();
        let grads = self.derivative.vjp(host(grad_output.into_data()));
        let tensor = |(grad, shape): (Vec<f32>, &Shape)| {
            (!grad.is_empty()).then(|| B::float_from_data(TensorData::new(grad, shape.clone()), &device))
        };
        grads.into_iter().zip(&self.shapes).map(tensor).collect()
    }
}

/// The sum over all peers. Its backward pass sums the gradients of all peers.
pub(crate) fn total_of_peers<B: Trainable, const D: usize>(peers: &Peers, tensor: Tensor<B, D>) -> Tensor<B, D> {
    if peers.count() == 1 {
        return tensor;
    }
    let (shape, mut sum) = (tensor.dims(), values(&tensor));
    peers.sum(&mut sum);
    function(&[input(tensor)], sum, shape, Total(peers.clone()))
}

/// A tensor of value `output`, row-major, that depends on `inputs`, with this backward pass.
pub(crate) fn function<B: Trainable, const D: usize>(
    inputs: &[FloatTensor<B>],
    output: Vec<f32>,
    shape: [usize; D],
    derivative: impl Derivative + 'static,
) -> Tensor<B, D> {
    let device = B::float_device(&inputs[0]);
    let output = B::InnerBackend::float_from_data(TensorData::new(output, shape), &device);
    let shapes = inputs.iter().map(TensorMetadata::shape).collect();
    Tensor::from_primitive(TensorPrimitive::Float(B::with_derivative(
        inputs,
        output,
        Arc::new(OnHost { derivative, shapes }),
    )))
}

/// A tensor as an input of a function with a hand-written backward pass.
pub(crate) fn input<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

/// Concatenates parts along a dimension, like [`Tensor::cat`].
///
/// In Burn 0.21, [`Tensor::cat`] drops the parts before its graph contains the result. If a backward pass on another
/// thread ends in between, it removes all nodes that nothing refers to. The gradients of the parts are then missing,
/// without an error. This function holds the parts until the result is in the graph.
pub(crate) fn joined<B: Backend, const D: usize>(parts: Vec<Tensor<B, D>>, dim: usize) -> Tensor<B, D> {
    let held = parts.clone();
    let whole = Tensor::cat(parts, dim);
    drop(held);
    whole
}

/// The numbers of a tensor, row-major.
pub(crate) fn values<B: Backend, const D: usize>(tensor: &Tensor<B, D>) -> Vec<f32> {
    host(tensor.clone().into_data())
}

/// The numbers of a tensor, row-major: a copy, or the backend's own memory.
#[derive(Debug)]
pub(crate) enum Numbers {
    Copied(Vec<f32>),
    #[cfg(feature = "flex")]
    Held(burn::backend::flex::FlexTensor),
}

impl Numbers {
    fn of<B: Trainable>(tensor: &FloatTensor<B>) -> Self {
        let tensor = B::inner(tensor.clone());
        #[cfg(feature = "flex")]
        if let Some(held) = (&tensor as &dyn std::any::Any).downcast_ref::<burn::backend::flex::FlexTensor>()
            && held.as_slice::<f32>().is_some()
        {
            return Self::Held(held.clone());
        }
        Self::Copied(host(Tensor::<B::InnerBackend, 1>::from_primitive(TensorPrimitive::Float(tensor)).into_data()))
    }
}

impl Deref for Numbers {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Copied(values) => values,
            #[cfg(feature = "flex")]
            Self::Held(tensor) => tensor.as_slice().expect("one row after the other"),
        }
    }
}

/// The numbers of a tensor, without a copy if possible.
pub(crate) fn numbers<B: Trainable, const D: usize>(tensor: &Tensor<B, D>) -> Numbers {
    Numbers::of::<B>(&input(tensor.clone()))
}

/// The numbers of several tensors, without copies if possible.
pub(crate) fn all_numbers<B: Trainable>(tensors: &[FloatTensor<B>]) -> Vec<Numbers> {
    tensors.par_iter().map(Numbers::of::<B>).collect()
}

fn host(data: TensorData) -> Vec<f32> {
    data.into_vec().expect("tensors of f32")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use burn::backend::{Autodiff, Flex};

    use super::*;

    type B = Autodiff<Flex>;

    #[test]
    fn the_derivatives_of_joined_parts_survive_backward_passes_of_other_threads() {
        let done = AtomicBool::new(false);
        let lost = std::thread::scope(|scope| {
            scope.spawn(|| {
                let x = Tensor::<B, 1>::ones([1], &Default::default()).require_grad();
                while !done.load(Ordering::Relaxed) {
                    x.clone().exp().backward();
                }
            });
            let part = Tensor::<B, 2>::ones([1 << 10, 1 << 8], &Default::default()).require_grad();
            let once = || {
                let parts = vec![part.clone().reshape([-1]), part.clone().reshape([-1])];
                let gradients = joined::<B, 1>(parts, 0).sum().backward();
                part.grad(&gradients).is_none_or(|grad| grad.max().into_scalar() < 2.0)
            };
            let lost = (0..64).filter(|_| once()).count();
            done.store(true, Ordering::Relaxed);
            lost
        });
        assert_eq!(lost, 0, "of 64 passes");
    }
}
