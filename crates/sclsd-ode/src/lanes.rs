//! Equations for rows side by side on the host, and their discrete adjoint.
//!
//! A [`Lane`] holds one coordinate of [`LANES`] rows, so that one SIMD instruction processes several rows. Numbers are
//! `f32`, or `f64` for a field that implements it. Every block chooses its own steps; the error of a step is that of
//! its worst row. The backward pass recomputes every step from its saved first state, and goes through its stages in
//! reverse. With λ the gradient with respect to the state at the step's end, and G the gradient with respect to a state
//! inside the step, y + h Σ w_i k_i:
//!
//! ```text
//! κ_i = h b_i λ + Σ_G h w_i G + Σ_{j>i} h a_ji μ_j,   μ_i = (∂f/∂y)ᵀ κ_i at stage i,   λ ← λ + Σ G + Σ_i μ_i
//! ```
//!
//! These are the exact gradients of the computed numbers, with the choice of steps held fixed, as for tensors.

use std::fmt::Debug;

use rayon::prelude::*;

use crate::control::{change, long_step, short_step};
use crate::error::OdeError;
use crate::grid::check_grid;
use crate::real::Real;
use crate::spec::{CheckedOdeSpec, Method, OdeSpec};
use crate::tableau::{self, Embedded, Tableau};
use crate::work::Work;

/// Rows in a block.
pub const LANES: usize = 16;

/// One coordinate of every row of a block.
pub type Lane<R = f32> = [R; LANES];

/// A drift f(y) that does not depend on time, for rows side by side, with its vector–Jacobian product.
pub trait Field<R: Real = f32>: Sync {
    /// Scratch space of an evaluation.
    type Scratch;
    /// Accumulator of gradients with respect to the parameters, over evaluations.
    type Accumulator: Send;

    /// Number of coordinates of a row.
    fn width(&self) -> usize;
    /// Allocates the scratch space.
    fn scratch(&self) -> Self::Scratch;
    /// An accumulator of zeros.
    fn accumulator(&self) -> Self::Accumulator;
    /// The accumulated gradient as one vector.
    fn total(&self, sums: &Self::Accumulator) -> Vec<R>;
    /// f(y).
    fn drift(&self, y: &[Lane<R>], out: &mut [Lane<R>], scratch: &mut Self::Scratch);
    /// Writes `(∂f/∂y)ᵀ gradient`, and adds the gradient of `gradient · f` with respect to the parameters to `sums`.
    fn drift_vjp(
        &self,
        y: &[Lane<R>],
        gradient: &[Lane<R>],
        grad_y: &mut [Lane<R>],
        sums: &mut Self::Accumulator,
        scratch: &mut Self::Scratch,
    );
}

/// An accepted step, saved for the backward pass.
#[derive(Debug, Clone)]
pub struct Step<R = f32> {
    h: f64,
    start: Vec<Lane<R>>,
    /// Times of the grid inside the step, with the weights of the stages there; `None` stands for the step's end.
    inside: Vec<(usize, Option<Vec<f64>>)>,
}

/// The states of a block at all times, and its saved steps.
#[derive(Debug)]
pub struct Path<R = f32> {
    /// The state at every time of the grid.
    pub states: Vec<Vec<Lane<R>>>,
    /// The steps, if they were asked for.
    pub steps: Vec<Step<R>>,
    /// Work counters.
    pub work: Work,
}

/// Solves from `start`, `width` lanes, over `grid`; saves the steps for [`adjoint`] if asked to.
///
/// # Errors
/// [`OdeError`] if the grid does not increase, the state of a row is not finite, or the steps run out.
pub fn solve<R: Real, F: Field<R>>(
    field: &F,
    start: Vec<Lane<R>>,
    grid: &[f64],
    spec: &CheckedOdeSpec,
    keep: bool,
) -> Result<Path<R>, OdeError> {
    check_grid(grid)?;
    let spec = spec.get();
    let mut run = Run {
        field,
        spec,
        scratch: field.scratch(),
        path: Path { states: vec![start], steps: Vec::new(), work: Work::default() },
        keep,
    };
    if grid.len() > 1 {
        match scheme(spec.method) {
            (_, Some(method)) => run.adaptive(method, grid)?,
            (tableau, None) => run.fixed(tableau, grid)?,
        }
    }
    Ok(run.path)
}

