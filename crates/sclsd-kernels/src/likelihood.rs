//! Distributions of counts given their rates: built in or user-defined.

use std::fmt::{self, Debug};
use std::str::FromStr;
use std::sync::Arc;

use sclsd_spec::{Choice, UnknownName};
use serde::{Deserialize, Serialize};

/// The built-in distributions of counts, with the names that scvi-tools uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum GeneLikelihood {
    /// Zero-inflated negative binomial, as in the Python package.
    #[default]
    Zinb,
    /// Negative binomial. The dropout gates are not used.
    Nb,
    /// Poisson. Neither the dropout gates nor the dispersions are used.
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

/// The counts of one visit and the parameters of their distribution, one number per gene each.
#[derive(Debug, Clone, Copy)]
pub struct CountRow<'a> {
    /// Observed counts.
    pub counts: &'a [f32],
    /// Rates: the library size times the decoder's softmax proportions.
    pub rates: &'a [f32],
    /// Logits of the dropout gates; ignored by distributions without dropout.
    pub gates: &'a [f32],
    /// θ, inverse dispersions.
    pub theta: &'a [f32],
}

/// Gradients of the log-density of one visit, one number per gene each. All are 0 at the start of the call.
#[derive(Debug)]
pub struct CountGradients<'a> {
    /// Gradient with respect to the logarithms of the rates.
    pub log_rates: &'a mut [f32],
    /// Gradient with respect to the gate logits.
    pub gates: &'a mut [f32],
    /// Gradient with respect to ln θ.
    pub log_theta: &'a mut [f32],
}

/// A user-defined distribution of counts.
pub trait Likelihood: Debug + Send + Sync {
    /// Name of the distribution, stored in models that are trained with it.
    fn name(&self) -> &str;

    /// ln p of the counts of one visit, summed over genes, in nats. Also writes the gradients to `grads`.
    fn log_density(&self, row: CountRow<'_>, grads: CountGradients<'_>) -> f64;

    /// The expected count of a gene. Default: its rate.
    fn mean(&self, rate: f32, gate: f32) -> f32 {
        let _ = gate;
        rate
    }
}

/// A distribution of counts: built in or user-defined.
#[derive(Debug, Clone)]
pub enum CountLikelihood {
    /// One of the built-in distributions.
    BuiltIn(GeneLikelihood),
    /// A user-defined distribution.
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
