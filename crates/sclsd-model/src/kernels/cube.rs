//! The flow where the tensors of a GPU are: one kernel down the potential, one back, for every backend on CubeCL.
//!
//! One unit follows one row through all of its steps, so a batch is a single launch and the host waits for nothing. Every row chooses its
//! own steps, as it does on the host for a block of rows; what is needed to come back (state, time and size of every
//! step) stays on the device. A row that takes more steps than there is room for, or leaves the range of numbers, ends as
//! `NaN`, which the loss tells of.
//!
//! **Unfinished: no device uses it.** The way down agrees with the oracle (1e-5 on a software Vulkan driver); the way back has not been seen
//! to end there, since every stage is unrolled and the program that comes of it is too large for that driver's compiler.
//!
//! Formulas are those of [`potential`](super::potential) and [`lanes`](crate::ode::lanes), which are its oracle.

use std::any::Any;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{self, CubeCount, CubeDim};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};

use super::device::{FlowPlan, OnDevice};
use crate::ode::tableau::Embedded;

/// Rows in a cube.
const ROWS: u32 = 64;
/// Stages of an embedded method.
const STAGES: usize = 7;

/// The kernels of a CubeCL runtime.
#[derive(Debug)]
pub struct Cube<R>(PhantomData<R>);

impl<R: CubeRuntime> Cube<R> {
    /// The kernels of the runtime of a backend.
    #[must_use]
    pub fn of<F: FloatElement, I: IntElement, BT: BoolElement>(
        _: PhantomData<CubeBackend<R, F, I, BT>>,
    ) -> &'static dyn OnDevice {
        const { &Self(PhantomData) }
    }
}

/// Sizes and coefficients that a kernel is compiled for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Plan {
    /// From z to V.
    widths: Vec<usize>,
    /// Times of the grid.
    times: usize,
    /// Steps that there is room for, per row.
    slots: usize,
    method: Coefficients,
}

/// Coefficients of an embedded method, as bits, so that they can be told apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Coefficients {
    a: Vec<Vec<u32>>,
    b: Vec<u32>,
    error: Vec<u32>,
    dense: Vec<Vec<u32>>,
}

impl Coefficients {
    fn new(method: &Embedded) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "states are f32")]
        let bits = |values: &[f64]| values.iter().map(|v| (*v as f32).to_bits()).collect::<Vec<u32>>();
        let padded = |row: &&[f64]| bits(&[row, &[0.0; STAGES][row.len()..]].concat());
        Self {
            a: method.tableau.a.iter().map(padded).collect(),
            b: bits(method.tableau.b),
            error: bits(&method.error),
            dense: method.dense.iter().map(|row| bits(row)).collect(),
        }
    }
}

impl Plan {
    /// Where the weights of a layer begin.
    fn weight_at(&self, depth: usize) -> usize {
        self.widths.windows(2).take(depth).map(|pair| (pair[0] + 1) * pair[1]).sum()
    }

    /// Where the biases of a layer begin.
    fn bias_at(&self, depth: usize) -> usize {
        self.weight_at(depth) + self.widths[depth] * self.widths[depth + 1]
    }

    /// Where the units of a layer begin among those of all layers.
    fn unit_at(&self, depth: usize) -> usize {
        self.widths[1..=depth].iter().sum()
    }

    fn layers(&self) -> usize {
        self.widths.len() - 1
    }

    fn units(&self) -> usize {
        self.unit_at(self.layers())
    }

    fn widest(&self) -> usize {
        self.widths.iter().copied().max().unwrap_or(1)
    }

    /// All weights and the gate.
    fn length(&self) -> usize {
        self.weight_at(self.layers()) + 1
    }

    fn a(&self, stage: usize, before: usize) -> f32 {
        f32::from_bits(self.method.a[stage][before])
    }

    fn b(&self, stage: usize) -> f32 {
        f32::from_bits(self.method.b[stage])
    }

    fn error(&self, stage: usize) -> f32 {
        f32::from_bits(self.method.error[stage])
    }

    fn dense(&self, stage: usize, power: usize) -> f32 {
        f32::from_bits(self.method.dense[stage][power])
    }
}