fn scheme(method: Method) -> (&'static Tableau, Option<&'static Embedded>) {
    match method {
        Method::Dopri5 => (&tableau::DOPRI5.tableau, Some(&tableau::DOPRI5)),
        Method::Tsit5 => (&tableau::TSIT5.tableau, Some(&tableau::TSIT5)),
        Method::Rk4 => (&tableau::RK4, None),
        Method::Euler => (&tableau::EULER, None),
    }
}

struct Run<'a, R: Real, F: Field<R>> {
    field: &'a F,
    spec: &'a OdeSpec,
    scratch: F::Scratch,
    path: Path<R>,
    keep: bool,
}

impl<R: Real, F: Field<R>> Run<'_, R, F> {
    fn drift(&mut self, y: &[Lane<R>], out: &mut [Lane<R>]) {
        self.path.work.evaluations += 1;
        self.field.drift(y, out, &mut self.scratch);
    }

    /// Computes the stages from `first` on of a step from y. `next` is left at the state of the last stage.
    fn stages(
        &mut self,
        method: &Tableau,
        first: usize,
        (y, h): (&[Lane<R>], f64),
        k: &mut [Vec<Lane<R>>],
        next: &mut [Lane<R>],
    ) {
        for stage in first..k.len() {
            combine(Some(y), h, method.a[stage], k, next);
            self.drift(next, &mut k[stage]);
        }
    }

    fn adaptive(&mut self, method: &Embedded, grid: &[f64]) -> Result<(), OdeError> {
        let width = self.field.width();
        let (mut t, mut y, end) = (grid[0], self.path.states[0].clone(), grid[grid.len() - 1]);
        let mut k = vec![vec![[R::ZERO; LANES]; width]; method.tableau.c.len()];
        let last = k.len() - 1;
        self.drift(&y, &mut k[0]);
        let mut h = self.first_step(t, &y, &k[0])?.min(end - t);
        let (mut next, mut error) = (y.clone(), y.clone());
        while self.path.states.len() < grid.len() {
            let taken = self.path.work.steps + self.path.work.rejected;
            if taken >= self.spec.max_steps {
                return Err(OdeError::TooManySteps { time: t, steps: taken });
            }
            self.stages(&method.tableau, 1, (&y, h), &mut k, &mut next);
            combine(None, h, &method.error, &k, &mut error);
            let (size, row) = worst(&error, |i, lane| scale(y[i][lane], next[i][lane], self.spec));
            if !size.is_finite() && h < 1e-6 * (end - grid[0]) {
                return Err(OdeError::NotFinite { row, time: t });
            }
            let change = change(size);
            if size.is_nan() || size > 1.0 {
                self.path.work.rejected += 1;
                h *= change.min(1.0);
                continue;
            }
            self.path.work.steps += 1;
            let reached = if (end - t - h).abs() <= 1e-12 * end.abs().max(1.0) { end } else { t + h };
            let mut inside = Vec::new();
            while self.path.states.len() < grid.len() && grid[self.path.states.len()] <= reached {
                let at = self.path.states.len();
                if grid[at] >= reached {
                    self.path.states.push(next.clone());
                    inside.push((at, None));
                } else {
                    let weights = method.inside((grid[at] - t) / h);
                    let mut state = y.clone();
                    combine(Some(&y), h, &weights, &k, &mut state);
                    self.path.states.push(state);
                    inside.push((at, Some(weights)));
                }
            }
            if self.keep {
                self.path.steps.push(Step { h, start: y.clone(), inside });
            }
            k.swap(0, last);
            std::mem::swap(&mut y, &mut next);
            t = reached;
            h = (h * change).min((end - t).max(f64::MIN_POSITIVE));
        }
        Ok(())
    }

    fn first_step(&mut self, t: f64, y: &[Lane<R>], derivative: &[Lane<R>]) -> Result<f64, OdeError> {
        let spec = self.spec;
        let sizes = [y, derivative].map(|x| worst(x, |i, lane| scale(y[i][lane], y[i][lane], spec)));
        if let Some(&(_, row)) = sizes.iter().find(|(size, _)| !size.is_finite()) {
            return Err(OdeError::NotFinite { row, time: t });
        }
        let [(size, _), (speed, _)] = sizes;
        let short = short_step(size, speed);
        let mut ahead = y.to_vec();
        combine(Some(y), short, &[1.0], &[derivative.to_vec()], &mut ahead);
        let mut change = y.to_vec();
        self.drift(&ahead, &mut change);
        for (change, derivative) in change.iter_mut().zip(derivative) {
            change.iter_mut().zip(derivative).for_each(|(a, b)| *a -= *b);
        }
        let bend = worst(&change, |i, lane| scale(y[i][lane], y[i][lane], spec)).0 / short;
        Ok(long_step(short, speed.max(bend)))
    }

    fn fixed(&mut self, method: &Tableau, grid: &[f64]) -> Result<(), OdeError> {
        let width = self.field.width();
        let mut y = self.path.states[0].clone();
        let mut k = vec![vec![[R::ZERO; LANES]; width]; method.c.len()];
        let mut next = y.clone();
        for (at, pair) in grid.windows(2).enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "numbers of steps are far below 2^52")]
            let h = (pair[1] - pair[0]) / self.spec.substeps as f64;
            for substep in 0..self.spec.substeps {
                self.stages(method, 0, (&y, h), &mut k, &mut next);
                combine(Some(&y), h, method.b, &k, &mut next);
                if self.keep {
                    let ends = substep + 1 == self.spec.substeps;
                    let inside = if ends { vec![(at + 1, None)] } else { Vec::new() };
                    self.path.steps.push(Step { h, start: y.clone(), inside });
                }
                std::mem::swap(&mut y, &mut next);
                self.path.work.steps += 1;
            }
            self.path.states.push(y.clone());
        }
        // a non-finite state stays non-finite, so checking the end is enough
        if first_not_finite(&y).is_none() {
            return Ok(());
        }
        let mut bad = self.path.states.iter().map(|y| first_not_finite(y)).enumerate();
        let (at, row) = bad.find_map(|(at, row)| Some((at, row?))).unwrap_or_default();
        Err(OdeError::NotFinite { row, time: grid[at.saturating_sub(1)] })
    }
}

