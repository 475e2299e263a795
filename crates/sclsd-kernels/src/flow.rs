//! Rows followed down a potential on the host, with the backward pass of the solver.

use rayon::prelude::*;
use sclsd_ode::lanes::{LANES, Lane, Path, Step, from_rows, solve, to_rows};
use sclsd_ode::{CheckedOdeSpec, Field, Method, OdeError, Work, adjoint, check_grid};

use crate::derivative::Derivative;
use crate::rows::total;

/// The result of following rows down a potential.
#[derive(Debug)]
pub struct Followed<F: Field> {
    /// The state of every row at every time, `rows × times × width`.
    pub states: Vec<f32>,
    /// Work counters of the block of rows that took the most steps.
    pub work: Work,
    /// The vector–Jacobian product: gradients with respect to the start and to the field's parameters.
    pub derivative: Followable<F>,
}

/// Follows every row of `start`, `rows × width`, over the times of `grid`.
///
/// # Errors
/// As [`solve_rows`](sclsd_ode::solve_rows).
pub fn follow<F: Field>(field: F, start: &[f32], grid: &[f64], spec: &CheckedOdeSpec) -> Result<Followed<F>, OdeError> {
    check_grid(grid)?;
    let width = field.width();
    let paths: Vec<Path> = start
        .par_chunks(LANES * width)
        .enumerate()
        .map(|(block, rows)| {
            solve(&field, from_rows(rows, width), grid, spec, true).map_err(|error| error.at_row(block * LANES))
        })
        .collect::<Result<_, _>>()?;
    let mut states = vec![0.0; start.len() * grid.len()];
    let mut work = Work::default();
    for (path, out) in paths.iter().zip(states.chunks_mut(LANES * grid.len() * width)) {
        for (time, state) in path.states.iter().enumerate() {
            for (lane, row) in out.chunks_exact_mut(grid.len() * width).enumerate() {
                let row = &mut row[time * width..(time + 1) * width];
                row.iter_mut().zip(state).for_each(|(v, lanes)| *v = lanes[lane]);
            }
        }
        work = work.larger(path.work);
    }
    let steps = paths.into_iter().map(|path| path.steps).collect();
    let derivative = Followable { field, method: spec.get().method, steps, times: grid.len() };
    Ok(Followed { states, work, derivative })
}

/// Saved for the backward pass.
#[derive(Debug)]
pub struct Followable<F> {
    field: F,
    method: Method,
    /// Steps of every block.
    steps: Vec<Vec<Step>>,
    times: usize,
}

impl<F: Field + std::fmt::Debug + Send> Derivative for Followable<F> {
    fn vjp(&self, grad: Vec<f32>) -> Vec<Vec<f32>> {
        let width = self.field.width();
        let mut grad_start = vec![0.0; grad.len() / self.times];
        let sums: Vec<Vec<f32>> = grad_start
            .par_chunks_mut(LANES * width)
            .zip(grad.par_chunks(LANES * self.times * width))
            .zip(&self.steps)
            .map(|((grad_start, grad), steps)| {
                let grads: Vec<Vec<Lane>> = (0..self.times).map(|time| self.grads_at(time, grad)).collect();
                let mut sums = self.field.accumulator();
                to_rows(&adjoint(&self.field, self.method, steps, &grads, &mut sums), grad_start);
                self.field.total(&sums)
            })
            .collect();
        vec![grad_start, total(sums)]
    }
}

impl<F: Field> Followable<F> {
    /// The gradients with respect to the states of a block at one time; lanes without a row hold 0.
    fn grads_at(&self, time: usize, grad: &[f32]) -> Vec<Lane> {
        let width = self.field.width();
        let mut lanes = vec![[0.0; LANES]; width];
        for (lane, row) in grad.chunks_exact(self.times * width).enumerate() {
            let row = &row[time * width..(time + 1) * width];
            lanes.iter_mut().zip(row).for_each(|(lanes, v)| lanes[lane] = *v);
        }
        lanes
    }
}
