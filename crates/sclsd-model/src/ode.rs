//! Ordinary differential equations, solved on a grid of times.
//!
//! A solver is a function that knows nothing of biology: it takes a drift, a start and a grid, and returns a state at
//! every time of the grid, differentiable with respect to the start and whatever the drift depends on.
//!
//! | method | order | steps | source |
//! | --- | --- | --- | --- |
//! | [`Method::Dopri5`] | 5 | adaptive, dense output of order 4 | Dormand and Prince 1980; Shampine 1986 |
//! | [`Method::Tsit5`] | 5 | adaptive, dense output of order 4 | Tsitouras 2011 |
//! | [`Method::Rk4`] | 4 | fixed | Kutta 1901 |
//! | [`Method::Euler`] | 1 | fixed | Euler 1768 |
//!
//! Adaptive steps are shared by all rows of a batch (on the host, by the rows of a block): the error of a step is that of its
//! worst row, so every row is as accurate as was asked for, whatever company it keeps.

mod adaptive;
mod fixed;
pub(crate) mod lanes;
pub(crate) mod tableau;

pub(crate) use lanes::Field;

use burn::tensor::{Tensor, backend::Backend};
use serde::{Deserialize, Serialize};

/// How to solve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Method {
    /// Dormand–Prince 5(4), what the Python package uses.
    #[default]
    Dopri5,
    /// Tsitouras 5(4): as dopri5, with smaller error constants.
    Tsit5,
    /// The classical Runge–Kutta method.
    Rk4,
    /// Euler's method.
    Euler,
}

/// Method and accuracy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct OdeSpec {
    /// Method. Default: dopri5.
    pub method: Method,
    /// Error allowed per step relative to the state; adaptive methods. From 1e-7 (the precision of `f32`) to 1.
    /// Default: 1e-5. (The Python package asks for 1e-7, which in `f32` rests on rounding noise.)
    pub rtol: f64,
    /// Error allowed per step, absolute, in units of z; adaptive methods. Above 0. Default: 1e-6.
    pub atol: f64,
    /// Steps between two times of the grid; fixed methods. At least 1. Default: 4.
    pub substeps: usize,
    /// Steps after which an adaptive method gives up. At least 1. Default: 10,000.
    pub max_steps: usize,
}

impl Default for OdeSpec {
    fn default() -> Self {
        Self { method: Method::Dopri5, rtol: 1e-5, atol: 1e-6, substeps: 4, max_steps: 10_000 }
    }
}

/// Why an equation was not solved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OdeError {
    /// A field of the specification is out of range.
    #[error("ode.{field} is {value}, expected {expected}")]
    Spec {
        /// Field of [`OdeSpec`].
        field: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// The times do not rise.
    #[error("time {index} of the grid is {value}, expected finite times that rise strictly")]
    Grid {
        /// Position in the grid.
        index: usize,
        /// The time there.
        value: f64,
    },
    /// The state of a row left the range of numbers.
    #[error("the solution from row {row} (counted from 0) is not finite after time {time}")]
    NotFinite {
        /// The row of the start, counted from 0.
        row: usize,
        /// Last time of the grid, or of an adaptive method's steps, at which it was finite; the first where it never was.
        time: f64,
    },
    /// The number of steps ran out.
    #[error("the solver gave up at time {time} after {steps} steps: the flow is too steep for rtol and atol")]
    TooManySteps {
        /// Time reached.
        time: f64,
        /// Steps taken.
        steps: usize,
    },
}

impl OdeError {
    /// The same error where the rows that were solved stand at `first` among others.
    #[must_use]
    pub fn at_row(self, first: usize) -> Self {
        match self {
            Self::NotFinite { row, time } => Self::NotFinite { row: first + row, time },
            other => other,
        }
    }
}

/// A specification that can be solved with.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedOdeSpec(OdeSpec);

impl OdeSpec {
    /// Checks every field.
    ///
    /// # Errors
    /// [`OdeError::Spec`] names the first field that is out of range.
    pub fn check(self) -> Result<CheckedOdeSpec, OdeError> {
        #[expect(clippy::cast_precision_loss, reason = "for a message")]
        let (substeps, max_steps) = (self.substeps as f64, self.max_steps as f64);
        let rules = [
            ("rtol", self.rtol, (1e-7..=1.0).contains(&self.rtol), "a number from 1e-7 to 1"),
            ("atol", self.atol, self.atol > 0.0 && self.atol.is_finite(), "a finite number above 0"),
            ("substeps", substeps, self.substeps >= 1, "at least 1"),
            ("max_steps", max_steps, self.max_steps >= 1, "at least 1"),
        ];
        match rules.into_iter().find(|rule| !rule.2) {
            Some((field, value, _, expected)) => Err(OdeError::Spec { field, value, expected }),
            None => Ok(CheckedOdeSpec(self)),
        }
    }
}

