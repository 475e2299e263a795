//! Rows followed down a potential, and the backward pass: one cube per row, whose units share the work of a layer.
//!
//! Every row chooses its own steps, as every block of rows does on the host. What the backward pass needs (time, size
//! and first state of every step) stays on the device. The states of a row become `NaN` if its steps run out or if it
//! leaves the range of `f32`; `failed` holds the reason and the time. The host reads `failed` only if the loss is not
//! finite.
//!
//! Scalars of a row (its time, its step size) are computed by all of its units redundantly, from shared memory.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use sclsd_kernels::FlowPlan;
use sclsd_ode::tableau::Embedded;

/// Units of a cube: the width of a hidden layer of the default potential.
pub(super) const UNITS: usize = 32;
/// Stages of an embedded method.
const STAGES: usize = 7;

/// Sizes that a kernel is specialised for at compile time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Sizes {
    /// Widths of the layers, from z to V.
    widths: Vec<usize>,
    /// Times of the grid.
    pub(super) times: usize,
    /// Number of steps of a row that can be saved.
    pub(super) slots: usize,
}

impl Sizes {
    pub(super) fn new(plan: &FlowPlan, rows: usize) -> Self {
        Self { widths: plan.widths.clone(), times: plan.grid.len(), slots: plan.slots(rows) }
    }

    /// Number of coordinates of a row.
    pub(super) fn width(&self) -> usize {
        self.widths[0]
    }

    /// Numbers saved per step: its time, its size and its first state.
    pub(super) fn slot(&self) -> usize {
        self.width() + 2
    }

    fn layers(&self) -> usize {
        self.widths.len() - 1
    }

    /// Offset of the weights of a layer.
    fn weight_at(&self, depth: usize) -> usize {
        self.widths.windows(2).take(depth).map(|pair| (pair[0] + 1) * pair[1]).sum()
    }

    /// Offset of the biases of a layer.
    fn bias_at(&self, depth: usize) -> usize {
        self.weight_at(depth) + self.widths[depth] * self.widths[depth + 1]
    }

    /// Offset of the units of a layer among the units of all layers.
    fn unit_at(&self, depth: usize) -> usize {
        self.widths[1..=depth].iter().sum()
    }

    fn units(&self) -> usize {
        self.unit_at(self.layers())
    }

    fn widest(&self) -> usize {
        self.widths.iter().copied().max().unwrap_or(1)
    }

    /// Number of weights: all layers and the gate.
    pub(super) fn length(&self) -> usize {
        self.weight_at(self.layers()) + 1
    }
}

// Offsets of the coefficients of a method.
const B: usize = STAGES * STAGES;
const ERROR: usize = B + STAGES;
const DENSE: usize = ERROR + STAGES;

/// The coefficients of a method in one vector: a, b, the error weights, and the weights of the dense output.
pub(super) fn coefficients(method: &Embedded) -> Vec<f32> {
    let padded = |row: &&[f64]| [row, &[0.0; STAGES][row.len()..]].concat();
    let a = method.tableau.a.iter().flat_map(padded);
    #[expect(clippy::cast_possible_truncation, reason = "states are f32")]
    let all = a.chain(method.tableau.b.iter().copied()).chain(method.error).map(|v| v as f32);
    #[expect(clippy::cast_possible_truncation, reason = "states are f32")]
    let dense = method.dense.iter().flatten().map(|v| *v as f32);
    all.chain(dense).collect()
}

/// Shared memory of the units of a row, for the sweeps through the layers.
#[derive(CubeType)]
struct Scratch<F: Float> {
    /// tanh a and ln cosh a of all units, and their tangents.
    t: SharedMemory<F>,
    h: SharedMemory<F>,
    da: SharedMemory<F>,
    dh: SharedMemory<F>,
    /// Gradients with respect to the outputs of a layer, and with respect to its inputs.
    p: SharedMemory<F>,
    q: SharedMemory<F>,
    below_p: SharedMemory<F>,
    below_q: SharedMemory<F>,
}

