//! Method and tolerances of the ODE solvers, with their allowed ranges.

use std::fmt;
use std::str::FromStr;

use sclsd_spec::{Choice, OutOfRange, UnknownName, in_range};
use serde::{Deserialize, Serialize};

/// A method for ordinary differential equations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Method {
    /// Dormand–Prince 5(4), as in the Python package.
    #[default]
    Dopri5,
    /// Tsitouras 5(4): like dopri5, with smaller error constants.
    Tsit5,
    /// The classical Runge–Kutta method.
    Rk4,
    /// Euler's method.
    Euler,
}

impl Choice for Method {
    const WHAT: &'static str = "ODE method";
    const ALL: &'static [Self] = &[Self::Dopri5, Self::Tsit5, Self::Rk4, Self::Euler];

    fn name(self) -> &'static str {
        match self {
            Self::Dopri5 => "dopri5",
            Self::Tsit5 => "tsit5",
            Self::Rk4 => "rk4",
            Self::Euler => "euler",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Method {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::named(name)
    }
}

/// Method and tolerances of the solver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct OdeSpec {
    /// Method. Default: dopri5.
    pub method: Method,
    /// Relative error allowed per step, for adaptive methods. From 1e-7 (the precision of `f32`) to 1. Default: 1e-5.
    /// (The Python package uses 1e-7, which is at the level of rounding errors in `f32`.)
    pub rtol: f64,
    /// Absolute error allowed per step, in units of z, for adaptive methods. Above 0. Default: 1e-6.
    pub atol: f64,
    /// Steps between two times of the grid, for fixed methods. At least 1. Default: 4.
    pub substeps: usize,
    /// Largest number of steps of an adaptive method. If it is reached, solving fails. At least 1. Default: 10,000.
    pub max_steps: usize,
}

impl Default for OdeSpec {
    fn default() -> Self {
        Self { method: Method::Dopri5, rtol: 1e-5, atol: 1e-6, substeps: 4, max_steps: 10_000 }
    }
}

/// A specification with all fields in range.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedOdeSpec(OdeSpec);

impl OdeSpec {
    /// Checks every field.
    ///
    /// # Errors
    /// [`OutOfRange`] names the first field that is out of range.
    pub fn check(self) -> Result<CheckedOdeSpec, OutOfRange> {
        in_range("ode.rtol", self.rtol, (1e-7..=1.0).contains(&self.rtol), "a number from 1e-7 to 1")?;
        in_range("ode.atol", self.atol, self.atol > 0.0 && self.atol.is_finite(), "a finite number above 0")?;
        in_range("ode.substeps", self.substeps, self.substeps >= 1, "at least 1")?;
        in_range("ode.max_steps", self.max_steps, self.max_steps >= 1, "at least 1")?;
        Ok(CheckedOdeSpec(self))
    }
}

impl CheckedOdeSpec {
    /// The checked specification.
    #[must_use]
    pub fn get(&self) -> &OdeSpec {
        &self.0
    }
}
