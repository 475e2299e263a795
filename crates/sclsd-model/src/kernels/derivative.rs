//! Functions on host memory that Burn can differentiate: the value is computed first, and what its derivative needs is
//! kept with it until the way back.

use std::fmt::Debug;
use std::sync::Arc;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::ops::{FloatTensor, FloatTensorOps};
use burn::tensor::{FloatDType, Shape, Tensor, TensorData, TensorMetadata, TensorPrimitive};
use rayon::prelude::*;

/// Inputs a function may have, at most: Burn wants their number to be known beforehand, so the rest are empty.
pub(crate) const INPUTS: usize = 32;

/// What a function of some tensors keeps for its derivative.
pub trait Derivative: Debug + Send + Sync {
    /// The derivative of the loss by every input, row-major, given that by the output; empty where it is 0.
    fn by_inputs(&self, by_output: Vec<f32>) -> Vec<Vec<f32>>;
}

/// A backend that trains, and takes functions with a derivative of their own. Every Burn backend under
/// [`Autodiff`] is one.
pub trait Trainable: AutodiffBackend {
    /// `output`, as a function of `inputs` (at most 32) with this derivative.
    fn with_derivative(
        inputs: &[FloatTensor<Self>],
        output: TensorData,
        derivative: Arc<dyn Derivative>,
    ) -> FloatTensor<Self>;
}

/// A derivative with the shapes of the inputs.
#[derive(Debug, Clone)]
struct Kept {
    derivative: Arc<dyn Derivative>,
    shapes: Vec<Shape>,
}

#[derive(Debug)]
struct Back;

impl<B: Backend> Backward<B, INPUTS> for Back {
    type State = Kept;

    fn backward(self, ops: Ops<Self::State, INPUTS>, gradients: &mut Gradients, _: &mut Checkpointer) {
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
    fn with_derivative(
        inputs: &[FloatTensor<Self>],
        output: TensorData,
        derivative: Arc<dyn Derivative>,
    ) -> FloatTensor<Self> {
        assert!(inputs.len() <= INPUTS, "a function has at most {INPUTS} inputs");
        let device = B::float_device(&inputs[0].primitive);
        let output = B::float_from_data(output, &device);
        let shapes = inputs.iter().map(TensorMetadata::shape).collect();
        let nothing = <Self as FloatTensorOps<Self>>::float_zeros(Shape::from([1]), &device, FloatDType::F32);
        let nodes = std::array::from_fn(|i| inputs.get(i).unwrap_or(&nothing).node.clone());
        match Back.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(Kept { derivative, shapes }, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}

/// A tensor of `output`, row-major, as a function of `inputs` with this derivative.
pub(crate) fn function<B: Trainable, const D: usize>(
    inputs: &[FloatTensor<B>],
    output: Vec<f32>,
    shape: [usize; D],
    derivative: impl Derivative + 'static,
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

/// The numbers of some tensors, each row-major.
pub(crate) fn all_values<B: Backend>(tensors: &[FloatTensor<B>]) -> Vec<Vec<f32>> {
    let values = |tensor: &FloatTensor<B>| {
        host(Tensor::<B, 1>::from_primitive(TensorPrimitive::Float(tensor.clone())).into_data())
    };
    tensors.par_iter().map(values).collect()
}

fn host(data: TensorData) -> Vec<f32> {
    data.into_vec().expect("tensors of f32")
}