#[cube]
fn scratch<F: Float>(#[comptime] sizes: Sizes) -> Scratch<F> {
    let units = comptime!(sizes.units());
    let widest = comptime!(sizes.widest());
    Scratch::<F> {
        t: SharedMemory::new(units),
        h: SharedMemory::new(units),
        da: SharedMemory::new(units),
        dh: SharedMemory::new(units),
        p: SharedMemory::new(widest),
        q: SharedMemory::new(widest),
        below_p: SharedMemory::new(widest),
        below_q: SharedMemory::new(widest),
    }
}

/// tanh a and ln cosh a of all units.
#[cube]
fn sweep<F: Float>(weights: &Array<F>, z: &SharedMemory<F>, scratch: &mut Scratch<F>, #[comptime] sizes: Sizes) {
    let unit = UNIT_POS as usize;
    #[unroll]
    for depth in 0..comptime!(sizes.layers()) {
        let inputs = comptime!(sizes.widths[depth]);
        let outputs = comptime!(sizes.widths[depth + 1]);
        let weight_at = comptime!(sizes.weight_at(depth));
        let bias_at = comptime!(sizes.bias_at(depth));
        let unit_at = comptime!(sizes.unit_at(depth));
        for o in range_stepped(unit, outputs, UNITS) {
            let mut a = weights[bias_at + o];
            for i in 0..inputs {
                if comptime!(depth == 0) {
                    a += weights[weight_at + o * inputs + i] * z[i];
                } else {
                    a += weights[weight_at + o * inputs + i] * scratch.h[unit_at - inputs + i];
                }
            }
            // with e = exp(−2 |a|): tanh a = ± (1 − e) / (1 + e), ln cosh a = |a| + ln(1 + e) − ln 2; near 0, where ln
            // cosh a is a small difference of large numbers, the Taylor series of both
            let size = F::abs(a);
            let e = F::exp(F::new(-2.0) * size);
            let far_t = (F::new(1.0) - e) / (F::new(1.0) + e);
            let far_h = size + F::ln(F::new(1.0) + e) - F::new(std::f32::consts::LN_2);
            let s = a * a;
            let near_t =
                size * (F::new(1.0) + s * (F::new(-1.0 / 3.0) + s * (F::new(2.0 / 15.0) + s * F::new(-17.0 / 315.0))));
            let near_h =
                s * (F::new(0.5) + s * (F::new(-1.0 / 12.0) + s * (F::new(1.0 / 45.0) + s * F::new(-17.0 / 2520.0))));
            let near = size < F::new(0.2);
            let tanh = select(near, near_t, far_t);
            scratch.t[unit_at + o] = select(a < F::new(0.0), F::new(0.0) - tanh, tanh);
            scratch.h[unit_at + o] = select(near, near_h, far_h);
        }
        sync_cube();
    }
}

/// σ(g).
#[cube]
fn opening<F: Float>(weights: &Array<F>, #[comptime] sizes: Sizes) -> F {
    let gate = weights[comptime!(sizes.length() - 1)];
    F::new(1.0) / (F::new(1.0) + F::exp(F::new(0.0) - gate))
}

/// Writes −∇V at z to `k`, at the offset of the stage.
#[cube]
fn drift<F: Float>(
    weights: &Array<F>,
    z: &SharedMemory<F>,
    k: &mut SharedMemory<F>,
    at: usize,
    scratch: &mut Scratch<F>,
    #[comptime] sizes: Sizes,
) {
    let unit = UNIT_POS as usize;
    sweep::<F>(weights, z, scratch, comptime!(sizes.clone()));
    if unit == 0 {
        scratch.p[0] = F::new(0.0) - opening::<F>(weights, comptime!(sizes.clone()));
    }
    sync_cube();
    #[unroll]
    for back in 0..comptime!(sizes.layers()) {
        let depth = comptime!(sizes.layers() - 1 - back);
        let inputs = comptime!(sizes.widths[depth]);
        let outputs = comptime!(sizes.widths[depth + 1]);
        let weight_at = comptime!(sizes.weight_at(depth));
        let unit_at = comptime!(sizes.unit_at(depth));
        for i in range_stepped(unit, inputs, UNITS) {
            let mut sum = F::new(0.0);
            for o in 0..outputs {
                sum += weights[weight_at + o * inputs + i] * scratch.t[unit_at + o] * scratch.p[o];
            }
            if comptime!(depth == 0) {
                k[at + i] = sum;
            } else {
                scratch.below_p[i] = sum;
            }
        }
        sync_cube();
        if comptime!(depth > 0) {
            for i in range_stepped(unit, inputs, UNITS) {
                scratch.p[i] = scratch.below_p[i];
            }
            sync_cube();
        }
    }
}

