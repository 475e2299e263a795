//! Functions on host memory that Burn can differentiate: the value is computed first, and what its derivative needs is
//! kept with it until the way back.

use std::fmt::Debug;
use std::sync::Arc;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Shape, Tensor, TensorData, TensorMetadata, TensorPrimitive};

/// What a function of `N` tensors keeps for its derivative.
pub trait Derivative<const N: usize>: Debug + Send + Sync {
    /// The derivative of the loss by every input, row-major, given that by the output; empty where it is 0.
    fn by_inputs(&self, by_output: Vec<f32>) -> [Vec<f32>; N];
}

/// A backend that trains, and takes functions with a derivative of their own. Every Burn backend under
/// [`Autodiff`] is one.
pub trait Trainable: AutodiffBackend {
    /// `output`, as a function of `inputs` with this derivative.
    fn with_derivative<const N: usize>(
        inputs: [FloatTensor<Self>; N],
        output: TensorData,
        derivative: Arc<dyn Derivative<N>>,
    ) -> FloatTensor<Self>;
}

/// A derivative with the shapes of the inputs.
#[derive(Debug)]
struct Kept<const N: usize> {
    derivative: Arc<dyn Derivative<N>>,
    shapes: [Shape; N],
}

impl<const N: usize> Clone for Kept<N> {
    fn clone(&self) -> Self {
        Self { derivative: Arc::clone(&self.derivative), shapes: self.shapes.clone() }
    }
}

#[derive(Debug)]
struct Back;

impl<B: Backend, const N: usize> Backward<B, N> for Back {
    type State = Kept<N>;

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let slope = Tensor::<B, 1>::from_primitive(TensorPrimitive::Float(gradients.consume::<B>(&ops.node)));
        let device = slope.device();
        let slopes = ops.state.derivative.by_inputs(host(slope.into_data()));
        for ((parent, shape), slope) in ops.parents.into_iter().zip(ops.state.shapes).zip(slopes) {
            if let Some(parent) = parent.filter(|_| !slope.is_empty()) {
                gradients.register::<B>(parent.id, B::float_from_data(TensorData::new(slope, shape), &device));
            }
        }
    }
}

impl<B: Backend, C: CheckpointStrategy> Trainable for Autodiff<B, C> {
    fn with_derivative<const N: usize>(
        inputs: [FloatTensor<Self>; N],
        output: TensorData,
        derivative: Arc<dyn Derivative<N>>,
    ) -> FloatTensor<Self> {
        let device = B::float_device(&inputs[0].primitive);
        let output = B::float_from_data(output, &device);
        let shapes = inputs.each_ref().map(TensorMetadata::shape);
        let nodes = inputs.each_ref().map(|input| input.node.clone());
        match Back.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(Kept { derivative, shapes }, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}

/// A tensor of `output`, row-major, as a function of `inputs` with this derivative.
pub(crate) fn function<B: Trainable, const N: usize, const D: usize>(
    inputs: [FloatTensor<B>; N],
    output: Vec<f32>,
    shape: [usize; D],
    derivative: impl Derivative<N> + 'static,
) -> Tensor<B, D> {
    let output = B::with_derivative(inputs, TensorData::new(output, shape), Arc::new(derivative));
    Tensor::from_primitive(TensorPrimitive::Float(output))
}

/// What a derivative is taken by.
pub(crate) fn input<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

/// The numbers of a tensor, row-major.
pub(crate) fn values<B: Backend, const D: usize>(tensor: &Tensor<B, D>) -> Vec<f32> {
    host(tensor.clone().into_data())
}

fn host(data: TensorData) -> Vec<f32> {
    data.into_vec().expect("tensors of f32")
}