/// The backward pass: returns the gradient with respect to the start, given the gradients with respect to the states at
/// the times of the grid. The gradient with respect to the field's parameters is added to `sums`. `steps` are the steps
/// that [`solve`] saved, with the same method.
pub fn adjoint<R: Real, F: Field<R>>(
    field: &F,
    method: Method,
    steps: &[Step<R>],
    gradients: &[Vec<Lane<R>>],
    sums: &mut F::Accumulator,
) -> Vec<Lane<R>> {
    let (tableau, _) = scheme(method);
    let (width, stages) = (field.width(), tableau.c.len());
    let none = || vec![[R::ZERO; LANES]; width];
    let mut scratch = field.scratch();
    let mut k: Vec<Vec<Lane<R>>> = (0..stages).map(|_| none()).collect();
    let (mut y, mut kappa) = (k.clone(), k.clone());
    let (mut gradient, mut pulled) = (none(), none());
    for step in steps.iter().rev() {
        for stage in 0..stages {
            combine(Some(&step.start), step.h, tableau.a[stage], &k, &mut y[stage]);
            field.drift(&y[stage], &mut k[stage], &mut scratch);
        }
        for (at, weights) in &step.inside {
            if weights.is_none() {
                accumulate(&mut gradient, 1.0, &gradients[*at]);
            }
        }
        let mut used = vec![false; stages];
        for stage in 0..stages {
            kappa[stage].fill([R::ZERO; LANES]);
            let mut push = |weight: f64, by: &[Lane<R>]| {
                if weight != 0.0 {
                    accumulate(&mut kappa[stage], step.h * weight, by);
                    used[stage] = true;
                }
            };
            push(tableau.b[stage], &gradient);
            for (at, weights) in &step.inside {
                weights.iter().for_each(|weights| push(weights[stage], &gradients[*at]));
            }
        }
        for (at, weights) in &step.inside {
            if weights.is_some() {
                accumulate(&mut gradient, 1.0, &gradients[*at]);
            }
        }
        for stage in (0..stages).rev() {
            if !used[stage] {
                continue;
            }
            field.drift_vjp(&y[stage], &kappa[stage], &mut pulled, sums, &mut scratch);
            accumulate(&mut gradient, 1.0, &pulled);
            for (before, &weight) in tableau.a[stage].iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
                accumulate(&mut kappa[before], step.h * weight, &pulled);
                used[before] = true;
            }
        }
    }
    accumulate(&mut gradient, 1.0, &gradients[0]);
    gradient
}

