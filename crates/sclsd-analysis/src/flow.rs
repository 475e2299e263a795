//! Gradient flow of cells down the potential: dz/dt = −∇V(z), solved on any time grid.

use rayon::prelude::*;
use sclsd_data::{Matrix, available_memory};
use sclsd_model::ode::CheckedOdeSpec;
use sclsd_model::{Evaluator, Model};

use crate::flow_error::FlowError;
use crate::memory::check_fits;

/// Number of cells that one thread solves at a time.
const BLOCK: usize = 64;

/// Trajectories of cells: their states z at every time of `grid`, where the first is `start` itself. Memory is times ×
/// cells × z; [`hard_fates`](crate::hard_fates) needs less.
///
/// Reference: `LSD.propagate`, with t = linspace(0, range, points).
///
/// # Errors
/// [`FlowError`] if the times do not increase, the states do not have the model's number of dimensions, the
/// trajectories do not fit into memory, or the flow diverges.
pub fn propagate(model: &Model, start: &Matrix, grid: &[f64], ode: &CheckedOdeSpec) -> Result<Vec<Matrix>, FlowError> {
    // needed twice: states are solved in blocks of cells, and then assembled by time
    check_fits(grid.len(), start.n_rows(), 2 * size_of::<f32>() * start.n_cols(), available_memory())?;
    let blocks = follow(model, start, grid, ode, |states| states)?;
    let join = |time: usize| blocks.iter().flat_map(|states| states[time].values().iter().copied()).collect();
    Ok((0..grid.len()).map(|time| Matrix::new(start.n_cols(), join(time))).collect())
}

/// Drift −∇V of every cell, `n_cells × z`.
///
/// # Errors
/// [`FlowError`] if the states do not have the model's number of dimensions.
pub fn drift(model: &Model, states: &Matrix) -> Result<Matrix, FlowError> {
    check_dimensions(model, states)?;
    Ok(Matrix::new(states.n_cols(), Evaluator::new(model)?.drift(states.values())))
}

/// Solves block by block, and stores for each block only what `reduce` returns for its states.
pub(crate) fn follow<R: Send>(
    model: &Model,
    start: &Matrix,
    grid: &[f64],
    ode: &CheckedOdeSpec,
    reduce: impl Fn(Vec<Matrix>) -> R + Sync,
) -> Result<Vec<R>, FlowError> {
    check_dimensions(model, start)?;
    let (networks, width) = (Evaluator::new(model)?, start.n_cols());
    let block = |(number, rows): (usize, &[f32])| {
        let states = networks.follow(rows, grid, ode).map_err(|error| error.at_row(number * BLOCK))?;
        Ok(reduce(states.into_iter().map(|state| Matrix::new(width, state)).collect()))
    };
    start.values().par_chunks(BLOCK * width).enumerate().map(block).collect()
}

/// That states are of the model's dimensions.
pub(crate) fn check_dimensions(model: &Model, states: &Matrix) -> Result<(), FlowError> {
    let (found, expected) = (states.n_cols(), model.spec.get().z_dim);
    if found == expected { Ok(()) } else { Err(FlowError::Dimensions { found, expected }) }
}