/// Writes `(∂f/∂z)ᵀ κ` to `grad_z`. Adds the gradient of κ · f with respect to the weights to the row's gradients,
/// which begin at `first`.
#[cube]
fn drift_vjp<F: Float>(
    weights: &Array<F>,
    z: &SharedMemory<F>,
    kappa: &SharedMemory<F>,
    at: usize,
    grad_z: &mut SharedMemory<F>,
    grad_weights: &mut Array<F>,
    first: usize,
    scratch: &mut Scratch<F>,
    #[comptime] sizes: Sizes,
) {
    let unit = UNIT_POS as usize;
    sweep::<F>(weights, z, scratch, comptime!(sizes.clone()));
    #[unroll]
    for depth in 0..comptime!(sizes.layers()) {
        let inputs = comptime!(sizes.widths[depth]);
        let outputs = comptime!(sizes.widths[depth + 1]);
        let weight_at = comptime!(sizes.weight_at(depth));
        let unit_at = comptime!(sizes.unit_at(depth));
        for o in range_stepped(unit, outputs, UNITS) {
            let mut sum = F::new(0.0);
            for i in 0..inputs {
                if comptime!(depth == 0) {
                    sum += weights[weight_at + o * inputs + i] * kappa[at + i];
                } else {
                    sum += weights[weight_at + o * inputs + i] * scratch.dh[unit_at - inputs + i];
                }
            }
            scratch.da[unit_at + o] = sum;
            scratch.dh[unit_at + o] = scratch.t[unit_at + o] * sum;
        }
        sync_cube();
    }
    if unit == 0 {
        let c = opening::<F>(weights, comptime!(sizes.clone()));
        grad_weights[first + comptime!(sizes.length() - 1)] -=
            c * (F::new(1.0) - c) * scratch.dh[comptime!(sizes.units() - 1)];
        scratch.p[0] = F::new(0.0) - c;
        scratch.q[0] = F::new(0.0);
    }
    sync_cube();
    #[unroll]
    for back in 0..comptime!(sizes.layers()) {
        let depth = comptime!(sizes.layers() - 1 - back);
        let inputs = comptime!(sizes.widths[depth]);
        let outputs = comptime!(sizes.widths[depth + 1]);
        let weight_at = comptime!(sizes.weight_at(depth));
        let bias_at = comptime!(sizes.bias_at(depth));
        let unit_at = comptime!(sizes.unit_at(depth));
        // from the gradients of dh and h to those of da and a
        for o in range_stepped(unit, outputs, UNITS) {
            let t = scratch.t[unit_at + o];
            let grad_dh = scratch.p[o];
            scratch.p[o] = t * grad_dh;
            let grad_a = t * scratch.q[o] + (F::new(1.0) - t * t) * scratch.da[unit_at + o] * grad_dh;
            scratch.q[o] = grad_a;
            grad_weights[first + bias_at + o] += grad_a;
        }
        sync_cube();
        for i in range_stepped(unit, inputs, UNITS) {
            let (into_da, into_a) = if comptime!(depth == 0) {
                (kappa[at + i], z[i])
            } else {
                (scratch.dh[unit_at - inputs + i], scratch.h[unit_at - inputs + i])
            };
            let mut p = F::new(0.0);
            let mut q = F::new(0.0);
            for o in 0..outputs {
                let place = weight_at + o * inputs + i;
                let w = weights[place];
                let grad_da = scratch.p[o];
                let grad_a = scratch.q[o];
                p += w * grad_da;
                q += w * grad_a;
                grad_weights[first + place] += grad_da * into_da + grad_a * into_a;
            }
            if comptime!(depth == 0) {
                grad_z[i] = q;
            } else {
                scratch.below_p[i] = p;
                scratch.below_q[i] = q;
            }
        }
        sync_cube();
        if comptime!(depth > 0) {
            for i in range_stepped(unit, inputs, UNITS) {
                scratch.p[i] = scratch.below_p[i];
                scratch.q[i] = scratch.below_q[i];
            }
            sync_cube();
        }
    }
}

