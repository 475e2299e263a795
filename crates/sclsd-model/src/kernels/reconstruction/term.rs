//! One count: its likelihood and the derivatives of that.

use super::super::vector::{exp, ln};
use super::{EPSILON, LANES};

/// ln p of one count and its derivatives.
#[derive(Clone, Copy)]
struct Term {
    value: f32,
    by_gate: f32,
    by_log_rate: f32,
    by_theta: f32,
}

/// [`Term`]s side by side.
pub(super) struct Terms {
    pub(super) value: [f32; LANES],
    pub(super) by_gate: [f32; LANES],
    pub(super) by_log_rate: [f32; LANES],
    pub(super) by_theta: [f32; LANES],
}

/// Counts of 0, up to [`LANES`] of them; scales `share` first. Everything is copied into arrays of its own, which the
/// compiler then knows not to overlap: without that it makes no vector code of so many slices.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "nine arrays of one length")]
pub(super) fn nothings(
    logits: &[f32],
    share: &mut [f32],
    scale: f32,
    library: f32,
    theta: &[f32],
    inverse: &[f32],
) -> Terms {
    let lanes = |slice: &[f32]| {
        let mut lanes = [0.0; LANES];
        lanes[..slice.len()].copy_from_slice(slice);
        lanes
    };
    let (g, mut r, t, inverse) = (lanes(logits), lanes(share), lanes(theta), lanes(inverse));
    let none = [0.0; LANES];
    let mut terms = Terms { value: none, by_gate: none, by_log_rate: none, by_theta: none };
    for i in 0..LANES {
        r[i] *= scale;
    }
    share.copy_from_slice(&r[..share.len()]);
    for i in 0..LANES {
        let term = nothing(g[i], r[i] * library, t[i], inverse[i]);
        terms.value[i] = term.value;
        terms.by_gate[i] = term.by_gate;
        terms.by_log_rate[i] = term.by_log_rate;
        terms.by_theta[i] = term.by_theta;
    }
    terms
}

/// A count of 0.
#[inline(always)]
fn nothing(gate: f32, rate: f32, theta: f32, inverse: f32) -> Term {
    let u = (rate + EPSILON) * inverse;
    let log = ln(1.0 + u);
    let d = -theta * log - gate; // ln NB(0) − γ
    let (a, b) = (exp(-gate.abs()), exp(-d.abs()));
    // ln σ(γ) = min(γ, 0) − ln(1 + a);  ln(1 + eᵈ) = max(d, 0) + ln(1 + b)
    let value = gate.min(0.0) + d.max(0.0) + ln((1.0 + b) / (1.0 + a));
    let not_gate = if gate >= 0.0 { a } else { 1.0 } / (1.0 + a); // 1 − σ(γ)
    let share = if d >= 0.0 { 1.0 } else { b } / (1.0 + b); // σ(d)
    let by_u = -share * theta / (1.0 + u);
    Term {
        value,
        by_gate: not_gate - share,
        by_log_rate: by_u * inverse * rate,
        by_theta: -share * log - by_u * u * inverse,
    }
}

/// Counts above 0 side by side, with what belongs to them.
pub(super) struct Counts {
    pub(super) gate: [f32; LANES],
    pub(super) rate: [f32; LANES],
    pub(super) theta: [f32; LANES],
    pub(super) inverse: [f32; LANES],
    pub(super) count: [f32; LANES],
    /// ln Γ(x + θ) − ln Γ(θ) − ln Γ(x + 1).
    pub(super) choose: [f32; LANES],
    /// Its derivative by θ.
    pub(super) by_theta: [f32; LANES],
}

impl Counts {
    /// Harmless numbers.
    #[inline(always)]
    pub(super) fn none() -> Self {
        let one = [1.0; LANES];
        Self { gate: one, rate: one, theta: one, inverse: one, count: one, choose: one, by_theta: one }
    }
}

/// Counts above 0.
#[inline(always)]
pub(super) fn somethings(some: &Counts) -> Terms {
    let none = [0.0; LANES];
    let mut terms = Terms { value: none, by_gate: none, by_log_rate: none, by_theta: none };
    for i in 0..LANES {
        let (gate, rate, theta, inverse, x) =
            (some.gate[i], some.rate[i], some.theta[i], some.inverse[i], some.count[i]);
        let u = (rate + EPSILON) * inverse;
        let log = ln(1.0 + u);
        let a = exp(-gate.abs());
        let by_u = x / u - (x + theta) / (1.0 + u);
        terms.value[i] = -gate.max(0.0) - ln(1.0 + a) + x * ln(u) - (x + theta) * log + some.choose[i];
        terms.by_gate[i] = -(if gate >= 0.0 { 1.0 } else { a }) / (1.0 + a);
        terms.by_log_rate[i] = by_u * inverse * rate;
        terms.by_theta[i] = some.by_theta[i] - log - by_u * u * inverse;
    }
    terms
}
