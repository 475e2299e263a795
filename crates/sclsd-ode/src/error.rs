//! Errors of the solvers.

/// Why an equation could not be solved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OdeError {
    /// The times do not increase.
    #[error("time {index} of the grid is {value}, expected finite times that rise strictly")]
    Grid {
        /// Position in the grid.
        index: usize,
        /// The time at that position.
        value: f64,
    },
    /// The state of a row became infinite or `NaN`.
    #[error("the solution from row {row} (counted from 0) is not finite after time {time}")]
    NotFinite {
        /// The row of the start, counted from 0.
        row: usize,
        /// Last time at which the state was finite: a time of the grid, or a step of an adaptive method. The first time
        /// if the state was never finite.
        time: f64,
    },
    /// An adaptive method reached the largest number of steps.
    #[error("the solver gave up at time {time} after {steps} steps: the flow is too steep for rtol and atol")]
    TooManySteps {
        /// Time reached.
        time: f64,
        /// Steps taken.
        steps: usize,
    },
}

impl OdeError {
    /// The same error with `first` added to the row: for rows that were solved as a part of others.
    #[must_use]
    pub fn at_row(self, first: usize) -> Self {
        match self {
            Self::NotFinite { row, time } => Self::NotFinite { row: first + row, time },
            other => other,
        }
    }
}
