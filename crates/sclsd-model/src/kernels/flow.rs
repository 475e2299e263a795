//! Rows followed down a potential on the host, with the derivatives of where they come by.

use rayon::prelude::*;

use super::derivative::{Derivative, Trainable, function, input, values};
use super::lanes::{LANES, Lane, from_rows, to_rows};
use super::potential::PotentialWeights;
use super::rows::total;
use crate::networks::Potential;
use crate::ode::lanes::{Path, Step, solve};
use crate::ode::{CheckedOdeSpec, Field, Method, OdeError, Work, adjoint, check_grid};
use burn::tensor::Tensor;

/// Follows every row of `start` over `grid`.
///
/// # Shapes
/// - `start`: `[rows, z]` → `[rows, times · z]`
pub(crate) fn follow<B: Trainable>(
    potential: &Potential<B>,
    start: Tensor<B, 2>,
    grid: &[f64],
    spec: &CheckedOdeSpec,
) -> Result<(Tensor<B, 2>, Work), OdeError> {
    check_grid(grid)?;
    let [rows, width] = start.dims();
    let flat = potential.flat();
    let field = PotentialWeights::new(&potential.widths(), &values(&flat));
    let host = values(&start);
    let paths: Vec<Path> = host
        .par_chunks(LANES * width)
        .enumerate()
        .map(|(block, rows)| {
            solve(&field, from_rows(rows, width), grid, spec, true).map_err(|error| error.at_row(block * LANES))
        })
        .collect::<Result<_, _>>()?;
    let mut out = vec![0.0; rows * grid.len() * width];
    let mut work = Work::default();
    for (path, out) in paths.iter().zip(out.chunks_mut(LANES * grid.len() * width)) {
        for (time, state) in path.states.iter().enumerate() {
            for (lane, row) in out.chunks_exact_mut(grid.len() * width).enumerate() {
                let row = &mut row[time * width..(time + 1) * width];
                row.iter_mut().zip(state).for_each(|(v, lanes)| *v = lanes[lane]);
            }
        }
        work = work.larger(path.work);
    }
    let steps = paths.into_iter().map(|path| path.steps).collect();
    let kept = Kept { field, method: spec.get().method, steps, times: grid.len() };
    Ok((function(&[input(start), input(flat)], out, [rows, grid.len() * width], kept), work))
}

/// What the way back needs.
#[derive(Debug)]
struct Kept {
    field: PotentialWeights,
    method: Method,
    /// Of every block.
    steps: Vec<Vec<Step>>,
    times: usize,
}

impl Derivative for Kept {
    fn by_inputs(&self, slope: Vec<f32>) -> Vec<Vec<f32>> {
        let width = self.field.width();
        let mut by_start = vec![0.0; slope.len() / self.times];
        let sums: Vec<Vec<f32>> = by_start
            .par_chunks_mut(LANES * width)
            .zip(slope.par_chunks(LANES * self.times * width))
            .zip(&self.steps)
            .map(|((by_start, slope), steps)| {
                let slopes: Vec<Vec<Lane>> = (0..self.times).map(|time| self.slopes_at(time, slope)).collect();
                let mut sums = self.field.sums();
                to_rows(&adjoint(&self.field, self.method, steps, &slopes, &mut sums), by_start);
                self.field.total(&sums)
            })
            .collect();
        vec![by_start, total(sums)]
    }
}

impl Kept {
    /// The derivatives by the states of a block at one time; 0 where there is no row.
    fn slopes_at(&self, time: usize, slope: &[f32]) -> Vec<Lane> {
        let width = self.field.width();
        let mut lanes = vec![[0.0; LANES]; width];
        for (lane, row) in slope.chunks_exact(self.times * width).enumerate() {
            let row = &row[time * width..(time + 1) * width];
            lanes.iter_mut().zip(row).for_each(|(lanes, v)| lanes[lane] = *v);
        }
        lanes
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, Flex};
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::ode::{OdeSpec, linspace, solve_rows};

