//! Matrix products on AMX tiles (Intel), if the CPU has them and the operating system allows their use.
//!
//! AMX tiles multiply numbers with a significand of 8 bits (bf16) and accumulate in `f32`. A number with 24 bits is
//! exactly the sum of three such numbers, a = a₁ + a₂ + a₃, where each term is the remainder of the terms before,
//! rounded to nearest. So
//!
//! ```text
//! a b = a₁b₁ + (a₁b₂ + a₂b₁) + (a₁b₃ + a₂b₂ + a₃b₁) + terms below 2⁻²³ |a b|
//!     = a₁b₁ + (a₁b₂ + a₂b₁) + terms below 2⁻¹⁵ |a b|, on average 2⁻¹⁸
//! ```
//!
//! Six tile products give one product in the precision of `f32`, and three give one that is exact to five digits.
//! Infinite factors give `NaN`.
//!
//! A tile register has 16 rows of 32 numbers. Factors are packed ([`Packing`]) into tiles that are loaded as they are.
//! A tile of the first factor holds 32 numbers of each of 16 rows. A tile of the second factor holds 32 numbers of each
//! of 16 columns: every row of the tile has two consecutive numbers of every column, side by side.

#![expect(unsafe_code, reason = "AMX tiles are to be had through instructions alone")]

mod amx;
mod packing;
mod tile;

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::factors::{Rows, Terms};
use crate::amx::present;
use amx::{AmxTiles, Factors, sums};
use packing::fill;
pub(super) use tile::{DEPTH, Packing};
use tile::{GROUP, SIDE, Tile};

/// A factor packed into tiles. The tiles are ordered by group of 32 rows (first factor) or columns (second factor),
/// then by step of 32 along the depth, then by half of the group, then by term.
#[derive(Debug)]
pub(super) struct PackedTiles {
    tiles: Vec<Tile>,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// Rows or columns.
    count: usize,
    /// Steps of 32 along the depth.
    steps: usize,
    terms: Terms,
}

impl Shape {
    /// Tiles per step of a group.
    #[inline(always)]
    fn step(self) -> usize {
        2 * self.terms.count()
    }

    /// Tiles per group.
    #[inline(always)]
    fn group(self) -> usize {
        self.step() * self.steps
    }
}

/// Some consecutive groups of a factor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Groups<'a> {
    tiles: &'a [Tile],
    shape: Shape,
}

impl<'a> Groups<'a> {
    /// Tiles of the group that contains row or column `at`.
    #[inline(always)]
    fn of(self, at: usize) -> &'a [Tile] {
        let size = self.shape.group();
        &self.tiles[at / GROUP * size..][..size]
    }
}

impl PackedTiles {
    /// Packs `columns` numbers of every row of `from`, reading the rows from first to last.
    pub(super) fn new(from: Rows<'_>, columns: usize, packing: Packing) -> Self {
        Self::filled(from, columns, packing, |tiles, shape, fill| {
            let (groups, size) = (shape.count.div_ceil(GROUP), shape.step());
            let mut fill = |group: usize, step: usize| {
                let first = group * shape.group() + step * size;
                fill(group, step, &mut tiles[first..first + size]);
            };
            if packing.along {
                (0..groups).for_each(|group| (0..shape.steps).for_each(|step| fill(group, step)));
            } else {
                (0..shape.steps).for_each(|step| (0..groups).for_each(|group| fill(group, step)));
            }
        })
    }

    /// Like [`new`](Self::new), on all threads.
    pub(super) fn in_parallel(from: Rows<'_>, columns: usize, packing: Packing) -> Self {
        Self::filled(from, columns, packing, |tiles, shape, fill| {
            tiles.par_chunks_exact_mut(shape.group().max(1)).enumerate().for_each(|(group, tiles)| {
                let steps = tiles.chunks_exact_mut(shape.step()).enumerate();
                steps.for_each(|(step, tiles)| fill(group, step, tiles));
            });
        })
    }

    /// The number of bf16 terms.
    pub(super) fn terms(&self) -> Terms {
        self.shape.terms
    }

