//! What a way of telling fates is, and what may go wrong.

use sclsd_data::Matrix;
use sclsd_graph::{AbsorptionError, NearestError, Terminal};
use sclsd_model::ode::{OdeError, SdeError};
use sclsd_spec::OutOfRange;

use super::probabilities::FateProbabilities;
use crate::flow_error::FlowError;

/// A way of telling fates.
pub trait FateMethod {
    /// Probabilities of every cell to end in each of the terminal states.
    ///
    /// # Errors
    /// [`FateError`] where sizes disagree, a number is not finite, or a solver does not converge.
    fn probabilities(&self, terminal: &Terminal) -> Result<FateProbabilities, FateError>;
}

/// Why there are no fates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FateError {
    /// Absorption cannot be computed.
    #[error(transparent)]
    Absorption(#[from] AbsorptionError),
    /// Cells cannot be followed.
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
        /// Its value.
        value: f32,
    },
    /// Numbers of cells disagree.
    #[error("the {what} is of {found} cells, but the terminal states are of {expected}")]
    Cells {
        /// What is of another size.
        what: &'static str,
        /// Its cells.
        found: usize,
        /// Cells of the terminal states.
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
