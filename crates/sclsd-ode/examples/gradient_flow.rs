//! Measures the seconds that 1,000 rows of ten numbers take down a potential, dz/dt = −∇V(z), at ten times from 0 to
//! `END`.
//!
//! `cargo run --release -p sclsd-ode --example gradient_flow -- [END RUNS FILE]` runs every method on one thread and on
//! two threads, and prints medians of `RUNS` runs. With `FILE`, the states of each method are written to `FILE.METHOD`
//! as little-endian `f32`, one time after the other.
//!
//! V is a network of widths 10, 32, 32 and 1 with ln cosh after each hidden layer. Weights and starts come from a
//! counter-based generator (SplitMix64), so that other programs can reproduce them.

#![allow(clippy::print_stdout, reason = "an example prints what it measures")]
#![allow(
    clippy::inline_always,
    reason = "what is not inlined where the CPU's vectors are switched on goes without them"
)]

use std::time::Instant;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use sclsd_ode::lanes::{LANES, Lane, from_rows, solve};
use sclsd_ode::{CheckedOdeSpec, Field, Method, OdeSpec, Work, linspace, solve_rows};

const ROWS: usize = 1000;
const WIDTH: usize = 10;
const UNITS: usize = 32;

/// `−Wᵀ(tanh(Wz + b) ∘ Uᵀ(tanh(U ln cosh(Wz + b) + c) ∘ w))`.
struct Potential {
    /// W and U, row-major, and their transposes.
    first: [[f32; WIDTH]; UNITS],
    first_t: [[f32; UNITS]; WIDTH],
    second: [[f32; UNITS]; UNITS],
    second_t: [[f32; UNITS]; UNITS],
    biases: [[f32; UNITS]; 2],
    last: [f32; UNITS],
}

/// The numbers of a seed, uniform from −1 to 1.
fn numbers(seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        #[expect(clippy::cast_precision_loss, reason = "53 bits")]
        let share = ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        2.0 * share - 1.0
    })
}

impl Potential {
    fn new() -> Self {
        let mut numbers = numbers(1);
        #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
        let mut next = |scale: f64| (scale * numbers.next().unwrap_or_default()) as f32;
        let first: [[f32; WIDTH]; UNITS] = std::array::from_fn(|_| std::array::from_fn(|_| next(0.5)));
        let b = std::array::from_fn(|_| next(1.0));
        let second: [[f32; UNITS]; UNITS] = std::array::from_fn(|_| std::array::from_fn(|_| next(0.4)));
        let c = std::array::from_fn(|_| next(1.0));
        Self {
            first,
            first_t: std::array::from_fn(|i| std::array::from_fn(|j| first[j][i])),
            second,
            second_t: std::array::from_fn(|i| std::array::from_fn(|j| second[j][i])),
            biases: [b, c],
            last: std::array::from_fn(|_| next(1.0).abs()),
        }
    }

    #[inline(always)]
    fn gradient<S: Simd>(&self, simd: S, z: &[Lane; WIDTH], out: &mut [Lane; WIDTH]) {
        let none = [[0.0; LANES]; UNITS];
        let (mut a, mut h, mut bent, mut pulled) = (none, none, none, none);
        product(simd, &self.first, z, &mut a);
        for unit in 0..UNITS {
            for lane in 0..LANES {
                let (tanh, ln_cosh) = tanh_and_ln_cosh(a[unit][lane] + self.biases[0][unit]);
                (bent[unit][lane], h[unit][lane]) = (-tanh, ln_cosh);
            }
        }
        product(simd, &self.second, &h, &mut a);
        for unit in 0..UNITS {
            for lane in 0..LANES {
                h[unit][lane] = self.last[unit] * tanh_and_ln_cosh(a[unit][lane] + self.biases[1][unit]).0;
            }
        }
        product(simd, &self.second_t, &h, &mut pulled);
        for (bent, pulled) in bent.iter_mut().zip(&pulled) {
            for lane in 0..LANES {
                bent[lane] *= pulled[lane];
            }
        }
        product(simd, &self.first_t, &bent, out);
    }
}

/// Computes the drift at the widest SIMD level of this CPU.
struct PotentialGradient<'a>(&'a Potential, &'a [Lane; WIDTH], &'a mut [Lane; WIDTH]);

impl WithSimd for PotentialGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.gradient(simd, self.1, self.2);
    }
}

impl Field for Potential {
    type Scratch = ();
    type Accumulator = ();

    fn width(&self) -> usize {
        WIDTH
    }
    fn scratch(&self) {}
    fn accumulator(&self) {}
    fn total(&self, (): &()) -> Vec<f32> {
        Vec::new()
    }
    fn drift(&self, z: &[Lane], out: &mut [Lane], (): &mut ()) {
        let z: &[Lane; WIDTH] = z.try_into().expect("rows of ten numbers");
        let out: &mut [Lane; WIDTH] = out.try_into().expect("rows of ten numbers");
        Arch::new().dispatch(PotentialGradient(self, z, out));
    }
    fn drift_vjp(&self, _: &[Lane], _: &[Lane], _: &mut [Lane], (): &mut (), (): &mut ()) {
        unreachable!("states are followed forward only")
    }
}