/// Solves from every row of `start`, `rows × width` numbers, block by block on all threads. Returns a state,
/// `rows × width`, for every time of the grid.
///
/// # Errors
/// As [`solve`]; rows are counted from the first row of `start`.
///
/// # Panics
/// If the length of `start` is not a multiple of the width.
pub fn solve_rows<R: Real, F: Field<R>>(
    field: &F,
    start: &[R],
    grid: &[f64],
    spec: &CheckedOdeSpec,
) -> Result<Vec<Vec<R>>, OdeError> {
    check_grid(grid)?;
    let width = field.width();
    assert_eq!(start.len() % width, 0, "rows of {width} numbers");
    let paths: Vec<Path<R>> = start
        .par_chunks(LANES * width)
        .enumerate()
        .map(|(block, rows)| {
            solve(field, from_rows(rows, width), grid, spec, false).map_err(|error| error.at_row(block * LANES))
        })
        .collect::<Result<_, _>>()?;
    let mut states = vec![vec![R::ZERO; start.len()]; grid.len()];
    for (block, path) in paths.iter().enumerate() {
        for (states, state) in states.iter_mut().zip(&path.states) {
            let first = block * LANES * width;
            let end = (first + LANES * width).min(start.len());
            to_rows(state, &mut states[first..end]);
        }
    }
    Ok(states)
}

/// Converts rows of `width` numbers to lanes; lanes without a row are filled with the first row.
#[must_use]
pub fn from_rows<R: Real>(rows: &[R], width: usize) -> Vec<Lane<R>> {
    let n = rows.len() / width;
    (0..width).map(|i| std::array::from_fn(|lane| rows[if lane < n { lane } else { 0 } * width + i])).collect()
}

/// Converts lanes back to rows; the inverse of [`from_rows`].
pub fn to_rows<R: Real>(lanes: &[Lane<R>], rows: &mut [R]) {
    for (lane, row) in rows.chunks_exact_mut(lanes.len()).enumerate() {
        row.iter_mut().zip(lanes).for_each(|(v, lanes)| *v = lanes[lane]);
    }
}

/// `out = y + h Σ w_i k_i`; y is 0 if `None`.
fn combine<R: Real>(y: Option<&[Lane<R>]>, h: f64, weights: &[f64], k: &[Vec<Lane<R>>], out: &mut [Lane<R>]) {
    match y {
        Some(y) => out.copy_from_slice(y),
        None => out.fill([R::ZERO; LANES]),
    }
    for (weight, k) in weights.iter().zip(k).filter(|(weight, _)| **weight != 0.0) {
        accumulate(out, h * weight, k);
    }
}

