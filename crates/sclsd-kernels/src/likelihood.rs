//! How counts are distributed about their rates: built in, or of one's own.

use std::fmt::{self, Debug};
use std::str::FromStr;
use std::sync::Arc;

use sclsd_spec::{Choice, UnknownName};
use serde::{Deserialize, Serialize};

/// The built-in distributions of counts; names as in scvi-tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum GeneLikelihood {
    /// Zero-inflated negative binomial: what the Python package has.
    #[default]
    Zinb,
    /// Negative binomial: the gates are not used.
    Nb,
    /// Poisson: neither gates nor dispersions are used.
    Poisson,
}

impl Choice for GeneLikelihood {
    const WHAT: &'static str = "gene likelihood";
    const ALL: &'static [Self] = &[Self::Zinb, Self::Nb, Self::Poisson];

    fn name(self) -> &'static str {
        match self {
            Self::Zinb => "zinb",
            Self::Nb => "nb",
            Self::Poisson => "poisson",
        }
    }
}

impl fmt::Display for GeneLikelihood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for GeneLikelihood {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::named(name)
    }
}

/// A visit: what is seen of a cell, and what is expected of it. Each has one number per gene.
#[derive(Debug, Clone, Copy)]
pub struct CountRow<'a> {
    /// Counts.
    pub counts: &'a [f32],
    /// Rates: the library size times the decoder's shares.
    pub rates: &'a [f32],
    /// Logits of what the decoder gives beside them: gates of dropout, where there are any.
    pub gates: &'a [f32],
    /// θ, inverse dispersions.
    pub theta: &'a [f32],
}

/// Derivatives of the log-density of a row, one number per gene each; all 0 at first.
#[derive(Debug)]
pub struct CountGradients<'a> {
    /// By the logarithms of the rates.
    pub log_rates: &'a mut [f32],
    /// By the gates.
    pub gates: &'a mut [f32],
    /// By the logarithms of θ.
    pub log_theta: &'a mut [f32],
}

/// A distribution of counts of one's own.
pub trait Likelihood: Debug + Send + Sync {
    /// What it is called in a model that was trained with it.
    fn name(&self) -> &str;

    /// ln p of the counts of a visit, summed over genes, in nats; its derivatives are filled in.
    fn log_density(&self, row: CountRow<'_>, grads: CountGradients<'_>) -> f64;

    /// The expected count of a gene. Default: its rate.
    fn mean(&self, rate: f32, gate: f32) -> f32 {
        let _ = gate;
        rate
    }
}

/// How counts are distributed.
#[derive(Debug, Clone)]
pub enum CountLikelihood {
    /// As built in.
    BuiltIn(GeneLikelihood),
    /// As somebody wants it.
    Custom(Arc<dyn Likelihood>),
}

impl Default for CountLikelihood {
    fn default() -> Self {
        Self::BuiltIn(GeneLikelihood::default())
    }
}

impl CountLikelihood {
    /// The expected count of a gene.
    #[must_use]
    pub fn mean(&self, rate: f32, gate: f32) -> f32 {
        match self {
            Self::BuiltIn(GeneLikelihood::Zinb) => rate / (1.0 + gate.exp()),
            Self::BuiltIn(GeneLikelihood::Nb | GeneLikelihood::Poisson) => rate,
            Self::Custom(likelihood) => likelihood.mean(rate, gate),
        }
    }
}
