//! Row-stochastic transitions on the neighbour graph.
//!
//! ```text
//! P(i → j) = exp(β (τ_j − τ_i)) / Σ_{k ∈ N(i)} exp(β (τ_k − τ_i))
//! ```
//!
//! The [Metropolis variant](Transition::metropolis) is ∝ min(1, exp(β (τ_j − τ_i))).
//!
//! `β` has units of 1/`τ`: at `β = 0` the walk is unbiased, and as `β → ∞` it always takes the neighbour with the
//! latest `τ`. Exponents are computed relative to the largest in the row, so no `τ` overflows. `N(i)` are the
//! neighbours with positive connectivity, without the cell itself. The size of the connectivity does not matter, as in
//! the Python package.
//!
//! A cell without neighbours is an error here, unless the cell was [dropped](Transition::dropped) because a phylogeny
//! removed its edges. Otherwise its row could not be normalised and would cause a `NaN` much later.

use std::sync::Arc;

use rayon::prelude::*;
use sclsd_data::{Categorical, Csr, CsrView, Pattern};
use sclsd_spec::{OutOfRange, in_range};

use crate::graph::{GraphError, check_graph, merge, neighbors_of};
use crate::{Descent, Phylogeny, PhylogenyError, Terminal};

/// Row-stochastic transition probabilities.
///
/// Invariants, checked on construction: every row is either empty (the cell is dropped, and no row leads to it) or has
/// finite, non-negative weights that sum to one to within `1e-12`.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    matrix: Csr<f64>,
    dropped: Vec<usize>,
}

/// The reason why transitions cannot be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransitionError {
    /// A cell has no outgoing edges.
    #[error(
        "cell {cell} has no neighbour in the graph ({isolated} such cells in all); remove them or rebuild the graph"
    )]
    Isolated {
        /// The first such cell.
        cell: usize,
        /// Number of such cells.
        isolated: usize,
    },
    /// A weight is not a valid probability weight.
    #[error("edge {from} -> {to} has weight {weight}, expected a finite non-negative number")]
    BadWeight {
        /// Start of the edge.
        from: usize,
        /// End of the edge.
        to: u32,
        /// Weight of the edge.
        weight: f64,
    },
    /// The graph does not have one row and one column per cell.
    #[error("the graph is {rows} × {columns}, but there are {cells} cells")]
    Shape {
        /// Rows of the graph.
        rows: usize,
        /// Columns of the graph.
        columns: usize,
        /// Number of cells.
        cells: usize,
    },
    /// The matrix is not a valid graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// All cells have the same pseudotime.
    #[error(
        "the pseudotime is {value} in every cell, so it gives walks no direction; use another pseudotime, or a beta of 0"
    )]
    ConstantTime {
        /// The pseudotime.
        value: f64,
    },
    /// The inverse temperature is negative or not finite.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// A pseudotime is not finite.
    #[error("pseudotime of cell {cell} is {value}, expected a finite number")]
    Time {
        /// The first such cell.
        cell: usize,
        /// Pseudotime of the cell.
        value: f64,
    },
    /// The phylogeny does not fit the data.
    #[error(transparent)]
    Phylogeny(#[from] PhylogenyError),
    /// Error of a custom prior.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
    /// No cells remain.
    #[error(
        "the phylogeny forbids all steps between neighbours; check that it joins clusters that are neighbours in the graph"
    )]
    NothingLeft,
}