/// `sum += factor x`.
fn accumulate<R: Real>(sum: &mut [Lane<R>], factor: f64, x: &[Lane<R>]) {
    let factor = R::nearest(factor);
    for (sum, x) in sum.iter_mut().zip(x) {
        for lane in 0..LANES {
            sum[lane] += factor * x[lane];
        }
    }
}

fn scale<R: Real>(y: R, next: R, spec: &OdeSpec) -> R {
    R::nearest(spec.atol) + R::nearest(spec.rtol) * y.abs().max(next.abs())
}

/// The first row with a number that is not finite.
fn first_not_finite<R: Real>(y: &[Lane<R>]) -> Option<usize> {
    (0..LANES).find(|&lane| y.iter().any(|lanes| !lanes[lane].is_finite()))
}

/// Largest root mean square of a row of `x / scale`, and that row; `NaN` if any row has one.
fn worst<R: Real>(x: &[Lane<R>], scale: impl Fn(usize, usize) -> R) -> (f64, usize) {
    let mut squares = [R::ZERO; LANES];
    for (i, x) in x.iter().enumerate() {
        for lane in 0..LANES {
            let v = x[lane] / scale(i, lane);
            squares[lane] += v * v;
        }
    }
    let mut worst = (0.0_f64, 0);
    for (row, v) in squares.into_iter().map(Into::into).enumerate() {
        if !worst.0.is_nan() && (v.is_nan() || v > worst.0) {
            worst = (v, row);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "dimensions are far below 2^52")]
    let n = x.len() as f64;
    ((worst.0 / n).sqrt(), worst.1)
}

#[cfg(test)]
#[allow(clippy::print_stdout, reason = "slopes, for those who ask for them")]
mod tests {
    use super::*;
    use crate::linspace;

    /// y' = A y with two components: a damped oscillator y'' = −y' − 4 y, with gradients with respect to the four
    /// entries of A.
    struct Linear([f32; 4]);

    const OSCILLATOR: Linear = Linear([0.0, 1.0, -4.0, -1.0]);

    impl Field for Linear {
        type Scratch = ();
        type Accumulator = [Lane; 4];

        fn width(&self) -> usize {
            2
        }
        fn scratch(&self) {}
        fn accumulator(&self) -> [Lane; 4] {
            [[0.0; LANES]; 4]
        }
        fn total(&self, sums: &[Lane; 4]) -> Vec<f32> {
            sums.iter().map(|parts| parts.iter().sum()).collect()
        }
        fn drift(&self, y: &[Lane], out: &mut [Lane], (): &mut ()) {
            for (i, out) in out.iter_mut().enumerate() {
                for lane in 0..LANES {
                    out[lane] = self.0[2 * i] * y[0][lane] + self.0[2 * i + 1] * y[1][lane];
                }
            }
        }
        fn drift_vjp(&self, y: &[Lane], gradient: &[Lane], grad_y: &mut [Lane], sums: &mut [Lane; 4], (): &mut ()) {
            for lane in 0..LANES {
                for j in 0..2 {
                    grad_y[j][lane] = self.0[j] * gradient[0][lane] + self.0[2 + j] * gradient[1][lane];
                    for i in 0..2 {
                        sums[2 * i + j][lane] += gradient[i][lane] * y[j][lane];
                    }
                }
            }
        }
    }

    fn exact(t: f64) -> f64 {
        let w = 3.75_f64.sqrt();
        (-0.5 * t).exp() * ((w * t).cos() + 0.5 / w * (w * t).sin())
    }

    fn spec(method: Method) -> OdeSpec {
        OdeSpec { method, ..OdeSpec::default() }
    }

    /// A damped oscillator u' = v, v' = −u − v/5 in the coordinates y = (u, v + u²). It is nonlinear, so that every
    /// order condition matters, and its solution is known.
    struct Bent;

    impl<R: Real> Field<R> for Bent {
        type Scratch = ();
        type Accumulator = ();

