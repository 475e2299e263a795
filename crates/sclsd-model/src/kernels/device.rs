//! Kernels that run where the tensors are, as generic code sees them: tensors go in and out as `dyn Any`, since which backend
//! they are of is known only to who made the kernels.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorPrimitive};

use crate::ode::tableau::Embedded;
use crate::ode::{CheckedOdeSpec, Method, tableau};

/// Kernels of a backend whose tensors are not in the host's memory. A float tensor of it travels as `dyn Any`.
pub trait OnDevice: Debug + Send + Sync {
    /// Rows of `start` followed down the potential of these weights: `[rows, times · z]`, and what the way back needs.
    fn follow(
        &self,
        start: Box<dyn Any>,
        weights: Box<dyn Any>,
        flow: &FlowPlan,
    ) -> (Box<dyn Any>, Arc<dyn Any + Send + Sync>);

    /// The derivatives by the start, and by the weights row by row, given those by the states.
    fn follow_back(&self, kept: &(dyn Any + Send + Sync), slopes: Box<dyn Any>) -> [Box<dyn Any>; 2];
}

/// How a flow is to be followed.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "cubecl"), expect(dead_code, reason = "read by the kernels of that feature"))]
pub struct FlowPlan {
    /// From z to V.
    pub(crate) widths: Vec<usize>,
    /// Times, rising.
    pub(crate) grid: Vec<f32>,
    /// Absolute and relative.
    pub(crate) tolerances: [f32; 2],
    /// Steps that a row may take.
    pub(crate) slots: usize,
    pub(crate) method: &'static Embedded,
}

impl FlowPlan {
    /// Steps of a row that there is room for, beyond two for every time of the grid.
    const ROOM: usize = 256;

    /// A plan, where the method is one that kernels on devices know.
    #[expect(clippy::cast_possible_truncation, reason = "states are f32")]
    pub(crate) fn new(widths: Vec<usize>, grid: &[f64], spec: &CheckedOdeSpec) -> Option<Self> {
        let spec = spec.get();
        let method = match spec.method {
            Method::Dopri5 => &tableau::DOPRI5,
            Method::Tsit5 => &tableau::TSIT5,
            Method::Rk4 | Method::Euler => return None,
        };
        Some(Self {
            widths,
            grid: grid.iter().map(|t| *t as f32).collect(),
            tolerances: [spec.atol as f32, spec.rtol as f32],
            slots: spec.max_steps.min(Self::ROOM + 2 * grid.len()),
            method,
        })
    }
}

/// What the way back needs, and who knows it.
#[derive(Clone)]
struct Kept {
    kernels: &'static dyn OnDevice,
    kept: Arc<dyn Any + Send + Sync>,
}

impl Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.kernels.fmt(f)
    }
}

#[derive(Debug)]
struct Back;

impl<B: Backend> Backward<B, 2> for Back {
    type State = Kept;

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let slopes = gradients.consume::<B>(&ops.node);
        let Kept { kernels, kept } = ops.state;
        let [by_start, by_weights] = kernels.follow_back(&*kept, Box::new(slopes)).map(tensor::<B>);
        let [start, weights] = ops.parents;
        if let Some(parent) = start {
            gradients.register::<B>(parent.id, by_start);
        }
        if let Some(parent) = weights {
            let by_weights = Tensor::<B, 2>::from_primitive(TensorPrimitive::Float(by_weights));
            let length = by_weights.dims()[1];
            gradients.register::<B>(parent.id, by_weights.sum_dim(0).reshape([length]).into_primitive().tensor());
        }
    }
}

fn tensor<B: Backend>(tensor: Box<dyn Any>) -> FloatTensor<B> {
    *tensor.downcast::<FloatTensor<B>>().expect("the kernels are those of the backend")
}

/// Rows followed down a potential by kernels on the device, as a function that Burn can differentiate.
pub(crate) fn follow<B: Backend, C: CheckpointStrategy>(
    kernels: &'static dyn OnDevice,
    start: &FloatTensor<Autodiff<B, C>>,
    weights: &FloatTensor<Autodiff<B, C>>,
    plan: &FlowPlan,
) -> FloatTensor<Autodiff<B, C>> {
    let (out, kept) = kernels.follow(Box::new(start.primitive.clone()), Box::new(weights.primitive.clone()), plan);
    let out = tensor::<B>(out);
    match Back.prepare::<C>([start.node.clone(), weights.node.clone()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(Kept { kernels, kept }, out),
        OpsKind::UnTracked(prep) => prep.finish(out),
    }
}
