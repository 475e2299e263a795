//! The step size control of adaptive methods.
//!
//! ```text
//! e = max over rows of rms(h Σ e_i k_i / (atol + rtol max(|y|, |y'|)))
//! h ← h · clamp(0.9 e^(−1/5), 0.2, 10)         a step with e > 1 is repeated
//! ```
//!
//! The first step is chosen as in Hairer, Nørsett and Wanner, "Solving ODEs I", II.4. Step sizes are numbers, not
//! tensors: gradients flow through the states, not through the choice of steps.

const SAFETY: f64 = 0.9;
const SHRINK: f64 = 0.2;
const GROW: f64 = 10.0;

/// The factor from one step size to the next, given the error in units of the tolerance.
pub(crate) fn change(error: f64) -> f64 {
    if error.is_finite() { (SAFETY * error.powf(-0.2)).clamp(SHRINK, GROW) } else { SHRINK }
}

/// A short trial step, given the norms of the state and of the drift in units of the tolerance.
pub(crate) fn short_step(size: f64, speed: f64) -> f64 {
    if size < 1e-5 || speed < 1e-5 { 1e-6 } else { 0.01 * size / speed }
}

/// The first step, given the larger of the norms of the drift and of its change over the trial step.
pub(crate) fn long_step(short: f64, largest: f64) -> f64 {
    let long = if largest <= 1e-15 { (1e-3 * short).max(1e-6) } else { (0.01 / largest).powf(0.2) };
    long.min(100.0 * short).max(1e-9)
}
