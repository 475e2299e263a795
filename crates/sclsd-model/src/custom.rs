//! Parts of one's own in place of a model's networks.

use std::sync::Arc;

use sclsd_kernels::{Likelihood, Potential};

/// Parts of one's own. What is not given is as built in.
///
/// ```
/// # use sclsd_model::{CountRow, CountGradients, Likelihood};
/// # #[derive(Debug)]
/// # struct Geometric;
/// # impl Likelihood for Geometric {
/// #     fn name(&self) -> &str { "geometric" }
/// #     fn log_density(&self, _: CountRow<'_>, _: CountGradients<'_>) -> f64 { 0.0 }
/// # }
/// use sclsd_model::{Custom, ModelSpec};
///
/// let spec = ModelSpec::default().check()?.with(Custom::default().likelihood(Geometric));
/// assert_eq!(spec.custom().names(), (None, Some("geometric".to_owned())));
/// # Ok::<(), sclsd_spec::OutOfRange>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Custom {
    pub(crate) potential: Option<Arc<dyn Potential>>,
    pub(crate) likelihood: Option<Arc<dyn Likelihood>>,
}

impl Custom {
    /// With this potential in place of the network's.
    #[must_use]
    pub fn potential(self, potential: impl Potential + 'static) -> Self {
        Self { potential: Some(Arc::new(potential)), ..self }
    }

    /// With this distribution of counts in place of those that are built in.
    #[must_use]
    pub fn likelihood(self, likelihood: impl Likelihood + 'static) -> Self {
        Self { likelihood: Some(Arc::new(likelihood)), ..self }
    }

    /// What potential and likelihood are called, where they are one's own.
    #[must_use]
    pub fn names(&self) -> (Option<String>, Option<String>) {
        (self.potential.as_ref().map(|p| p.name().to_owned()), self.likelihood.as_ref().map(|l| l.name().to_owned()))
    }
}

/// By name.
impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        self.names() == other.names()
    }
}
