//! Hard fates: each cell follows the flow down the potential, and its fate is the cell nearest to the end.

use sclsd_data::{Categorical, Column, Matrix};
use sclsd_graph::{Nearest, NearestError};
use sclsd_model::Model;
use sclsd_model::ode::{OdeError, OdeSpec, linspace};
use sclsd_spec::{OutOfRange, in_range};
use serde::{Deserialize, Serialize};

use crate::FlowError;
use crate::flow::follow;
use crate::memory::check_fits;
use sclsd_data::available_memory;

/// Settings of the flow that determines hard fates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HardFateSpec {
    /// Duration of the flow, in units of the length of a training walk. Above 0. Default: 15.
    pub time_range: f64,
    /// Approximate time between two points of a path: there are ⌊time_range / dt⌋ points from 0 to `time_range`. Above
    /// 0 and at most half of `time_range`. Default: 0.5.
    pub dt: f64,
    /// Whether to store the nearest cell at every point of the path. Default: no.
    pub paths: bool,
    /// Settings of the ODE solver.
    pub ode: OdeSpec,
}

impl Default for HardFateSpec {
    fn default() -> Self {
        Self { time_range: 15.0, dt: 0.5, paths: false, ode: OdeSpec::default() }
    }
}

/// The reason why hard fates cannot be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HardFateError {
    /// The gradient flow cannot be computed.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// The state of a cell is not finite.
    #[error("obsm[\"X_cell_state\"]: {0}")]
    State(#[from] NearestError),
}

impl From<OdeError> for HardFateError {
    fn from(error: OdeError) -> Self {
        Self::Flow(error.into())
    }
}

impl From<OutOfRange> for HardFateError {
    fn from(error: OutOfRange) -> Self {
        Self::Flow(error.into())
    }
}

/// Hard fates of cells.
#[derive(Debug, Clone, PartialEq)]
pub struct HardFates {
    /// For every cell, the cell nearest to its final state.
    pub cells: Vec<u32>,
    /// Final state of every cell, `n_cells × z`.
    pub states: Matrix,
    /// Times of the points of the paths.
    pub times: Vec<f64>,
    /// For every time, the cells nearest to each cell's state at that time, times × cells. Empty unless
    /// [`HardFateSpec::paths`] is set.
    pub paths: Vec<Vec<u32>>,
}

/// Computes the flow of every cell from its state, `n_cells × z`, and finds the cell nearest to the final state.
///
/// Reference: `LSD.get_cell_fates`.
///
/// # Errors
/// [`HardFateError`] if a setting is out of range, a state is not finite, or the flow diverges.
pub fn hard_fates(model: &Model, cell_state: &Matrix, spec: &HardFateSpec) -> Result<HardFates, HardFateError> {
    let times = grid(spec)?;
    let nearest = Nearest::new(cell_state)?;
    let ode = spec.ode.clone().check()?;
    let solved = if spec.paths { times.clone() } else { vec![0.0, spec.time_range] };
    if spec.paths {
        check_fits(times.len(), cell_state.n_rows(), size_of::<u32>(), available_memory())?;
    }
    let blocks = follow(model, cell_state, &solved, &ode, |states| -> Result<_, NearestError> {
        let project = |state: &Matrix| nearest.of_rows(state);
        let paths: Vec<Vec<u32>> =
            if spec.paths { states.iter().map(project).collect::<Result<_, _>>()? } else { Vec::new() };
        let last = states[states.len() - 1].clone();
        let ends = paths.last().cloned().map_or_else(|| project(&last), Ok)?;
        Ok((ends, last, paths))
    })?;
    let blocks = blocks.into_iter().collect::<Result<Vec<_>, _>>()?;
    let paths = (0..if spec.paths { times.len() } else { 0 })
        .map(|time| blocks.iter().flat_map(|block| block.2[time].iter().copied()).collect())
        .collect();
    let states = blocks.iter().flat_map(|block| block.1.values().iter().copied()).collect();
    let cells = blocks.into_iter().flat_map(|block| block.0).collect();
    Ok(HardFates { cells, states: Matrix::new(cell_state.n_cols(), states), times, paths })
}

fn grid(spec: &HardFateSpec) -> Result<Vec<f64>, OutOfRange> {
    let positive = |v: f64| v > 0.0 && v.is_finite();
    let steps = spec.time_range / spec.dt;
    in_range("fates.time_range", spec.time_range, positive(spec.time_range), "a finite time above 0")?;
    in_range("fates.dt", spec.dt, positive(spec.dt), "a finite time above 0")?;
    in_range("fates.dt", spec.dt, steps >= 2.0, "at most half of time_range")?;
    in_range("fates.dt", spec.dt, steps <= 1e6, "at least a millionth of time_range")?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 2 and a million")]
    let points = (spec.time_range / spec.dt) as usize;
    Ok(linspace(0.0, spec.time_range, points))
}

