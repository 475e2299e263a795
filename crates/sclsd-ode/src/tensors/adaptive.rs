//! Adaptive methods on tensors; all rows share their steps.

use burn::tensor::{Tensor, backend::Backend};

use super::solution::{Solution, combine};
use crate::control::{change, long_step, short_step};
use crate::error::OdeError;
use crate::spec::OdeSpec;
use crate::tableau::Embedded;
use crate::work::Work;

pub(super) fn solve<B: Backend>(
    method: &Embedded,
    f: impl Fn(f64, Tensor<B, 2>) -> Tensor<B, 2>,
    start: Tensor<B, 2>,
    grid: &[f64],
    spec: &OdeSpec,
) -> Result<Solution<B>, OdeError> {
    let mut states = vec![start.clone()];
    let mut work = Work::default();
    let Some((&end, true)) = grid.last().map(|end| (end, grid.len() > 1)) else {
        return Ok(Solution { states, work });
    };
    let (mut t, mut y) = (grid[0], start);
    let mut first = f(t, y.clone());
    let mut h = first_step(&f, t, &y, &first, spec)?.min(end - t);
    work.evaluations += 2;

    while states.len() < grid.len() {
        if work.steps + work.rejected >= spec.max_steps {
            return Err(OdeError::TooManySteps { time: t, steps: work.steps + work.rejected });
        }
        let mut k = vec![first.clone()];
        let mut next = y.clone();
        for (c, a) in method.tableau.c.iter().zip(method.tableau.a).skip(1) {
            next = combine(&y, h, a, &k); // the last stage is at the step's end
            k.push(f(t + c * h, next.clone()));
        }
        work.evaluations += k.len() - 1;

        let (error, row) = error(method, h, &y, &next, &k, spec);
        if !error.is_finite() && h < 1e-6 * (end - grid[0]) {
            return Err(OdeError::NotFinite { row, time: t });
        }
        let change = change(error);
        if error.is_nan() || error > 1.0 {
            work.rejected += 1;
            h *= change.min(1.0);
            continue;
        }
        work.steps += 1;
        let reached = if (end - t - h).abs() <= 1e-12 * end.abs().max(1.0) { end } else { t + h };
        while states.len() < grid.len() && grid[states.len()] <= reached {
            let theta = (grid[states.len()] - t) / h;
            let weights = method.inside(theta);
            let at_end = grid[states.len()] >= reached;
            states.push(if at_end { next.clone() } else { combine(&y, h, &weights, &k) });
        }
        first = k.pop().expect("a method has stages");
        (t, y) = (reached, next);
        h = (h * change).min((end - t).max(f64::MIN_POSITIVE));
    }
    Ok(Solution { states, work })
}

/// The scaled error estimate of the worst row, and the index of that row.
fn error<B: Backend>(
    method: &Embedded,
    h: f64,
    y: &Tensor<B, 2>,
    next: &Tensor<B, 2>,
    k: &[Tensor<B, 2>],
    spec: &OdeSpec,
) -> (f64, usize) {
    let k: Vec<Tensor<B, 2>> = k.iter().map(|k| k.clone().detach()).collect();
    let (y, next) = (y.clone().detach(), next.clone().detach());
    let error = combine(&y.zeros_like(), h, &method.error, &k);
    worst(error / scale(&y, &next, spec))
}

fn scale<B: Backend>(y: &Tensor<B, 2>, next: &Tensor<B, 2>, spec: &OdeSpec) -> Tensor<B, 2> {
    y.clone().abs().max_pair(next.clone().abs()).mul_scalar(spec.rtol).add_scalar(spec.atol)
}

/// Largest root mean square of a row, and that row; `NaN` if any row has one.
fn worst<B: Backend>(scaled: Tensor<B, 2>) -> (f64, usize) {
    let rows = scaled.powi_scalar(2).mean_dim(1).into_data();
    let larger = |worst: (f64, usize), (row, v): (usize, f64)| {
        if !worst.0.is_nan() && (v.is_nan() || v > worst.0) { (v, row) } else { worst }
    };
    let (square, row) = rows.iter::<f64>().enumerate().fold((0.0, 0), larger);
    (square.sqrt(), row)
}

fn first_step<B: Backend>(
    f: impl Fn(f64, Tensor<B, 2>) -> Tensor<B, 2>,
    t: f64,
    y: &Tensor<B, 2>,
    derivative: &Tensor<B, 2>,
    spec: &OdeSpec,
) -> Result<f64, OdeError> {
    let (y, derivative) = (y.clone().detach(), derivative.clone().detach());
    let scale = scale(&y, &y, spec);
    let sizes = [worst(y.clone() / scale.clone()), worst(derivative.clone() / scale.clone())];
    if let Some(&(_, row)) = sizes.iter().find(|(size, _)| !size.is_finite()) {
        return Err(OdeError::NotFinite { row, time: t });
    }
    let [(size, _), (speed, _)] = sizes;
    let short = short_step(size, speed);
    let ahead = f(t + short, y + derivative.clone().mul_scalar(short)).detach();
    let bend = worst((ahead - derivative) / scale).0 / short;
    Ok(long_step(short, speed.max(bend)))
}