    /// All groups.
    pub(super) fn all(&self) -> Groups<'_> {
        self.some(0..self.shape.count)
    }

    /// The groups of a range of rows or columns; the range must begin at the start of a group.
    pub(super) fn some(&self, range: Range<usize>) -> Groups<'_> {
        assert!(range.start.is_multiple_of(GROUP) && range.end <= self.shape.count, "whole groups");
        let size = self.shape.group();
        let tiles = range.start / GROUP * size..range.end.div_ceil(GROUP) * size;
        Groups { tiles: &self.tiles[tiles], shape: Shape { count: range.len(), ..self.shape } }
    }

    fn filled(
        from: Rows<'_>,
        columns: usize,
        packing: Packing,
        each: impl Fn(&mut [MaybeUninit<Tile>], Shape, &(dyn Fn(usize, usize, &mut [MaybeUninit<Tile>]) + Sync)),
    ) -> Self {
        let (count, depth) = if packing.along { (from.count(), columns) } else { (columns, from.count()) };
        let shape = Shape { count, steps: depth.div_ceil(DEPTH), terms: packing.terms };
        let len = count.div_ceil(GROUP) * shape.group();
        let mut tiles: Vec<Tile> = Vec::with_capacity(len);
        each(&mut tiles.spare_capacity_mut()[..len], shape, &|group, step, tiles| {
            for (half, tiles) in tiles.chunks_exact_mut(packing.terms.count()).enumerate() {
                fill(tiles, from, columns, [group * GROUP + half * SIDE, step * DEPTH], packing);
            }
        });
        // SAFETY: all tiles have been filled
        unsafe { tiles.set_len(len) };
        Self { tiles, shape }
    }
}