impl CheckedOdeSpec {
    /// The fields.
    #[must_use]
    pub fn get(&self) -> &OdeSpec {
        &self.0
    }
}

/// What solving took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Steps taken.
    pub steps: usize,
    /// Steps refused because their error was too large.
    pub rejected: usize,
    /// Evaluations of the drift.
    pub evaluations: usize,
}

impl Work {
    /// The larger of each.
    pub(crate) fn larger(self, other: Self) -> Self {
        Self {
            steps: self.steps.max(other.steps),
            rejected: self.rejected.max(other.rejected),
            evaluations: self.evaluations.max(other.evaluations),
        }
    }
}

/// States on the grid.
#[derive(Debug, Clone)]
pub struct Solution<B: Backend> {
    /// One `[rows, n]` per time of the grid; the first is the start.
    pub states: Vec<Tensor<B, 2>>,
    /// What it took.
    pub work: Work,
}

/// Solves `dy/dt = f(t, y)` from `y(grid[0]) = start` and returns y at every time of the grid.
///
/// # Shapes
/// - `start`, and each state: `[rows, n]`
///
/// # Errors
/// [`OdeError`] where the grid does not rise, the state stops being finite, or the steps run out.
pub fn solve<B: Backend>(
    f: impl Fn(f64, Tensor<B, 2>) -> Tensor<B, 2>,
    start: Tensor<B, 2>,
    grid: &[f64],
    spec: &CheckedOdeSpec,
) -> Result<Solution<B>, OdeError> {
    check_grid(grid)?;
    let spec = spec.get();
    match spec.method {
        Method::Dopri5 => adaptive::solve(&tableau::DOPRI5, f, start, grid, spec),
        Method::Tsit5 => adaptive::solve(&tableau::TSIT5, f, start, grid, spec),
        Method::Rk4 => fixed::solve(&tableau::RK4, f, start, grid, spec),
        Method::Euler => fixed::solve(&tableau::EULER, f, start, grid, spec),
    }
}

/// Whether times are finite and rise strictly.
pub(crate) fn check_grid(grid: &[f64]) -> Result<(), OdeError> {
    let rises = |i: usize| grid[i].is_finite() && (i == 0 || grid[i] > grid[i - 1]);
    match (0..grid.len()).find(|&i| !rises(i)) {
        Some(index) => Err(OdeError::Grid { index, value: grid[index] }),
        None => Ok(()),
    }
}

/// `n` times from `from` to `to`, evenly spaced, the ends included.
#[must_use]
pub fn linspace(from: f64, to: f64, n: usize) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "numbers of steps are far below 2^52")]
    (0..n).map(|i| from + (to - from) * i as f64 / (n.max(2) - 1) as f64).collect()
}