impl Transition {
    /// Transitions along the graph, biased by `beta` towards later `pseudotime`.
    ///
    /// Reference: `LSD.set_prior_transition(prior_time_key)`, with `beta = 50`.
    ///
    /// # Errors
    /// [`TransitionError`] if a cell has no neighbour, a number is not finite, or all pseudotimes are equal and `beta`
    /// is above 0.
    pub fn from_pseudotime<'a>(
        graph: impl Into<CsrView<'a>>,
        pseudotime: &[f64],
        beta: f64,
    ) -> Result<Self, TransitionError> {
        varies(pseudotime, beta)?;
        let matrix = boltzmann_rows(graph, pseudotime, beta)?;
        no_isolated(matrix.pattern())?;
        Ok(Self { matrix, dropped: Vec::new() })
    }

    /// Like [`from_pseudotime`](Self::from_pseudotime), restricted to steps within a cluster and from a cluster to
    /// those that may follow it in `phylogeny`.
    ///
    /// Cells that lose every edge are dropped, and so are cells that could then only move to dropped cells; see
    /// [`dropped`](Self::dropped). Cells without a cluster are dropped too.
    ///
    /// Reference: `LSD.set_phylogeny` and `set_prior_transition(prior_time_key)`.
    ///
    /// # Errors
    /// [`TransitionError`] if a cell has no neighbour in the graph, no cell remains, the phylogeny names unknown
    /// clusters, a number is not finite, or all pseudotimes are equal and `beta` is above 0.
    pub fn from_phylogeny<'a>(
        graph: impl Into<CsrView<'a>>,
        pseudotime: &[f64],
        beta: f64,
        phylogeny: &Phylogeny,
        clusters: &Categorical,
        descent: Descent,
    ) -> Result<Self, TransitionError> {
        let graph = graph.into();
        check(graph, pseudotime, beta)?;
        varies(pseudotime, beta)?;
        let allowed = phylogeny.allowed(clusters, descent)?;
        let neighbors = positive(graph);
        no_isolated(&neighbors)?;
        let n = clusters.categories().len();
        let code = |cell: usize| clusters.codes()[cell].map(|c| c as usize);
        let may = |from: usize, to: u32| match (code(from), code(to as usize)) {
            (Some(a), Some(b)) => allowed[a * n + b],
            _ => false,
        };
        let mut rows: Vec<Vec<u32>> = (0..neighbors.n_rows())
            .map(|cell| neighbors.row(cell).iter().copied().filter(|&to| may(cell, to)).collect())
            .collect();
        loop {
            let empty: Vec<bool> = rows.iter().map(Vec::is_empty).collect();
            let before: usize = rows.iter().map(Vec::len).sum();
            rows.iter_mut().for_each(|row| row.retain(|&to| !empty[to as usize]));
            if rows.iter().map(Vec::len).sum::<usize>() == before {
                break;
            }
        }
        let dropped: Vec<usize> = (0..rows.len()).filter(|&cell| rows[cell].is_empty()).collect();
        if dropped.len() == rows.len() {
            return Err(TransitionError::NothingLeft);
        }
        let matrix = boltzmann(pattern(rows), pseudotime, beta);
        Ok(Self { matrix, dropped })
    }

    /// Creates transitions from a matrix of weights. Rows are normalised.
    ///
    /// Reference: `LSD.set_prior_transition(prior_transition)`.
    ///
    /// # Errors
    /// [`TransitionError`] if the matrix is not square, a weight is negative or not finite, or a row is all zero.
    pub fn from_matrix<'a>(weights: impl Into<CsrView<'a, f64>>) -> Result<Self, TransitionError> {
        let weights = weights.into();
        let (rows, columns) = (weights.n_rows(), weights.n_cols());
        if rows != columns {
            return Err(TransitionError::Shape { rows, columns, cells: rows });
        }
        let mut kept = Vec::with_capacity(rows);
        let mut values = Vec::with_capacity(weights.nnz());
        for cell in 0..rows {
            let (to, row) = weights.row(cell);
            if let Some(bad) = row.iter().position(|w| !w.is_finite() || *w < 0.0) {
                return Err(TransitionError::BadWeight { from: cell, to: to[bad], weight: row[bad] });
            }
            // relative to the largest weight, so that no sum overflows
            let largest = row.iter().copied().fold(0.0, f64::max);
            let scale = if row.iter().sum::<f64>().is_finite() { 1.0 } else { largest };
            let total: f64 = row.iter().map(|w| w / scale).sum();
            kept.push(to.iter().zip(row).filter(|(_, w)| **w > 0.0).map(|(c, _)| *c).collect());
            values.extend(row.iter().filter(|w| **w > 0.0).map(|w| w / scale / total));
        }
        let pattern = pattern(kept);
        no_isolated(&pattern)?;
        Ok(Self { matrix: Csr::over(pattern, values), dropped: Vec::new() })
    }

    /// Multiplies the probability of every step by the graph's weight of the edge, and normalises.
    ///
    /// # Errors
    /// [`TransitionError`] if the graph does not have these cells, or a weight is negative or not finite.
    ///
    /// # Panics
    /// If the graph lacks an edge that a step takes.
    pub fn weighted_by<'a>(&self, graph: impl Into<CsrView<'a>>) -> Result<Self, TransitionError> {
        let graph = graph.into();
        check_graph(graph, self.n_cells())?;
        Ok(self.scaled(|cell, _| {
            let (edges, weights) = graph.row(cell);
            move |to| f64::from(weights[edges.binary_search(&to).expect("a step along an edge")]).ln()
        }))
    }

    /// Multiplies the probability of steps to earlier cells by the acceptance probability of the Metropolis algorithm:
    ///
    /// ```text
    /// P'(i → j) ∝ P(i → j) min(1, exp(β (τ_j − τ_i)))
    /// ```
    ///
    /// Applied to [`from_pseudotime`](Self::from_pseudotime) with β = 0, all later neighbours are equally likely (or,
    /// if [weighted](Self::weighted_by), as likely as the edge is strong). A cell at a fork can take either branch,
    /// however much later one of them is, and a mature cell is not drawn to the latest cell nearby regardless of its
    /// branch.
    ///
    /// # Errors
    /// [`TransitionError`] if β or a time is invalid, or all times are equal and β is above 0.
    ///
    /// # Panics
    /// If the number of times differs from the number of cells.
    pub fn metropolis(&self, pseudotime: &[f64], beta: f64) -> Result<Self, TransitionError> {
        assert_eq!(pseudotime.len(), self.n_cells(), "one time per cell");
        check_numbers(pseudotime, beta)?;
        varies(pseudotime, beta)?;
        Ok(self.scaled(|cell, to| {
            let exponent = move |to: u32| (beta * (pseudotime[to as usize] - pseudotime[cell])).min(0.0);
            let largest = to.iter().map(|&to| exponent(to)).fold(f64::NEG_INFINITY, f64::max);
            move |to| exponent(to) - largest
        }))
    }

    /// The same steps with each probability multiplied by a factor (given as a logarithm), normalised. If all products
    /// underflow, they are computed relative to the largest.
    fn scaled<F: Fn(u32) -> f64>(&self, factors: impl Fn(usize, &[u32]) -> F) -> Self {
        let mut values = Vec::with_capacity(self.matrix.nnz());
        for cell in 0..self.n_cells() {
            let (to, p) = self.matrix.row(cell);
            let (factor, first) = (factors(cell, to), values.len());
            values.extend(to.iter().zip(p).map(|(&to, p)| p * factor(to).exp()));
            let mut total: f64 = values[first..].iter().sum();
            if total < f64::MIN_POSITIVE {
                values.truncate(first);
                values.extend(to.iter().zip(p).map(|(&to, p)| p.ln() + factor(to)));
                let largest = values[first..].iter().copied().fold(f64::NEG_INFINITY, f64::max);
                values[first..].iter_mut().for_each(|v| *v = (*v - largest).exp());
                total = values[first..].iter().sum();
            }
            values[first..].iter_mut().for_each(|v| *v /= total);
        }
        Self { matrix: Csr::over(Arc::clone(self.matrix.pattern()), values), dropped: self.dropped.clone() }
    }

    /// A mixture: each step is taken from `other` with probability `share`, and from `self` otherwise. A cell that one
    /// of the two drops has the steps of the other only. If both have the same steps, the indices are shared; otherwise
    /// rows are merged in O(steps).
    ///
    /// # Panics
    /// If the two differ in the number of cells, or `share` is not in 0…1.
    #[must_use]
    pub fn combined(&self, other: &Self, share: f64) -> Self {
        let n = self.n_cells();
        assert_eq!(other.n_cells(), n, "transitions of the same cells");
        assert!((0.0..=1.0).contains(&share), "a share of 0 to 1");
        let (ours, theirs) = (&self.matrix, &other.matrix);
        let dropped = self.dropped.iter().copied().filter(|cell| other.dropped.binary_search(cell).is_ok()).collect();
        let mixed = |share: f64, p: f64, q: f64| (1.0 - share) * p + share * q;
        if Arc::ptr_eq(ours.pattern(), theirs.pattern()) || ours.pattern() == theirs.pattern() {
            let values = ours.values().par_iter().zip(theirs.values()).map(|(&p, &q)| mixed(share, p, q)).collect();
            return Self { matrix: Csr::over(Arc::clone(ours.pattern()), values), dropped };
        }
        let share_of = |cell: usize| match (ours.row(cell).0.is_empty(), theirs.row(cell).0.is_empty()) {
            (true, _) => 1.0,
            (_, true) => 0.0,
            _ => share,
        };
        let mut indptr = vec![0];
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        for cell in 0..n {
            let share = share_of(cell);
            merge(steps(ours, cell), steps(theirs, cell), |to, p, q| {
                indices.push(to);
                values.push(mixed(share, p, q));
            });
            indptr.push(indices.len());
        }
        let pattern = Pattern::new(n, indptr, indices).expect("columns of two matrices, rising");
        Self { matrix: Csr::over(Arc::new(pattern), values), dropped }
    }

    /// Makes terminal states absorbing: from a terminal cell, steps lead only to its neighbours within the set, or to
    /// the cell itself if it has none there. Dropped cells remain dropped.
    ///
    /// # Panics
    /// If the terminal sets have another number of cells.
    #[must_use]
    pub fn absorbing(&self, terminal: &Terminal) -> Self {
        assert_eq!(terminal.n_cells(), self.n_cells(), "terminal sets of the same cells");
        let row = |(number, cell): (u32, usize)| -> Vec<(u32, f64)> {
            let (to, p) = self.matrix.row(cell);
            let all = to.iter().copied().zip(p.iter().copied());
            let Some(set) = terminal.of(cell).filter(|_| !to.is_empty()) else { return all.collect() };
            let within: Vec<(u32, f64)> = all.filter(|(to, _)| terminal.of(*to as usize) == Some(set)).collect();
            let total: f64 = within.iter().map(|(_, p)| p).sum();
            if total > 0.0 { within.into_iter().map(|(to, p)| (to, p / total)).collect() } else { vec![(number, 1.0)] }
        };
        let rows = (0_u32..).zip(0..self.n_cells()).map(row);
        let matrix = Csr::from_rows(self.n_cells(), rows).expect("rows of a matrix, or parts of them");
        Self { matrix, dropped: self.dropped.clone() }
    }

    /// Rows that sum to one, but for those of dropped cells, which are empty.
    pub(crate) fn of_rows(matrix: Csr<f64>, dropped: Vec<usize>) -> Self {
        Self { matrix, dropped }
    }

    /// Probabilities, one row per cell.
    #[must_use]
    pub fn matrix(&self) -> &Csr<f64> {
        &self.matrix
    }

    /// Cells that no walk visits, because a phylogeny left them without an edge.
    #[must_use]
    pub fn dropped(&self) -> &[usize] {
        &self.dropped
    }

    /// Number of cells, including dropped cells.
    #[must_use]
    pub fn n_cells(&self) -> usize {
        self.matrix.n_rows()
    }
}

