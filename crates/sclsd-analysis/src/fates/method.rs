//! The trait of methods for fate probabilities, and their errors.

use sclsd_data::Matrix;
use sclsd_graph::{AbsorptionError, NearestError, Terminal};
use sclsd_model::ode::{OdeError, SdeError};
use sclsd_spec::OutOfRange;

use super::probabilities::FateProbabilities;
use crate::flow_error::FlowError;

/// A method that computes fate probabilities.
pub trait FateMethod {
    /// Probabilities of every cell to end in each of the terminal states.
    ///
    /// # Errors
    /// [`FateError`] if sizes differ, a number is not finite, or a solver does not converge.
    fn probabilities(&self, terminal: &Terminal) -> Result<FateProbabilities, FateError>;
}

/// The reason why fate probabilities cannot be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FateError {
    /// Absorption cannot be computed.
    #[error(transparent)]
    Absorption(#[from] AbsorptionError),
    /// The gradient flow cannot be computed.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// Paths cannot be drawn.
    #[error(transparent)]
    Paths(#[from] SdeError),
    /// A cell's state is not finite.
    #[error("cell states: {0}")]
    State(#[from] NearestError),
    /// A coordinate is not finite.
    #[error("coordinate {column} of cell {cell} is {value}, expected a finite number")]
    NotFinite {
        /// Row of the coordinate.
        cell: usize,
        /// Column of the coordinate.
        column: usize,
        /// Value of the coordinate.
        value: f32,
    },
    /// Numbers of cells differ.
    #[error("the {what} is of {found} cells, but the terminal states are of {expected}")]
    Cells {
        /// The input with a different number of cells.
        what: &'static str,
        /// Number of cells of that input.
        found: usize,
        /// Number of cells of the terminal states.
        expected: usize,
    },
}

impl From<OdeError> for FateError {
    fn from(error: OdeError) -> Self {
        Self::Flow(error.into())
    }
}

impl From<OutOfRange> for FateError {
    fn from(error: OutOfRange) -> Self {
        Self::Flow(error.into())
    }
}

pub(super) fn check_cells(what: &'static str, found: usize, terminal: &Terminal) -> Result<(), FateError> {
    let expected = terminal.n_cells();
    if found == expected { Ok(()) } else { Err(FateError::Cells { what, found, expected }) }
}

pub(super) fn check_finite(points: &Matrix) -> Result<(), FateError> {
    match points.values().iter().position(|v| !v.is_finite()) {
        Some(at) => Err(FateError::NotFinite {
            cell: at / points.n_cols(),
            column: at % points.n_cols(),
            value: points.values()[at],
        }),
        None => Ok(()),
    }
}
