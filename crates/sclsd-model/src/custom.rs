//! User-defined parts that replace networks of a model.

use std::sync::Arc;

use sclsd_kernels::{Likelihood, Potential};

/// User-defined parts of a model. A part that is not set is the built-in one.
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
    /// Replaces the potential network by this potential.
    #[must_use]
    pub fn potential(self, potential: impl Potential + 'static) -> Self {
        Self { potential: Some(Arc::new(potential)), ..self }
    }

    /// Replaces the built-in distribution of counts by this one.
    #[must_use]
    pub fn likelihood(self, likelihood: impl Likelihood + 'static) -> Self {
        Self { likelihood: Some(Arc::new(likelihood)), ..self }
    }

    /// Names of the potential and of the likelihood, if they are user-defined.
    #[must_use]
    pub fn names(&self) -> (Option<String>, Option<String>) {
        (self.potential.as_ref().map(|p| p.name().to_owned()), self.likelihood.as_ref().map(|l| l.name().to_owned()))
    }
}

/// Two values are equal if the names of their parts are.
impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        self.names() == other.names()
    }
}
