//! Launch sizes of kernels.

use burn_cubecl::cubecl::{CubeCount, CubeDim};

/// A launch of `count` cubes with `units` units each.
pub(crate) fn cubes(count: usize, units: usize) -> (CubeCount, CubeDim) {
    let number = |n| u32::try_from(n).expect("fewer than 2^32 rows");
    // split into two dimensions, because wgpu allows at most 65,535 cubes in each dimension
    let side = 1 << 15;
    let count = if count <= side { [count, 1] } else { [side, count.div_ceil(side)] };
    (CubeCount::Static(number(count[0]), number(count[1]), 1), CubeDim::new_1d(number(units)))
}

/// A launch of at least `count` units, `each` units per cube.
pub(crate) fn units(count: usize, each: u32) -> (CubeCount, CubeDim) {
    cubes(count.div_ceil(each as usize), each as usize)
}
