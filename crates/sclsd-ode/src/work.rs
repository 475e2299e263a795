//! Work counters of the solvers.

/// Work counters: steps and evaluations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Steps taken.
    pub steps: usize,
    /// Steps rejected because their error was too large.
    pub rejected: usize,
    /// Evaluations of the drift.
    pub evaluations: usize,
}

impl Work {
    /// The larger of both values, for every counter.
    #[must_use]
    pub fn larger(self, other: Self) -> Self {
        Self {
            steps: self.steps.max(other.steps),
            rejected: self.rejected.max(other.rejected),
            evaluations: self.evaluations.max(other.evaluations),
        }
    }
}