/// tanh a and ln cosh a of all units.
#[cube]
fn sweep<F: Float>(weights: &Array<F>, z: &Array<F>, t: &mut Array<F>, h: &mut Array<F>, #[comptime] plan: Plan) {
    #[unroll]
    for depth in 0..comptime!(plan.layers()) {
        let inputs = comptime!(plan.widths[depth]);
        let outputs = comptime!(plan.widths[depth + 1]);
        let weight_at = comptime!(plan.weight_at(depth));
        let bias_at = comptime!(plan.bias_at(depth));
        let unit_at = comptime!(plan.unit_at(depth));
        for o in 0..outputs {
            let mut a = weights[bias_at + o];
            for i in 0..inputs {
                if comptime!(depth == 0) {
                    a += weights[weight_at + o * inputs + i] * z[i];
                } else {
                    a += weights[weight_at + o * inputs + i] * h[unit_at - inputs + i];
                }
            }
            // with e = exp(−2 |a|): tanh a = ± (1 − e) / (1 + e), ln cosh a = |a| + ln(1 + e) − ln 2
            let size = F::abs(a);
            let e = F::exp(F::new(-2.0) * size);
            let tanh = (F::new(1.0) - e) / (F::new(1.0) + e);
            if a < F::new(0.0) {
                t[unit_at + o] = F::new(0.0) - tanh;
            } else {
                t[unit_at + o] = tanh;
            }
            h[unit_at + o] = size + F::ln(F::new(1.0) + e) - F::new(std::f32::consts::LN_2);
        }
    }
}

/// σ(g).
#[cube]
fn opening<F: Float>(weights: &Array<F>, #[comptime] plan: Plan) -> F {
    let gate = weights[comptime!(plan.length() - 1)];
    F::new(1.0) / (F::new(1.0) + F::exp(F::new(0.0) - gate))
}

/// −∇V at z, into the stage's place of `k`.
#[cube]
fn drift<F: Float>(
    weights: &Array<F>,
    z: &Array<F>,
    k: &mut Array<F>,
    at: usize,
    room: &mut Room<F>,
    #[comptime] plan: Plan,
) {
    sweep::<F>(weights, z, &mut room.t, &mut room.h, comptime!(plan.clone()));
    room.p[0] = room.t[comptime!(plan.units() - 1)];
    #[unroll]
    for back in 0..comptime!(plan.layers()) {
        let depth = comptime!(plan.layers() - 1 - back);
        let inputs = comptime!(plan.widths[depth]);
        let outputs = comptime!(plan.widths[depth + 1]);
        let weight_at = comptime!(plan.weight_at(depth));
        let unit_at = comptime!(plan.unit_at(depth));
        if comptime!(back > 0) {
            for o in 0..outputs {
                let t = room.t[unit_at + o];
                room.p[o] *= t;
            }
        }
        for i in 0..inputs {
            let mut sum = F::new(0.0);
            for o in 0..outputs {
                sum += weights[weight_at + o * inputs + i] * room.p[o];
            }
            room.q[i] = sum;
        }
        for i in 0..inputs {
            let s = room.q[i];
            room.p[i] = s;
        }
    }
    let c = opening::<F>(weights, comptime!(plan.clone()));
    for i in 0..comptime!(plan.widths[0]) {
        k[at + i] = F::new(0.0) - c * room.p[i];
    }
}

/// Room of one row.
#[derive(CubeType)]
struct Room<F: Float> {
    /// tanh a and ln cosh a of all units, and their tangents.
    t: Array<F>,
    h: Array<F>,
    da: Array<F>,
    dh: Array<F>,
    /// Of the widest layer, each.
    p: Array<F>,
    q: Array<F>,
    p2: Array<F>,
    q2: Array<F>,
}

#[cube]
fn room<F: Float>(#[comptime] plan: Plan) -> Room<F> {
    let units = comptime!(plan.units());
    let widest = comptime!(plan.widest());
    Room::<F> {
        t: Array::new(units),
        h: Array::new(units),
        da: Array::new(units),
        dh: Array::new(units),
        p: Array::new(widest),
        q: Array::new(widest),
        p2: Array::new(widest),
        q2: Array::new(widest),
    }
}

/// `next = y + h Σ a_j k_j` for a stage.
#[cube]
fn combine<F: Float>(
    y: &Array<F>,
    k: &Array<F>,
    h: F,
    next: &mut Array<F>,
    #[comptime] stage: usize,
    #[comptime] plan: Plan,
) {
    let width = comptime!(plan.widths[0]);
    for i in 0..width {
        let mut sum = F::new(0.0);
        #[unroll]
        for before in 0..stage {
            let weight = comptime!(plan.a(stage, before));
            if comptime!(weight != 0.0) {
                sum += F::new(weight) * k[before * width + i];
            }
        }
        next[i] = y[i] + h * sum;
    }
}