/// `out = Σ a b` or `out += Σ a b` over some pairs of factors; rows of `out` begin `stride` numbers apart.
///
/// # Panics
/// If the sizes do not match.
pub(super) fn multiply(out: &mut [f32], stride: usize, pairs: &[[Groups<'_>; 2]], add: bool) {
    let Some([first, second]) = pairs.first().map(|pair| pair.map(|factor| factor.shape)) else { return };
    let (a, b, terms) = (first.count, second.count, first.terms);
    let fits = |[left, right]: &[Groups<'_>; 2]| {
        let Shape { steps, .. } = left.shape;
        left.shape == Shape { steps, ..first } && right.shape == Shape { steps, count: b, terms }
    };
    assert!(present() && pairs.iter().all(fits), "factors that fit");
    if a == 0 || b == 0 {
        return;
    }
    assert!(stride >= b && out.len() >= (a - 1) * stride + b, "room for the product");
    let amx = AmxTiles::set_up();
    let mut of_block = Vec::with_capacity(pairs.len());
    for column in (0..b).step_by(GROUP) {
        for row in (0..a).step_by(GROUP) {
            of_block.clear();
            of_block.extend(pairs.iter().map(|[a, b]| Factors::new(a.of(row), b.of(column), a.shape.steps)));
            let (high, wide) = ((a - row).min(GROUP), (b - column).min(GROUP));
            let out = &mut out[row * stride + column..];
            if high == GROUP && wide == GROUP {
                sums(&amx, out, stride, &of_block, terms, add);
                continue;
            }
            let mut edge = [0.0; GROUP * GROUP];
            sums(&amx, &mut edge, GROUP, &of_block, terms, false);
            for (row, edge) in edge.chunks_exact(GROUP).take(high).enumerate() {
                for (out, edge) in out[row * stride..][..wide].iter_mut().zip(edge) {
                    *out = if add { *out + edge } else { *edge };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Prints a note if this machine has no AMX tiles to test.
    fn missing() -> bool {
        if !present() {
            eprintln!("SKIPPED: this machine has no AMX tiles, or does not lend them");
        }
        !present()
    }

    /// Numbers of all magnitudes, with full significands.
    fn draw(count: usize, seed: u64) -> Vec<f32> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| rng.random_range(-1.0_f32..1.0) * rng.random_range(-6.0_f32..6.0).exp()).collect()
    }

    /// `a bᵀ`; the rows of both factors have `depth` numbers.
    fn product(a: &[f32], b: &[f32], depth: usize, terms: Terms) -> Vec<f32> {
        let (rows, columns) = (a.len() / depth, b.len() / depth);
        let packing = |first| Packing { first, along: true, terms };
        let (a, b) = (
            PackedTiles::new(Rows::new(a, depth), depth, packing(true)),
            PackedTiles::in_parallel(Rows::new(b, depth), depth, packing(false)),
        );
        let mut out = vec![7.0; rows * columns];
        multiply(&mut out, columns, &[[a.all(), b.all()]], false);
        out
    }

    /// With three terms, every sum is as close to the exact sum as single precision allows, within a few units in the
    /// last place of its terms. With two terms, it is exact to five digits.
    #[test]
    fn products_have_the_precision_of_f32_or_that_of_derivatives_at_every_size() {
        if missing() {
            return;
        }
        for (rows, depth, columns) in [(1, 1, 1), (31, 33, 17), (32, 64, 32), (70, 100, 65), (128, 1000, 40)] {
            let (a, b) = (draw(rows * depth, 1), draw(columns * depth, 2));
            for (terms, allowed) in [(Terms::Three, 4.0), (Terms::Two, 128.0)] {
                for (at, found) in product(&a, &b, depth, terms).into_iter().enumerate() {
                    let (a, b) = (&a[at / columns * depth..][..depth], &b[at % columns * depth..][..depth]);
                    let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
                    let (sum, size) = products.fold((0.0, 0.0), |(sum, size): (f64, f64), t| (sum + t, size + t.abs()));
                    let error = (f64::from(found) - sum).abs() / (f64::from(f32::EPSILON) * size);
                    assert!(error < allowed, "{rows} × {depth} × {columns}, {at}, {terms:?}: {error} units");
                }
            }
        }
    }

    #[test]
    fn one_number_times_another_keeps_the_digits_that_its_terms_have() {
        if missing() {
            return;
        }
        for (terms, digits) in [(Terms::Three, 23), (Terms::Two, 15)] {
            for seed in 0..2000 {
                let (a, b) = (draw(1, seed), draw(1, seed + 5000));
                let (found, exact) = (f64::from(product(&a, &b, 1, terms)[0]), f64::from(a[0]) * f64::from(b[0]));
                let bound = 2.0_f64.powi(-digits) * exact.abs();
                assert!((found - exact).abs() <= bound, "{} {}, {terms:?}: {found} {exact}", a[0], b[0]);
            }
        }
    }

    #[test]
    fn every_way_of_packing_and_several_pairs_give_the_same_sums() {
        if missing() {
            return;
        }
        let (rows, depth, columns) = (40, 70, 50);
        // integers, whose sums are exact
        let whole = |n: usize, seed| -> Vec<f32> {
            draw(n, seed).iter().map(|v| (v * 3.0).round().clamp(-99.0, 99.0)).collect()
        };
        let (a, b) = (whole(rows * depth, 1), whole(columns * depth, 2));
        let turned = |m: &[f32], wide: usize| -> Vec<f32> {
            let high = m.len() / wide;
            (0..m.len()).map(|at| m[at % high * wide + at / high]).collect()
        };
        let (a_across, b_across) = (turned(&a, depth), turned(&b, depth));
        for terms in [Terms::Three, Terms::Two] {
            let expected = product(&a, &b, depth, terms);
            let across = |m: &[f32], wide: usize, first: bool| {
                PackedTiles::new(Rows::new(m, wide), wide, Packing { first, along: false, terms })
            };
            let (first, second) = (across(&a_across, rows, true), across(&b_across, columns, false));
            let mut out = vec![0.0; rows * columns];
            multiply(&mut out, columns, &[[first.all(), second.all()]], false);
            assert_eq!(out, expected);
            // added once more, in two parts of the depth
            let part = |m: &[f32], wide: usize, depth: Range<usize>, first: bool| {
                across(&m[depth.start * wide..depth.end * wide], wide, first)
            };
            let parts = [0..33, 33..depth]
                .map(|d| (part(&a_across, rows, d.clone(), true), part(&b_across, columns, d, false)));
            multiply(&mut out, columns, &parts.each_ref().map(|(a, b)| [a.all(), b.all()]), true);
            assert_eq!(out, expected.iter().map(|v| 2.0 * v).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_no_number_is_not_hidden() {
        if missing() {
            return;
        }
        let bad = [f32::NAN, f32::from_bits(0x7FFF_FFFF), f32::INFINITY];
        for (bad, terms) in bad.into_iter().flat_map(|bad| [(bad, Terms::Three), (bad, Terms::Two)]) {
            let (mut a, b) = (vec![1.0; 3 * 40], vec![1.0; 2 * 40]);
            a[45] = bad;
            let found = product(&a, &b, 40, terms);
            assert!(found[2..4].iter().all(|v| !v.is_finite()), "{found:?}");
            assert_eq!([&found[..2], &found[4..]].concat(), [40.0; 4]);
        }
    }
}