fn steps(matrix: &Csr<f64>, cell: usize) -> impl Iterator<Item = (u32, f64)> {
    let (to, p) = matrix.row(cell);
    to.iter().copied().zip(p.iter().copied())
}

/// Boltzmann probabilities of steps towards later times along a graph, by the formula of the module docs. A cell
/// without neighbours has an empty row. With minus a potential as times, these are the probabilities of downhill steps.
///
/// Reference: `LSD.calculate_transition_probs`.
///
/// # Errors
/// [`TransitionError`] if the sizes differ or a number is not finite.
pub fn boltzmann_rows<'a>(
    graph: impl Into<CsrView<'a>>,
    times: &[f64],
    beta: f64,
) -> Result<Csr<f64>, TransitionError> {
    let graph = graph.into();
    check(graph, times, beta)?;
    Ok(boltzmann(positive(graph), times, beta))
}

/// Whether pseudotimes span approximately 0…1, which the scale of `β` assumes: all are within −0.5…1.5. With other
/// units, such as minutes or stages, a `β` of 50 per unit would always send a walk to the latest neighbour.
#[must_use]
pub fn pseudotime_in_range(pseudotime: &[f64]) -> bool {
    pseudotime.iter().all(|t| (-0.5..=1.5).contains(t))
}

/// Pseudotimes shifted and scaled to 0…1; all 0 if they are equal.
#[must_use]
pub fn scale_time(pseudotime: &[f64]) -> Vec<f64> {
    let (low, high) =
        pseudotime.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &t| (low.min(t), high.max(t)));
    pseudotime.iter().map(|t| if high > low { (t - low) / (high - low) } else { 0.0 }).collect()
}