/// Follows a row: states at every time of the grid, and the steps that led there.
#[cube(launch)]
fn follow_kernel<F: Float>(
    weights: &Array<F>,
    start: &Array<F>,
    grid: &Array<F>,
    tolerances: &Array<F>,
    states: &mut Array<F>,
    steps: &mut Array<F>,
    taken: &mut Array<F>,
    #[comptime] plan: Plan,
) {
    let row = ABSOLUTE_POS;
    if row < taken.len() {
        let width = comptime!(plan.widths[0]);
        let times = comptime!(plan.times);
        let slots = comptime!(plan.slots);
        let atol = tolerances[0];
        let rtol = tolerances[1];
        let out = row * times * width;
        let end = grid[times - 1];
        let mut space = room::<F>(comptime!(plan.clone()));
        let mut y = Array::<F>::new(width);
        let mut next = Array::<F>::new(width);
        let mut k = Array::<F>::new(comptime!(STAGES * plan.widths[0]));
        for i in 0..width {
            let v = start[row * width + i];
            y[i] = v;
            states[out + i] = v;
        }
        drift::<F>(weights, &y, &mut k, 0usize, &mut space, comptime!(plan.clone()));

        // the first step: Hairer, Nørsett and Wanner, "Solving ODEs I", II.4
        let n = F::new(comptime!(plan.widths[0] as f32));
        let mut size = F::new(0.0);
        let mut speed = F::new(0.0);
        for i in 0..width {
            let scale = atol + rtol * F::abs(y[i]);
            size += (y[i] / scale) * (y[i] / scale);
            speed += (k[i] / scale) * (k[i] / scale);
        }
        size = F::sqrt(size / n);
        speed = F::sqrt(speed / n);
        let mut short = F::new(1e-6);
        if size >= F::new(1e-5) && speed >= F::new(1e-5) {
            short = F::new(0.01) * size / speed;
        }
        for i in 0..width {
            next[i] = y[i] + short * k[i];
        }
        drift::<F>(weights, &next, &mut k, width, &mut space, comptime!(plan.clone()));
        let mut bend = F::new(0.0);
        for i in 0..width {
            let scale = atol + rtol * F::abs(y[i]);
            let change = (k[width + i] - k[i]) / scale;
            bend += change * change;
        }
        bend = F::sqrt(bend / n) / short;
        let steep = F::max(speed, bend);
        let mut long = F::max(F::new(1e-6), short * F::new(1e-3));
        if steep > F::new(1e-15) {
            long = F::powf(F::new(0.01) / steep, F::new(0.2));
        }
        let mut h = F::min(F::min(F::new(100.0) * short, long), end - grid[0]);

        let mut t = grid[0];
        let mut at = 1usize;
        let mut count = 0usize;
        let mut tries = 0usize;
        while at < times && count < slots && tries < 4 * slots {
            tries += 1;
            #[unroll]
            for stage in 1..STAGES {
                combine::<F>(&y, &k, h, &mut next, stage, comptime!(plan.clone()));
                drift::<F>(weights, &next, &mut k, stage * width, &mut space, comptime!(plan.clone()));
            }
            let mut error = F::new(0.0);
            for i in 0..width {
                let mut sum = F::new(0.0);
                #[unroll]
                for stage in 0..STAGES {
                    let weight = comptime!(plan.error(stage));
                    if comptime!(weight != 0.0) {
                        sum += F::new(weight) * k[stage * width + i];
                    }
                }
                let share = h * sum / (atol + rtol * F::max(F::abs(y[i]), F::abs(next[i])));
                error += share * share;
            }
            error = F::max(F::sqrt(error / n), F::new(1e-8));
            let change = F::min(F::max(F::new(0.9) * F::powf(error, F::new(-0.2)), F::new(0.2)), F::new(10.0));
            if error <= F::new(1.0) {
                let mut reached = t + h;
                if end - reached <= F::new(1e-6) * F::max(F::abs(end), F::new(1.0)) {
                    reached = end;
                }
                let slot = (row * slots + count) * comptime!(plan.widths[0] + 2);
                steps[slot] = t;
                steps[slot + 1] = h;
                for i in 0..width {
                    steps[slot + 2 + i] = y[i];
                }
                count += 1;
                while at < times && grid[at] <= reached {
                    let theta = (grid[at] - t) / h;
                    for i in 0..width {
                        if grid[at] >= reached {
                            states[out + at * width + i] = next[i];
                        } else {
                            let mut sum = F::new(0.0);
                            #[unroll]
                            for stage in 0..STAGES {
                                sum += inside::<F>(theta, stage, comptime!(plan.clone())) * k[stage * width + i];
                            }
                            states[out + at * width + i] = y[i] + h * sum;
                        }
                    }
                    at += 1;
                }
                for i in 0..width {
                    y[i] = next[i];
                    let last = k[comptime!((STAGES - 1) * plan.widths[0]) + i];
                    k[i] = last;
                }
                t = reached;
                h = F::min(h * change, F::max(end - t, F::new(1e-30)));
            } else {
                h *= F::min(change, F::new(1.0));
            }
        }
        while at < times {
            for i in 0..width {
                states[out + at * width + i] = F::sqrt(F::new(-1.0) - size * F::new(0.0));
            }
            at += 1;
        }
        taken[row] = F::cast_from(count);
    }
}

