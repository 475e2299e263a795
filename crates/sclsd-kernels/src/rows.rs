//! How rows are divided among threads: always into the same groups, whatever the number of threads, so that sums over
//! rows are accumulated in the same order.

use std::ops::Range;

use rayon::prelude::*;

/// Largest number of groups, which are processed in parallel.
const GROUPS: usize = 8;
/// Largest number of rows in a block: a block stays in the cache through a chain of products.
pub(crate) const BLOCK: usize = 128;

/// Rows per group; the last group may have fewer.
pub(crate) fn per_group(rows: usize) -> usize {
    rows.div_ceil(GROUPS).next_multiple_of(8)
}

/// The ranges of rows of all groups.
pub(crate) fn groups(rows: usize) -> Vec<Range<usize>> {
    let size = per_group(rows).max(1);
    (0..rows).step_by(size).map(|first| first..rows.min(first + size)).collect()
}

/// Splits a group into blocks of nearly equal size.
pub(crate) fn blocks(group: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let n = group.len().div_ceil(BLOCK).max(1);
    let size = group.len().div_ceil(n).next_multiple_of(8).max(1);
    let end = group.end;
    group.step_by(size).map(move |first| first..end.min(first + size))
}

/// A vector of `rows × width` numbers, filled in blocks of `size` rows by `make`, which gets the block's first row and
/// the block, set to 0.
///
/// Every block is set to 0 by the thread that fills it, just before, so that it is in that thread's cache.
pub(crate) fn filled_rows(rows: usize, width: usize, size: usize, make: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let len = rows * width;
    let mut all = Vec::with_capacity(len);
    let blocks = all.spare_capacity_mut()[..len].par_chunks_mut((size * width).max(1));
    blocks.enumerate().for_each(|(at, block)| {
        #[expect(unsafe_code, reason = "the standard library's safe way to fill it is many times slower")]
        // SAFETY: all bits 0 are the number 0
        let block = unsafe {
            block.as_mut_ptr().write_bytes(0, block.len());
            &mut *(std::ptr::from_mut(block) as *mut [f32])
        };
        make(at * size, block);
    });
    #[expect(
        unsafe_code,
        reason = "to clear all of it by one thread would be most of the time that others wait for it"
    )]
    // SAFETY: all blocks have been filled
    unsafe {
        all.set_len(len);
    }
    all
}

/// `sum += part`.
pub(crate) fn add(sum: &mut [f32], part: &[f32]) {
    sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
}

/// The element-wise sum of all parts, accumulated in order.
pub(crate) fn total(mut parts: Vec<Vec<f32>>) -> Vec<f32> {
    /// Numbers handled by one thread at a time.
    const CHUNK: usize = 1 << 14;
    let Some((first, rest)) = parts.split_first_mut() else { return Vec::new() };
    first.par_chunks_mut(CHUNK).enumerate().for_each(|(at, sum)| {
        let span = at * CHUNK..at * CHUNK + sum.len();
        rest.iter().for_each(|part| add(sum, &part[span.clone()]));
    });
    parts.swap_remove(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_their_blocks_cover_all_rows_once_and_are_small() {
        for rows in [1, 7, 128, 129, 700, 2560, 12_800] {
            let groups = groups(rows);
            assert!(groups.len() <= GROUPS && groups.iter().cloned().flatten().eq(0..rows), "{rows}");
            for group in groups {
                let blocks: Vec<_> = blocks(group.clone()).collect();
                assert!(blocks.iter().cloned().flatten().eq(group), "{rows}");
                assert!(blocks.iter().all(|block| (1..=BLOCK).contains(&block.len())), "{rows}");
            }
        }
    }
}
