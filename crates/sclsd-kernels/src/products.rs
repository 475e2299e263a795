//! Matrix products, each on the calling thread; sums over rows on all threads.
//!
//! The weights of a layer are packed once for all blocks of rows ([`PackedFactor`]), in the order in which the
//! micro-kernels read them. Large products use AMX tiles if the CPU has them (`tiles`); all other products use SIMD
//! vectors (`vectors`). The choice and the order of accumulation depend on the sizes and the CPU only, so results have
//! the same bits on any number of threads.

mod factors;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod vectors;

use rayon::prelude::*;

use crate::rows::{BLOCK, add, filled_rows, groups, total};
#[cfg(target_arch = "x86_64")]
use crate::simd::SimdLevel;
use factors::fits;
pub(crate) use factors::{Rows, Terms};
#[cfg(target_arch = "x86_64")]
use tiles::Packing;
use vectors::{Panels, Strips};

/// The packed second factor of products, `inputs × outputs`.
#[derive(Debug)]
pub(crate) struct PackedFactor {
    inputs: usize,
    outputs: usize,
    order: Order,
}

#[derive(Debug)]
enum Order {
    Panels(Panels),
    #[cfg(target_arch = "x86_64")]
    Tiles(tiles::PackedTiles),
}

impl PackedFactor {
    /// Packs a matrix with rows of `outputs`.
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, reason = "vectors multiply what is given"))]
    pub(crate) fn new(matrix: &[f32], outputs: usize, terms: Terms) -> Self {
        let inputs = matrix.len() / outputs;
        #[cfg(target_arch = "x86_64")]
        if for_tiles(inputs, outputs) {
            let packing = Packing { first: false, along: false, terms };
            let tiles = tiles::PackedTiles::in_parallel(Rows::new(matrix, outputs), outputs, packing);
            return Self { inputs, outputs, order: Order::Tiles(tiles) };
        }
        Self { inputs, outputs, order: Order::Panels(Panels::new(matrix, outputs)) }
    }

    /// Packs the transpose of a matrix with rows of `inputs`: the weights of a layer, for the forward pass.
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, reason = "vectors multiply what is given"))]
    pub(crate) fn transposed(matrix: &[f32], inputs: usize, terms: Terms) -> Self {
        let outputs = matrix.len() / inputs;
        #[cfg(target_arch = "x86_64")]
        if for_tiles(inputs, outputs) {
            let packing = Packing { first: false, along: true, terms };
            let tiles = tiles::PackedTiles::in_parallel(Rows::new(matrix, inputs), inputs, packing);
            return Self { inputs, outputs, order: Order::Tiles(tiles) };
        }
        Self { inputs, outputs, order: Order::Panels(Panels::transposed(matrix, inputs)) }
    }
}

/// Whether AMX tiles are available and in use.
#[cfg(target_arch = "x86_64")]
fn with_tiles() -> bool {
    SimdLevel::used() == SimdLevel::Amx
}

/// Whether a product uses AMX tiles: they are available, and the product is large enough to fill them.
#[cfg(target_arch = "x86_64")]
fn for_tiles(depth: usize, columns: usize) -> bool {
    depth >= 64 && columns >= 32 && with_tiles()
}

/// `out = a b`; rows of `out` begin `stride` numbers apart.
pub(crate) fn times(out: &mut [f32], stride: usize, a: Rows<'_>, b: &PackedFactor) {
    product(out, stride, a, b, false);
}

/// `out += a b`; rows of `out` begin `stride` numbers apart.
pub(crate) fn add_times(out: &mut [f32], stride: usize, a: Rows<'_>, b: &PackedFactor) {
    product(out, stride, a, b, true);
}

fn product(out: &mut [f32], stride: usize, a: Rows<'_>, b: &PackedFactor, add: bool) {
    assert!(a.hold(b.inputs) && fits(out.len(), stride, a.count(), b.outputs), "sizes that fit");
    match &b.order {
        Order::Panels(panels) => panels.product(out, stride, a, add),
        #[cfg(target_arch = "x86_64")]
        Order::Tiles(b_tiles) => {
            let a = tiles::PackedTiles::new(a, b.inputs, Packing { first: true, along: true, terms: b_tiles.terms() });
            tiles::multiply(out, stride, &[[a.all(), b_tiles.all()]], add);
        }
    }
}

