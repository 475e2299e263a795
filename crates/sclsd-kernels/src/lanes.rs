//! Products of rows side by side: a [`Lane`] holds one coordinate of every row of a block, so that one SIMD instruction
//! processes that coordinate of several rows.

use pulp::Simd;

use sclsd_ode::lanes::{LANES, Lane};

/// Applies `f` to every lane.
#[inline(always)]
pub(crate) fn map(a: &Lane, f: impl Fn(f32) -> f32) -> Lane {
    let mut out = [0.0; LANES];
    for lane in 0..LANES {
        out[lane] = f(a[lane]);
    }
    out
}

/// Applies `f` to every pair of lanes.
#[inline(always)]
pub(crate) fn zip(a: &Lane, b: &Lane, f: impl Fn(f32, f32) -> f32) -> Lane {
    let mut out = [0.0; LANES];
    for lane in 0..LANES {
        out[lane] = f(a[lane], b[lane]);
    }
    out
}

/// `out_o = b_o + Σ_i w_oi x_i`; `w` is `out × x`, and an empty `b` stands for zeros.
#[inline(always)]
pub(crate) fn product<S: Simd>(simd: S, w: &[f32], b: &[f32], x: &[Lane], out: &mut [Lane]) {
    /// Outputs computed at a time: their accumulators stay in registers.
    const SIDE: usize = 8;
    let n = x.len();
    let mut first = 0;
    while first + SIDE <= out.len() {
        let rows: [&[f32]; SIDE] = std::array::from_fn(|s| &w[(first + s) * n..(first + s + 1) * n]);
        for part in 0..LANES / S::F32_LANES {
            let mut sums = [simd.splat_f32s(0.0); SIDE];
            for (i, x) in x.iter().enumerate() {
                let x = vectors::<S>(x)[part];
                for s in 0..SIDE {
                    sums[s] = simd.mul_add_f32s(simd.splat_f32s(rows[s][i]), x, sums[s]);
                }
            }
            for (s, sum) in sums.into_iter().enumerate() {
                let start = simd.splat_f32s(b.get(first + s).copied().unwrap_or(0.0));
                vectors_mut::<S>(&mut out[first + s])[part] = simd.add_f32s(sum, start);
            }
        }
        first += SIDE;
    }
    for o in first..out.len() {
        for part in 0..LANES / S::F32_LANES {
            let mut sum = simd.splat_f32s(0.0);
            for (w, x) in w[o * n..(o + 1) * n].iter().zip(x) {
                sum = simd.mul_add_f32s(simd.splat_f32s(*w), vectors::<S>(x)[part], sum);
            }
            let start = simd.splat_f32s(b.get(o).copied().unwrap_or(0.0));
            vectors_mut::<S>(&mut out[o])[part] = simd.add_f32s(sum, start);
        }
    }
}

/// `sum_i += a x_i + b y_i`.
#[inline(always)]
pub(crate) fn add_products<S: Simd>(simd: S, sum: &mut [Lane], a: &Lane, x: &[Lane], b: &Lane, y: &[Lane]) {
    for part in 0..LANES / S::F32_LANES {
        let (a, b) = (vectors::<S>(a)[part], vectors::<S>(b)[part]);
        for ((sum, x), y) in sum.iter_mut().zip(x).zip(y) {
            let sum = &mut vectors_mut::<S>(sum)[part];
            *sum = simd.mul_add_f32s(a, vectors::<S>(x)[part], simd.mul_add_f32s(b, vectors::<S>(y)[part], *sum));
        }
    }
}

#[inline(always)]
fn vectors<S: Simd>(lane: &Lane) -> &[S::f32s] {
    S::as_simd_f32s(lane).0
}

#[inline(always)]
fn vectors_mut<S: Simd>(lane: &mut Lane) -> &mut [S::f32s] {
    S::as_mut_simd_f32s(lane).0
}
