//! The recurrent prior along all walks at once, forward and backward.
//!
//! All weights are one vector: W_hh⁰, b_hh⁰, W_ih¹, b_ih¹, W_hh¹, b_hh¹ and the two initial states.

use rayon::prelude::*;

use crate::derivative::Derivative;
use crate::rows::{add, groups, per_group, total};

/// The weights of the prior, and the hidden states of all visits, saved for the backward pass.
#[derive(Debug)]
pub struct Recurrent {
    flat: Vec<f32>,
    width: usize,
    steps: usize,
    /// h⁰ of every visit.
    lower: Vec<f32>,
    /// h¹ of every visit.
    upper: Vec<f32>,
}

/// Positions of the parameters in the vector of weights.
#[derive(Clone, Copy)]
pub struct At {
    /// Width of both layers.
    pub width: usize,
}

impl At {
    /// Range of a matrix, `width × width`: [`HH0`], [`IH1`] or [`HH1`].
    #[must_use]
    pub fn matrix(self, which: usize) -> std::ops::Range<usize> {
        let first = which * self.width * (self.width + 1);
        first..first + self.width * self.width
    }

    /// Range of the bias of a matrix.
    #[must_use]
    pub fn bias(self, which: usize) -> std::ops::Range<usize> {
        let first = self.matrix(which).end;
        first..first + self.width
    }

    /// Range of the initial state of a layer.
    #[must_use]
    pub fn start(self, layer: usize) -> std::ops::Range<usize> {
        let first = 3 * self.width * (self.width + 1) + layer * self.width;
        first..first + self.width
    }
}

/// Index of W_hh⁰ for [`At`].
pub const HH0: usize = 0;
/// Index of W_ih¹ for [`At`].
pub const IH1: usize = 1;
/// Index of W_hh¹ for [`At`].
pub const HH1: usize = 2;

impl Recurrent {
    /// Runs the network along walks of `steps` visits; `projected` is `visits × width`.
    #[must_use]
    pub fn new(flat: Vec<f32>, projected: &[f32], width: usize, steps: usize) -> Self {
        let at = At { width };
        let (mut lower, mut upper) = (projected.to_vec(), vec![0.0; projected.len()]);
        let walk = steps * width;
        let walks = projected.len() / walk;
        let size = (per_group(walks) * walk).max(1);
        lower.par_chunks_mut(size).zip(upper.par_chunks_mut(size)).for_each(|(lower, upper)| {
            for (lower, upper) in lower.chunks_exact_mut(walk).zip(upper.chunks_exact_mut(walk)) {
                for step in 0..steps {
                    let (past, here) = lower.split_at_mut(step * width);
                    let before = if step == 0 { &flat[at.start(0)] } else { &past[(step - 1) * width..] };
                    add_product(&mut here[..width], &flat[at.matrix(HH0)], &flat[at.bias(HH0)], before);
                    relu(&mut here[..width]);
                    let (past, next) = upper.split_at_mut(step * width);
                    let before = if step == 0 { &flat[at.start(1)] } else { &past[(step - 1) * width..] };
                    add_product(&mut next[..width], &flat[at.matrix(IH1)], &flat[at.bias(IH1)], &here[..width]);
                    add_product(&mut next[..width], &flat[at.matrix(HH1)], &flat[at.bias(HH1)], before);
                    relu(&mut next[..width]);
                }
            }
        });
        Self { flat, width, steps, lower, upper }
    }

    /// h¹ of every visit.
    #[must_use]
    pub fn out(&self) -> Vec<f32> {
        self.upper.clone()
    }
}

impl Derivative for Recurrent {
    fn vjp(&self, mut grad: Vec<f32>) -> Vec<Vec<f32>> {
        let (width, steps) = (self.width, self.steps);
        let (at, walk) = (At { width }, steps * width);
        let walks = grad.len() / walk;
        let mut projected = vec![0.0; grad.len()];
        let size = (per_group(walks) * walk).max(1);
        let parts: Vec<Vec<f32>> = projected
            .par_chunks_mut(size)
            .zip(grad.par_chunks_mut(size))
            .zip(groups(walks))
            .map(|((projected, grad), group)| {
                let mut sums = vec![0.0; self.flat.len()];
                let rows = projected.chunks_exact_mut(walk).zip(grad.chunks_exact_mut(walk)).zip(group);
                for ((grad_lower, grad_upper), row) in rows {
                    let span = row * walk..(row + 1) * walk;
                    self.walk_vjp(at, &self.lower[span.clone()], &self.upper[span], grad_lower, grad_upper, &mut sums);
                }
                sums
            })
            .collect();
        vec![projected, total(parts)]
    }
}

