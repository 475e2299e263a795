//! Differential equations, ordinary and stochastic, of many rows at once. No biology, and no Burn unless asked for.
//!
//! | method | order | steps | source |
//! | --- | --- | --- | --- |
//! | [`Method::Dopri5`] | 5 | adaptive, dense output of order 4 | Dormand and Prince 1980; Shampine 1986 |
//! | [`Method::Tsit5`] | 5 | adaptive, dense output of order 4 | Tsitouras 2011 |
//! | [`Method::Rk4`] | 4 | fixed | Kutta 1901 |
//! | [`Method::Euler`] | 1 | fixed | Euler 1768 |
//! | [`SdeMethod::EulerMaruyama`] | strong ½, weak 1 | fixed | Maruyama 1955 |
//! | [`SdeMethod::Milstein`] | strong 1, weak 1 | fixed, without derivatives of σ | Kloeden and Platen 1992, 11.1 |
//!
//! [`solve_rows`] follows rows down a [`Field`] on slices, [`lanes`] does so block by block and goes [back](adjoint) for
//! derivatives. [`sample_paths`] draws paths of dz = f(z, t) dt + σ(z, t) dW; its noise is handed in as a [`Brownian`] motion,
//! whose increments over a step are the sums of those over its halves. With the feature `burn`, `solve` does the same with tensors.
//!
//! Adaptive steps are shared by all rows of a batch of tensors, or of a block of lanes: the error of a step is that of its worst row, so every row is as
//! accurate as was asked for, whatever company it keeps.
//!
//! ```
//! use sclsd_ode::{Brownian, Sde, SdeSpec, sample_paths};
//!
//! /// dz = −z dt + 0.5 dW.
//! struct OrnsteinUhlenbeck;
//!
//! impl Sde for OrnsteinUhlenbeck {
//!     fn width(&self) -> usize {
//!         1
//!     }
//!     fn drift(&self, _t: f64, z: &[f64], out: &mut [f64]) {
//!         out[0] = -z[0];
//!     }
//!     fn diffusion(&self, _t: f64, _z: &[f64], out: &mut [f64]) {
//!         out[0] = 0.5;
//!     }
//! }
//!
//! let paths = sample_paths(&OrnsteinUhlenbeck, &[1.0; 1000], &[0.0, 1.0], &SdeSpec::default().check()?, Brownian::new(0))?;
//! let mean = paths[1].iter().sum::<f64>() / 1000.0;
//! assert!((mean - (-1.0_f64).exp()).abs() < 0.05);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod brownian;
mod control;
pub mod lanes;
mod sde;
pub mod tableau;
#[cfg(feature = "burn")]
mod tensors;

use serde::{Deserialize, Serialize};

pub use brownian::Brownian;
pub use lanes::{Field, adjoint, solve_rows};
pub use sde::{CheckedSdeSpec, Sde, SdeError, SdeMethod, SdeSpec, sample_paths};
#[cfg(feature = "burn")]
pub use tensors::{Solution, solve};

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
    #[must_use]
    pub fn larger(self, other: Self) -> Self {
        Self {
            steps: self.steps.max(other.steps),
            rejected: self.rejected.max(other.rejected),
            evaluations: self.evaluations.max(other.evaluations),
        }
    }
}

/// Whether times are finite and rise strictly.
///
/// # Errors
/// [`OdeError::Grid`] names the first time that does not.
pub fn check_grid(grid: &[f64]) -> Result<(), OdeError> {
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
