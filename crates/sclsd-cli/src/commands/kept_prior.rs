//! What a result holds of the prior that directed the walks of its run.

use sclsd::data::{Additions, Categorical, Column, Csr};
use sclsd::graph::{Phylogeny, Terminal};
use sclsd::infer::Ensemble;

use super::prior::Prior;
use super::record::{self, PRIOR_MATRIX, PRIOR_TIME, PriorKind, TERMINAL};

/// Parts of a prior that are written into a result.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KeptPrior {
    pub kind: PriorKind,
    /// The time, where it was made here.
    pub time: Option<Vec<f64>>,
    /// The transitions, where they were the user's own.
    pub matrix: Option<Csr>,
    /// The terminal state of every terminal cell.
    pub terminal: Option<Categorical>,
    pub phylogeny: Option<Phylogeny>,
}

impl KeptPrior {
    pub(super) fn of(prior: &Prior) -> Self {
        Self {
            kind: match (&prior.time, prior.bootstrapped) {
                (None, _) => PriorKind::Own,
                (Some(_), true) => PriorKind::Made,
                (Some(_), false) => PriorKind::Given,
            },
            time: prior.time.clone().filter(|_| prior.bootstrapped),
            matrix: prior.time.is_none().then(|| single(prior.transition.matrix())),
            terminal: prior.terminal.as_ref().map(Terminal::column),
            phylogeny: prior.phylogeny.clone(),
        }
    }

    /// Elements of a result, and the record of the run.
    pub(super) fn add_to(&self, additions: &mut Additions, run: &Ensemble) -> anyhow::Result<()> {
        if let Some(time) = &self.time {
            additions.obs.push((PRIOR_TIME.into(), Column::Float(time.clone())));
        }
        if let Some(matrix) = &self.matrix {
            additions.obsp.insert(PRIOR_MATRIX.into(), matrix.clone());
        }
        if let Some(terminal) = &self.terminal {
            additions.obs.push((TERMINAL.into(), Column::Categorical(terminal.clone())));
        }
        additions.uns.insert(record::KEY.into(), record::write(run, self.kind, self.phylogeny.as_ref())?);
        Ok(())
    }
}

/// A matrix as files hold it.
fn single(matrix: &Csr<f64>) -> Csr {
    #[expect(clippy::cast_possible_truncation, reason = "probabilities, whose rows are normalised when they are read")]
    matrix.map(|value| value as f32)
}
