//! GPU kernels wrapped as functions that Burn can differentiate.
//!
//! Generic code does not know the tensor type of the kernels, so it passes tensors as [`Handle`]s. Nothing here waits
//! for the device, except [`FlowCheck::failure`].

use std::any::Any;
use std::collections::HashMap;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorPrimitive};

use sclsd_kernels::{AdamStep, FlowPlan, Handle, OnDevice, Precision, SparseRows, Visited, VisitsByCell};
use sclsd_ode::OdeError;

use crate::derivative::{TensorDerivative, Trainable, input};
use crate::executor::Kernels;
use crate::folded::FoldedLastLayer;

/// A step of Adam of many tensors, computed on the device without waiting for it.
#[derive(Debug)]
pub struct OnDeviceAdam<B: Backend> {
    kernels: &'static dyn OnDevice,
    /// The last step and its rates on the device.
    rates: Option<(AdamStep, Tensor<B, 1>)>,
    norms: Tensor<B, 1>,
    tensors: usize,
}

impl<B: Backend> OnDeviceAdam<B> {
    /// A step of at most `tensors` tensors.
    #[must_use]
    pub fn new(kernels: &'static dyn OnDevice, tensors: usize, device: &B::Device) -> Self {
        Self { kernels, rates: None, norms: tensor(kernels.scratch(tensors, device)), tensors: 0 }
    }

    /// Updates one tensor with its gradient. Returns its values, first and second moment.
    pub fn step(
        &mut self,
        step: &AdamStep,
        values: Tensor<B, 1>,
        gradient: Tensor<B, 1>,
        moments: [Tensor<B, 1>; 2],
    ) -> [Tensor<B, 1>; 3] {
        let rates = match self.rates.take() {
            Some((made, rates)) if made == *step => rates,
            _ => tensor(self.kernels.rates(step, &values.device())),
        };
        self.rates = Some((*step, rates.clone()));
        let [first, second] = moments.map(handle);
        let weights = [handle(values), handle(gradient), first, second];
        self.tensors += 1;
        self.kernels.adam(weights, handle(rates), handle(self.norms.clone()), self.tensors - 1).map(tensor)
    }

    /// The norms of all gradients, in the order of the calls to [`step`](Self::step).
    #[must_use]
    pub fn norms(self) -> Tensor<B, 1> {
        self.norms.narrow(0, 0, self.tensors)
    }
}

type Inner<B> = <B as AutodiffBackend>::InnerBackend;
type OnInner<B, const D: usize> = Tensor<Inner<B>, D>;

fn handle<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Handle {
    Box::new(tensor.into_primitive().tensor())
}

fn tensor<B: Backend, const D: usize>(handle: Handle) -> Tensor<B, D> {
    let tensor = *handle.downcast::<FloatTensor<B>>().expect("the kernels are those of the backend");
    Tensor::from_primitive(TensorPrimitive::Float(tensor))
}

fn float<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

/// A tensor of value `output` that depends on `inputs`, with this backward pass.
fn function<B: Trainable, const D: usize>(
    inputs: &[FloatTensor<B>],
    output: OnInner<B, D>,
    derivative: impl TensorDerivative<Inner<B>> + 'static,
) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(B::with_derivative(inputs, float(output), Arc::new(derivative))))
}

/// Sum over rows.
fn down<B: Backend>(rows: Tensor<B, 2>) -> Tensor<B, 1> {
    rows.sum_dim(0).squeeze_dim(0)
}

/// A matrix product in the precision of the networks.
pub(crate) fn product<B: Trainable>(kernels: Kernels, a: Tensor<B, 2>, b: Tensor<B, 2>) -> Tensor<B, 2> {
    match kernels {
        Kernels::Device(kernels) => differentiable(Product { kernels, precision: kernels.precision() }, a, b),
        Kernels::Tensors | Kernels::Host => a.matmul(b),
    }
}

/// A matrix product in `f32`, for statistics.
pub(crate) fn exact_product<B: Trainable>(kernels: Kernels, a: Tensor<B, 2>, b: Tensor<B, 2>) -> Tensor<B, 2> {
    match kernels {
        Kernels::Device(kernels) => differentiable(Product { kernels, precision: Precision::F32 }, a, b),
        Kernels::Tensors | Kernels::Host => a.matmul(b),
    }
}