impl Recurrent {
    /// The backward pass of one walk, from the last step to the first. `grad_upper` holds the gradient with respect to
    /// h¹; the gradient with respect to the projections is written to `grad_lower`.
    fn walk_vjp(
        &self,
        at: At,
        lower: &[f32],
        upper: &[f32],
        grad_lower: &mut [f32],
        grad_upper: &mut [f32],
        sums: &mut [f32],
    ) {
        let width = self.width;
        let mut starts = [vec![0.0; width], vec![0.0; width]];
        for step in (0..self.steps).rev() {
            let here = step * width..(step + 1) * width;
            let before = |states: &[f32], layer: usize| -> Vec<f32> {
                match step {
                    0 => self.flat[at.start(layer)].to_vec(),
                    _ => states[(step - 1) * width..step * width].to_vec(),
                }
            };
            let (past, g) = grad_upper.split_at_mut(step * width);
            let g = &mut g[..width];
            through_relu(g, &upper[here.clone()]);
            add_outer(sums, at, IH1, g, &lower[here.clone()]);
            add_outer(sums, at, HH1, g, &before(upper, 1));
            let earlier = if step == 0 { &mut starts[1][..] } else { &mut past[(step - 1) * width..] };
            add_transposed(earlier, &self.flat[at.matrix(HH1)], g);
            let (past, k) = grad_lower.split_at_mut(step * width);
            let k = &mut k[..width];
            add_transposed(k, &self.flat[at.matrix(IH1)], g);
            through_relu(k, &lower[here]);
            add_outer(sums, at, HH0, k, &before(lower, 0));
            let earlier = if step == 0 { &mut starts[0][..] } else { &mut past[(step - 1) * width..] };
            add_transposed(earlier, &self.flat[at.matrix(HH0)], k);
        }
        for (layer, start) in starts.iter().enumerate() {
            add(&mut sums[at.start(layer)], start);
        }
    }
}

/// `out += W x + b`.
fn add_product(out: &mut [f32], w: &[f32], b: &[f32], x: &[f32]) {
    for ((out, row), b) in out.iter_mut().zip(w.chunks_exact(x.len())).zip(b) {
        *out += row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>() + b;
    }
}

/// `out += Wᵀ g`.
fn add_transposed(out: &mut [f32], w: &[f32], g: &[f32]) {
    for (row, g) in w.chunks_exact(out.len()).zip(g) {
        out.iter_mut().zip(row).for_each(|(out, w)| *out += w * g);
    }
}

/// Adds the gradients with respect to a matrix and its bias.
fn add_outer(sums: &mut [f32], at: At, which: usize, g: &[f32], x: &[f32]) {
    for (row, g) in sums[at.matrix(which)].chunks_exact_mut(x.len()).zip(g) {
        row.iter_mut().zip(x).for_each(|(sum, x)| *sum += g * x);
    }
    add(&mut sums[at.bias(which)], g);
}

fn relu(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = if *x > 0.0 || x.is_nan() { *x } else { 0.0 });
}

fn through_relu(g: &mut [f32], out: &[f32]) {
    g.iter_mut().zip(out).filter(|(_, out)| **out <= 0.0).for_each(|(g, _)| *g = 0.0);
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::oracle::{self, assert_close, gradient, wide};

    #[test]
    fn states_and_derivatives_are_those_of_the_oracle() {
        for (walks, steps, width) in [(1, 1, 2), (3, 4, 2), (17, 3, 3)] {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(walks as u64);
            let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
            let visits = walks * steps * width;
            let (flat, projected, grad) = (draw(At { width }.start(1).end), draw(visits), draw(visits));
            let recurrent = Recurrent::new(flat.clone(), &projected, width, steps);
            let [flat, projected, weight] = [&flat, &projected, &grad].map(|v| wide(v));
            let run = |flat: &[f64], projected: &[f64]| oracle::recurrent(flat, projected, width, steps);
            assert_close(&recurrent.out(), &run(&flat, &projected), 1e-6, "h1");
            let along = |out: Vec<f64>| out.iter().zip(&weight).map(|(v, w)| v * w).sum::<f64>();
            let found = recurrent.vjp(grad);
            assert_close(&found[0], &gradient(|x| along(run(&flat, x)), &projected), 1e-5, "by projections");
            assert_close(&found[1], &gradient(|x| along(run(x, &projected)), &flat), 1e-5, "by weights");
        }
    }
}
