//! Sampling of stochastic differential equations with independent (diagonal) noise for every component, in Itô's sense.
//!
//! ```text
//! dz = f(z, t) dt + σ(z, t) dW
//!
//! Euler–Maruyama   z ← z + h f + σ ΔW
//! Milstein         z ← z + h f + σ ΔW + (σ(ẑ, t) − σ) (ΔW² − h) / (2√h),   ẑ = z + h f + √h σ
//! ```
//!
//! Milstein's method as written here needs no derivative of σ (Kloeden and Platen, "Numerical Solution of Stochastic
//! Differential Equations", 1992, 11.1.7). It has strong order 1 if σ of a component depends on that component only.

use std::fmt;
use std::str::FromStr;

use rayon::prelude::*;
use sclsd_spec::{Choice, OutOfRange, UnknownName, in_range};
use serde::{Deserialize, Serialize};

use crate::brownian::{Brownian, MOST_HALVINGS};
use crate::error::OdeError;
use crate::grid::check_grid;

/// A stochastic differential equation, evaluated for one row at a time.
pub trait Sde: Sync {
    /// Number of components of a row.
    fn width(&self) -> usize;
    /// f(z, t).
    fn drift(&self, t: f64, z: &[f64], out: &mut [f64]);
    /// σ(z, t) of every component.
    fn diffusion(&self, t: f64, z: &[f64], out: &mut [f64]);
    /// f(z, t) of some rows, `rows × width`. Override this method if that is faster than row by row. The result of a
    /// row must not depend on the other rows.
    fn drift_of_rows(&self, t: f64, z: &[f64], out: &mut [f64]) {
        let width = self.width();
        z.chunks_exact(width).zip(out.chunks_exact_mut(width)).for_each(|(z, out)| self.drift(t, z, out));
    }
}

/// Rows that one thread integrates at a time.
const ROWS: usize = 16;
/// Number of halvings up to which the noise of `ROWS` rows takes little memory; above it, a thread integrates one row
/// at a time.
const FEW_HALVINGS: u32 = 8;

/// A method for stochastic differential equations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SdeMethod {
    /// Strong order ½, weak order 1. If σ is constant, the strong order is 1 too.
    #[default]
    EulerMaruyama,
    /// Strong and weak order 1, without derivatives of σ.
    Milstein,
}

impl Choice for SdeMethod {
    const WHAT: &'static str = "SDE method";
    const ALL: &'static [Self] = &[Self::EulerMaruyama, Self::Milstein];

    fn name(self) -> &'static str {
        match self {
            Self::EulerMaruyama => "euler-maruyama",
            Self::Milstein => "milstein",
        }
    }
}

impl fmt::Display for SdeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for SdeMethod {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::named(name)
    }
}

/// Method and steps of the sampling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SdeSpec {
    /// Method. Default: euler-maruyama.
    pub method: SdeMethod,
    /// Intervals between two times of the grid, each with its own number in the noise. At least 1. Default: 16.
    pub substeps: usize,
    /// Number of times that each interval is halved, along the same paths of the noise. At most 20. Default: 0.
    pub halvings: u32,
}

impl Default for SdeSpec {
    fn default() -> Self {
        Self { method: SdeMethod::EulerMaruyama, substeps: 16, halvings: 0 }
    }
}

/// Why an equation could not be sampled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SdeError {
    /// The grid does not increase, or the state of a path is not finite.
    #[error(transparent)]
    Path(#[from] OdeError),
    /// The length of the start is not a multiple of the width.
    #[error("the start has {numbers} numbers, which are no rows of {width}")]
    Start {
        /// Length of the start.
        numbers: usize,
        /// Number of components of a row.
        width: usize,
    },
}

/// A specification with all fields in range.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckedSdeSpec(SdeSpec);

impl SdeSpec {
    /// Checks every field.
    ///
    /// # Errors
    /// [`OutOfRange`] names the first field that is out of range.
    pub fn check(self) -> Result<CheckedSdeSpec, OutOfRange> {
        in_range("sde.substeps", self.substeps, self.substeps >= 1, "at least 1")?;
        in_range("sde.halvings", self.halvings, self.halvings <= MOST_HALVINGS, "at most 20")?;
        Ok(CheckedSdeSpec(self))
    }
}

