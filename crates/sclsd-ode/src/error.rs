//! Why an equation was not solved.

/// Why an equation was not solved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OdeError {
    /// The times do not rise.
    #[error("time {index} of the grid is {value}, expected finite times that rise strictly")]
    Grid {
        /// Position in the grid.
        index: usize,
        /// The time there.
        value: f64,
    },
    /// The state of a row left the range of numbers.
    #[error("the solution from row {row} (counted from 0) is not finite after time {time}")]
    NotFinite {
        /// The row of the start, counted from 0.
        row: usize,
        /// Last time of the grid, or of an adaptive method's steps, at which it was finite; the first where it never
        /// was.
        time: f64,
    },
    /// The number of steps ran out.
    #[error("the solver gave up at time {time} after {steps} steps: the flow is too steep for rtol and atol")]
    TooManySteps {
        /// Time reached.
        time: f64,
        /// Steps taken.
        steps: usize,
    },
}

impl OdeError {
    /// The same error where the rows that were solved stand at `first` among others.
    #[must_use]
    pub fn at_row(self, first: usize) -> Self {
        match self {
            Self::NotFinite { row, time } => Self::NotFinite { row: first + row, time },
            other => other,
        }
    }
}