/// Weight of a stage at a share of the step.
#[cube]
fn inside<F: Float>(theta: F, #[comptime] stage: usize, #[comptime] plan: Plan) -> F {
    let d0 = F::new(comptime!(plan.dense(stage, 0)));
    let d1 = F::new(comptime!(plan.dense(stage, 1)));
    let d2 = F::new(comptime!(plan.dense(stage, 2)));
    let d3 = F::new(comptime!(plan.dense(stage, 3)));
    theta * (d0 + theta * (d1 + theta * (d2 + theta * d3)))
}

/// `(∂f/∂z)ᵀ κ` into `by_z`; the derivatives of κ · f by the weights are added to the row's.
#[cube]
fn pull<F: Float>(
    weights: &Array<F>,
    z: &Array<F>,
    kappa: &Array<F>,
    at: usize,
    by_z: &mut Array<F>,
    by_weights: &mut Array<F>,
    first: usize,
    room: &mut Room<F>,
    #[comptime] plan: Plan,
) {
    sweep::<F>(weights, z, &mut room.t, &mut room.h, comptime!(plan.clone()));
    #[unroll]
    for depth in 0..comptime!(plan.layers()) {
        let inputs = comptime!(plan.widths[depth]);
        let outputs = comptime!(plan.widths[depth + 1]);
        let weight_at = comptime!(plan.weight_at(depth));
        let unit_at = comptime!(plan.unit_at(depth));
        for o in 0..outputs {
            let mut sum = F::new(0.0);
            for i in 0..inputs {
                if comptime!(depth == 0) {
                    sum += weights[weight_at + o * inputs + i] * kappa[at + i];
                } else {
                    sum += weights[weight_at + o * inputs + i] * room.dh[unit_at - inputs + i];
                }
            }
            let t = room.t[unit_at + o];
            room.da[unit_at + o] = sum;
            room.dh[unit_at + o] = t * sum;
        }
    }
    let c = opening::<F>(weights, comptime!(plan.clone()));
    let last = comptime!(plan.units() - 1);
    by_weights[first + comptime!(plan.length() - 1)] -= c * (F::new(1.0) - c) * room.dh[last];
    let t = room.t[last];
    room.p[0] = F::new(0.0) - c * t;
    room.q[0] = F::new(0.0) - c * (F::new(1.0) - t * t) * room.da[last];
    #[unroll]
    for back in 0..comptime!(plan.layers()) {
        let depth = comptime!(plan.layers() - 1 - back);
        let inputs = comptime!(plan.widths[depth]);
        let outputs = comptime!(plan.widths[depth + 1]);
        let weight_at = comptime!(plan.weight_at(depth));
        let bias_at = comptime!(plan.bias_at(depth));
        let unit_at = comptime!(plan.unit_at(depth));
        if comptime!(back > 0) {
            for o in 0..outputs {
                let t = room.t[unit_at + o];
                let da = room.da[unit_at + o];
                let by_da = room.p[o];
                let by_a = room.q[o];
                room.p[o] = t * by_da;
                room.q[o] = t * by_a + (F::new(1.0) - t * t) * da * by_da;
            }
        }
        for o in 0..outputs {
            let by_da = room.p[o];
            let by_a = room.q[o];
            for i in 0..inputs {
                let place = first + weight_at + o * inputs + i;
                if comptime!(depth == 0) {
                    by_weights[place] += by_da * kappa[at + i] + by_a * z[i];
                } else {
                    by_weights[place] += by_da * room.dh[unit_at - inputs + i] + by_a * room.h[unit_at - inputs + i];
                }
            }
            by_weights[first + bias_at + o] += by_a;
        }
        for i in 0..inputs {
            let mut p = F::new(0.0);
            let mut q = F::new(0.0);
            for o in 0..outputs {
                let w = weights[weight_at + o * inputs + i];
                p += w * room.p[o];
                q += w * room.q[o];
            }
            room.p2[i] = p;
            room.q2[i] = q;
        }
        for i in 0..inputs {
            let p = room.p2[i];
            let q = room.q2[i];
            room.p[i] = p;
            room.q[i] = q;
        }
    }
    for i in 0..comptime!(plan.widths[0]) {
        by_z[i] = room.q[i];
    }
}