    type B = Autodiff<Flex>;

    #[test]
    fn a_row_that_is_not_finite_is_named_by_its_number_in_the_batch() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        let potential = Potential::<B>::new(2, &[5], &mut rng, &Default::default());
        let mut start = vec![0.5_f32; 40 * 2];
        start[2 * 37 + 1] = f32::NAN;
        for method in [Method::Dopri5, Method::Rk4] {
            let spec = OdeSpec { method, ..OdeSpec::default() }.check().unwrap();
            let field = PotentialWeights::new(&potential.widths(), &values(&potential.flat()));
            let error = solve_rows(&field, &start, &[0.0, 1.0], &spec).unwrap_err();
            assert!(matches!(error, OdeError::NotFinite { row: 37, time: 0.0 }), "{method:?}: {error}");
            let data = burn::tensor::TensorData::new(start.clone(), [40, 2]);
            let rows = Tensor::<B, 2>::from_data(data, &Default::default());
            let error = follow(&potential, rows, &[0.0, 1.0], &spec).unwrap_err();
            assert!(matches!(error, OdeError::NotFinite { row: 37, time: 0.0 }), "{method:?}: {error}");
        }
    }

    #[test]
    fn paths_and_their_derivatives_are_those_of_the_tensor_code() {
        for (rows, hidden, times) in
            [(3, vec![5], 2), (16, vec![8, 8], 5), (37, vec![32, 32], 10), (20, vec![7, 6, 5], 4)]
        {
            for method in [Method::Dopri5, Method::Tsit5, Method::Rk4, Method::Euler] {
                let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(rows);
                let potential = Potential::<B>::new(4, &hidden, &mut rng, &Default::default());
                let rows = usize::try_from(rows).unwrap();
                let mut draw = |shape: [usize; 2]| {
                    let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| rng.random_range(-2.0..2.0)).collect();
                    Tensor::<B, 2>::from_data(burn::tensor::TensorData::new(values, shape), &Default::default())
                };
                let (start, weight) = (draw([rows, 4]), draw([rows, times * 4]));
                let grid = linspace(0.0, 3.0, times);
                let spec = OdeSpec { method, rtol: 1e-6, ..OdeSpec::default() }.check().unwrap();
                let (s, t) = (start.clone().require_grad(), start.require_grad());
                let found = follow(&potential, s.clone(), &grid, &spec).unwrap().0;
                let states = crate::ode::solve(|_, z| potential.drift(z), t.clone(), &grid, &spec).unwrap().states;
                let expected = Tensor::stack::<3>(states, 1).reshape([rows, times * 4]);
                let close = |a: Vec<f32>, b: Vec<f32>, what: &str| {
                    let largest = b.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
                    for (i, (a, b)) in a.iter().zip(&b).enumerate() {
                        assert!((a - b).abs() < 1e-4 * (1e-2 + largest), "{method:?} {rows} {what}[{i}]: {a} {b}");
                    }
                };
                close(values(&found), values(&expected), "state");
                let gradients = [(found * weight.clone()).sum().backward(), (expected * weight).sum().backward()];
                let host = |t: Tensor<Flex, 2>| t.into_data().into_vec::<f32>().unwrap();
                close(host(s.grad(&gradients[0]).unwrap()), host(t.grad(&gradients[1]).unwrap()), "by start");
                for (depth, layer) in potential.layers.iter().enumerate() {
                    let by = |g| host(layer.linear.weight.val().grad(g).unwrap());
                    close(by(&gradients[0]), by(&gradients[1]), &format!("by weight of layer {depth}"));
                    let by = |g| layer.linear.bias.val().grad(g).unwrap().into_data().into_vec::<f32>().unwrap();
                    close(by(&gradients[0]), by(&gradients[1]), &format!("by bias of layer {depth}"));
                }
                let by = |g| potential.gate.val().grad(g).unwrap().into_data().into_vec::<f32>().unwrap();
                close(by(&gradients[0]), by(&gradients[1]), "by the gate");
            }
        }
    }
}
