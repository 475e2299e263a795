//! The recurrent prior along all walks, and the backward pass: one unit per walk.
//!
//! The weights are one vector, as in [`Recurrent`](sclsd_kernels::recurrent::Recurrent), which is the oracle.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use sclsd_kernels::recurrent::{At, HH0, HH1, IH1};

/// Walks per cube: few, so that there are many cubes.
pub(super) const WALKS: u32 = 32;

/// `out += W x + b`.
#[cube]
fn add_product<F: Float>(
    out: &mut Array<F>,
    flat: &Array<F>,
    x: &Array<F>,
    #[comptime] which: usize,
    #[comptime] width: usize,
) {
    let matrix = comptime!(At { width }.matrix(which).start);
    let bias = comptime!(At { width }.bias(which).start);
    for o in 0..width {
        let mut sum = flat[bias + o];
        for i in 0..width {
            sum += flat[matrix + o * width + i] * x[i];
        }
        out[o] += sum;
    }
}

#[cube]
fn relu<F: Float>(x: &mut Array<F>, #[comptime] width: usize) {
    for i in 0..width {
        let v = x[i];
        x[i] = select(v < F::new(0.0), F::new(0.0), v); // NaN is preserved
    }
}

/// h⁰ and h¹ of every visit.
#[cube(launch)]
pub(super) fn recur_kernel<F: Float>(
    flat: &Array<F>,
    projected: &Array<F>,
    lower: &mut Array<F>,
    upper: &mut Array<F>,
    #[comptime] width: usize,
    #[comptime] steps: usize,
) {
    let walk = ABSOLUTE_POS;
    let each = comptime!(steps * width);
    if walk < projected.len() / each {
        let starts = comptime!(At { width }.start(0).start);
        let mut x = Array::<F>::new(width);
        let mut h0 = Array::<F>::new(width);
        let mut h1 = Array::<F>::new(width);
        for i in 0..width {
            h0[i] = flat[starts + i];
            h1[i] = flat[starts + width + i];
        }
        for step in 0..steps {
            let at = walk * each + step * width;
            for i in 0..width {
                x[i] = projected[at + i];
            }
            add_product::<F>(&mut x, flat, &h0, HH0, width);
            relu::<F>(&mut x, width);
            for i in 0..width {
                h0[i] = x[i];
                lower[at + i] = x[i];
                x[i] = F::new(0.0);
            }
            add_product::<F>(&mut x, flat, &h0, IH1, width);
            add_product::<F>(&mut x, flat, &h1, HH1, width);
            relu::<F>(&mut x, width);
            for i in 0..width {
                h1[i] = x[i];
                upper[at + i] = x[i];
            }
        }
    }
}

/// Adds the gradients with respect to a matrix and its bias.
#[cube]
fn add_outer<F: Float>(
    sums: &mut Array<F>,
    g: &Array<F>,
    x: &Array<F>,
    #[comptime] which: usize,
    #[comptime] width: usize,
) {
    let matrix = comptime!(At { width }.matrix(which).start);
    let bias = comptime!(At { width }.bias(which).start);
    for o in 0..width {
        for i in 0..width {
            sums[matrix + o * width + i] += g[o] * x[i];
        }
        sums[bias + o] += g[o];
    }
}

/// `out = Wᵀ g`.
#[cube]
fn transposed<F: Float>(
    out: &mut Array<F>,
    flat: &Array<F>,
    g: &Array<F>,
    #[comptime] which: usize,
    #[comptime] width: usize,
) {
    let matrix = comptime!(At { width }.matrix(which).start);
    for i in 0..width {
        let mut sum = F::new(0.0);
        for o in 0..width {
            sum += flat[matrix + o * width + i] * g[o];
        }
        out[i] = sum;
    }
}

/// The backward pass: gradients with respect to the projections and, for every walk, with respect to the weights, given
/// the gradient with respect to h¹.
#[cube(launch)]
pub(super) fn recurrent_vjp_kernel<F: Float>(
    flat: &Array<F>,
    lower: &Array<F>,
    upper: &Array<F>,
    grads: &Array<F>,
    grad_projected: &mut Array<F>,
    grad_flat: &mut Array<F>,
    #[comptime] width: usize,
    #[comptime] steps: usize,
) {
    let walk = ABSOLUTE_POS;
    let each = comptime!(steps * width);
    if walk < grads.len() / each {
        let starts = comptime!(At { width }.start(0).start);
        let length = comptime!(At { width }.start(1).end);
        let mut sums = Array::<F>::new(length);
        for i in 0..length {
            sums[i] = F::new(0.0);
        }
        // gradients that flow back from the next step, and the inputs of a matrix
        let mut from_upper = Array::<F>::new(width);
        let mut from_lower = Array::<F>::new(width);
        let mut g = Array::<F>::new(width);
        let mut x = Array::<F>::new(width);
        let mut below = Array::<F>::new(width);
        for i in 0..width {
            from_upper[i] = F::new(0.0);
            from_lower[i] = F::new(0.0);
        }
        for gone in 0..steps {
            let step = steps - 1 - gone;
            let at = walk * each + step * width;
            for i in 0..width {
                let v = grads[at + i] + from_upper[i];
                g[i] = select(upper[at + i] <= F::new(0.0), F::new(0.0), v);
                x[i] = lower[at + i];
            }
            add_outer::<F>(&mut sums, &g, &x, IH1, width);
            for i in 0..width {
                if step == 0 {
                    x[i] = flat[starts + width + i];
                } else {
                    x[i] = upper[at - width + i];
                }
            }
            add_outer::<F>(&mut sums, &g, &x, HH1, width);
            transposed::<F>(&mut from_upper, flat, &g, HH1, width);
            transposed::<F>(&mut below, flat, &g, IH1, width);
            for i in 0..width {
                let v = below[i] + from_lower[i];
                g[i] = select(lower[at + i] <= F::new(0.0), F::new(0.0), v);
                grad_projected[at + i] = g[i];
                if step == 0 {
                    x[i] = flat[starts + i];
                } else {
                    x[i] = lower[at - width + i];
                }
            }
            add_outer::<F>(&mut sums, &g, &x, HH0, width);
            transposed::<F>(&mut from_lower, flat, &g, HH0, width);
        }
        for i in 0..width {
            sums[starts + i] += from_lower[i];
            sums[starts + width + i] += from_upper[i];
        }
        for i in 0..length {
            grad_flat[walk * length + i] = sums[i];
        }
    }
}
