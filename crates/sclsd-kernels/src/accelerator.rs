//! What kernels are to be where tensors are not in the host's memory: on a GPU.
//!
//! Which backend the tensors are of is known only to who made the kernels: generic code hands them over as [`Handle`]s.
//! What is computed is what the functions of this crate compute on slices, which are its oracle.

use std::any::Any;
use std::fmt::{self, Debug};
use std::str::FromStr;
use std::sync::Arc;

use sclsd_ode::tableau::{self, Embedded};
use sclsd_ode::{CheckedOdeSpec, Method};
use sclsd_spec::{Choice, UnknownName};
use serde::{Deserialize, Serialize};

use crate::expression::SparseRows;

/// How the networks' products of matrices are computed on a GPU in training. Sums are of 32 bits always, as are all
/// statistics, the flow and the likelihood. Where a device has no units for it, factors are rounded to the same effect,
/// and nothing is faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 24 bits of every factor.
    #[default]
    F32,
    /// 11 bits of every factor.
    Tf32,
    /// 8 bits of every factor.
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

/// A float tensor of the backend that the kernels are of.
pub type Handle = Box<dyn Any + Send + Sync>;

/// Kernels of a backend whose tensors are not in the host's memory. All tensors are row-major.
pub trait OnDevice: Debug + Send + Sync {
    /// The same with products of that precision.
    fn with(&self, precision: Precision) -> &'static dyn OnDevice;

    /// That of products of the networks.
    fn precision(&self) -> Precision;

    /// The product of two matrices.
    fn product(&self, a: Handle, b: Handle, precision: Precision) -> Handle;

    /// Rows of `start` followed down the potential of these weights.
    fn follow(&self, start: Handle, weights: Handle, flow: &FlowPlan) -> Flowed;

    /// The derivatives by the start, and by the weights row by row, given those by the states.
    fn follow_vjp(&self, saved: &(dyn Any + Send + Sync), grads: Handle) -> [Handle; 2];

    /// h⁰ and h¹ of the recurrent prior at every visit, `[visits, width]` each.
    fn recur(&self, flat: Handle, projected: Handle, steps: usize) -> [Handle; 2];

    /// The derivatives by the weights walk by walk, and by the projections, given those by h¹.
    fn recurrent_vjp(&self, flat: Handle, states: [Handle; 2], grads: Handle, steps: usize) -> [Handle; 2];

    /// Rows of which only what is not 0 is known, whole, on a device of the backend: `[rows, columns]`.
    fn scatter(&self, rows: SparseRows<'_>, columns: usize, device: &dyn Any) -> Handle;

    /// Sums of `grads`, `[visits, width]`, over the visits of every cell: `[cells, width]`.
    fn sum_visits(&self, grads: Handle, by_cell: &VisitsByCell) -> Handle;

    /// The likelihood of some visits and its derivatives.
    fn likelihood(&self, of: Visited<'_>) -> VisitLikelihood;

    /// The rates of a step of Adam, on a device of the backend.
    fn rates(&self, step: &AdamStep, device: &dyn Any) -> Handle;

    /// Scratch space for so many numbers.
    fn scratch(&self, numbers: usize, device: &dyn Any) -> Handle;

    /// A tensor's values, first and second moment after a step of Adam, given those before it with the gradient in the
    /// second place. The gradient's norm is left at `place` of `norms`.
    fn adam(&self, weights: [Handle; 4], rates: Handle, norms: Handle, place: usize) -> [Handle; 3];
}

/// What a step of Adam is made with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// Learning rate.
    pub lr: f64,
    /// Largest norm of a tensor's gradient; one that is larger is shortened to it.
    pub clip_norm: f64,
    /// Weight of the old in the moments, β₁ and β₂.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Steps so far, this one included: the moments began at 0, for which they are corrected.
    pub step: usize,
}

impl AdamStep {
    /// In the order in which kernels take them.
    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
    #[must_use]
    pub fn rates(&self) -> [f32; 7] {
        let power = i32::try_from(self.step).unwrap_or(i32::MAX);
        let [first, second] = self.betas.map(|beta| 1.0 - beta.powi(power));
        [self.lr, self.clip_norm, self.betas[0], self.betas[1], first, second, self.epsilon].map(|v| v as f32)
    }
}

/// What the likelihood of a block of visits depends on.
#[derive(Debug)]
pub struct Visited<'a> {
    /// W h of every visit, gates then rates, `[visits, 2 genes]`.
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

/// ln p of some visits, and its derivatives.
#[derive(Debug)]
pub struct VisitLikelihood {
    /// By the logits, `[visits, 2 genes]`.
    pub grad_logits: Handle,
    /// By θ, visit by visit, `[visits, genes]`.
    pub grad_theta: Handle,
    /// By ln xl, `[visits]`.
    pub grad_log_library: Handle,
    /// ln p, `[visits]`.
    pub value: Handle,
}

/// The visits of every cell, in their order, in compressed rows.
#[derive(Debug, Clone)]
pub struct VisitsByCell {
    /// Where those of a cell begin.
    pub indptr: Vec<u32>,
    /// Visits, cell after cell.
    pub visits: Vec<u32>,
}

impl VisitsByCell {
    /// Of the cells of all visits.
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

/// Rows that were followed.
pub struct Flowed {
    /// Their states, `[rows, times · z]`; `NaN` where a row did not come to the end.
    pub states: Handle,
    /// What became of every row, `[rows, 2]`: 0 where it came to the end, 1 where its steps ran out, 2 where it left
    /// the range of numbers; and the time it came to.
    pub failed: Handle,
    /// What the backward pass needs.
    pub saved: Arc<dyn Any + Send + Sync>,
}

/// How a flow is to be followed.
#[derive(Debug, Clone)]
pub struct FlowPlan {
    /// From z to V.
    pub widths: Vec<usize>,
    /// Times, rising.
    pub grid: Vec<f32>,
    /// Absolute and relative.
    pub tolerances: [f32; 2],
    /// Steps that a row may take.
    pub max_steps: usize,
    /// Its coefficients.
    pub method: &'static Embedded,
}

impl FlowPlan {
    /// Bytes that the steps of all rows may take together: less than the 128 MiB that every GPU binds at once.
    const SCRATCH: usize = 120 << 20;

    /// Steps that a row may take where there are so many: as many as are asked for, if there is space for them.
    #[must_use]
    pub fn slots(&self, rows: usize) -> usize {
        // of a step are kept its time, its size and the state it begins with
        let step = (self.widths[0] + 2) * size_of::<f32>();
        self.max_steps.min(Self::SCRATCH / (rows.max(1) * step)).max(1)
    }

    /// A plan, where the method is one that kernels on devices know.
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