fn differentiable<B: Trainable>(product: Product, a: Tensor<B, 2>, b: Tensor<B, 2>) -> Tensor<B, 2> {
    let factors = [a.clone().inner(), b.clone().inner()];
    let out = product.of(factors[0].clone(), factors[1].clone());
    function(&[input(a), input(b)], out, Multiplied { product, factors })
}

/// The backward pass of a matrix product.
#[derive(Debug, Clone, Copy)]
struct Product {
    kernels: &'static dyn OnDevice,
    precision: Precision,
}

impl Product {
    fn of<B: Backend>(self, a: Tensor<B, 2>, b: Tensor<B, 2>) -> Tensor<B, 2> {
        tensor(self.kernels.product(handle(a), handle(b), self.precision))
    }
}

#[derive(Debug)]
struct Multiplied<B: Backend> {
    product: Product,
    factors: [Tensor<B, 2>; 2],
}

impl<B: Backend> TensorDerivative<B> for Multiplied<B> {
    fn vjp(&self, grad_output: FloatTensor<B>) -> Vec<Option<FloatTensor<B>>> {
        let grad_output = Tensor::<B, 2>::from_primitive(TensorPrimitive::Float(grad_output));
        let [a, b] = self.factors.clone();
        let grad_a = self.product.of(grad_output.clone(), b.transpose());
        let grad_b = self.product.of(a.transpose(), grad_output);
        vec![Some(float(grad_a)), Some(float(grad_b))]
    }
}

/// Follows rows down a potential.
///
/// # Shapes
/// - `start`: `[rows, z]`; `weights`: in the order of [`PotentialNetwork`](crate::PotentialNetwork) →
///   `[rows, times · z]`
pub(crate) fn follow<B: Trainable>(
    kernels: &'static dyn OnDevice,
    start: Tensor<B, 2>,
    weights: Tensor<B, 1>,
    plan: &FlowPlan,
) -> (Tensor<B, 2>, FlowCheck<Inner<B>>) {
    let rows = start.dims()[0];
    let found = kernels.follow(handle(start.clone().inner()), handle(weights.clone().inner()), plan);
    let check = FlowCheck { failed: tensor(found.failed), steps: plan.slots(rows) };
    let derivative = Followed { kernels, saved: found.saved };
    (function(&[input(start), input(weights)], tensor(found.states), derivative), check)
}

/// The status of rows that are followed on a device; reading the status waits for the device.
#[derive(Debug, Clone)]
pub struct FlowCheck<B: Backend> {
    failed: Tensor<B, 2>,
    steps: usize,
}

impl<B: Backend> FlowCheck<B> {
    /// The error of the first row that did not reach the end. Waits for the device.
    #[must_use]
    pub fn failure(self) -> Option<OdeError> {
        let found: Vec<f64> = self.failed.into_data().iter::<f64>().collect();
        let (row, pair) = found.chunks_exact(2).enumerate().find(|(_, pair)| pair[0] > 0.0)?;
        let time = pair[1];
        Some(match pair[0] {
            reason if reason < 1.5 => OdeError::TooManySteps { time, steps: self.steps },
            _ => OdeError::NotFinite { row, time },
        })
    }
}

struct Followed {
    kernels: &'static dyn OnDevice,
    saved: Arc<dyn Any + Send + Sync>,
}

impl Debug for Followed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.kernels.fmt(f)
    }
}

impl<B: Backend> TensorDerivative<B> for Followed {
    fn vjp(&self, grad_output: FloatTensor<B>) -> Vec<Option<FloatTensor<B>>> {
        let [grad_start, grad_weights] = self.kernels.follow_vjp(&*self.saved, Box::new(grad_output));
        vec![Some(float(tensor::<B, 2>(grad_start))), Some(float(down(tensor::<B, 2>(grad_weights))))]
    }
}