/// Smooths a time by averaging over every cell and its neighbours, repeatedly. Neighbours are weighted by their
/// connectivity, and the cell itself as much as all its neighbours together. Smoothing orders cells within a coarse
/// time, such as the day of an experiment.
///
/// # Errors
/// [`TransitionError`] if the number of times differs from the number of cells in the graph, or a number is not finite.
pub fn smooth_time<'a>(
    graph: impl Into<CsrView<'a>>,
    time: &[f64],
    rounds: usize,
) -> Result<Vec<f64>, TransitionError> {
    let graph = graph.into();
    check(graph, time, 0.0)?;
    let mut time = time.to_vec();
    for _ in 0..rounds {
        let mean = |cell: usize| {
            let total: f64 = neighbors_of(graph, cell).map(|edge| f64::from(edge.1)).sum();
            let sum: f64 = neighbors_of(graph, cell).map(|(other, w)| f64::from(w) * time[other as usize]).sum();
            if total > 0.0 { f64::midpoint(time[cell], sum / total) } else { time[cell] }
        };
        time = (0..time.len()).into_par_iter().map(mean).collect();
    }
    Ok(time)
}

/// Checks that the graph has as many cells as there are times, and that all numbers are finite.
fn check(graph: CsrView<'_>, pseudotime: &[f64], beta: f64) -> Result<(), TransitionError> {
    check_graph(graph, pseudotime.len())?;
    check_numbers(pseudotime, beta)
}

