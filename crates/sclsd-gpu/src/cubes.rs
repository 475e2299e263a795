//! How many cubes a kernel is launched with.

use burn_cubecl::cubecl::{CubeCount, CubeDim};

/// As many cubes of so many units.
pub(crate) fn cubes(count: usize, units: usize) -> (CubeCount, CubeDim) {
    let number = |n| u32::try_from(n).expect("fewer than 2^32 rows");
    // the first dimension of a grid is the one that may be large everywhere but under wgpu, where 65,535 is the limit
    // of each
    let side = 1 << 15;
    let count = if count <= side { [count, 1] } else { [side, count.div_ceil(side)] };
    (CubeCount::Static(number(count[0]), number(count[1]), 1), CubeDim::new_1d(number(units)))
}

/// Enough cubes for so many units.
pub(crate) fn units(count: usize, each: u32) -> (CubeCount, CubeDim) {
    cubes(count.div_ceil(each as usize), each as usize)
}