/// Goes a row's steps back: the derivatives by its start and, row by row, by the weights.
#[cube(launch)]
fn back_kernel<F: Float>(
    weights: &Array<F>,
    grid: &Array<F>,
    steps: &Array<F>,
    taken: &Array<F>,
    slopes: &Array<F>,
    by_start: &mut Array<F>,
    by_weights: &mut Array<F>,
    #[comptime] plan: Plan,
) {
    let row = ABSOLUTE_POS;
    if row < taken.len() {
        let width = comptime!(plan.widths[0]);
        let times = comptime!(plan.times);
        let slots = comptime!(plan.slots);
        let length = comptime!(plan.length());
        let first = row * length;
        let given = row * times * width;
        let end = grid[times - 1];
        for i in 0..length {
            by_weights[first + i] = F::new(0.0);
        }
        let mut space = room::<F>(comptime!(plan.clone()));
        let mut start = Array::<F>::new(width);
        let mut z = Array::<F>::new(width);
        let mut pulled = Array::<F>::new(width);
        let mut slope = Array::<F>::new(width);
        let mut k = Array::<F>::new(comptime!(STAGES * plan.widths[0]));
        let mut kappa = Array::<F>::new(comptime!(STAGES * plan.widths[0]));
        for i in 0..width {
            slope[i] = F::new(0.0);
        }
        let count = usize::cast_from(taken[row]);
        let mut at = grid.len(); // times of the grid from here on have been taken in
        for gone in 0..count {
            let slot = (row * slots + count - 1 - gone) * comptime!(plan.widths[0] + 2);
            let t = steps[slot];
            let h = steps[slot + 1];
            let mut reached = t + h;
            if end - reached <= F::new(1e-6) * F::max(F::abs(end), F::new(1.0)) {
                reached = end;
            }
            for i in 0..width {
                start[i] = steps[slot + 2 + i];
            }
            #[unroll]
            for stage in 0..STAGES {
                combine::<F>(&start, &k, h, &mut z, stage, comptime!(plan.clone()));
                drift::<F>(weights, &z, &mut k, stage * width, &mut space, comptime!(plan.clone()));
            }
            // the state at the step's end
            let mut low = at;
            while low > 1 && grid[low - 1] >= reached {
                low -= 1;
                for i in 0..width {
                    slope[i] += slopes[given + low * width + i];
                }
            }
            #[unroll]
            for stage in 0..STAGES {
                let b = comptime!(plan.b(stage));
                for i in 0..width {
                    kappa[stage * width + i] = h * F::new(b) * slope[i];
                }
            }
            // those inside it
            while low > 1 && grid[low - 1] > t {
                low -= 1;
                let theta = (grid[low] - t) / h;
                #[unroll]
                for stage in 0..STAGES {
                    let weight = h * inside::<F>(theta, stage, comptime!(plan.clone()));
                    for i in 0..width {
                        kappa[stage * width + i] += weight * slopes[given + low * width + i];
                    }
                }
                for i in 0..width {
                    slope[i] += slopes[given + low * width + i];
                }
            }
            at = low;
            #[unroll]
            for back in 0..STAGES {
                let stage = comptime!(STAGES - 1 - back);
                combine::<F>(&start, &k, h, &mut z, stage, comptime!(plan.clone()));
                pull::<F>(
                    weights,
                    &z,
                    &kappa,
                    stage * width,
                    &mut pulled,
                    by_weights,
                    first,
                    &mut space,
                    comptime!(plan.clone()),
                );
                for i in 0..width {
                    slope[i] += pulled[i];
                }
                #[unroll]
                for before in 0..stage {
                    let weight = comptime!(plan.a(stage, before));
                    if comptime!(weight != 0.0) {
                        for i in 0..width {
                            kappa[before * width + i] += h * F::new(weight) * pulled[i];
                        }
                    }
                }
            }
        }
        for i in 0..width {
            by_start[row * width + i] = slope[i] + slopes[given + i];
        }
    }
}

