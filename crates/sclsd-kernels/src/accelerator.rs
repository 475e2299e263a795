//! The kernels of this crate for tensors on a GPU, as a trait that a GPU backend implements.
//!
//! Generic code does not know the backend's tensor type, so tensors are passed as [`Handle`]s; the implementation of
//! [`OnDevice`] knows the type behind them. Every kernel computes what the function of this crate on slices computes:
//! those functions are the oracles of the tests.

use std::any::Any;
use std::fmt::{self, Debug};
use std::str::FromStr;
use std::sync::Arc;

use sclsd_ode::tableau::{self, Embedded};
use sclsd_ode::{CheckedOdeSpec, Method};
use sclsd_spec::{Choice, UnknownName};
use serde::{Deserialize, Serialize};

use crate::expression::SparseRows;

/// Precision of the networks' matrix products in training on a GPU. Products are always accumulated in 32 bits, and the
/// statistics, the flow and the likelihood are always computed in 32 bits. A device without tensor cores for a
/// precision rounds the factors in the same way, but runs no faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// A significand of 24 bits for every factor.
    #[default]
    F32,
    /// A significand of 11 bits for every factor.
    Tf32,
    /// A significand of 8 bits for every factor.
    Bf16,
}

impl Choice for Precision {
    const WHAT: &'static str = "precision";
    const ALL: &'static [Self] = &[Self::F32, Self::Tf32, Self::Bf16];

    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Precision {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::named(name)
    }
}

/// A float tensor of the backend that the kernels belong to.
pub type Handle = Box<dyn Any + Send + Sync>;

/// Kernels of a backend whose tensors are in the memory of a device. All tensors are row-major.
pub trait OnDevice: Debug + Send + Sync {
    /// The same kernels, with the networks' matrix products in this precision.
    fn with(&self, precision: Precision) -> &'static dyn OnDevice;

    /// Precision of the networks' matrix products.
    fn precision(&self) -> Precision;

    /// The product of two matrices.
    fn product(&self, a: Handle, b: Handle, precision: Precision) -> Handle;

    /// Follows every row of `start` down the potential with these weights.
    fn follow(&self, start: Handle, weights: Handle, flow: &FlowPlan) -> Flowed;

    /// The vector–Jacobian product of [`follow`](Self::follow): the gradient with respect to the start, and the
    /// gradient with respect to the weights for every row, given the gradient with respect to the states.
    fn follow_vjp(&self, saved: &(dyn Any + Send + Sync), grads: Handle) -> [Handle; 2];

    /// The hidden states h⁰ and h¹ of the recurrent prior at every visit, `[visits, width]` each.
    fn recur(&self, flat: Handle, projected: Handle, steps: usize) -> [Handle; 2];

    /// The vector–Jacobian product of [`recur`](Self::recur): the gradient with respect to the weights for every walk,
    /// and the gradient with respect to the projections, given the gradient with respect to h¹.
    fn recurrent_vjp(&self, flat: Handle, states: [Handle; 2], grads: Handle, steps: usize) -> [Handle; 2];

    /// The dense matrix of some sparse rows, `[rows, columns]`, on a device of the backend.
    fn scatter(&self, rows: SparseRows<'_>, columns: usize, device: &dyn Any) -> Handle;

    /// Sums `grads`, `[visits, width]`, over the visits of every cell: `[cells, width]`.
    fn sum_visits(&self, grads: Handle, by_cell: &VisitsByCell) -> Handle;

    /// The log-likelihood of some visits, and its gradients.
    fn likelihood(&self, of: Visited<'_>) -> VisitLikelihood;

    /// The rates of a step of Adam as a tensor on a device of the backend.
    fn rates(&self, step: &AdamStep, device: &dyn Any) -> Handle;

    /// A scratch tensor of `numbers` floats.
    fn scratch(&self, numbers: usize, device: &dyn Any) -> Handle;

    /// A step of Adam on one tensor. `weights` holds the values, the gradient, and the first and second moment. Returns
    /// the values, the first and the second moment after the step. The norm of the gradient is written to
    /// `norms[place]`.
    fn adam(&self, weights: [Handle; 4], rates: Handle, norms: Handle, place: usize) -> [Handle; 3];
}

/// Parameters of a step of Adam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// Learning rate.
    pub lr: f64,
    /// Largest norm of a tensor's gradient. A gradient with a larger norm is scaled down to this norm.
    pub clip_norm: f64,
    /// Decay rates of the first and second moment, β₁ and β₂.
    pub betas: [f64; 2],
    /// ε, added to the square root of the second moment.
    pub epsilon: f64,
    /// Number of this step, counted from 1. Used to correct the bias of the moments, which start at 0.
    pub step: usize,
}

impl AdamStep {
    /// The parameters in the order in which kernels take them.
    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
    #[must_use]
    pub fn rates(&self) -> [f32; 7] {
        let power = i32::try_from(self.step).unwrap_or(i32::MAX);
        let [first, second] = self.betas.map(|beta| 1.0 - beta.powi(power));
        [self.lr, self.clip_norm, self.betas[0], self.betas[1], first, second, self.epsilon].map(|v| v as f32)
    }
}

/// Inputs of the likelihood of a block of visits.
#[derive(Debug)]
pub struct Visited<'a> {
    /// W h of every visit, gates before rates, `[visits, 2 genes]`.
    pub logits: Handle,
    /// b, `[2 genes]`.
    pub bias: Handle,
    /// θ, `[genes]`.
    pub theta: Handle,
    /// ln xl, `[visits]`.
    pub log_library: Handle,
    /// Counts of all cells, `[cells, genes]`.
    pub counts: Handle,
    /// The cell of every visit.
    pub cells: &'a [u32],
}