/// `a b`, `rows × outputs`, on all threads.
pub(crate) fn product_of_rows(a: Rows<'_>, b: &PackedFactor) -> Vec<f32> {
    let rows = a.count();
    filled_rows(rows, b.outputs, BLOCK, |first, out| {
        times(out, b.outputs, a.some(first..rows.min(first + BLOCK)), b);
    })
}

/// `aᵀ b`, `columns of a × columns of b`. Each factor comes with its number of columns; both have the same number of
/// rows.
pub(crate) fn sum_of_products(a: (Rows<'_>, usize), b: (Rows<'_>, usize), terms: Terms) -> Vec<f32> {
    let mut sum = filled_rows(a.1, b.1, BLOCK, |_, _| {});
    add_sum_of_products(&mut sum, a, b, terms);
    sum
}

/// Adds [`sum_of_products`] to `sum`.
fn add_sum_of_products(sum: &mut [f32], (a, columns): (Rows<'_>, usize), (b, width): (Rows<'_>, usize), terms: Terms) {
    /// Rows that are packed at a time, so that the packed rows stay in the cache.
    const CHUNK: usize = 4 * BLOCK;
    /// Number of columns up to which packing would take longer than the product.
    const FEW: usize = 32;
    let count = a.count();
    assert!(b.count() == count && a.hold(columns) && b.hold(width) && sum.len() == columns * width, "sizes that fit");
    if columns <= FEW {
        add(sum, &total(groups(count).into_par_iter().map(|rows| vectors::sum(a, columns, b, width, rows)).collect()));
        return;
    }
    if width <= FEW {
        let across =
            total(groups(count).into_par_iter().map(|rows| vectors::sum(b, width, a, columns, rows)).collect());
        for (column, row) in across.chunks_exact(columns).enumerate() {
            sum.iter_mut().skip(column).step_by(width).zip(row).for_each(|(sum, part)| *sum += part);
        }
        return;
    }
    for first in (0..count).step_by(CHUNK) {
        let blocks: Vec<_> = (first..count.min(first + CHUNK)).step_by(BLOCK).collect();
        let pair = |first: usize| {
            let rows = first..count.min(first + BLOCK);
            [Summand::first(a.some(rows.clone()), columns, terms), Summand::second(b.some(rows), width, terms)]
        };
        let pairs: Vec<[Summand; 2]> = blocks.into_par_iter().map(pair).collect();
        add_sums(sum, &pairs.iter().map(<[Summand; 2]>::each_ref).collect::<Vec<_>>());
    }
}

/// Some rows packed as a factor of a sum of products over these rows.
#[derive(Debug)]
pub(crate) struct Summand {
    width: usize,
    order: SummandOrder,
}

#[derive(Debug)]
enum SummandOrder {
    Strips(Strips),
    #[cfg(target_arch = "x86_64")]
    Tiles(tiles::PackedTiles),
}

impl Summand {
    /// Packs the rows as the first factor.
    pub(crate) fn first(rows: Rows<'_>, width: usize, terms: Terms) -> Self {
        Self::new(rows, width, true, terms)
    }

    /// Packs the rows as the second factor.
    pub(crate) fn second(rows: Rows<'_>, width: usize, terms: Terms) -> Self {
        Self::new(rows, width, false, terms)
    }

    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, reason = "vectors multiply what is given"))]
    fn new(rows: Rows<'_>, width: usize, first: bool, terms: Terms) -> Self {
        assert!(rows.hold(width), "sizes that fit");
        #[cfg(target_arch = "x86_64")]
        if rows.count() >= tiles::DEPTH && with_tiles() {
            let tiles = tiles::PackedTiles::new(rows, width, Packing { first, along: false, terms });
            return Self { width, order: SummandOrder::Tiles(tiles) };
        }
        Self { width, order: SummandOrder::Strips(Strips::new(rows, width, first)) }
    }
}

