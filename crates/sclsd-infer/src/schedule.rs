//! Schedules: coefficients that change with the epoch.

use std::fmt;
use std::str::FromStr;

use sclsd_spec::{Choice, UnknownName};
use serde::{Deserialize, Serialize};

/// Annealing factor `a` of the terms of B: linear from `min_af` to `af` over `max_epoch` epochs.
///
/// Reference: `KLScheduleConfig`, which has `af` only and starts there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct KlSchedule {
    /// Final factor. At least 0. Default: 1.
    pub af: f64,
    /// Initial factor. At least 0. Default: the final factor.
    pub min_af: Option<f64>,
    /// Epochs from the initial to the final factor. At least 1. Default: 100.
    pub max_epoch: usize,
}

impl Default for KlSchedule {
    fn default() -> Self {
        Self { af: 1.0, min_af: None, max_epoch: 100 }
    }
}

impl KlSchedule {
    /// The factor in an epoch, counted from 0.
    #[must_use]
    pub fn at(&self, epoch: usize) -> f64 {
        ramp(self.min_af.unwrap_or(self.af), self.af, epoch, self.max_epoch)
    }
}

/// Weight of the distance between consecutive cells of a walk: linear from `max_W` down to `min_W` over `max_epoch`
/// epochs. Reference: `WassersteinScheduleConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct WassersteinSchedule {
    /// Final weight, in nats per squared unit of z and visit. At least 0. Default: 1e-4.
    #[serde(rename = "min_W")]
    pub min_w: f64,
    /// Initial weight. At least 0. Default: 1e-3.
    #[serde(rename = "max_W")]
    pub max_w: f64,
    /// Epochs from the initial to the final weight. At least 1. Default: 50.
    pub max_epoch: usize,
}

impl Default for WassersteinSchedule {
    fn default() -> Self {
        Self { min_w: 1e-4, max_w: 1e-3, max_epoch: 50 }
    }
}

impl WassersteinSchedule {
    /// The weight in an epoch, counted from 0.
    #[must_use]
    pub fn at(&self, epoch: usize) -> f64 {
        ramp(self.max_w, self.min_w, epoch, self.max_epoch)
    }
}

#[expect(clippy::cast_precision_loss, reason = "epochs are far below 2^52")]
fn ramp(from: f64, to: f64, epoch: usize, epochs: usize) -> f64 {
    if epoch < epochs { from + (to - from) * epoch as f64 / epochs as f64 } else { to }
}

/// Fraction of a cycle in which the learning rate rises (PyTorch's default).
const WARM_UP: f64 = 0.3;
/// Peak learning rate divided by the initial learning rate of a cycle (PyTorch's default).
const START: f64 = 25.0;

/// Schedule of the learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LearningRate {
    /// A constant rate, as in the Python package, whose cosine schedule is built but never stepped.
    #[default]
    Constant,
    /// Cosine annealing with warm restarts (Loshchilov and Hutter, 2017): from `lr` to `eta_min` over `T_0` epochs,
    /// then again with periods that are each `T_mult` times as long.
    Cosine,
    /// One cycle (Smith and Topin, 2019), like PyTorch's `OneCycleLR`: over the first 30 % of `T_0` epochs the rate
    /// rises from a twenty-fifth of `lr` to `lr`, then it falls to `eta_min` and stays there. The rate changes after
    /// every step.
    #[serde(rename = "one-cycle")]
    OneCycle,
}

impl Choice for LearningRate {
    const WHAT: &'static str = "learning rate";
    const ALL: &'static [Self] = &[Self::Constant, Self::Cosine, Self::OneCycle];

    fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Cosine => "cosine",
            Self::OneCycle => "one-cycle",
        }
    }
}

impl fmt::Display for LearningRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for LearningRate {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::named(name)
    }
}

impl LearningRate {
    /// The rate in an epoch, counted from 0, after the fraction `share` of the epoch.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "epochs are far below 2^52")]
    pub fn at(self, epoch: usize, share: f64, lr: f64, eta_min: f64, t_0: usize, t_mult: usize) -> f64 {
        let half_turn =
            |from: f64, to: f64, at: f64| to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * at).cos());
        match self {
            Self::Constant => lr,
            Self::OneCycle => {
                let at = ((epoch as f64 + share) / t_0.max(1) as f64).min(1.0);
                if at < WARM_UP {
                    half_turn(lr / START, lr, at / WARM_UP)
                } else {
                    half_turn(lr, eta_min, (at - WARM_UP) / (1.0 - WARM_UP))
                }
            }
            Self::Cosine => {
                let (mut since, mut period) = (epoch, t_0.max(1));
                while since >= period {
                    since -= period;
                    period = period.saturating_mul(t_mult.max(1));
                }
                half_turn(lr, eta_min, since as f64 / period as f64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wasserstein_falls_in_a_line_and_stays() {
        let schedule = WassersteinSchedule::default();
        assert!((schedule.at(0) - 1e-3).abs() < 1e-15);
        assert!((schedule.at(25) - 5.5e-4).abs() < 1e-15);
        assert!((schedule.at(50) - 1e-4).abs() < 1e-15 && (schedule.at(500) - 1e-4).abs() < 1e-15);
    }

    #[test]
    fn annealing_starts_at_its_end_unless_told() {
        assert!((KlSchedule::default().at(0) - 1.0).abs() < 1e-15);
        let rising = KlSchedule { af: 1.0, min_af: Some(0.0), max_epoch: 10 };
        assert!((rising.at(5) - 0.5).abs() < 1e-15 && (rising.at(10) - 1.0).abs() < 1e-15);
    }

    #[test]
    fn cosine_restarts_after_periods_that_grow() {
        let at = |epoch| LearningRate::Cosine.at(epoch, 0.5, 1.0, 0.0, 4, 2);
        assert!((at(0) - 1.0).abs() < 1e-12 && (at(2) - 0.5).abs() < 1e-12);
        assert!((at(4) - 1.0).abs() < 1e-12 && (at(8) - 0.5).abs() < 1e-12 && (at(12) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn one_cycle_rises_and_falls_to_the_least_rate() {
        let at = |epoch, share| LearningRate::OneCycle.at(epoch, share, 1.0, 0.01, 10, 1);
        assert!((at(0, 0.0) - 0.04).abs() < 1e-12 && (at(3, 0.0) - 1.0).abs() < 1e-12);
        assert!((at(1, 0.5) - 0.52).abs() < 1e-12, "half way up after 1.5 of 3 epochs");
        assert!((at(6, 0.5) - 0.505).abs() < 1e-12 && (at(10, 0.0) - 0.01).abs() < 1e-12);
        assert!((at(40, 0.0) - 0.01).abs() < 1e-12, "and stays");
    }
}
