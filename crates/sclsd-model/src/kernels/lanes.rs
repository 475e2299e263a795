//! Rows side by side: number `i` of every row of a block stands in one array, so that what is done to a row is done to all
//! of them by vector instructions.

/// Rows in a block.
pub(crate) const LANES: usize = 16;

/// One number of every row of a block.
pub(crate) type Lane = [f32; LANES];

/// `f` of every number.
#[inline(always)]
pub(crate) fn map(a: &Lane, f: impl Fn(f32) -> f32) -> Lane {
    let mut out = [0.0; LANES];
    for lane in 0..LANES {
        out[lane] = f(a[lane]);
    }
    out
}

/// `f` of every pair of numbers.
#[inline(always)]
pub(crate) fn zip(a: &Lane, b: &Lane, f: impl Fn(f32, f32) -> f32) -> Lane {
    let mut out = [0.0; LANES];
    for lane in 0..LANES {
        out[lane] = f(a[lane], b[lane]);
    }
    out
}

/// `out_o = b_o + Σ_i w_oi x_i`, for `w`: `out × x`; without `b` where that is empty.
#[inline(always)]
pub(crate) fn product(w: &[f32], b: &[f32], x: &[Lane], out: &mut [Lane]) {
    /// Outputs at a time: their sums fit into registers.
    const SIDE: usize = 4;
    let n = x.len();
    let mut first = 0;
    while first + SIDE <= out.len() {
        let mut sums = [[0.0; LANES]; SIDE];
        let rows: [&[f32]; SIDE] = std::array::from_fn(|s| &w[(first + s) * n..(first + s + 1) * n]);
        for (i, x) in x.iter().enumerate() {
            for s in 0..SIDE {
                for lane in 0..LANES {
                    sums[s][lane] += rows[s][i] * x[lane];
                }
            }
        }
        for (s, sum) in sums.iter().enumerate() {
            let start = b.get(first + s).copied().unwrap_or(0.0);
            out[first + s] = map(sum, |v| v + start);
        }
        first += SIDE;
    }
    for o in first..out.len() {
        let mut sum = [b.get(o).copied().unwrap_or(0.0); LANES];
        for (w, x) in w[o * n..(o + 1) * n].iter().zip(x) {
            sum = zip(&sum, x, |sum, x| sum + w * x);
        }
        out[o] = sum;
    }
}

/// Rows of `width` numbers as lanes; places without a row are filled with the first row.
pub(crate) fn from_rows(rows: &[f32], width: usize) -> Vec<Lane> {
    let n = rows.len() / width;
    (0..width).map(|i| std::array::from_fn(|lane| rows[if lane < n { lane } else { 0 } * width + i])).collect()
}

/// The first rows of lanes; the inverse of [`from_rows`].
pub(crate) fn to_rows(lanes: &[Lane], rows: &mut [f32]) {
    for (lane, row) in rows.chunks_exact_mut(lanes.len()).enumerate() {
        row.iter_mut().zip(lanes).for_each(|(v, lanes)| *v = lanes[lane]);
    }
}