/// Checks that times distinguish the two directions of some edge, unless `beta` is 0.
#[expect(clippy::float_cmp, reason = "the very same time")]
fn varies(pseudotime: &[f64], beta: f64) -> Result<(), TransitionError> {
    match pseudotime {
        [value, rest @ ..] if beta > 0.0 && !rest.is_empty() && rest.iter().all(|t| t == value) => {
            Err(TransitionError::ConstantTime { value: *value })
        }
        _ => Ok(()),
    }
}

fn check_numbers(pseudotime: &[f64], beta: f64) -> Result<(), TransitionError> {
    in_range("prior.beta", beta, beta.is_finite() && beta >= 0.0, "a finite number of 0 or more")?;
    match pseudotime.iter().position(|t| !t.is_finite()) {
        Some(cell) => Err(TransitionError::Time { cell, value: pseudotime[cell] }),
        None => Ok(()),
    }
}

/// Neighbours of every cell, with positive connectivity.
fn positive(graph: CsrView<'_>) -> Arc<Pattern> {
    let n = graph.n_rows();
    if (0..n).all(|cell| neighbors_of(graph, cell).count() == graph.row(cell).0.len()) {
        return graph.pattern();
    }
    pattern((0..n).map(|cell| neighbors_of(graph, cell).map(|edge| edge.0).collect()).collect())
}