/// `next = y + h Σ a_j k_j` for a stage.
#[cube]
fn combine<F: Float>(
    method: &Array<F>,
    y: &SharedMemory<F>,
    k: &SharedMemory<F>,
    h: F,
    next: &mut SharedMemory<F>,
    stage: usize,
    #[comptime] width: usize,
) {
    for i in range_stepped(UNIT_POS as usize, width, UNITS) {
        let mut sum = F::new(0.0);
        for before in 0..stage {
            sum += method[stage * STAGES + before] * k[before * width + i];
        }
        next[i] = y[i] + h * sum;
    }
    sync_cube();
}

/// Weight of a stage at the fraction `theta` of the step.
#[cube]
fn inside<F: Float>(method: &Array<F>, theta: F, stage: usize) -> F {
    let d = DENSE + 4 * stage;
    theta * (method[d] + theta * (method[d + 1] + theta * (method[d + 2] + theta * method[d + 3])))
}

/// The time at the step's end; if that is within rounding of the grid's end, the grid's end.
#[cube]
fn reach<F: Float>(t: F, h: F, end: F) -> F {
    let reached = t + h;
    select(end - reached <= F::new(1e-6) * F::max(F::abs(end), F::new(1.0)), end, reached)
}

/// Follows one row: writes its states at every time of the grid, and saves its steps.
#[cube(launch)]
pub(super) fn follow_kernel<F: Float>(
    weights: &Array<F>,
    start: &Array<F>,
    grid: &Array<F>,
    method: &Array<F>,
    tolerances: &Array<F>,
    states: &mut Array<F>,
    steps: &mut Array<F>,
    taken: &mut Array<F>,
    failed: &mut Array<F>,
    #[comptime] sizes: Sizes,
) {
    let row = CUBE_POS;
    if row >= taken.len() {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let width = comptime!(sizes.width());
    let times = comptime!(sizes.times);
    let slots = comptime!(sizes.slots);
    let last = comptime!((STAGES - 1) * sizes.width());
    let atol = tolerances[0];
    let rtol = tolerances[1];
    let out = row * times * width;
    let end = grid[times - 1];
    let mut space = scratch::<F>(comptime!(sizes.clone()));
    let mut y = SharedMemory::<F>::new(width);
    let mut next = SharedMemory::<F>::new(width);
    let mut k = SharedMemory::<F>::new(comptime!(STAGES * sizes.width()));
    for i in range_stepped(unit, width, UNITS) {
        let v = start[row * width + i];
        y[i] = v;
        states[out + i] = v;
    }
    sync_cube();
    drift::<F>(weights, &y, &mut k, 0usize, &mut space, comptime!(sizes.clone()));

    // the first step: Hairer, Nørsett and Wanner, "Solving ODEs I", II.4
    let n = F::new(comptime!(sizes.width() as f32));
    let mut size = F::new(0.0);
    let mut speed = F::new(0.0);
    for i in 0..width {
        let scale = atol + rtol * F::abs(y[i]);
        size += (y[i] / scale) * (y[i] / scale);
        speed += (k[i] / scale) * (k[i] / scale);
    }
    size = F::sqrt(size / n);
    speed = F::sqrt(speed / n);
    let slow = size < F::new(1e-5) || speed < F::new(1e-5);
    let short = select(slow, F::new(1e-6), F::new(0.01) * size / speed);
    for i in range_stepped(unit, width, UNITS) {
        next[i] = y[i] + short * k[i];
    }
    sync_cube();
    drift::<F>(weights, &next, &mut k, width, &mut space, comptime!(sizes.clone()));
    let mut bend = F::new(0.0);
    for i in 0..width {
        let scale = atol + rtol * F::abs(y[i]);
        let change = (k[width + i] - k[i]) / scale;
        bend += change * change;
    }
    bend = F::sqrt(bend / n) / short;
    let steep = F::max(speed, bend);
    let level = F::max(F::new(1e-6), short * F::new(1e-3));
    let long = select(steep > F::new(1e-15), F::powf(F::new(0.01) / steep, F::new(0.2)), level);
    let mut h = F::min(F::min(F::new(100.0) * short, long), end - grid[0]);

    let mut t = grid[0];
    let mut at = grid.len() - times + 1; // 1, as a value that can change at run time
    let mut count = grid.len() - times;
    let mut tries = grid.len() - times;
    while at < times && count < slots && tries < 4 * slots {
        tries += 1;
        for stage in 1..STAGES {
            combine::<F>(method, &y, &k, h, &mut next, stage, width);
            drift::<F>(weights, &next, &mut k, stage * width, &mut space, comptime!(sizes.clone()));
        }
        let mut error = F::new(0.0);
        for i in 0..width {
            let mut sum = F::new(0.0);
            for stage in 0..STAGES {
                sum += method[ERROR + stage] * k[stage * width + i];
            }
            let share = h * sum / (atol + rtol * F::max(F::abs(y[i]), F::abs(next[i])));
            error += share * share;
        }
        sync_cube(); // all units have read next
        error = F::max(F::sqrt(error / n), F::new(1e-8));
        let change = F::min(F::max(F::new(0.9) * F::powf(error, F::new(-0.2)), F::new(0.2)), F::new(10.0));
        if error <= F::new(1.0) {
            let reached = reach::<F>(t, h, end);
            let slot = (row * slots + count) * comptime!(sizes.slot());
            if unit == 0 {
                steps[slot] = t;
                steps[slot + 1] = h;
            }
            for i in range_stepped(unit, width, UNITS) {
                steps[slot + 2 + i] = y[i];
            }
            count += 1;
            while at < times && grid[at] <= reached {
                let theta = (grid[at] - t) / h;
                for i in range_stepped(unit, width, UNITS) {
                    let mut sum = F::new(0.0);
                    for stage in 0..STAGES {
                        sum += inside::<F>(method, theta, stage) * k[stage * width + i];
                    }
                    states[out + at * width + i] = select(grid[at] >= reached, next[i], y[i] + h * sum);
                }
                at += 1;
            }
            sync_cube(); // all units have read y and k
            for i in range_stepped(unit, width, UNITS) {
                y[i] = next[i];
                k[i] = k[last + i];
            }
            sync_cube();
            t = reached;
            h = F::min(h * change, F::max(end - t, F::new(1e-30)));
        } else {
            h *= F::min(change, F::new(1.0));
        }
    }
    // 0: the row reached the end, 1: its steps ran out, 2: it left the range of `f32`
    let mut reason = F::new(0.0);
    if at < times {
        reason = F::new(1.0);
        let mut largest = F::abs(h);
        for i in 0..width {
            largest = F::max(largest, F::abs(y[i]));
            if !(F::abs(y[i]) < F::new(1e30)) {
                reason = F::new(2.0);
            }
        }
        if !(largest < F::new(1e30)) {
            reason = F::new(2.0);
        }
    }
    if unit == 0 {
        failed[2 * row] = reason;
        failed[2 * row + 1] = t;
    }
    while at < times {
        for i in range_stepped(unit, width, UNITS) {
            states[out + at * width + i] = F::sqrt(F::new(-1.0) - size * F::new(0.0));
        }
        at += 1;
    }
    if unit == 0 {
        taken[row] = F::cast_from(count);
    }
}

/// The backward pass of one row: gradients with respect to its start and, for every row, with respect to the weights.
#[cube(launch)]
pub(super) fn follow_vjp_kernel<F: Float>(
    weights: &Array<F>,
    grid: &Array<F>,
    method: &Array<F>,
    steps: &Array<F>,
    taken: &Array<F>,
    grads: &Array<F>,
    grad_start: &mut Array<F>,
    grad_weights: &mut Array<F>,
    #[comptime] sizes: Sizes,
) {
    let row = CUBE_POS;
    if row >= taken.len() {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let width = comptime!(sizes.width());
    let times = comptime!(sizes.times);
    let slots = comptime!(sizes.slots);
    let length = comptime!(sizes.length());
    let first = row * length;
    let given = row * times * width;
    let end = grid[times - 1];
    for i in range_stepped(unit, length, UNITS) {
        grad_weights[first + i] = F::new(0.0);
    }
    let mut space = scratch::<F>(comptime!(sizes.clone()));
    let mut y = SharedMemory::<F>::new(width);
    let mut z = SharedMemory::<F>::new(width);
    let mut pulled = SharedMemory::<F>::new(width);
    let mut grad = SharedMemory::<F>::new(width);
    let mut k = SharedMemory::<F>::new(comptime!(STAGES * sizes.width()));
    let mut kappa = SharedMemory::<F>::new(comptime!(STAGES * sizes.width()));
    for i in range_stepped(unit, width, UNITS) {
        grad[i] = F::new(0.0);
    }
    sync_cube();
    sync_storage();
    let count = usize::cast_from(taken[row]);
    let mut low = grid.len(); // times of the grid from here on have been processed
    for gone in 0..count {
        let slot = (row * slots + count - 1 - gone) * comptime!(sizes.slot());
        let t = steps[slot];
        let h = steps[slot + 1];
        let reached = reach::<F>(t, h, end);
        for i in range_stepped(unit, width, UNITS) {
            y[i] = steps[slot + 2 + i];
        }
        sync_cube();
        for stage in 0..STAGES {
            combine::<F>(method, &y, &k, h, &mut z, stage, width);
            drift::<F>(weights, &z, &mut k, stage * width, &mut space, comptime!(sizes.clone()));
        }
        // gradients with respect to the state at the step's end
        while low > 1 && grid[low - 1] >= reached {
            low -= 1;
            for i in range_stepped(unit, width, UNITS) {
                grad[i] += grads[given + low * width + i];
            }
        }
        for stage in 0..STAGES {
            for i in range_stepped(unit, width, UNITS) {
                kappa[stage * width + i] = h * method[B + stage] * grad[i];
            }
        }
        // gradients with respect to states inside the step
        while low > 1 && grid[low - 1] > t {
            low -= 1;
            let theta = (grid[low] - t) / h;
            for stage in 0..STAGES {
                let weight = h * inside::<F>(method, theta, stage);
                for i in range_stepped(unit, width, UNITS) {
                    kappa[stage * width + i] += weight * grads[given + low * width + i];
                }
            }
            for i in range_stepped(unit, width, UNITS) {
                grad[i] += grads[given + low * width + i];
            }
        }
        sync_cube();
        for back in 0..STAGES {
            let stage = STAGES - 1 - back;
            combine::<F>(method, &y, &k, h, &mut z, stage, width);
            let at = stage * width;
            drift_vjp::<F>(
                weights,
                &z,
                &kappa,
                at,
                &mut pulled,
                grad_weights,
                first,
                &mut space,
                comptime!(sizes.clone()),
            );
            for i in range_stepped(unit, width, UNITS) {
                grad[i] += pulled[i];
                for before in 0..stage {
                    kappa[before * width + i] += h * method[stage * STAGES + before] * pulled[i];
                }
            }
            sync_cube();
        }
    }
    for i in range_stepped(unit, width, UNITS) {
        grad_start[row * width + i] = grad[i] + grads[given + i];
    }
}