/// Adds `aᵀ b` of every pair to `sum`; both factors of a pair have the same rows.
pub(crate) fn add_sums(sum: &mut [f32], pairs: &[[&Summand; 2]]) {
    let Some(width) = pairs.first().map(|[_, b]| b.width).filter(|width| *width > 0) else { return };
    // rows of the sum that one thread computes at a time; the result does not depend on this number
    let step = vectors::rows_per_full_tile();
    let size = (sum.len() / width).div_ceil(2 * rayon::current_num_threads()).next_multiple_of(step).min(4 * step);
    sum.par_chunks_mut(size * width).enumerate().for_each(|(panel, sum)| {
        let columns = panel * size..panel * size + sum.len() / width;
        for [a, b] in pairs {
            match (&a.order, &b.order) {
                (SummandOrder::Strips(a), SummandOrder::Strips(b)) => a.add_sum(sum, columns.clone(), b),
                #[cfg(target_arch = "x86_64")]
                (SummandOrder::Tiles(_), SummandOrder::Tiles(_)) => {}
                #[cfg(target_arch = "x86_64")]
                _ => unreachable!("both are over the same rows"),
            }
        }
        #[cfg(target_arch = "x86_64")]
        {
            let in_tiles = pairs.iter().filter_map(|[a, b]| match (&a.order, &b.order) {
                (SummandOrder::Tiles(a), SummandOrder::Tiles(b)) => Some([a.some(columns.clone()), b.all()]),
                _ => None,
            });
            tiles::multiply(sum, width, &in_tiles.collect::<Vec<_>>(), true);
        }
    });
}

/// The vector–Jacobian product of a linear layer with input `x`: the gradient with respect to the weights,
/// `outputs × inputs`, and with respect to the input, given the gradient with respect to the output.
pub(crate) fn linear_vjp(weight: &[f32], inputs: usize, x: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let outputs = weight.len() / inputs;
    let (grad, x) = (Rows::new(grad, outputs), Rows::new(x, inputs));
    let grad_weight = sum_of_products((grad, outputs), (x, inputs), Terms::Two);
    let grad_input = product_of_rows(grad, &PackedFactor::new(weight, inputs, Terms::Two));
    (grad_weight, grad_input)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Integers, whose sums are exact.
    fn fill(count: usize, step: usize) -> Vec<f32> {
        (0..count).map(|i| f32::from(u16::try_from(i * step % 19).unwrap()) - 9.0).collect()
    }

    /// Copies rows of `width` to rows `stride` apart.
    fn spread(values: &[f32], width: usize, stride: usize) -> Vec<f32> {
        values.chunks_exact(width).flat_map(|row| row.iter().copied().chain(vec![77.0; stride - width])).collect()
    }

    #[test]
    fn products_are_those_of_the_definition() {
        for [m, k, n] in [[1, 1, 1], [3, 5, 2], [17, 40, 33], [128, 130, 5], [9, 300, 64], [70, 3, 100]] {
            let (a, b) = (fill(m * k, 7), fill(k * n, 5));
            let exact: Vec<f32> =
                (0..m * n).map(|at| (0..k).map(|l| a[at / n * k + l] * b[l * n + at % n]).sum()).collect();
            let twice: Vec<f32> = exact.iter().map(|v| 2.0 * v).collect();
            let across: Vec<f32> = (0..n * k).map(|at| b[at % k * n + at / k]).collect();
            let packed = [Terms::Three, Terms::Two]
                .into_iter()
                .flat_map(|terms| [PackedFactor::new(&b, n, terms), PackedFactor::transposed(&across, k, terms)]);
            for packed in packed {
                let mut out = vec![9.0; m * n];
                times(&mut out, n, Rows::new(&a, k), &packed);
                assert_eq!(out, exact);
                add_times(&mut out, n, Rows::new(&a, k), &packed);
                assert_eq!(out, twice);
                let mut out = vec![77.0; m * (n + 3)];
                times(&mut out, n + 3, Rows { values: &spread(&a, k, k + 2), stride: k + 2 }, &packed);
                assert_eq!(out, spread(&exact, n, n + 3));
            }
            let a_across: Vec<f32> = (0..m * k).map(|at| a[at % m * k + at / m]).collect();
            let (a, b) = (Rows::new(&a_across, m), Rows::new(&b, n));
            let mut sum = sum_of_products((a, m), (b, n), Terms::Three);
            assert_eq!(sum, exact);
            let (a, b) = (spread(a.values, m, m + 1), spread(b.values, n, n + 5));
            let (a, b) = (Rows { values: &a, stride: m + 1 }, Rows { values: &b, stride: n + 5 });
            add_sum_of_products(&mut sum, (a, m), (b, n), Terms::Two);
            assert_eq!(sum, twice);
        }
    }
}