        fn width(&self) -> usize {
            2
        }
        fn scratch(&self) {}
        fn accumulator(&self) {}
        fn total(&self, (): &()) -> Vec<R> {
            Vec::new()
        }
        fn drift(&self, y: &[Lane<R>], out: &mut [Lane<R>], (): &mut ()) {
            let (minus, fifth, two) = (R::nearest(-1.0), R::nearest(-0.2), R::nearest(2.0));
            for lane in 0..LANES {
                let u = y[0][lane];
                let v = y[1][lane] + minus * u * u;
                out[0][lane] = v;
                out[1][lane] = minus * u + fifth * v + two * u * v;
            }
        }
        fn drift_vjp(&self, _: &[Lane<R>], _: &[Lane<R>], _: &mut [Lane<R>], (): &mut (), (): &mut ()) {
            unreachable!("nothing here goes back")
        }
    }

    /// Distance of a state from the solution of [`Bent`] at `t`, from (1, 1), where u = 1 and v = 0.
    fn off(y: &[Lane<f64>], t: f64) -> f64 {
        let w = 0.99_f64.sqrt();
        let (sin, cos) = (w * t).sin_cos();
        let decay = (-0.1 * t).exp();
        let (u, v) = (decay * (cos + 0.1 / w * sin), -decay * sin / w);
        (y[0][0] - u).hypot(y[1][0] - v - u * u)
    }

    /// The observed order: by how many powers of two the errors fall per halving of the step, over four halvings.
    fn slope(name: &str, order: f64, error: impl FnMut(i32) -> f64) -> f64 {
        let errors: Vec<f64> = (0..5).map(error).collect();
        let slope = (errors[0] / errors[4]).log2() / 4.0;
        println!("{name}: order {order}, slope {slope:.3} over four halvings, errors {errors:?}");
        slope
    }