impl CheckedSdeSpec {
    /// The checked specification.
    #[must_use]
    pub fn get(&self) -> &SdeSpec {
        &self.0
    }
}

/// Samples a path from every row of `start`, `rows × width` numbers, on all threads. Returns a state, `rows × width`,
/// for every time of the grid. Row i uses path i of the noise.
///
/// # Errors
/// [`SdeError`] if the grid does not increase, the length of the start is not a multiple of the width, or the state of
/// a path is not finite.
pub fn sample_paths(
    sde: &impl Sde,
    start: &[f64],
    grid: &[f64],
    spec: &CheckedSdeSpec,
    noise: Brownian,
) -> Result<Vec<Vec<f64>>, SdeError> {
    check_grid(grid)?;
    let width = sde.width();
    if width == 0 || !start.len().is_multiple_of(width) {
        return Err(SdeError::Start { numbers: start.len(), width });
    }
    let rows = if spec.get().halvings > FEW_HALVINGS { 1 } else { ROWS };
    let blocks: Vec<Vec<f64>> = start
        .par_chunks(rows * width)
        .enumerate()
        .map(|(block, start)| paths(sde, block * rows, start, grid, spec.get(), noise))
        .collect::<Result<_, _>>()?;
    let at = |time: usize| {
        let part = |block: &Vec<f64>| {
            let size = block.len() / grid.len();
            block[time * size..(time + 1) * size].to_vec()
        };
        blocks.iter().flat_map(part).collect()
    };
    Ok((0..grid.len()).map(at).collect())
}

/// Follows a path from every row of `start`, `rows × width` numbers, on this thread, and hands its state at every time
/// of the grid to `goes_on(row, time, state)`, the time by its place in the grid: a row is followed until that is
/// false. Row i goes along path i of the noise, as in [`sample_paths`]. Memory is that of one state of every row and of
/// their noise between two times.
///
/// # Errors
/// As [`sample_paths`].
pub fn follow_paths(
    sde: &impl Sde,
    start: &[f64],
    grid: &[f64],
    spec: &CheckedSdeSpec,
    noise: Brownian,
    mut goes_on: impl FnMut(usize, usize, &[f64]) -> bool,
) -> Result<(), SdeError> {
    check_grid(grid)?;
    let width = sde.width();
    if width == 0 || !start.len().is_multiple_of(width) {
        return Err(SdeError::Start { numbers: start.len(), width });
    }
    let mut states = States::new(0, start, width);
    for (time, &t) in grid.iter().enumerate() {
        if time > 0 {
            states.advance(sde, [grid[time - 1], t], spec.get(), noise);
        }
        states.check(grid[time.saturating_sub(1)])?;
        states.retain(|row, state| goes_on(row, time, state));
        if states.rows.is_empty() {
            break;
        }
    }
    Ok(())
}

/// The states of some rows at every time of the grid, one time after the other; `first` is the number of the first row.
fn paths(
    sde: &impl Sde,
    first: usize,
    start: &[f64],
    grid: &[f64],
    spec: &SdeSpec,
    noise: Brownian,
) -> Result<Vec<f64>, OdeError> {
    let mut states = States::new(first, start, sde.width());
    let mut all = Vec::with_capacity(grid.len() * start.len());
    for (time, &t) in grid.iter().enumerate() {
        if time > 0 {
            states.advance(sde, [grid[time - 1], t], spec, noise);
        }
        states.check(grid[time.saturating_sub(1)])?;
        all.extend_from_slice(&states.z);
    }
    Ok(all)
}

/// Rows on their way, all at one time.
struct States {
    width: usize,
    /// The path of the noise that each goes along.
    rows: Vec<usize>,
    /// `rows × width`.
    z: Vec<f64>,
    /// Intervals of the noise that are behind them.
    interval: u64,
}

impl States {
    fn new(first: usize, start: &[f64], width: usize) -> Self {
        Self { width, rows: (first..first + start.len() / width).collect(), z: start.to_vec(), interval: 0 }
    }

