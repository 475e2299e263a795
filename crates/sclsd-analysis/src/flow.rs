//! Cells rolling down the potential: dz/dt = −∇V(z), solved on any grid of times.

use burn::tensor::{Tensor, backend::Backend};
use rayon::prelude::*;
use sclsd_data::Matrix;
use sclsd_model::ode::{CheckedOdeSpec, OdeError, solve};
use sclsd_model::{Device, Evaluator, Job, Kernels, Lsd, Model, Trainable, WeightsError};

use crate::encode::rows;
use crate::memory::check_fits;
use sclsd_data::available_memory;

/// Cells solved together on a device, as the Python package takes them.
const BLOCK: usize = 512;
/// Cells solved by one thread in host memory.
const HOST_BLOCK: usize = 64;

/// Why cells cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// A choice is out of range.
    #[error("{field} is {value}, expected {expected}")]
    Value {
        /// What was chosen.
        field: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        expected: &'static str,
    },
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

/// Trajectories of cells: their states z at every time of `grid`, the first being `start` itself. Memory is
/// times × cells × z; [`hard_fates`](crate::hard_fates) needs less.
///
/// Reference: `LSD.propagate`, with t = linspace(0, range, points).
///
/// # Errors
/// [`FlowError`] where the times do not rise, the states are not of the model's dimensions, the trajectories do not fit into
/// memory, or the flow blows up.
pub fn propagate(
    model: &Model,
    start: &Matrix,
    grid: &[f64],
    ode: &CheckedOdeSpec,
    device: &impl Device,
) -> Result<Vec<Matrix>, FlowError> {
    // twice over: states are solved in blocks of cells, and then put together for every time
    check_fits(grid.len(), start.n_rows(), 2 * size_of::<f32>() * start.n_cols(), available_memory())?;
    let blocks = follow(model, start, grid, ode, device, |states| states)?;
    let join = |time: usize| blocks.iter().flat_map(|states| states[time].values().iter().copied()).collect();
    Ok((0..grid.len()).map(|time| Matrix::new(start.n_cols(), join(time))).collect())
}

/// −∇V at every cell, `n_cells × z`.
///
/// # Errors
/// [`FlowError`] where the states are not of the model's dimensions.
pub fn drift(model: &Model, states: &Matrix, device: &impl Device) -> Result<Matrix, FlowError> {
    check_dimensions(model, states)?;
    match device.kernels() {
        Kernels::Host | Kernels::Device(_) => {
            Ok(Matrix::new(states.n_cols(), Evaluator::new(model)?.drift(states.values())))
        }
        Kernels::Tensors => Ok(device.run(Drift { model, states })?),
    }
}

/// Solves block by block and keeps of every block what `reduce` makes of its states.
pub(crate) fn follow<R: Send>(
    model: &Model,
    start: &Matrix,
    grid: &[f64],
    ode: &CheckedOdeSpec,
    device: &impl Device,
    reduce: impl Fn(Vec<Matrix>) -> R + Sync,
) -> Result<Vec<R>, FlowError> {
    check_dimensions(model, start)?;
    if device.kernels() == Kernels::Tensors {
        return device.run(Follow { model, start, grid, ode, reduce });
    }
    let (networks, width) = (Evaluator::new(model)?, start.n_cols());
    let block = |(number, rows): (usize, &[f32])| {
        let states = networks.follow(rows, grid, ode).map_err(|error| error.at_row(number * HOST_BLOCK))?;
        Ok(reduce(states.into_iter().map(|state| Matrix::new(width, state)).collect()))
    };
    start.values().par_chunks(HOST_BLOCK * width).enumerate().map(block).collect()
}

fn check_dimensions(model: &Model, states: &Matrix) -> Result<(), FlowError> {
    let (found, expected) = (states.n_cols(), model.spec.get().z_dim);
    if found == expected { Ok(()) } else { Err(FlowError::Dimensions { found, expected }) }
}

struct Follow<'a, F> {
    model: &'a Model,
    start: &'a Matrix,
    grid: &'a [f64],
    ode: &'a CheckedOdeSpec,
    reduce: F,
}

impl<R: Send, F: Fn(Vec<Matrix>) -> R + Sync> Job for Follow<'_, F> {
    type Output = Result<Vec<R>, FlowError>;

    fn run<B: Trainable>(self, device: &B::Device) -> Self::Output {
        let width = self.start.n_cols();
        // blocks do not know of each other, so the result does not depend on the number of threads
        let block = |(number, states): (usize, &[f32])| -> Result<R, FlowError> {
            let model: Lsd<B::InnerBackend> = self.model.on(device)?;
            let z = rows(states.to_vec(), width, device);
            let solution = solve(|_, z| model.potential.drift(z), z, self.grid, self.ode)
                .map_err(|error| error.at_row(number * BLOCK))?;
            Ok((self.reduce)(solution.states.into_iter().map(matrix).collect()))
        };
        self.start.values().par_chunks(BLOCK * width).enumerate().map(block).collect()
    }
}

fn matrix<B: Backend>(rows: Tensor<B, 2>) -> Matrix {
    Matrix::new(rows.dims()[1], rows.into_data().iter::<f32>().collect())
}

struct Drift<'a> {
    model: &'a Model,
    states: &'a Matrix,
}

impl Job for Drift<'_> {
    type Output = Result<Matrix, WeightsError>;

    fn run<B: Trainable>(self, device: &B::Device) -> Self::Output {
        let model: Lsd<B::InnerBackend> = self.model.on(device)?;
        Ok(matrix(model.potential.drift(rows(self.states.values().to_vec(), self.states.n_cols(), device))))
    }
}
