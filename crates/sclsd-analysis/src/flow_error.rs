//! Why cells cannot be followed.

use sclsd_model::WeightsError;
use sclsd_model::ode::OdeError;
use sclsd_spec::OutOfRange;

/// Why cells cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// A choice is out of range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// States have another number of dimensions than the model's.
    #[error(
        "the cell states have {found} dimensions, but the model's have {expected}; annotate the file with this model"
    )]
    Dimensions {
        /// Dimensions of the states.
        found: usize,
        /// Dimensions of the model.
        expected: usize,
    },
    /// Paths do not fit into memory.
    #[error(
        "paths of {cells} cells at {points} times need {needed:.0} GiB, but {available:.0} GiB of memory are left; ask for \
         fewer times or cells"
    )]
    Memory {
        /// Times of a path.
        points: usize,
        /// Cells that are followed.
        cells: usize,
        /// GiB that paths take.
        needed: f64,
        /// GiB that are left.
        available: f64,
    },
    /// The flow cannot be solved.
    #[error(transparent)]
    Ode(#[from] OdeError),
    /// The weights do not fit the model's sizes.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}