    /// Names a row that is not finite; it was at time `finite`.
    fn check(&self, finite: f64) -> Result<(), OdeError> {
        match self.z.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(at) => Err(OdeError::NotFinite { row: self.rows[at / self.width], time: finite }),
        }
    }

    /// Keeps the rows that go on.
    fn retain(&mut self, mut goes_on: impl FnMut(usize, &[f64]) -> bool) {
        let (width, mut kept) = (self.width, 0);
        for at in 0..self.rows.len() {
            let from = at * width..(at + 1) * width;
            if goes_on(self.rows[at], &self.z[from.clone()]) {
                self.rows[kept] = self.rows[at];
                self.z.copy_within(from, kept * width);
                kept += 1;
            }
        }
        self.rows.truncate(kept);
        self.z.truncate(kept * width);
    }

    /// From one time of the grid to the next.
    fn advance(&mut self, sde: &impl Sde, [from, to]: [f64; 2], spec: &SdeSpec, noise: Brownian) {
        let (width, size, z) = (self.width, self.z.len(), &mut self.z);
        let (mut f, mut sigma) = (vec![0.0; size], vec![0.0; size]);
        let (mut ahead, mut sigma_ahead) = (vec![0.0; size], vec![0.0; size]);
        let diffusion = |t: f64, z: &[f64], out: &mut [f64]| {
            z.chunks_exact(width).zip(out.chunks_exact_mut(width)).for_each(|(z, out)| sde.diffusion(t, z, out));
        };
        #[expect(clippy::cast_precision_loss, reason = "numbers of steps are far below 2^52")]
        let whole = (to - from) / spec.substeps as f64;
        let parts = 1_u32 << spec.halvings;
        let h = whole / f64::from(parts);
        for substep in 0..spec.substeps {
            let rises: Vec<Vec<f64>> = self
                .rows
                .iter()
                .map(|&row| noise.increments(row as u64, self.interval, whole, spec.halvings, width))
                .collect();
            self.interval += 1;
            for part in 0..parts {
                let rises = rises.iter().map(|rises| &rises[part as usize * width..][..width]);
                #[expect(clippy::cast_precision_loss, reason = "numbers of steps are far below 2^52")]
                let t = from + whole * substep as f64 + h * f64::from(part);
                sde.drift_of_rows(t, z, &mut f);
                diffusion(t, z, &mut sigma);
                if spec.method == SdeMethod::Milstein {
                    for i in 0..size {
                        ahead[i] = z[i] + h * f[i] + h.sqrt() * sigma[i];
                    }
                    diffusion(t, &ahead, &mut sigma_ahead);
                    for (i, rise) in rises.clone().flatten().enumerate() {
                        z[i] += (sigma_ahead[i] - sigma[i]) * (rise * rise - h) / (2.0 * h.sqrt());
                    }
                }
                for (i, rise) in rises.flatten().enumerate() {
                    z[i] += h * f[i] + sigma[i] * rise;
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::print_stdout, reason = "slopes, for those who ask for them")]
mod tests {
    use super::*;
    use crate::linspace;

    const PATHS: usize = 10_000;

    /// dz = f(z) dt + σ(z) dW with one component.
    struct Scalar<F, S>(F, S);

    impl<F: Fn(f64) -> f64 + Sync, S: Fn(f64) -> f64 + Sync> Sde for Scalar<F, S> {
        fn width(&self) -> usize {
            1
        }
        fn drift(&self, _t: f64, z: &[f64], out: &mut [f64]) {
            out[0] = (self.0)(z[0]);
        }
        fn diffusion(&self, _t: f64, z: &[f64], out: &mut [f64]) {
            out[0] = (self.1)(z[0]);
        }
    }

    fn spec(method: SdeMethod, substeps: usize, halvings: u32) -> CheckedSdeSpec {
        SdeSpec { method, substeps, halvings }.check().unwrap()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / f64::from(u32::try_from(values.len()).unwrap())
    }

    fn variance(values: &[f64]) -> f64 {
        let centre = mean(values);
        mean(&values.iter().map(|v| (v - centre).powi(2)).collect::<Vec<_>>())
    }

    #[test]
    fn strong_errors_fall_by_the_order_of_the_method() {
        // geometric Brownian motion: the path is a known function of the noise
        let (mu, s) = (0.5, 0.8);
        let sde = Scalar(|z: f64| mu * z, |z: f64| s * z);
        let noise = Brownian::new(3);
        for (method, order) in [(SdeMethod::EulerMaruyama, 0.5), (SdeMethod::Milstein, 1.0)] {
            let errors: Vec<f64> = (3..8)
                .map(|halvings| {
                    let ends =
                        sample_paths(&sde, &vec![1.0; PATHS], &[0.0, 1.0], &spec(method, 1, halvings), noise).unwrap();
                    let exact =
                        |path: usize| ((mu - 0.5 * s * s) + s * noise.increments(path as u64, 0, 1.0, 0, 1)[0]).exp();
                    mean(&ends[1].iter().enumerate().map(|(path, z)| (z - exact(path)).abs()).collect::<Vec<_>>())
                })
                .collect();
            let slope = (errors[0] / errors[4]).log2() / 4.0;
            println!("{method:?}: strong order {order}, slope {slope:.3} over four halvings, errors {errors:?}");
            assert!((slope - order).abs() < 0.1, "{method:?}: {slope}, {errors:?}");
        }
    }

    #[test]
    fn an_ornstein_uhlenbeck_process_has_its_moments() {
        let (theta, s, start) = (1.5, 0.7, 2.0);
        let sde = Scalar(|z: f64| -theta * z, |_| s);
        let grid = [0.0, 0.5, 3.0];
        let states =
            sample_paths(&sde, &vec![start; PATHS], &grid, &spec(SdeMethod::Milstein, 200, 0), Brownian::new(5))
                .unwrap();
        for (t, z) in grid.iter().zip(&states).skip(1) {
            let var = s * s / (2.0 * theta) * (1.0 - (-2.0 * theta * t).exp());
            // four standard errors, and the method's own error of a hundredth
            let n = f64::from(u32::try_from(PATHS).unwrap());
            assert!((mean(z) - start * (-theta * t).exp()).abs() < 4.0 * (var / n).sqrt() + 5e-3, "{t}");
            assert!((variance(z) / var - 1.0).abs() < 4.0 * (2.0 / n).sqrt() + 1e-2, "{t}: {}", variance(z));
        }
    }

    #[test]
    fn geometric_brownian_motion_has_its_moments() {
        let (mu, s) = (0.3, 0.4);
        let sde = Scalar(|z: f64| mu * z, |z: f64| s * z);
        let z =
            sample_paths(&sde, &vec![1.0; PATHS], &[0.0, 1.0], &spec(SdeMethod::Milstein, 100, 0), Brownian::new(8))
                .unwrap();
        let (m, var) = (mu.exp(), (2.0 * mu).exp() * ((s * s).exp() - 1.0));
        let n = f64::from(u32::try_from(PATHS).unwrap());
        assert!((mean(&z[1]) - m).abs() < 4.0 * (var / n).sqrt() + 5e-3, "{}", mean(&z[1]));
        assert!((variance(&z[1]) / var - 1.0).abs() < 0.1, "{}", variance(&z[1]));
    }

    #[test]
    fn a_double_well_comes_to_its_stationary_density() {
        // V = z⁴/4 − z²/2, density ∝ exp(−2 V / σ²)
        let s = 0.9;
        let sde = Scalar(|z: f64| z - z * z * z, |_| s);
        let states = sample_paths(
            &sde,
            &vec![-1.0; PATHS],
            &[0.0, 15.0],
            &spec(SdeMethod::EulerMaruyama, 750, 0),
            Brownian::new(2),
        )
        .unwrap();
        let mut z = states[1].clone();
        z.sort_by(f64::total_cmp);
        let points = linspace(-3.0, 3.0, 1201);
        let density: Vec<f64> =
            points.iter().map(|z| (-2.0 / (s * s) * (z.powi(4) / 4.0 - z * z / 2.0)).exp()).collect();
        let total: f64 = density.iter().sum();
        let mut below = 0.0;
        let mut largest = 0.0_f64;
        for (point, density) in points.iter().zip(&density) {
            below += density / total;
            let found = z.partition_point(|z| z <= point);
            let share = f64::from(u32::try_from(found).unwrap()) / f64::from(u32::try_from(PATHS).unwrap());
            largest = largest.max((share - below).abs());
        }
        // the Kolmogorov distance, which exceeds 2.2 / √n by chance once in 10⁴
        assert!(largest < 0.022, "{largest}");
    }

    #[test]
    fn paths_are_the_same_on_any_number_of_threads_and_in_parts() {
        let sde = Scalar(|z: f64| -z, |z: f64| 0.3 * (1.0 + z * z).sqrt());
        let start: Vec<f64> = (0..50_u8).map(f64::from).collect();
        let grid = [0.0, 0.3, 1.0];
        let solver = spec(SdeMethod::Milstein, 4, 2);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sample_paths(&sde, &start, &grid, &solver, Brownian::new(1)).unwrap())
        };
        let whole = on(1);
        assert_eq!(whole, on(3));
        let part = sample_paths(&sde, &start[20..], &grid, &solver, Brownian::new(1).from_path(20)).unwrap();
        assert_eq!(part[2], whole[2][20..]);
    }

    #[test]
    fn a_path_that_is_followed_is_the_one_that_is_sampled_until_it_is_stopped() {
        let sde = Scalar(|z: f64| -z, |z: f64| 0.3 * (1.0 + z * z).sqrt());
        let start: Vec<f64> = (0..50_u8).map(f64::from).collect();
        let (grid, solver, noise) = ([0.0, 0.3, 0.6, 1.0], spec(SdeMethod::Milstein, 4, 2), Brownian::new(1));
        let sampled = sample_paths(&sde, &start, &grid, &solver, noise).unwrap();
        let mut seen = vec![0; 50];
        // row r ends at time r % 5 of the grid, or at its end
        follow_paths(&sde, &start, &grid, &solver, noise, |row, time, z| {
            assert_eq!((seen[row], z), (time, &sampled[time][row..=row]));
            seen[row] += 1;
            time < row % 5
        })
        .unwrap();
        assert!(seen.iter().enumerate().all(|(row, seen)| *seen == (row % 5 + 1).min(4)), "{seen:?}");
    }

    /// Two components with constant diffusion and without drift.
    struct Two;
    impl Sde for Two {
        fn width(&self) -> usize {
            2
        }
        fn drift(&self, _t: f64, _z: &[f64], _out: &mut [f64]) {}
        fn diffusion(&self, _t: f64, _z: &[f64], _out: &mut [f64]) {}
    }

    #[test]
    fn what_cannot_be_sampled_is_named() {
        let sde = Scalar(|z: f64| z * z, |_| 0.0);
        let solver = spec(SdeMethod::EulerMaruyama, 50, 0);
        let message = |start: &[f64], grid: &[f64]| {
            sample_paths(&sde, start, grid, &solver, Brownian::new(0)).unwrap_err().to_string()
        };
        let far = message(&[0.0, 5.0], &[0.0, 0.1, 50.0]);
        assert_eq!(far, "the solution from row 1 (counted from 0) is not finite after time 0.1");
        let follow = |start: &[f64]| {
            let goes_on = |row: usize, _: usize, _: &[f64]| row > 0;
            follow_paths(&sde, start, &[0.0, 0.1, 50.0], &solver, Brownian::new(0), goes_on).unwrap_err().to_string()
        };
        assert_eq!(follow(&[0.0, 5.0]), far, "by its place in the start");
        assert_eq!(message(&[0.0], &[1.0, 1.0]), "time 1 of the grid is 1, expected finite times that rise strictly");
        let error = SdeSpec { halvings: 21, ..SdeSpec::default() }.check().unwrap_err();
        assert_eq!(error.to_string(), "sde.halvings is 21, expected at most 20");
        let error = sample_paths(&Two, &[1.0; 3], &[0.0], &solver, Brownian::new(0)).unwrap_err();
        assert_eq!(error.to_string(), "the start has 3 numbers, which are no rows of 2");
    }
}