/// ln p of some visits, and its gradients.
#[derive(Debug)]
pub struct VisitLikelihood {
    /// Gradient with respect to the logits, `[visits, 2 genes]`.
    pub grad_logits: Handle,
    /// Gradient with respect to θ for every visit, `[visits, genes]`.
    pub grad_theta: Handle,
    /// Gradient with respect to ln xl, `[visits]`.
    pub grad_log_library: Handle,
    /// ln p, `[visits]`.
    pub value: Handle,
}

/// The visits of every cell, in order, as compressed sparse rows without values.
#[derive(Debug, Clone)]
pub struct VisitsByCell {
    /// Where the visits of every cell begin in `visits`.
    pub indptr: Vec<u32>,
    /// Indices of visits, cell after cell.
    pub visits: Vec<u32>,
}

impl VisitsByCell {
    /// Groups visits by cell; `places` holds the cell of every visit.
    #[must_use]
    pub fn new(places: &[u32], cells: usize) -> Self {
        let mut indptr = vec![0_u32; cells + 1];
        places.iter().for_each(|&cell| indptr[cell as usize + 1] += 1);
        for cell in 0..cells {
            indptr[cell + 1] += indptr[cell];
        }
        let (mut next, mut visits) = (indptr.clone(), vec![0; places.len()]);
        for (visit, &cell) in (0..).zip(places) {
            visits[next[cell as usize] as usize] = visit;
            next[cell as usize] += 1;
        }
        Self { indptr, visits }
    }
}

/// The result of following rows down a potential.
pub struct Flowed {
    /// The state of every row at every time, `[rows, times · z]`; `NaN` where a row did not reach the end.
    pub states: Handle,
    /// Status of every row, `[rows, 2]`. The first number is 0 if the row reached the end, 1 if it ran out of steps,
    /// and 2 if it left the range of `f32`. The second number is the time that the row reached.
    pub failed: Handle,
    /// Saved for the backward pass.
    pub saved: Arc<dyn Any + Send + Sync>,
}

/// How rows are followed down a potential on a device.
#[derive(Debug, Clone)]
pub struct FlowPlan {
    /// Widths of the layers, from z to V.
    pub widths: Vec<usize>,
    /// Times, increasing.
    pub grid: Vec<f32>,
    /// Absolute and relative tolerance.
    pub tolerances: [f32; 2],
    /// Largest number of steps of a row.
    pub max_steps: usize,
    /// Butcher tableau of the method.
    pub method: &'static Embedded,
}

impl FlowPlan {
    /// Bytes available for the saved steps of all rows: less than 128 MiB, the largest buffer that every GPU can bind.
    const SCRATCH: usize = 120 << 20;

    /// Largest number of steps of a row if there are `rows` of them: `max_steps`, or fewer if their saved steps would
    /// not fit the scratch buffer.
    #[must_use]
    pub fn slots(&self, rows: usize) -> usize {
        // saved of every step: its time, its size and its first state
        let step = (self.widths[0] + 2) * size_of::<f32>();
        self.max_steps.min(Self::SCRATCH / (rows.max(1) * step)).max(1)
    }

    /// A plan, or `None` if the kernels do not implement the method.
    #[expect(clippy::cast_possible_truncation, reason = "states are f32")]
    #[must_use]
    pub fn new(widths: Vec<usize>, grid: &[f64], spec: &CheckedOdeSpec) -> Option<Self> {
        let spec = spec.get();
        let method = match spec.method {
            Method::Dopri5 => &tableau::DOPRI5,
            Method::Tsit5 => &tableau::TSIT5,
            _ => return None,
        };
        Some(Self {
            widths,
            grid: grid.iter().map(|t| *t as f32).collect(),
            tolerances: [spec.atol as f32, spec.rtol as f32],
            max_steps: spec.max_steps,
            method,
        })
    }
}