fn pattern(rows: Vec<Vec<u32>>) -> Arc<Pattern> {
    let n_cols = rows.len();
    let mut indptr = vec![0];
    let mut indices = Vec::new();
    for row in rows {
        indices.extend(row);
        indptr.push(indices.len());
    }
    Arc::new(Pattern::new(n_cols, indptr, indices).expect("rows of a pattern"))
}

fn no_isolated(neighbors: &Pattern) -> Result<(), TransitionError> {
    let mut isolated = (0..neighbors.n_rows()).filter(|&cell| neighbors.row(cell).is_empty());
    match isolated.next() {
        Some(cell) => Err(TransitionError::Isolated { cell, isolated: 1 + isolated.count() }),
        None => Ok(()),
    }
}

fn boltzmann(neighbors: Arc<Pattern>, pseudotime: &[f64], beta: f64) -> Csr<f64> {
    let mut values = Vec::with_capacity(neighbors.nnz());
    for cell in 0..neighbors.n_rows() {
        let row = neighbors.row(cell);
        let latest = row.iter().map(|&to| pseudotime[to as usize]).fold(f64::NEG_INFINITY, f64::max);
        let first = values.len();
        values.extend(row.iter().map(|&to| (beta * (pseudotime[to as usize] - latest)).exp()));
        let total: f64 = values[first..].iter().sum();
        values[first..].iter_mut().for_each(|v| *v /= total);
    }
    Csr::over(neighbors, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Csr {
        Csr::from_rows(3, [vec![(1, 0.2)], vec![(0, 0.9), (2, 0.1)], vec![(1, 1.0)]]).unwrap()
    }

    #[test]
    fn metropolis_steps_to_later_cells_are_as_likely_as_their_edges_are_strong() {
        let graph =
            Csr::from_rows(4, [vec![(1, 0.2), (2, 0.4), (3, 0.4)], vec![(0, 1.0)], vec![(0, 1.0)], vec![(0, 1.0)]]);
        let graph = graph.unwrap();
        let time = [0.5, 0.3, 0.6, 1.0];
        let even = Transition::from_pseudotime(&graph, &time, 0.0).unwrap().weighted_by(&graph).unwrap();
        let p = even.metropolis(&time, 10.0).unwrap();
        let back = 0.2 * (-2.0_f64).exp();
        for (found, expected) in p.matrix().row(0).1.iter().zip([back, 0.4, 0.4]) {
            assert!((found - expected / (back + 0.8)).abs() < 1e-7, "{found}");
        }
        assert_eq!(p.metropolis(&time, 1e6).unwrap().matrix().row(3).1, [1.0], "a cell that is ahead of all goes back");
        for beta in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(even.metropolis(&time, beta), Err(TransitionError::OutOfRange(_))), "{beta}");
        }
        assert!(matches!(even.metropolis(&[0.5, f64::NAN, 0.6, 1.0], 1.0), Err(TransitionError::Time { cell: 1, .. })));
        let half = even.combined(&p, 0.5);
        for (found, (a, b)) in half.matrix().row(0).1.iter().zip(even.matrix().row(0).1.iter().zip(p.matrix().row(0).1))
        {
            assert!((found - f64::midpoint(*a, *b)).abs() < 1e-12);
        }
    }

    #[test]
    fn a_combined_walk_takes_steps_of_both_and_of_one_where_the_other_drops_a_cell() {
        let rows = |rows: [Vec<(u32, f64)>; 3]| Csr::from_rows(3, rows).unwrap();
        let own = Transition { matrix: rows([vec![(1, 1.0)], vec![(0, 1.0)], vec![]]), dropped: vec![2] };
        let other = Transition { matrix: rows([vec![(2, 1.0)], vec![], vec![(0, 1.0)]]), dropped: vec![1] };
        let both = own.combined(&other, 0.25);
        assert_eq!(both.matrix(), &rows([vec![(1, 0.75), (2, 0.25)], vec![(0, 1.0)], vec![(0, 1.0)]]));
        assert!(both.dropped().is_empty());
    }

    #[test]
    fn rows_sum_to_one_and_follow_the_formula() {
        let p = Transition::from_pseudotime(&chain(), &[0.0, 0.3, 1.0], 2.0).unwrap();
        for cell in 0..3 {
            assert!((p.matrix().row(cell).1.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
        let (back, on) = ((2.0 * -0.3_f64).exp(), (2.0 * 0.7_f64).exp());
        assert!((p.matrix().row(1).1[1] - on / (back + on)).abs() < 1e-12);
    }

    #[test]
    fn a_coarse_time_gets_an_order_from_the_graph() {
        let smooth = smooth_time(&chain(), &[0.0, 0.0, 1.0], 1).unwrap();
        assert!(smooth[0] < smooth[1] && smooth[1] < smooth[2], "{smooth:?}");
        assert_eq!(smooth_time(&chain(), &[0.0, 0.0, 1.0], 0).unwrap(), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn huge_pseudotimes_do_not_overflow() {
        let p = Transition::from_pseudotime(&chain(), &[0.0, 1e6, 2e6], 50.0).unwrap();
        assert_eq!(p.matrix().row(1).1, [0.0, 1.0]);
        assert!(!pseudotime_in_range(&[0.0, 1e6]) && pseudotime_in_range(&[0.0, 1.0]));
        assert_eq!(scale_time(&[2.0, 4.0, 3.0]), [0.0, 1.0, 0.5]);
    }

    #[test]
    fn a_cell_without_neighbours_is_an_error_that_names_it() {
        let lonely = Csr::from_rows(2, [vec![(1, 1.0)], vec![(0, 0.0)]]).unwrap();
        let error = Transition::from_pseudotime(&lonely, &[0.0, 1.0], 50.0).unwrap_err();
        assert!(error.to_string().starts_with("cell 1 has no neighbour in the graph (1 such cells"), "{error}");
    }

    #[test]
    fn a_phylogeny_drops_cells_that_can_go_nowhere_and_counts_them() {
        // 0 (a) – 1 (a) – 2 (b) – 3 (c); a may become b, and c is disconnected by the phylogeny
        let graph =
            Csr::from_rows(4, [vec![(1, 1.0)], vec![(0, 1.0), (2, 1.0)], vec![(1, 1.0), (3, 1.0)], vec![(2, 1.0)]]);
        let clusters = Categorical::from_names(["a", "a", "b", "c"]);
        let tree = Phylogeny::new([("a".to_owned(), vec!["b".to_owned()])].into()).unwrap();
        let times = [0.0, 0.1, 0.2, 0.3];
        let p = Transition::from_phylogeny(&graph.unwrap(), &times, 50.0, &tree, &clusters, Descent::Children).unwrap();
        assert_eq!(p.dropped(), [2, 3], "2 may only stay in b, where it has nobody");
        assert_eq!(p.matrix().row(1).0, [0], "no step leads to a dropped cell");
    }

    #[test]
    fn a_constant_time_is_an_error_unless_it_is_not_gone_by() {
        let error = Transition::from_pseudotime(&chain(), &[0.5; 3], 50.0).unwrap_err();
        let expected = "the pseudotime is 0.5 in every cell, so it gives walks no direction; use another pseudotime, or a beta of 0";
        assert_eq!(error.to_string(), expected);
        let even = Transition::from_pseudotime(&chain(), &[0.5; 3], 0.0).unwrap();
        assert!(matches!(even.metropolis(&[0.5; 3], 5.0), Err(TransitionError::ConstantTime { .. })));
        assert!(even.metropolis(&[0.5; 3], 0.0).is_ok());
    }

    #[test]
    fn a_loop_is_no_neighbour_and_bad_weights_are_named_wherever_a_graph_comes_in() {
        let times = [0.0, 0.3, 1.0];
        let loops = Csr::from_rows(3, [vec![(0, 5.0), (1, 0.2)], vec![(0, 0.9), (2, 0.1)], vec![(1, 1.0)]]).unwrap();
        let plain = Transition::from_pseudotime(&chain(), &times, 2.0).unwrap();
        assert_eq!(Transition::from_pseudotime(&loops, &times, 2.0).unwrap(), plain);
        assert_eq!(smooth_time(&loops, &times, 2).unwrap(), smooth_time(&chain(), &times, 2).unwrap());
        let alone = Csr::from_rows(3, [vec![(0, 1.0)], vec![(0, 0.9), (2, 0.1)], vec![(1, 1.0)]]).unwrap();
        let error = Transition::from_pseudotime(&alone, &times, 2.0).unwrap_err();
        assert!(matches!(error, TransitionError::Isolated { cell: 0, isolated: 1 }), "{error}");
        for bad in [f32::NAN, f32::INFINITY, -0.5] {
            let graph = Csr::from_rows(3, [vec![(1, 0.2)], vec![(0, bad), (2, 0.1)], vec![(1, 1.0)]]).unwrap();
            let is_named = |error: Option<TransitionError>| {
                matches!(error, Some(TransitionError::Graph(GraphError::Weight { from: 1, to: 0, .. })))
            };
            assert!(is_named(Transition::from_pseudotime(&graph, &times, 2.0).err()));
            assert!(is_named(smooth_time(&graph, &times, 1).err()));
            assert!(is_named(boltzmann_rows(&graph, &times, 1.0).err()));
            assert!(is_named(plain.weighted_by(&graph).err()));
        }
    }

    #[test]
    fn weights_and_factors_of_any_size_leave_rows_that_sum_to_one() {
        let huge = Csr::from_rows(2, [vec![(0, 1.5e308), (1, 1.5e308)], vec![(0, 1e-320)]]).unwrap();
        let p = Transition::from_matrix(&huge).unwrap();
        assert_eq!((p.matrix().row(0).1, p.matrix().row(1).1), (&[0.5, 0.5][..], &[1.0][..]));
        // one prior is certain of a step that is almost impossible for the other
        let steps = Csr::from_rows(3, [vec![(1, 0.0), (2, 1.0)], vec![(0, 1.0)], vec![(0, 1.0)]]).unwrap();
        let sure = Transition { matrix: steps, dropped: Vec::new() };
        assert_eq!(sure.metropolis(&[0.5, 0.6, 0.0], 1e6).unwrap().matrix().row(0).1, [0.0, 1.0]);
    }

    #[test]
    fn combining_over_one_graph_and_over_two_gives_the_same_steps() {
        let times = [0.0, 0.3, 1.0];
        let (a, b) = [2.0, 9.0].map(|beta| Transition::from_pseudotime(&chain(), &times, beta).unwrap()).into();
        let over_one = a.combined(&b, 0.3);
        let wider = Csr::from_rows(3, [vec![(1, 1.0), (2, 0.0)], vec![(0, 0.0), (2, 1.0)], vec![(1, 1.0)]]).unwrap();
        let over_two = a.combined(&Transition { matrix: wider.clone(), dropped: Vec::new() }, 0.0);
        assert_eq!(over_two.matrix().row(1), a.matrix().row(1));
        for cell in 0..3 {
            let sum = |p: &Transition| p.matrix().row(cell).1.iter().sum::<f64>();
            assert!((sum(&over_one) - 1.0).abs() < 1e-12 && (sum(&over_two) - 1.0).abs() < 1e-12);
        }
    }
}