/// Runs the recurrent prior along walks of `steps` visits.
///
/// # Shapes
/// - `projected`: `[visits, width]`; `flat`: in the order of [`Recurrent`](sclsd_kernels::recurrent) →
///   `[visits, width]`
pub(crate) fn recur<B: Trainable>(
    kernels: &'static dyn OnDevice,
    projected: Tensor<B, 2>,
    flat: Tensor<B, 1>,
    steps: usize,
) -> Tensor<B, 2> {
    let weights = flat.clone().inner();
    let [lower, upper] = kernels.recur(handle(weights.clone()), handle(projected.clone().inner()), steps);
    let (lower, upper) = (tensor::<Inner<B>, 2>(lower), tensor::<Inner<B>, 2>(upper));
    let recurred = Recurred { kernels, flat: weights, states: [lower, upper.clone()], steps };
    function(&[input(projected), input(flat)], upper, recurred)
}

#[derive(Debug)]
struct Recurred<B: Backend> {
    kernels: &'static dyn OnDevice,
    flat: Tensor<B, 1>,
    states: [Tensor<B, 2>; 2],
    steps: usize,
}

impl<B: Backend> TensorDerivative<B> for Recurred<B> {
    fn vjp(&self, grad_output: FloatTensor<B>) -> Vec<Option<FloatTensor<B>>> {
        let states = self.states.clone().map(handle);
        let flat = handle(self.flat.clone());
        let [grad_flat, grad_projected] = self.kernels.recurrent_vjp(flat, states, Box::new(grad_output), self.steps);
        vec![Some(float(tensor::<B, 2>(grad_projected))), Some(float(down(tensor::<B, 2>(grad_flat))))]
    }
}

/// The rows of cells at every visit, whose backward pass sums over the visits of a cell.
///
/// # Shapes
/// - `cells`: `[cells, n]`; `at_visits`, the gathered rows: `[visits, n]` → `[visits, n]`
pub(crate) fn gathered<B: Trainable>(
    kernels: &'static dyn OnDevice,
    cells: Tensor<B, 2>,
    at_visits: OnInner<B, 2>,
    by_cell: Arc<VisitsByCell>,
) -> Tensor<B, 2> {
    function(&[input(cells)], at_visits, Gathered { kernels, by_cell })
}

#[derive(Debug)]
struct Gathered {
    kernels: &'static dyn OnDevice,
    by_cell: Arc<VisitsByCell>,
}

impl<B: Backend> TensorDerivative<B> for Gathered {
    fn vjp(&self, grad_output: FloatTensor<B>) -> Vec<Option<FloatTensor<B>>> {
        vec![Some(float(tensor::<B, 2>(self.kernels.sum_visits(Box::new(grad_output), &self.by_cell))))]
    }
}

/// Copies sparse rows to a dense tensor on a device, `[rows, columns]`.
pub(crate) fn scatter<B: Backend>(
    kernels: &'static dyn OnDevice,
    rows: SparseRows<'_>,
    columns: usize,
    device: &B::Device,
) -> Tensor<B, 2> {
    tensor(kernels.scatter(rows, columns, device))
}

/// Number of logits that are computed at a time, approximately: 64 MiB.
const LOGITS: usize = 1 << 24;
/// Smallest and largest number of visits in a block.
const VISITS: [usize; 2] = [256, 1 << 15];

