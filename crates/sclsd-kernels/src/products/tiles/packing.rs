//! Splits `f32` numbers into bf16 terms, in the order in which AMX tiles load them. Uses AVX-512, which every CPU with
//! AMX has.

use std::arch::x86_64::{
    __m512, __m512i, _mm512_castsi512_ps, _mm512_castsi512_si256, _mm512_cvtepu16_epi32, _mm512_cvtne2ps_pbh,
    _mm512_extracti64x4_epi64, _mm512_load_si512, _mm512_loadu_si512, _mm512_maskz_loadu_ps, _mm512_permutexvar_epi16,
    _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_slli_epi32, _mm512_store_si512, _mm512_sub_ps,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};
use std::mem::MaybeUninit;

use super::tile::{DEPTH, Packing, SIDE, Tile};
use crate::products::Rows;

/// Packs 16 rows or columns and 32 steps of the depth, beginning at position `at`.
pub(super) fn fill(tiles: &mut [MaybeUninit<Tile>], from: Rows<'_>, columns: usize, at: [usize; 2], packing: Packing) {
    let [row, column] = if packing.along { at } else { [at[1], at[0]] };
    let (high, wide) = (from.count().saturating_sub(row), columns.saturating_sub(column));
    let numbers = from.values.as_ptr().wrapping_add(row * from.stride + column);
    // SAFETY: `present` detected the instructions; there are `high` rows of `wide` numbers
    unsafe {
        if packing.along {
            along(tiles, numbers, from.stride, high, wide);
        } else {
            across(tiles, numbers, from.stride, high, wide);
        }
        if packing.first != packing.along {
            tiles.iter_mut().for_each(|tile| transpose(tile.assume_init_mut()));
        }
    }
}

/// A mask with one bit for each of the first `count` lanes.
fn mask(count: usize) -> u16 {
    if count >= SIDE { u16::MAX } else { (1 << count) - 1 }
}

/// Rounds both vectors to bf16, the numbers of the second after the numbers of the first; also returns the remainders.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn cut(first: __m512, second: __m512) -> (__m512i, [__m512; 2]) {
    // SAFETY: both types have the same size, and any bits are valid
    let near: __m512i = unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(second, first)) };
    let rest = |numbers, near| {
        let near = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(near));
        _mm512_sub_ps(numbers, _mm512_castsi512_ps(near))
    };
    let (of_first, of_second) = (_mm512_castsi512_si256(near), _mm512_extracti64x4_epi64::<1>(near));
    (near, [rest(first, of_first), rest(second, of_second)])
}

/// Packs sixteen rows of 32 numbers.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn along(tiles: &mut [MaybeUninit<Tile>], from: *const f32, stride: usize, high: usize, wide: usize) {
    let (left, right) = (mask(wide), mask(wide.saturating_sub(SIDE)));
    for row in 0..SIDE {
        // SAFETY: guaranteed by the caller; masked lanes are not read
        let mut numbers = unsafe {
            let from = from.wrapping_add(row * stride);
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(from.wrapping_add(64).cast());
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(from.wrapping_add(80).cast());
            let there = |mask| if row < high { mask } else { 0 };
            [_mm512_maskz_loadu_ps(there(left), from), _mm512_maskz_loadu_ps(there(right), from.wrapping_add(SIDE))]
        };
        for tile in &mut *tiles {
            let near;
            (near, numbers) = cut(numbers[0], numbers[1]);
            // SAFETY: a tile has 16 rows
            unsafe { _mm512_store_si512(tile.as_mut_ptr().cast::<__m512i>().add(row), near) };
        }
    }
}

/// Permutation that interleaves the numbers of two vectors.
static SIDE_BY_SIDE: [u16; DEPTH] = {
    let mut places = [0; DEPTH];
    let mut i = 1;
    while i < DEPTH {
        places[i] = if i % 2 == 1 { places[i - 1] + 16 } else { places[i - 2] + 1 };
        i += 1;
    }
    places
};

/// Packs sixteen columns of 32 numbers: each of the 16 rows holds two consecutive numbers of every column.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn across(tiles: &mut [MaybeUninit<Tile>], from: *const f32, stride: usize, high: usize, wide: usize) {
    // SAFETY: the array has as many entries as a vector has lanes
    let side_by_side = unsafe { _mm512_loadu_si512(SIDE_BY_SIDE.as_ptr().cast()) };
    for row in 0..SIDE {
        // SAFETY: guaranteed by the caller; masked lanes are not read
        let mut numbers = unsafe {
            let from = from.wrapping_add(2 * row * stride);
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(from.wrapping_add(64).cast());
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(
                from.wrapping_add(64 + stride).cast(),
            );
            let there = |row| if row < high { mask(wide) } else { 0 };
            [
                _mm512_maskz_loadu_ps(there(2 * row), from),
                _mm512_maskz_loadu_ps(there(2 * row + 1), from.wrapping_add(stride)),
            ]
        };
        for tile in &mut *tiles {
            let near;
            (near, numbers) = cut(numbers[0], numbers[1]);
            // SAFETY: a tile has 16 rows
            unsafe {
                _mm512_store_si512(
                    tile.as_mut_ptr().cast::<__m512i>().add(row),
                    _mm512_permutexvar_epi16(side_by_side, near),
                );
            };
        }
    }
}

/// Transposes a tile of 32-bit numbers.
#[target_feature(enable = "avx512f,avx512bw")]
fn transpose(tile: &mut Tile) {
    let mut rows = [_mm512_setzero_si512(); SIDE];
    for (at, row) in rows.iter_mut().enumerate() {
        // SAFETY: a tile has 16 rows
        *row = unsafe { _mm512_load_si512(tile.row(at)) };
    }
    let mut pairs = rows;
    for i in (0..SIDE).step_by(2) {
        pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    // every quarter then holds four rows of one column
    for i in (0..SIDE).step_by(4) {
        for half in 0..2 {
            rows[i + 2 * half] = _mm512_unpacklo_epi64(pairs[i + half], pairs[i + half + 2]);
            rows[i + 2 * half + 1] = _mm512_unpackhi_epi64(pairs[i + half], pairs[i + half + 2]);
        }
    }
    for i in 0..4 {
        let (a, b) = (
            _mm512_shuffle_i32x4::<0x88>(rows[i], rows[4 + i]),
            _mm512_shuffle_i32x4::<0x88>(rows[8 + i], rows[12 + i]),
        );
        let (c, d) = (
            _mm512_shuffle_i32x4::<0xDD>(rows[i], rows[4 + i]),
            _mm512_shuffle_i32x4::<0xDD>(rows[8 + i], rows[12 + i]),
        );
        // SAFETY: a tile has 16 rows
        unsafe {
            _mm512_store_si512(tile.row(i), _mm512_shuffle_i32x4::<0x88>(a, b));
            _mm512_store_si512(tile.row(4 + i), _mm512_shuffle_i32x4::<0x88>(c, d));
            _mm512_store_si512(tile.row(8 + i), _mm512_shuffle_i32x4::<0xDD>(a, b));
            _mm512_store_si512(tile.row(12 + i), _mm512_shuffle_i32x4::<0xDD>(c, d));
        }
    }
}

impl Tile {
    /// A pointer to one of the 16 rows.
    fn row(&mut self, row: usize) -> *mut __m512i {
        self.0[row * SIDE..(row + 1) * SIDE].as_mut_ptr().cast()
    }
}
