//! Errors of the gradient flow.

use sclsd_model::WeightsError;
use sclsd_model::ode::OdeError;
use sclsd_spec::OutOfRange;

/// The reason why the gradient flow of cells cannot be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// A setting is out of range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// The states have another number of dimensions than the model's.
    #[error(
        "the cell states have {found} dimensions, but the model's have {expected}; annotate the file with this model"
    )]
    Dimensions {
        /// Number of dimensions of the states.
        found: usize,
        /// Number of dimensions of the model.
        expected: usize,
    },
    /// Trajectories do not fit into memory.
    #[error(
        "paths of {cells} cells at {points} times need {needed:.0} GiB, but {available:.0} GiB of memory are left; ask for \
         fewer times or cells"
    )]
    Memory {
        /// Number of times of a trajectory.
        points: usize,
        /// Number of cells.
        cells: usize,
        /// Required memory in GiB.
        needed: f64,
        /// Available memory in GiB.
        available: f64,
    },
    /// The ODE cannot be solved.
    #[error(transparent)]
    Ode(#[from] OdeError),
    /// The weights do not match the model's sizes.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}