    fn run(start: Vec<Lane<f64>>, spec: &OdeSpec) -> Run<'_, f64, Bent> {
        let path = Path { states: vec![start], steps: Vec::new(), work: Work::default() };
        Run { field: &Bent, spec, scratch: (), path, keep: false }
    }

    #[test]
    fn errors_of_fixed_steps_fall_by_the_order_of_the_method() {
        // in f64, with the same code as f32, whose rounding hides the last halvings of a method of order 5
        let methods = [
            ("dopri5", &tableau::DOPRI5.tableau, 5.0, 40),
            ("tsit5", &tableau::TSIT5.tableau, 5.0, 40),
            ("rk4", &tableau::RK4, 4.0, 40),
            ("euler", &tableau::EULER, 1.0, 640),
        ];
        for (name, method, order, coarse) in methods {
            let slope = slope(name, order, |halvings| {
                let spec = OdeSpec { substeps: coarse << halvings, ..OdeSpec::default() };
                let mut run = run(from_rows(&[1.0, 1.0], 2), &spec);
                run.fixed(method, &[0.0, 5.0]).unwrap();
                off(&run.path.states[1], 5.0)
            });
            assert!((slope - order).abs() < 0.1, "{name}: {slope}");
        }
    }

    #[test]
    fn errors_between_steps_fall_by_the_order_of_dense_output() {
        for (name, method) in [("dopri5 within a step", &tableau::DOPRI5), ("tsit5 within a step", &tableau::TSIT5)] {
            // after one step, at a fraction of the step: the local error is one order above the global order 4
            let slope = slope(name, 5.0, |halvings| {
                let (h, theta) = (0.1 * 0.5_f64.powi(halvings), 0.4);
                let y = from_rows(&[1.0, 1.0], 2);
                let (mut k, mut state) = (vec![y.clone(); 7], y.clone());
                run(y.clone(), &OdeSpec::default()).stages(&method.tableau, 0, (&y, h), &mut k, &mut state);
                combine(Some(&y), h, &method.inside(theta), &k, &mut state);
                off(&state, theta * h)
            });
            assert!((slope - 5.0).abs() < 0.1, "{name}: {slope}");
        }
    }

    #[test]
    fn rows_of_f32_go_where_those_of_f64_do() {
        let grid = linspace(0.0, 2.0, 5);
        for method in [Method::Dopri5, Method::Tsit5, Method::Rk4, Method::Euler] {
            let spec = OdeSpec { rtol: 1e-6, substeps: 32, ..spec(method) }.check().unwrap();
            let single = solve_rows(&Bent, &[1.0_f32, 1.0, -0.4, 0.3], &grid, &spec).unwrap();
            let double = solve_rows(&Bent, &[1.0_f64, 1.0, -0.4, 0.3], &grid, &spec).unwrap();
            for (single, double) in single.iter().flatten().zip(double.iter().flatten()) {
                assert!((f64::from(*single) - double).abs() < 1e-5, "{method:?}: {single} {double}");
            }
        }
    }

    #[test]
    fn rows_meet_their_tolerance_whatever_company_they_keep_and_on_any_number_of_threads() {
        let rows: Vec<f32> = (0..37_u8).flat_map(|i| [1.0 + f32::from(i), 0.0]).collect();
        let grid = linspace(0.0, 5.0, 21);
        for method in [Method::Dopri5, Method::Tsit5] {
            let solver = OdeSpec { rtol: 1e-5, atol: 1e-6, ..spec(method) }.check().unwrap();
            let on = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| solve_rows(&OSCILLATOR, &rows, &grid, &solver).unwrap())
            };
            let states = on(1);
            assert_eq!(states, on(3));
            for (t, state) in grid.iter().zip(&states) {
                for (row, start) in state.chunks(2).zip(rows.chunks(2)) {
                    let (found, exact) = (f64::from(row[0]), f64::from(start[0]) * exact(*t));
                    assert!((found - exact).abs() < 1e-4 * f64::from(start[0]), "{method:?} at {t}: {found} {exact}");
                }
            }
        }
    }

    #[test]
    fn the_adjoint_gives_the_differences_that_small_changes_make() {
        let grid = [0.0, 0.7, 1.5];
        for method in [Method::Dopri5, Method::Tsit5, Method::Rk4, Method::Euler] {
            let solver = OdeSpec { rtol: 1e-6, substeps: 12, ..spec(method) }.check().unwrap();
            // the sum of the first component at both later times
            let value = |field: &Linear, start: &[f32]| {
                let states = solve_rows(field, start, &grid, &solver).unwrap();
                f64::from(states[1][0]) + f64::from(states[2][0])
            };
            let start = [1.0_f32, -0.5];
            let path = solve(&OSCILLATOR, from_rows(&start, 2), &grid, &solver, true).unwrap();
            let mut of_row = [0.0; LANES];
            of_row[0] = 1.0;
            let none = vec![[0.0; LANES]; 2];
            let gradients = [none, vec![of_row, [0.0; LANES]], vec![of_row, [0.0; LANES]]];
            let mut sums = OSCILLATOR.accumulator();
            let grad_start = adjoint(&OSCILLATOR, method, &path.steps, &gradients, &mut sums);
            let e = 1e-2_f32;
            for i in 0..2 {
                let (mut up, mut down) = (start, start);
                (up[i], down[i]) = (up[i] + e, down[i] - e);
                let difference = (value(&OSCILLATOR, &up) - value(&OSCILLATOR, &down)) / (2.0 * f64::from(e));
                assert!(
                    (f64::from(grad_start[i][0]) - difference).abs() < 2e-3,
                    "{method:?} by start {i}: {difference}"
                );
            }
            let grad_entries = OSCILLATOR.total(&sums);
            for (entry, found) in grad_entries.iter().enumerate() {
                let (mut up, mut down) = (Linear(OSCILLATOR.0), Linear(OSCILLATOR.0));
                (up.0[entry], down.0[entry]) = (up.0[entry] + e, down.0[entry] - e);
                let difference = (value(&up, &start) - value(&down, &start)) / (2.0 * f64::from(e));
                assert!((f64::from(*found) - difference).abs() < 2e-3, "{method:?} by entry {entry}: {difference}");
            }
        }
    }
}
