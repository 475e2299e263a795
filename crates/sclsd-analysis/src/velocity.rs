//! Velocities of cells on an embedding.
//!
//! A cell's velocity is the mean of the unit displacements to its neighbours, weighted by transition probability, minus
//! their unweighted mean:
//!
//! ```text
//! v_i = Σ_j (p_ij − 1/k_i) (y_j − y_i) / ‖y_j − y_i‖        over the k_i neighbours j of i
//! ```
//!
//! p are the transition probabilities, or, for the drift, p_ij ∝ exp(10 cos(−∇V(z_i), z_j − z_i)). All velocities are
//! scaled by one factor, so that arrows of typical length fit the picture.
//!
//! Sources: CellRank's `TmatProjection`; scVelo's `velocity_embedding` and `quiver_autoscale`; La Manno et al., 2018.

use std::fmt;
use std::str::FromStr;

use rayon::prelude::*;
use sclsd_data::{Csr, Matrix};
use sclsd_graph::{GraphError, check_graph, neighbors_of};
use sclsd_spec::{Choice, UnknownName};

/// Sharpness of the drift's preference for neighbours in its direction.
const SHARPNESS: f64 = 10.0;
/// Aspect ratio of a picture's axes, height / width (matplotlib's defaults: 369.6 by 496).
const ASPECT: f64 = 369.6 / 496.0;

/// The reason why velocities cannot be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VelocityError {
    /// The embedding has fewer than two columns.
    #[error("the embedding has {columns} columns, expected at least 2")]
    Columns {
        /// Number of columns.
        columns: usize,
    },
    /// The matrix is not a valid graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A coordinate of a cell is not finite.
    #[error("the embedding of cell {cell} is {value}, expected a finite number")]
    NotFinite {
        /// Index of the cell.
        cell: usize,
        /// Value of the coordinate.
        value: f32,
    },
    /// Numbers of cells differ.
    #[error("the {what} is of {found} cells, but the graph is of {expected}")]
    Cells {
        /// The input with a different number of cells.
        what: &'static str,
        /// Number of cells of that input.
        found: usize,
        /// Number of cells of the graph.
        expected: usize,
    },
}

/// Source of the velocities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Directions {
    /// Transition probabilities: [`velocity_from_transitions`].
    #[default]
    Transitions,
    /// Drift of the potential: [`velocity_from_drift`].
    Drift,
}

impl Directions {
    /// Key in obsm of these velocities. `suffix` is the name of the embedding without `X_`.
    #[must_use]
    pub fn key(self, suffix: &str) -> String {
        match self {
            Self::Transitions => format!("velocity_{suffix}"),
            Self::Drift => format!("drift_velocity_{suffix}"),
        }
    }
}

impl Choice for Directions {
    const WHAT: &'static str = "directions";
    const ALL: &'static [Self] = &[Self::Transitions, Self::Drift];

    fn name(self) -> &'static str {
        match self {
            Self::Transitions => "transitions",
            Self::Drift => "drift",
        }
    }
}

impl fmt::Display for Directions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Directions {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::named(name)
    }
}

/// Velocities from transition probabilities, `n_cells × 2`; stored as obsm `velocity_<basis>`.
///
/// # Errors
/// [`VelocityError`] if the embedding has fewer than two columns, sizes differ, or a weight of the graph is invalid.
pub fn velocity_from_transitions(
    transitions: &Csr<f64>,
    connectivities: &Csr,
    embedding: &Matrix,
) -> Result<Matrix, VelocityError> {
    check(connectivities, embedding, "transition matrix", transitions.n_rows())?;
    let weights = |cell: usize, others: &[u32]| {
        let (to, probabilities) = transitions.row(cell);
        let weight = |other: &u32| to.binary_search(other).map_or(0.0, |at| probabilities[at]);
        others.iter().map(weight).collect()
    };
    Ok(project(connectivities, embedding, weights))
}

/// Velocities from the drift −∇V and the state of every cell, both `n_cells × z`; stored as obsm
/// `drift_velocity_<basis>`.
///
/// # Errors
/// Under the same conditions as [`velocity_from_transitions`].
pub fn velocity_from_drift(
    drift: &Matrix,
    cell_state: &Matrix,
    connectivities: &Csr,
    embedding: &Matrix,
) -> Result<Matrix, VelocityError> {
    check(connectivities, embedding, "drift", drift.n_rows())?;
    check(connectivities, embedding, "cell state", cell_state.n_rows())?;
    let weights = |cell: usize, others: &[u32]| {
        let likeness = |&other: &u32| {
            let step = cell_state.row(other as usize).iter().zip(cell_state.row(cell)).map(|(a, b)| a - b);
            (SHARPNESS * cosine(drift.row(cell).iter().copied().zip(step))).exp()
        };
        let raw: Vec<f64> = others.iter().map(likeness).collect();
        let total: f64 = raw.iter().sum();
        raw.into_iter().map(|w| w / total).collect()
    };
    Ok(project(connectivities, embedding, weights))
}

fn check(graph: &Csr, embedding: &Matrix, what: &'static str, found: usize) -> Result<(), VelocityError> {
    let (columns, expected) = (embedding.n_cols(), graph.n_rows());
    check_graph(graph, expected)?;
    if columns < 2 {
        return Err(VelocityError::Columns { columns });
    }
    for (what, found) in [("embedding", embedding.n_rows()), (what, found)] {
        if found != expected {
            return Err(VelocityError::Cells { what, found, expected });
        }
    }
    if let Some(at) = embedding.values().iter().position(|v| !v.is_finite()) {
        return Err(VelocityError::NotFinite { cell: at / columns, value: embedding.values()[at] });
    }
    Ok(())
}

