//! Solvers of ordinary and stochastic differential equations for many rows at once. This crate knows nothing of
//! biology, and depends on Burn only with the feature `burn`.
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
//! [`solve_rows`] integrates rows along a [`Field`] on slices; [`lanes`] does so block by block and has the [`adjoint`]
//! for gradients. [`sample_paths`] draws paths of dz = f(z, t) dt + σ(z, t) dW. The noise is an argument, a
//! [`Brownian`] motion, whose increment over a step is the sum of the increments over its halves. [`follow_paths`]
//! passes each state to a closure instead of storing it, and stops a path when the closure says so. With the feature
//! `burn`, `solve` integrates tensors.
//!
//! All rows of a batch of tensors, or of a block of lanes, share their adaptive steps. The error of a step is that of
//! its worst row, so every row meets the tolerance, whatever the other rows are.
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
mod error;
mod grid;
pub mod lanes;
mod real;
mod sde;
mod spec;
pub mod tableau;
#[cfg(feature = "burn")]
mod tensors;
mod work;

pub use brownian::Brownian;
pub use error::OdeError;
pub use grid::{check_grid, linspace};
pub use lanes::{Field, adjoint, solve_rows};
pub use real::Real;
pub use sde::{CheckedSdeSpec, Sde, SdeError, SdeMethod, SdeSpec, follow_paths, sample_paths};
pub use spec::{CheckedOdeSpec, Method, OdeSpec};
#[cfg(feature = "burn")]
pub use tensors::{Solution, solve};
pub use work::Work;