/// Σ ln p(x | z, xl) over visits and genes, `[1]`, computed in blocks of visits together with its gradients.
///
/// # Shapes
/// - `log_library`, ln xl: `[visits, 1]`; `log_theta`, ln θ: `[genes]`; `counts`: one row per visit
pub(crate) fn reconstruct<B: Trainable>(
    kernels: &'static dyn OnDevice,
    decoder: FoldedLastLayer<B>,
    log_library: Tensor<B, 2>,
    log_theta: Tensor<B, 1>,
    counts: SparseRows<'_>,
) -> Tensor<B, 1> {
    let inputs = [
        input(decoder.hidden.clone()),
        input(decoder.weight.clone()),
        input(decoder.bias.clone()),
        input(log_library.clone()),
        input(log_theta.clone()),
    ];
    let (hidden, weight, bias) = (decoder.hidden.inner(), decoder.weight.inner(), decoder.bias.inner());
    let theta = log_theta.inner().exp();
    let (visits, genes) = (counts.rows.len(), theta.dims()[0]);
    let (distinct, cells) = distinct(counts.rows);
    let counts: OnInner<B, 2> = scatter(kernels, SparseRows { rows: &distinct, ..counts }, genes, &hidden.device());
    let log_library = log_library.inner().reshape([visits]);
    let transposed = weight.clone().transpose();

    let product = Product { kernels, precision: kernels.precision() };
    let block = |span: Range<usize>| {
        let h = hidden.clone().narrow(0, span.start, span.len());
        let found = kernels.likelihood(Visited {
            logits: handle(product.of(h.clone(), transposed.clone())),
            bias: handle(bias.clone()),
            theta: handle(theta.clone()),
            log_library: handle(log_library.clone().narrow(0, span.start, span.len())),
            counts: handle(counts.clone()),
            cells: &cells[span],
        });
        let grad_logits = tensor::<Inner<B>, 2>(found.grad_logits);
        Block {
            value: tensor::<Inner<B>, 1>(found.value).sum_dim(0),
            grad_hidden: product.of(grad_logits.clone(), weight.clone()),
            grad_weight: product.of(grad_logits.clone().transpose(), h),
            grad_bias: down(grad_logits),
            grad_log_library: tensor(found.grad_log_library),
            grad_theta: down(tensor(found.grad_theta)),
        }
    };
    let size = (LOGITS / (2 * genes)).clamp(VISITS[0], VISITS[1]);
    let spans = (0..visits).step_by(size).map(|first| first..visits.min(first + size));
    let all = spans.map(block).reduce(Block::and).expect("a batch has visits");

    let grads = vec![
        float(all.grad_hidden),
        float(all.grad_weight),
        float(all.grad_bias),
        float(all.grad_log_library.reshape([visits, 1])),
        float(all.grad_theta * theta),
    ];
    function(&inputs, all.value, SumGradients::<Inner<B>>(grads))
}

/// The distinct cells, sorted, and the position of every given cell among them.
fn distinct(cells: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut distinct = cells.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let at: HashMap<u32, u32> = distinct.iter().copied().zip(0..).collect();
    let places = cells.iter().map(|cell| at[cell]).collect();
    (distinct, places)
}

/// The sum over some visits, and its gradients.
struct Block<B: Backend> {
    value: Tensor<B, 1>,
    grad_hidden: Tensor<B, 2>,
    grad_weight: Tensor<B, 2>,
    grad_bias: Tensor<B, 1>,
    grad_log_library: Tensor<B, 1>,
    grad_theta: Tensor<B, 1>,
}

impl<B: Backend> Block<B> {
    /// Appends the visits of the next block.
    fn and(self, next: Self) -> Self {
        Self {
            value: self.value + next.value,
            grad_hidden: Tensor::cat(vec![self.grad_hidden, next.grad_hidden], 0),
            grad_weight: self.grad_weight + next.grad_weight,
            grad_bias: self.grad_bias + next.grad_bias,
            grad_log_library: Tensor::cat(vec![self.grad_log_library, next.grad_log_library], 0),
            grad_theta: self.grad_theta + next.grad_theta,
        }
    }
}

/// The gradients of a scalar function, computed during its forward pass.
#[derive(Debug)]
struct SumGradients<B: Backend>(Vec<FloatTensor<B>>);

impl<B: Backend> TensorDerivative<B> for SumGradients<B> {
    fn vjp(&self, grad_output: FloatTensor<B>) -> Vec<Option<FloatTensor<B>>> {
        self.0.iter().map(|grad| Some(B::float_mul(grad.clone(), broadcast::<B>(&grad_output, grad)))).collect()
    }
}

/// Reshapes one number to as many dimensions as `like`.
fn broadcast<B: Backend>(number: &FloatTensor<B>, like: &FloatTensor<B>) -> FloatTensor<B> {
    use burn::tensor::TensorMetadata;
    B::float_reshape(number.clone(), vec![1; like.rank()].into())
}