impl HardFates {
    /// The cluster in which each cell ends, as a column with the categories of `clusters`; stored as obs `fate`.
    #[must_use]
    pub fn column(&self, clusters: &Categorical) -> Column {
        let codes = self.cells.iter().map(|&cell| clusters.codes()[cell as usize]).collect();
        let column = Categorical::new(codes, clusters.categories().to_vec(), clusters.ordered());
        Column::Categorical(column.with_colors(clusters.colors().to_vec()))
    }
}

/// Number of cells of each cluster that end in each cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FateTable {
    /// Names of the clusters, for rows (origin) and columns (fate).
    pub clusters: Vec<String>,
    /// Numbers of cells, row-major.
    pub counts: Vec<usize>,
}

impl FateTable {
    /// Counts cells with origin `origins[i]` and end `ends[i]`. Cells without a cluster are ignored.
    ///
    /// # Panics
    /// If the inputs differ in length.
    #[must_use]
    pub fn new(clusters: &Categorical, origins: &[u32], ends: &[u32]) -> Self {
        assert_eq!(origins.len(), ends.len(), "one end per cell");
        let n = clusters.categories().len();
        let mut counts = vec![0; n * n];
        let code = |cell: &u32| clusters.codes()[*cell as usize].map(|c| c as usize);
        for (from, to) in origins.iter().zip(ends) {
            if let (Some(from), Some(to)) = (code(from), code(to)) {
                counts[from * n + to] += 1;
            }
        }
        Self { clusters: clusters.categories().to_vec(), counts }
    }

    /// Number of cells from one cluster that end in another.
    #[must_use]
    pub fn count(&self, from: usize, to: usize) -> usize {
        self.counts[from * self.clusters.len() + to]
    }

    /// Number of cells that end in each cluster.
    #[must_use]
    pub fn ends(&self) -> Vec<usize> {
        let n = self.clusters.len();
        (0..n).map(|to| (0..n).map(|from| self.count(from, to)).sum()).collect()
    }

    /// Fraction of a cluster's cells that end in another; 0 for a cluster without cells.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    pub fn fraction(&self, from: usize, to: usize) -> f64 {
        let n = self.clusters.len();
        let all: usize = self.counts[from * n..(from + 1) * n].iter().sum();
        if all == 0 { 0.0 } else { self.count(from, to) as f64 / all as f64 }
    }

    /// log₂ fold change of the number of cells that end in each cluster, relative to `base`. One cell is added to both,
    /// so that the value is finite for an empty cluster.
    ///
    /// # Panics
    /// If the tables have different clusters.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    pub fn log2_fold_change(&self, base: &Self) -> Vec<f64> {
        assert_eq!(self.clusters, base.clusters, "tables of the same clusters");
        let ratio = |(here, there): (usize, usize)| ((here as f64 + 1.0) / (there as f64 + 1.0)).log2();
        self.ends().into_iter().zip(base.ends()).map(ratio).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_counts_where_cells_of_each_cluster_end() {
        let clusters = Categorical::from_names(["a", "a", "b", "c"]);
        let table = FateTable::new(&clusters, &[0, 1, 2, 3], &[2, 0, 3, 3]);
        assert_eq!(table.counts, [1, 1, 0, 0, 0, 1, 0, 0, 1]);
        assert_eq!((table.ends(), table.fraction(0, 1)), (vec![1, 1, 2], 0.5));
        let other = FateTable::new(&clusters, &[0, 1, 2, 3], &[0, 0, 0, 3]);
        assert_eq!(table.log2_fold_change(&other), [-1.0, 1.0, (1.5_f64).log2()]);
    }

    #[test]
    fn a_time_range_that_is_not_positive_is_an_error() {
        let error = grid(&HardFateSpec { time_range: 0.0, ..HardFateSpec::default() }).unwrap_err();
        assert_eq!(error.to_string(), "fates.time_range is 0, expected a finite time above 0");
        let error = grid(&HardFateSpec { dt: 10.0, ..HardFateSpec::default() }).unwrap_err();
        assert_eq!(error.to_string(), "fates.dt is 10, expected at most half of time_range");
        assert_eq!(grid(&HardFateSpec::default()).unwrap().len(), 30);
    }
}