/// `out = matrix · x`, eight rows of the matrix at a time, whose accumulators stay in registers.
#[inline(always)]
fn product<S: Simd, const M: usize, const N: usize>(
    simd: S,
    matrix: &[[f32; N]; M],
    x: &[Lane; N],
    out: &mut [Lane; M],
) {
    let whole = M / 8 * 8;
    for row in (0..whole).step_by(8) {
        rows::<S, 8, M, N>(simd, matrix, row, x, out);
    }
    for row in whole..M {
        rows::<S, 1, M, N>(simd, matrix, row, x, out);
    }
}

#[inline(always)]
fn rows<S: Simd, const K: usize, const M: usize, const N: usize>(
    simd: S,
    matrix: &[[f32; N]; M],
    row: usize,
    x: &[Lane; N],
    out: &mut [Lane; M],
) {
    for part in 0..LANES / S::F32_LANES {
        let mut sums = [simd.splat_f32s(0.0); K];
        for i in 0..N {
            let x = S::as_simd_f32s(&x[i]).0[part];
            for k in 0..K {
                sums[k] = simd.mul_add_f32s(simd.splat_f32s(matrix[row + k][i]), x, sums[k]);
            }
        }
        for k in 0..K {
            S::as_mut_simd_f32s(&mut out[row + k]).0[part] = sums[k];
        }
    }
}

/// tanh a and ln cosh a from e^(−2|a|), with an error of at most 3e-7.
#[inline(always)]
fn tanh_and_ln_cosh(a: f32) -> (f32, f32) {
    /// 1.5 · 2²³: adding this number rounds to an integer.
    const WHOLE: f32 = 12_582_912.0;
    let size = a.abs().min(43.0);
    // e^(−2 size) = 2ⁿ eʳ
    let shifted = (-2.0 * std::f32::consts::LOG2_E).mul_add(size, WHOLE);
    let n = shifted - WHOLE;
    let r = n.mul_add(1.428_606_8e-6, n.mul_add(-0.693_145_75, -2.0 * size));
    let series = [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let p = series.iter().fold(1.0 / 720.0, |p: f32, c| p.mul_add(r, *c));
    let e = p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3F80_0000));
    // ln(1 + e) = 2 artanh(s) with s = e / (2 + e) ≤ ⅓
    let s = e / (2.0 + e);
    let q = s * s;
    let odd = [1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0];
    let log = 2.0 * s * odd.iter().fold(1.0 / 11.0, |p: f32, c| p.mul_add(q, *c));
    let rest = (a.abs() - std::f32::consts::LN_2) + log;
    (((1.0 - e) / (1.0 + e)).copysign(a), rest)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let end: f64 = args.next().map_or(Ok(1.0), |text| text.parse())?;
    let runs: usize = args.next().map_or(Ok(7), |text| text.parse())?;
    let file = args.next();
    let potential = Potential::new();
    #[expect(clippy::cast_possible_truncation, reason = "states are f32")]
    let rows: Vec<f32> = numbers(2).take(ROWS * WIDTH).map(|v| (2.0 * v) as f32).collect();
    let grid = linspace(0.0, end, 10);
    let methods = [("dopri5", Method::Dopri5), ("tsit5", Method::Tsit5)];
    let pools = [1, 2].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build());
    let [one, two] = pools;
    let pools = [(1, one?), (2, two?)];
    for (name, method) in methods {
        let spec = OdeSpec { method, rtol: 1e-5, atol: 1e-6, ..OdeSpec::default() }.check()?;
        let (sum, most) = work(&potential, &rows, &grid, &spec)?;
        println!("{name}: {sum} evaluations of blocks of {LANES} rows, at most {} per block", most.evaluations);
        if let Some(file) = &file {
            let states = solve_rows(&potential, &rows, &grid, &spec)?;
            let bytes: Vec<u8> = states.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
            std::fs::write(format!("{file}.{name}"), bytes)?;
        }
        for (threads, pool) in &pools {
            let time = || {
                let (began, before) = (Instant::now(), computed());
                let solved = pool.install(|| solve_rows(&potential, &rows, &grid, &spec));
                solved.map(|_| (began.elapsed().as_secs_f64(), computed() - before))
            };
            time()?; // warm-up: allocates memory
            let (wall, computed): (Vec<f64>, Vec<f64>) =
                (0..runs).map(|_| time()).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
            let (wall, computed) = (median(wall), median(computed));
            println!("{name} {threads} threads: wall {wall:.6} cpu {computed:.6}");
        }
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// CPU time of all threads of this process in seconds, on systems that report it. On a busy machine this is the number
/// to compare.
fn computed() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of = |stat: String| stat.split_whitespace().next()?.parse::<f64>().ok();
    tasks.filter_map(|task| of(std::fs::read_to_string(task.path().join("schedstat")).ok()?)).sum::<f64>() / 1e9
}

/// Evaluations of all blocks together, and the largest work counters of a block.
fn work(
    field: &Potential,
    rows: &[f32],
    grid: &[f64],
    spec: &CheckedOdeSpec,
) -> Result<(usize, Work), sclsd_ode::OdeError> {
    let all = rows
        .par_chunks(LANES * WIDTH)
        .map(|rows| Ok(solve(field, from_rows(rows, WIDTH), grid, spec, false)?.work))
        .collect::<Result<Vec<Work>, _>>()?;
    let most = all.iter().fold(Work::default(), |most, work| most.larger(*work));
    Ok((all.iter().map(|work| work.evaluations).sum(), most))
}