/// What the way back needs, on the device.
struct Kept<R: CubeRuntime> {
    plan: Plan,
    weights: CubeTensor<R>,
    grid: CubeTensor<R>,
    steps: CubeTensor<R>,
    taken: CubeTensor<R>,
}

impl<R: CubeRuntime> Cube<R> {
    fn tensor(tensor: Box<dyn Any>) -> CubeTensor<R> {
        into_contiguous(*tensor.downcast::<CubeTensor<R>>().expect("a tensor of this runtime"))
    }

    fn empty(like: &CubeTensor<R>, shape: &[usize]) -> CubeTensor<R> {
        empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), Shape::from(shape.to_vec()), DType::F32)
    }

    fn upload(like: &CubeTensor<R>, values: &[f32]) -> CubeTensor<R> {
        let handle = like.client.create_from_slice(f32::as_bytes(values));
        CubeTensor::new_contiguous(
            like.client.clone(),
            like.device.clone(),
            Shape::from(vec![values.len()]),
            handle,
            DType::F32,
        )
    }

    fn cubes(rows: usize) -> (CubeCount, CubeDim) {
        let cubes = u32::try_from(rows).expect("fewer than 2^32 rows").div_ceil(ROWS);
        (CubeCount::Static(cubes, 1, 1), CubeDim::new_1d(ROWS))
    }
}

impl<R: CubeRuntime> OnDevice for Cube<R> {
    fn follow(
        &self,
        start: Box<dyn Any>,
        weights: Box<dyn Any>,
        flow: &FlowPlan,
    ) -> (Box<dyn Any>, Arc<dyn Any + Send + Sync>) {
        let (start, weights) = (Self::tensor(start), Self::tensor(weights));
        let (rows, times) = (start.meta.shape()[0], flow.grid.len());
        let plan =
            Plan { widths: flow.widths.clone(), times, slots: flow.slots, method: Coefficients::new(flow.method) };
        let width = plan.widths[0];
        let (grid, tolerances) = (Self::upload(&start, &flow.grid), Self::upload(&start, &flow.tolerances));
        let states = Self::empty(&start, &[rows, times * width]);
        let steps = Self::empty(&start, &[rows, plan.slots * (width + 2)]);
        let taken = Self::empty(&start, &[rows]);
        let (count, dim) = Self::cubes(rows);
        follow_kernel::launch::<f32, R>(
            &start.client,
            count,
            dim,
            weights.clone().into_array_arg(),
            start.clone().into_array_arg(),
            grid.clone().into_array_arg(),
            tolerances.into_array_arg(),
            states.clone().into_array_arg(),
            steps.clone().into_array_arg(),
            taken.clone().into_array_arg(),
            plan.clone(),
        );
        (Box::new(states), Arc::new(Kept { plan, weights, grid, steps, taken }))
    }

    fn follow_back(&self, kept: &(dyn Any + Send + Sync), slopes: Box<dyn Any>) -> [Box<dyn Any>; 2] {
        let kept = kept.downcast_ref::<Kept<R>>().expect("what this runtime kept");
        let slopes = Self::tensor(slopes);
        let rows = slopes.meta.shape()[0];
        let by_start = Self::empty(&slopes, &[rows, kept.plan.widths[0]]);
        let by_weights = Self::empty(&slopes, &[rows, kept.plan.length()]);
        let (count, dim) = Self::cubes(rows);
        back_kernel::launch::<f32, R>(
            &slopes.client,
            count,
            dim,
            kept.weights.clone().into_array_arg(),
            kept.grid.clone().into_array_arg(),
            kept.steps.clone().into_array_arg(),
            kept.taken.clone().into_array_arg(),
            slopes.clone().into_array_arg(),
            by_start.clone().into_array_arg(),
            by_weights.clone().into_array_arg(),
            kept.plan.clone(),
        );
        [Box::new(by_start), Box::new(by_weights)]
    }
}
