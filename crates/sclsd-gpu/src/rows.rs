//! Rows of cells: sparse expression scattered into dense rows, and gradients of visits summed by cell.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

/// Units of a cube.
pub(super) const UNITS: u32 = 256;

/// Writes the stored values into rows of zeros: one cube per row.
#[cube(launch)]
pub(super) fn scatter_kernel<F: Float>(
    indptr: &Array<u32>,
    columns: &Array<u32>,
    values: &Array<F>,
    out: &mut Array<F>,
    #[comptime] width: usize,
) {
    let row = CUBE_POS;
    if row >= out.len() / width {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    for i in range_stepped(unit, width, UNITS as usize) {
        out[row * width + i] = F::new(0.0);
    }
    sync_cube();
    sync_storage();
    let first = indptr[row] as usize;
    let end = indptr[row + 1] as usize;
    for at in range_stepped(first + unit, end, UNITS as usize) {
        let column = columns[at] as usize;
        out[row * width + column] = values[at];
    }
}

/// Sums over the visits of every cell, in order: one unit per number of a cell.
#[cube(launch)]
pub(super) fn sum_visits_kernel<F: Float>(
    indptr: &Array<u32>,
    visits: &Array<u32>,
    grads: &Array<F>,
    out: &mut Array<F>,
    #[comptime] width: usize,
) {
    let place = ABSOLUTE_POS;
    if place < out.len() {
        let cell = place / width;
        let column = place - cell * width;
        let mut sum = F::new(0.0);
        for at in indptr[cell] as usize..indptr[cell + 1] as usize {
            sum += grads[visits[at] as usize * width + column];
        }
        out[place] = sum;
    }
}
