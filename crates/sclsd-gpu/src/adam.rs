//! A step of Adam, with the gradient of a tensor clipped by its own norm.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use crate::likelihood::{UNITS, reduce};

/// Writes the Euclidean norm of a gradient to `norms[place]`, with a single cube.
#[cube(launch)]
pub(super) fn norm_kernel<F: Float>(gradient: &Array<F>, norms: &mut Array<F>, place: u32) {
    let unit = UNIT_POS as usize;
    let mut scratch = SharedMemory::<F>::new(UNITS);
    let mut sum = F::new(0.0);
    for i in range_stepped(unit, gradient.len(), UNITS) {
        sum += gradient[i] * gradient[i];
    }
    let sum = reduce::<F>(sum, &mut scratch, false);
    if unit == 0 {
        norms[place as usize] = F::sqrt(sum);
    }
}

/// Updates the values and the moments of a tensor. `rates` are those of [`AdamStep`](sclsd_kernels::AdamStep), in
/// order.
#[cube(launch)]
pub(super) fn update_kernel<F: Float>(
    values: &Array<F>,
    gradient: &Array<F>,
    first: &Array<F>,
    second: &Array<F>,
    norms: &Array<F>,
    rates: &Array<F>,
    new_values: &mut Array<F>,
    new_first: &mut Array<F>,
    new_second: &mut Array<F>,
    place: u32,
) {
    let i = ABSOLUTE_POS;
    if i < new_values.len() {
        let one = F::new(1.0);
        let clip = F::min(one, rates[1] / (norms[place as usize] + F::new(1e-6)));
        let g = gradient[i] * clip;
        let m = rates[2] * first[i] + (one - rates[2]) * g;
        let v = rates[3] * second[i] + (one - rates[3]) * g * g;
        new_first[i] = m;
        new_second[i] = v;
        new_values[i] = values[i] - rates[0] * (m / rates[4]) / (F::sqrt(v / rates[5]) + rates[6]);
    }
}
