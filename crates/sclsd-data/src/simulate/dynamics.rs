//! Dynamics of a cell in a landscape: gradient descent with noise.

use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use super::landscape::{Landscape, Point};

/// Time step of the simulated dynamics, in units of the true time 0…1.
pub(super) const DT: f64 = 0.004;

/// Integrates from `p` for `time` with the Euler–Maruyama scheme.
pub(super) fn roll(landscape: &Landscape, mut p: Point, time: f64, noise: f64, rng: &mut impl Rng) -> Point {
    let mut left = time;
    while left > 0.0 {
        let dt = left.min(DT);
        p = step(p, landscape.drift(p), dt, noise, rng);
        left -= dt;
    }
    p
}

/// One Euler–Maruyama step of length `dt` from `p`.
pub(super) fn step(p: Point, drift: Point, dt: f64, noise: f64, rng: &mut impl Rng) -> Point {
    let kick = noise * dt.sqrt();
    [
        p[0] + drift[0] * dt + kick * rng.sample::<f64, _>(StandardNormal),
        p[1] + drift[1] * dt + kick * rng.sample::<f64, _>(StandardNormal),
    ]
}
