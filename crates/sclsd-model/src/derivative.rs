//! Functions with a derivative of their own, as Burn wants to be told of them.

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

/// Inputs a function may have, at most: Burn wants their number to be known beforehand, so the rest are empty.
pub(crate) const INPUTS: usize = 32;

/// The derivative of a function, on tensors.
pub trait TensorDerivative<B: Backend>: Debug + Send + Sync {
    /// That by every input, given that by the output; nothing where it is 0.
    fn vjp(&self, grad_output: FloatTensor<B>) -> Vec<Option<FloatTensor<B>>>;
}

/// A backend that trains, and takes functions with a derivative of their own. Every Burn backend under
/// [`Autodiff`] is one.
pub trait Trainable: AutodiffBackend {
    /// `output`, as a function of `inputs` (at most 32) with this derivative.
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

/// A derivative on the host with the shapes of the inputs.
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

/// The sum over all peers, through which the derivative of all their losses flows back.
pub(crate) fn total_of_peers<B: Trainable, const D: usize>(peers: &Peers, tensor: Tensor<B, D>) -> Tensor<B, D> {
    if peers.count() == 1 {
        return tensor;
    }
    let (shape, mut sum) = (tensor.dims(), values(&tensor));
    peers.sum(&mut sum);
    function(&[input(tensor)], sum, shape, Total(peers.clone()))
}

/// A tensor of `output`, row-major, as a function of `inputs` with this derivative.
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

/// What a derivative is taken by.
pub(crate) fn input<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

/// Parts put together along a dimension, as [`Tensor::cat`] does it.
///
/// Burn 0.21 lets go of the parts before its graph knows the whole. A backward pass that ends on another thread
/// meanwhile clears away what nobody holds, and with it these parts, whose derivatives are then missing without a word.
/// So they are held here.
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

/// The numbers of a tensor, row-major: a copy, or what the backend itself holds.
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

/// The numbers of a tensor.
pub(crate) fn numbers<B: Trainable, const D: usize>(tensor: &Tensor<B, D>) -> Numbers {
    Numbers::of::<B>(&input(tensor.clone()))
}

/// The numbers of some tensors.
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