/// `y + h Σ w_i k_i`, terms with a zero weight left out.
fn combine<B: Backend>(y: &Tensor<B, 2>, h: f64, weights: &[f64], k: &[Tensor<B, 2>]) -> Tensor<B, 2> {
    weights
        .iter()
        .zip(k)
        .filter(|(weight, _)| **weight != 0.0)
        .fold(y.clone(), |y, (weight, k)| y + k.clone().mul_scalar(h * weight))
}

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, Flex};

    use super::*;

    type B = Autodiff<Flex>;

    fn spec(method: Method) -> OdeSpec {
        OdeSpec { method, ..OdeSpec::default() }
    }

    /// A damped oscillator with a known solution: y'' = −y' − 4 y.
    fn oscillator(y: Tensor<B, 2>) -> Tensor<B, 2> {
        let matrix = Tensor::from_floats([[0.0, -4.0], [1.0, -1.0]], &Default::default());
        y.matmul(matrix)
    }

    fn oscillator_exact(t: f64) -> f64 {
        let w = 3.75_f64.sqrt();
        (-0.5 * t).exp() * ((w * t).cos() + 0.5 / w * (w * t).sin())
    }

    fn largest_error(spec: &OdeSpec, grid: &[f64]) -> (f64, Work) {
        let start = Tensor::from_floats([[1.0, 0.0]], &Default::default());
        let solution = solve(|_, y| oscillator(y), start, grid, &spec.clone().check().unwrap()).unwrap();
        let value = |y: &Tensor<B, 2>| f64::from(y.clone().into_data().to_vec::<f32>().unwrap()[0]);
        let errors = solution.states.iter().zip(grid).map(|(y, &t)| (value(y) - oscillator_exact(t)).abs());
        (errors.fold(0.0, f64::max), solution.work)
    }

    #[test]
    fn adaptive_methods_meet_their_tolerance_on_and_between_steps() {
        for method in [Method::Dopri5, Method::Tsit5] {
            for rtol in [1e-3, 1e-4, 1e-5] {
                let spec = OdeSpec { rtol, atol: rtol, ..spec(method) };
                let (error, work) = largest_error(&spec, &linspace(0.0, 5.0, 41));
                assert!(error < 5.0 * rtol, "{method:?} at {rtol}: {error}, {work:?}");
            }
        }
    }

    #[test]
    fn fixed_methods_are_of_their_order() {
        for (method, order, coarse) in [(Method::Rk4, 4.0, 8), (Method::Euler, 1.0, 64)] {
            let error = |substeps| largest_error(&OdeSpec { substeps, ..spec(method) }, &[0.0, 2.0]).0;
            let measured = (error(coarse) / error(2 * coarse)).log2();
            assert!((measured - order).abs() < 0.35, "{method:?}: {measured}");
        }
    }

    #[test]
    fn gradients_are_those_of_the_exact_solution() {
        // y = y0 e^(a t): dy/dy0 = e^(a t), dy/da = t y
        for method in [Method::Dopri5, Method::Tsit5, Method::Rk4] {
            let device = Default::default();
            let start = Tensor::<B, 2>::from_floats([[1.5]], &device).require_grad();
            let a = Tensor::<B, 2>::from_floats([[-0.7]], &device).require_grad();
            let spec = OdeSpec { substeps: 20, ..spec(method) }.check().unwrap();
            let solution = solve(|_, y| y * a.clone(), start.clone(), &[0.0, 0.4, 2.0], &spec).unwrap();
            let grads = solution.states[1].clone().sum().add(solution.states[2].clone().sum()).backward();
            let value = |t: &Tensor<B, 2>| f64::from(t.grad(&grads).unwrap().into_scalar());
            let (e1, e2) = ((-0.28_f64).exp(), (-1.4_f64).exp());
            assert!((value(&start) - (e1 + e2)).abs() < 1e-4, "{method:?}");
            assert!((value(&a) - 1.5 * (0.4 * e1 + 2.0 * e2)).abs() < 1e-4, "{method:?}");
        }
    }

    #[test]
    fn a_solution_that_is_not_finite_is_named_by_its_row_and_the_last_time_at_which_it_was() {
        // y' = y² from y0 is y0 / (1 − y0 t), which ends at t = 1 / y0: for the third row alone within the grid
        let start = Tensor::<B, 2>::from_floats([[0.1], [-1.0], [1.0], [0.2]], &Default::default());
        for (method, grid) in [(Method::Rk4, &linspace(0.0, 4.0, 9)[..]), (Method::Euler, &linspace(0.0, 4.0, 17))] {
            let spec = OdeSpec { substeps: 40, ..spec(method) }.check().unwrap();
            let error = solve(|_, y| y.powi_scalar(2), start.clone(), grid, &spec).unwrap_err();
            let OdeError::NotFinite { row, time } = error else { panic!("{error}") };
            assert!(row == 2 && (1.0..2.0).contains(&time), "{method:?}: row {row} at {time}");
        }
        let start = Tensor::<B, 2>::from_floats([[0.1], [f32::NAN]], &Default::default());
        for method in [Method::Rk4, Method::Dopri5] {
            let error = solve(|_, y| y, start.clone(), &[0.5, 1.0], &spec(method).check().unwrap()).unwrap_err();
            assert!(matches!(error, OdeError::NotFinite { row: 1, time: 0.5 }), "{method:?}: {error}");
        }
        let far = OdeError::NotFinite { row: 1, time: 0.5 }.at_row(16).to_string();
        assert_eq!(far, "the solution from row 17 (counted from 0) is not finite after time 0.5");
    }

    #[test]
    fn a_blow_up_and_a_bad_grid_are_errors() {
        let start = || Tensor::<B, 2>::from_floats([[1.0]], &Default::default());
        let solver = spec(Method::Dopri5).check().unwrap();
        let error = solve(|_, y| y.powi_scalar(2), start(), &[0.0, 2.0], &solver).unwrap_err();
        assert!(matches!(error, OdeError::NotFinite { .. } | OdeError::TooManySteps { .. }), "{error}");
        let error = solve(|_, y| y, start(), &[0.0, 0.0], &solver).unwrap_err();
        assert_eq!(error.to_string(), "time 1 of the grid is 0, expected finite times that rise strictly");
        let error = OdeSpec { rtol: 1e-9, ..OdeSpec::default() }.check().unwrap_err();
        assert_eq!(error.to_string(), "ode.rtol is 0.000000001, expected a number from 1e-7 to 1");
    }
}