/// Cosine of the angle between two vectors; 0 if one of them is zero.
pub(crate) fn cosine(pairs: impl Iterator<Item = (f32, f32)>) -> f64 {
    let (dot, a, b) = pairs.fold((0.0, 0.0, 0.0), |(dot, a, b), (x, y)| {
        let (x, y) = (f64::from(x), f64::from(y));
        (dot + x * y, a + x * x, b + y * y)
    });
    let length = (a * b).sqrt();
    if length > 0.0 { dot / length } else { 0.0 }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "directions are kept in f32")]
fn project(graph: &Csr, embedding: &Matrix, weights: impl Fn(usize, &[u32]) -> Vec<f64> + Sync) -> Matrix {
    let direction = |cell: usize| {
        let others: Vec<u32> = neighbors_of(graph, cell).map(|edge| edge.0).collect();
        let here = embedding.row(cell);
        let mut sum = [0.0; 2];
        for (&other, weight) in others.iter().zip(weights(cell, &others)) {
            let there = embedding.row(other as usize);
            let step = [0, 1].map(|axis| f64::from(there[axis] - here[axis]));
            let length = step[0].hypot(step[1]);
            if length > 0.0 {
                (0..2).for_each(|axis| sum[axis] += (weight - 1.0 / others.len() as f64) * step[axis] / length);
            }
        }
        sum
    };
    let raw: Vec<[f64; 2]> = (0..graph.n_rows()).into_par_iter().map(direction).collect();
    let scale = 3.0 * typical_length(embedding, &raw);
    let scale = if scale > 0.0 { scale } else { 1.0 };
    Matrix::new(2, raw.iter().flatten().map(|v| (v / scale) as f32).collect())
}

/// The factor by which matplotlib divides arrows to fit its axes.
#[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
fn typical_length(embedding: &Matrix, arrows: &[[f64; 2]]) -> f64 {
    let n = embedding.n_rows();
    let extent = |axis: usize| {
        let (low, high) = (0..n)
            .map(|cell| f64::from(embedding.row(cell)[axis]))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        1.1 * (high - low) // the axes leave a margin of a twentieth on either side
    };
    let (width, height) = (extent(0), extent(1));
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let mean = arrows.iter().map(|a| (a[0] / width).hypot(ASPECT * a[1] / height)).sum::<f64>() / n as f64;
    1.8 * mean * (n as f64).sqrt().max(10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cells on a line, each a neighbour of the next.
    fn line() -> (Csr, Matrix) {
        let rows = (0..20_u32).map(|i| {
            let near = |j: &u32| i.abs_diff(*j) == 1;
            (0..20).filter(near).map(|j| (j, 1.0_f32)).collect()
        });
        let places = (0..20_u8).flat_map(|i| [f32::from(i), 0.1 * f32::from(i % 3)]).collect();
        (Csr::from_rows(20, rows.collect::<Vec<_>>()).unwrap(), Matrix::new(2, places))
    }

    #[test]
    fn cells_that_go_right_point_right() {
        let (graph, places) = line();
        let rows = (0..20).map(|i: u32| {
            let others = graph.row(i as usize).0;
            others.iter().map(|&j| (j, if others.len() == 1 { 1.0 } else { f64::from(u8::from(j > i)) })).collect()
        });
        let transitions = Csr::from_rows(20, rows.collect::<Vec<Vec<_>>>()).unwrap();
        let v = velocity_from_transitions(&transitions, &graph, &places).unwrap();
        assert!((1..19).all(|cell| v.row(cell)[0] > 0.0));
        assert_eq!(v.row(0), [0.0, 0.0], "one neighbour is no choice");
        let drift = Matrix::new(1, vec![1.0; 20]);
        let state = Matrix::new(1, (0..20_u8).map(f32::from).collect());
        let v = velocity_from_drift(&drift, &state, &graph, &places).unwrap();
        assert!((1..19).all(|cell| v.row(cell)[0] > 0.0));
    }

    #[test]
    fn loops_and_stored_zeros_are_no_neighbours_and_bad_weights_are_named() {
        let (graph, places) = line();
        let drift = Matrix::new(1, vec![1.0; 20]);
        let state = Matrix::new(1, (0..20_u8).map(f32::from).collect());
        let with = |weight: f32| {
            let rows = (0..20_u32).map(|i| {
                let near = graph.row(i as usize).0.iter().map(|&j| (j, 1.0));
                let mut row: Vec<(u32, f32)> = near.chain([(i, 3.0), ((i + 10) % 20, weight)]).collect();
                row.sort_by_key(|edge| edge.0);
                row
            });
            Csr::from_rows(20, rows.collect::<Vec<_>>()).unwrap()
        };
        let plain = velocity_from_drift(&drift, &state, &graph, &places).unwrap();
        assert_eq!(velocity_from_drift(&drift, &state, &with(0.0), &places).unwrap(), plain);
        let error = velocity_from_drift(&drift, &state, &with(f32::NAN), &places).unwrap_err();
        assert!(matches!(error, VelocityError::Graph(GraphError::Weight { .. })), "{error}");
    }
}
