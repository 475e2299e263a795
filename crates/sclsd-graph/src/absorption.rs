//! Absorption of random walks: the probability of each terminal set, and the expected number of steps.
//!
//! Let Q be the transitions among the cells outside every set, and R the transitions from these cells into the sets:
//!
//! ```text
//! F = (I − (1 − κ) Q)⁻¹ (1 − κ) R      F[i, k]: a walk from i enters set k before any other set
//! h = (I − (1 − κ) Q)⁻¹ 1              h[i]: steps until it does, on average
//! ```
//!
//! In every step a walk is killed with probability κ = 1e-10: a walk that is not absorbed within some 10¹⁰ steps counts
//! as one that never is. Without κ, cells that a strong bias almost locks in would make the system singular in double
//! precision. If the solver does not converge, κ is raised to 1e-8 and then to 1e-6.
//!
//! The systems are solved by restarted GMRES (Saad and Schultz, 1986), preconditioned by an incomplete factorisation
//! with the graph's sparsity pattern that preserves row sums (MILU(0), Gustafsson, 1978). Cells are eliminated in
//! breadth-first order from the sets outwards, so the factorisation is exact for a walk that only moves forwards.
//! Pivots are sums of probabilities and never differences (Grassmann, Taksar and Heyman, 1985): no digits cancel,
//! however unlikely a walk is to leave a cell. Memory is O(cells + edges). Fates are solved in parallel, and the result
//! is the same for any number of threads.
//!
//! Source: Kemeny and Snell, Finite Markov Chains (1960), chapter 3; `compute_absorption_probabilities` in CellRank.

use std::collections::VecDeque;

use rayon::prelude::*;
use sclsd_data::CsrView;

use crate::Terminal;

/// Probability κ that a walk is killed in a step, in the order in which the values are tried.
const KILLING: [f64; 3] = [1e-10, 1e-8, 1e-6];
/// Correction, relative to the largest value, at which the solver has converged.
const TOLERANCE: f64 = 1e-10;
/// Correction that is accepted if the solver makes no further progress: cells that are almost locked in amplify
/// rounding errors.
const ROUNDING: f64 = 1e-6;
/// Target factor by which a cycle of the solver reduces the residual.
const AIM: f64 = 1e-8;
/// Steps per cycle, each of which stores a vector; and the number of cycles.
const CYCLE: usize = 40;
const CYCLES: usize = 50;
/// Absorption probability below which a walk counts as never ending.
const ENDS: f64 = 0.5;

/// Absorption probabilities of every cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Absorption {
    /// Number of terminal sets.
    pub n_sets: usize,
    /// Probability that a walk from a cell is absorbed by each set, `n_cells × n_sets`, row-major. Rows sum to one, or
    /// are zero for [`unreachable`](Self::unreachable) cells. A cell in a set has probability one for that set.
    pub probabilities: Vec<f64>,
    /// Cells from which a walk reaches no terminal set.
    pub unreachable: Vec<usize>,
}

/// The reason why absorption cannot be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AbsorptionError {
    /// The terminal sets have another number of cells than the transitions.
    #[error("the terminal sets are of {found} cells, but the transitions are of {expected}")]
    Cells {
        /// Number of cells of the sets.
        found: usize,
        /// Number of cells of the transitions.
        expected: usize,
    },
    /// The solver does not converge.
    #[error("absorption in terminal set {set} did not converge: the error is still about {error:.1e}")]
    NotConverged {
        /// Index of the set.
        set: usize,
        /// Size of the last correction, relative to the largest value.
        error: f64,
    },
}

/// Computes the absorption of walks in the sets of `terminal`. Rows of `transitions` must sum to one or be empty.
///
/// # Errors
/// [`AbsorptionError`] if the numbers of cells differ or the solver does not converge.
pub fn absorption<'a>(
    transitions: impl Into<CsrView<'a, f64>>,
    terminal: &Terminal,
) -> Result<Absorption, AbsorptionError> {
    let transitions = transitions.into();
    first_that_converges(|killing| absorption_at(killing, transitions, terminal))
}

/// The first result that is not a convergence failure, otherwise the last failure.
fn first_that_converges<T>(at: impl Fn(f64) -> Result<T, AbsorptionError>) -> Result<T, AbsorptionError> {
    let mut result = at(KILLING[0]);
    for &killing in &KILLING[1..] {
        match result {
            Err(AbsorptionError::NotConverged { .. }) => result = at(killing),
            _ => break,
        }
    }
    result
}

fn absorption_at(
    killing: f64,
    transitions: CsrView<'_, f64>,
    terminal: &Terminal,
) -> Result<Absorption, AbsorptionError> {
    let system = System::new(killing, transitions, terminal)?;
    let (n, k) = (transitions.n_rows(), terminal.len());
    let solved: Vec<Vec<f64>> = (0..k)
        .into_par_iter()
        .map(|set| {
            let into = |cell: u32| {
                let (to, p) = transitions.row(cell as usize);
                let entering = to.iter().zip(p).filter(|(to, _)| terminal.of(**to as usize) == Some(set));
                (1.0 - killing) * entering.map(|(_, p)| p).sum::<f64>()
            };
            let entering: Vec<f64> = system.cells.iter().map(|&cell| into(cell)).collect();
            system.solve(&entering).map_err(|error| AbsorptionError::NotConverged { set, error })
        })
        .collect::<Result<_, _>>()?;
    let mut probabilities = vec![0.0; n * k];
    let mut ends = vec![false; n];
    for (cell, ends) in ends.iter_mut().enumerate() {
        if let Some(set) = terminal.of(cell) {
            probabilities[cell * k + set] = 1.0;
            *ends = true;
        }
    }
    for (at, &cell) in system.cells.iter().enumerate() {
        let row = &mut probabilities[cell as usize * k..(cell as usize + 1) * k];
        row.iter_mut().zip(&solved).for_each(|(p, solved)| *p = solved[at].max(0.0));
        let total: f64 = row.iter().sum();
        ends[cell as usize] = total >= ENDS;
        row.iter_mut().for_each(|p| *p = if total >= ENDS { *p / total } else { 0.0 });
    }
    let unreachable = (0..n).filter(|&cell| !ends[cell]).collect();
    Ok(Absorption { n_sets: k, probabilities, unreachable })
}

/// Expected number of steps until a walk from each cell is absorbed: 0 in the terminal sets, infinite for cells from
/// which none is reached.
///
/// # Errors
/// Under the same conditions as [`absorption`].
pub fn steps_to_absorption<'a>(
    transitions: impl Into<CsrView<'a, f64>>,
    terminal: &Terminal,
) -> Result<Vec<f64>, AbsorptionError> {
    let transitions = transitions.into();
    first_that_converges(|killing| steps_at(killing, transitions, terminal))
}

fn steps_at(killing: f64, transitions: CsrView<'_, f64>, terminal: &Terminal) -> Result<Vec<f64>, AbsorptionError> {
    let system = System::new(killing, transitions, terminal)?;
    let solved = system
        .solve(&vec![1.0; system.cells.len()])
        .map_err(|error| AbsorptionError::NotConverged { set: 0, error })?;
    let mut steps = vec![f64::INFINITY; transitions.n_rows()];
    (0..steps.len()).filter(|&cell| terminal.of(cell).is_some()).for_each(|cell| steps[cell] = 0.0);
    for (&cell, solved) in system.cells.iter().zip(solved) {
        // half of all walks are killed within ln 2 / κ steps
        steps[cell as usize] = if solved < std::f64::consts::LN_2 / killing { solved.max(1.0) } else { f64::INFINITY };
    }
    Ok(steps)
}

/// I − (1 − κ) Q over the cells that can reach a set, in elimination order, and its incomplete factorisation.
struct System {
    /// Cells in elimination order: those nearest to a set first.
    cells: Vec<u32>,
    starts: Vec<usize>,
    columns: Vec<u32>,
    /// Off-diagonal values of −(1 − κ) Q.
    values: Vec<f64>,
    diagonal: Vec<f64>,
    /// L (below the unit diagonal) and U (above the diagonal), with the same pattern.
    factors: Vec<f64>,
    pivots: Vec<f64>,
}

impl System {
    fn new(killing: f64, transitions: CsrView<'_, f64>, terminal: &Terminal) -> Result<Self, AbsorptionError> {
        let (found, expected) = (terminal.n_cells(), transitions.n_rows());
        if found != expected {
            return Err(AbsorptionError::Cells { found, expected });
        }
        let cells = outwards(transitions, terminal);
        let mut place = vec![u32::MAX; expected];
        for (at, &cell) in (0_u32..).zip(&cells) {
            place[cell as usize] = at;
        }
        let (mut starts, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
        let mut diagonal = Vec::with_capacity(cells.len());
        // probability of leaving the system: to a set, to a cell that reaches no set, or by being killed
        let mut outside = Vec::with_capacity(cells.len());
        for &cell in &cells {
            let (to, p) = transitions.row(cell as usize);
            let inside = |to: u32| place[to as usize] != u32::MAX;
            let staying: f64 = to.iter().zip(p).filter(|(to, _)| **to == cell).map(|(_, p)| p).sum();
            let leaving: f64 = to.iter().zip(p).filter(|(to, _)| **to != cell).map(|(_, p)| p).sum();
            let gone: f64 = to.iter().zip(p).filter(|(to, _)| !inside(**to)).map(|(_, p)| p).sum();
            let mut row: Vec<(u32, f64)> = to
                .iter()
                .zip(p)
                .filter(|(to, p)| **to != cell && inside(**to) && **p > 0.0)
                .map(|(to, p)| (place[*to as usize], -(1.0 - killing) * p))
                .collect();
            row.sort_unstable_by_key(|entry| entry.0);
            columns.extend(row.iter().map(|entry| entry.0));
            values.extend(row.iter().map(|entry| entry.1));
            starts.push(columns.len());
            let end = killing * (staying + leaving);
            diagonal.push((1.0 - killing) * leaving + end);
            outside.push((1.0 - killing) * gone + end);
        }
        let mut system = Self { cells, starts, columns, values, diagonal, factors: Vec::new(), pivots: Vec::new() };
        system.factor(outside);
        Ok(system)
    }

    fn row(&self, at: usize) -> std::ops::Range<usize> {
        self.starts[at]..self.starts[at + 1]
    }

    /// MILU(0): fill-in outside the pattern is added to the diagonal, so that L U 1 = A 1. The pivot is then the sum of
    /// the flow from a row to later rows and out of the system, which needs no subtraction.
    fn factor(&mut self, mut outside: Vec<f64>) {
        let n = self.cells.len();
        let mut factors = self.values.clone();
        let mut pivots = vec![0.0; n];
        let mut slot = vec![usize::MAX; n];
        for i in 0..n {
            let row = self.row(i);
            row.clone().for_each(|e| slot[self.columns[e] as usize] = e);
            for e in row.clone().take_while(|&e| (self.columns[e] as usize) < i) {
                let j = self.columns[e] as usize;
                let l = factors[e] / pivots[j];
                factors[e] = l;
                // distribute row j of U and its flow out of the system to this row
                for u in self.row(j).filter(|&u| self.columns[u] as usize > j) {
                    let k = self.columns[u] as usize;
                    if k != i && slot[k] != usize::MAX {
                        factors[slot[k]] -= l * factors[u];
                    }
                }
                outside[i] -= l * outside[j];
            }
            let later: f64 = row.clone().filter(|&e| self.columns[e] as usize > i).map(|e| -factors[e]).sum();
            pivots[i] = later + outside[i];
            row.for_each(|e| slot[self.columns[e] as usize] = usize::MAX);
        }
        (self.factors, self.pivots) = (factors, pivots);
    }

    /// y = A x.
    fn apply(&self, x: &[f64], y: &mut [f64]) {
        for (i, y) in y.iter_mut().enumerate() {
            let others: f64 = self.row(i).map(|e| self.values[e] * x[self.columns[e] as usize]).sum();
            *y = self.diagonal[i] * x[i] + others;
        }
    }

    /// y = (L U)⁻¹ x.
    fn precondition(&self, x: &[f64], y: &mut [f64]) {
        for i in 0..x.len() {
            let row = self.row(i);
            let below = row.take_while(|&e| (self.columns[e] as usize) < i);
            y[i] = x[i] - below.map(|e| self.factors[e] * y[self.columns[e] as usize]).sum::<f64>();
        }
        for i in (0..x.len()).rev() {
            let above = self.row(i).rev().take_while(|&e| self.columns[e] as usize > i);
            y[i] = (y[i] - above.map(|e| self.factors[e] * y[self.columns[e] as usize]).sum::<f64>()) / self.pivots[i];
        }
    }

    /// Solves A x = b. Returns the size of the error if the solver does not converge.
    fn solve(&self, b: &[f64]) -> Result<Vec<f64>, f64> {
        let n = b.len();
        let mut x = vec![0.0; n];
        self.precondition(b, &mut x);
        let (mut residual, mut correction) = (vec![0.0; n], vec![0.0; n]);
        let mut error = f64::INFINITY;
        for _ in 0..CYCLES {
            self.apply(&x, &mut residual);
            residual.iter_mut().zip(b).for_each(|(r, b)| *r = b - *r);
            self.precondition(&residual, &mut correction);
            let before = std::mem::replace(&mut error, largest(&correction) / largest(&x).max(1.0));
            if error <= TOLERANCE || (error <= ROUNDING && error > 0.5 * before) {
                return Ok(x);
            }
            self.improve(&mut x, correction.clone());
        }
        Err(error)
    }

    /// One cycle of GMRES with left preconditioning. `first` is the preconditioned residual.
    fn improve(&self, x: &mut [f64], mut first: Vec<f64>) {
        let norm = dot(&first, &first).sqrt();
        first.iter_mut().for_each(|v| *v /= norm);
        let mut basis = vec![first];
        // columns of the upper triangular matrix, the rotations that produced it, and the rotated right-hand side
        let (mut columns, mut rotations): (Vec<Vec<f64>>, Vec<(f64, f64)>) = (Vec::new(), Vec::new());
        let mut right = vec![norm];
        let (mut image, mut next) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        for step in 0..CYCLE {
            self.apply(&basis[step], &mut image);
            self.precondition(&image, &mut next);
            let mut column: Vec<f64> = basis
                .iter()
                .map(|v| {
                    let along = dot(v, &next);
                    next.iter_mut().zip(v).for_each(|(next, v)| *next -= along * v);
                    along
                })
                .collect();
            let length = dot(&next, &next).sqrt();
            for (at, &(c, s)) in rotations.iter().enumerate() {
                (column[at], column[at + 1]) =
                    (c * column[at] + s * column[at + 1], c * column[at + 1] - s * column[at]);
            }
            let hypotenuse = column[step].hypot(length);
            if hypotenuse == 0.0 || !hypotenuse.is_finite() {
                break;
            }
            let (c, s) = (column[step] / hypotenuse, length / hypotenuse);
            column[step] = hypotenuse;
            columns.push(column);
            rotations.push((c, s));
            right.push(-s * right[step]);
            right[step] *= c;
            if length == 0.0 || right[step + 1].abs() <= AIM * norm {
                break;
            }
            basis.push(next.iter().map(|v| v / length).collect());
        }
        let mut weights = vec![0.0; columns.len()];
        for at in (0..columns.len()).rev() {
            let known: f64 = (at + 1..columns.len()).map(|later| columns[later][at] * weights[later]).sum();
            weights[at] = (right[at] - known) / columns[at][at];
        }
        for (weight, v) in weights.iter().zip(&basis) {
            x.iter_mut().zip(v).for_each(|(x, v)| *x += weight * v);
        }
    }
}

/// The largest absolute value; infinite if a value is not a number.
fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0_f64, |m, v| if v.is_nan() { f64::INFINITY } else { m.max(v.abs()) })
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Cells outside the sets that can reach a set, in order of the number of steps to it.
fn outwards(transitions: CsrView<'_, f64>, terminal: &Terminal) -> Vec<u32> {
    let n = transitions.n_rows();
    let ends = |cell: usize| terminal.of(cell).is_some();
    // predecessors of each cell: the transposed pattern
    let mut starts = vec![0_usize; n + 1];
    let edges = |from: usize| {
        let (to, p) = transitions.row(from);
        to.iter().zip(p).filter(|(_, p)| **p > 0.0).map(|(to, _)| *to as usize)
    };
    (0..n).filter(|&from| !ends(from)).for_each(|from| edges(from).for_each(|to| starts[to + 1] += 1));
    (0..n).for_each(|cell| starts[cell + 1] += starts[cell]);
    let mut sources = vec![0_u32; starts[n]];
    let mut next = starts.clone();
    for (from, number) in (0..n).zip(0_u32..).filter(|(from, _)| !ends(*from)) {
        edges(from).for_each(|to| {
            sources[next[to]] = number;
            next[to] += 1;
        });
    }
    let mut seen: Vec<bool> = (0..n).map(ends).collect();
    let mut open: VecDeque<u32> = (0_u32..).take(n).filter(|&cell| ends(cell as usize)).collect();
    let mut order = Vec::new();
    while let Some(cell) = open.pop_front() {
        for &from in &sources[starts[cell as usize]..starts[cell as usize + 1]] {
            if !std::mem::replace(&mut seen[from as usize], true) {
                order.push(from);
                open.push_back(from);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use sclsd_data::{Categorical, Csr, Purpose, random_stream};

    use super::*;

    fn sets(of: &[Option<u32>], n: usize) -> Terminal {
        Terminal::new(&Categorical::new(of.to_vec(), (0..n).map(|k| format!("set {k}")).collect(), false)).unwrap()
    }

    /// An unbiased walk on 0 … n, absorbed at both ends (gambler's ruin).
    fn gambler(n: usize) -> (Csr<f64>, Terminal) {
        let row = |i: u32| if i == 0 { vec![(1, 1.0)] } else { vec![(i - 1, 0.5), (i + 1, 0.5)] };
        let last = u32::try_from(n).unwrap();
        let rows = (0..last).map(row).chain([vec![(last - 1, 1.0)]]);
        let mut of = vec![None; n + 1];
        (of[0], of[n]) = (Some(0), Some(1));
        (Csr::from_rows(n + 1, rows).unwrap(), sets(&of, 2))
    }

    #[test]
    fn the_gambler_is_ruined_as_the_textbook_says() {
        let (walk, ends) = gambler(300);
        let found = absorption(&walk, &ends).unwrap();
        let steps = steps_to_absorption(&walk, &ends).unwrap();
        for i in 0..=300_u32 {
            let at = i as usize;
            assert!((found.probabilities[2 * at + 1] - f64::from(i) / 300.0).abs() < 1e-6, "{i}");
            let expected = f64::from(i) * f64::from(300 - i);
            assert!((steps[at] - expected).abs() < 1e-4 * (1.0 + expected), "{i}: {} {expected}", steps[at]);
        }
    }

    /// Reference implementation: absorption by Gaussian elimination of a dense matrix.
    fn dense(walk: &Csr<f64>, ends: &Terminal) -> Vec<f64> {
        let (n, k) = (walk.n_rows(), ends.len());
        let mut a = vec![vec![0.0; n + k]; n];
        for (i, row) in a.iter_mut().enumerate() {
            row[i] = 1.0;
            match ends.of(i) {
                Some(set) => row[n + set] = 1.0,
                None => walk.row(i).0.iter().zip(walk.row(i).1).for_each(|(&j, p)| row[j as usize] -= p),
            }
        }
        for i in 0..n {
            let pivot = a[i][i];
            a[i].iter_mut().for_each(|v| *v /= pivot);
            let lead = a[i].clone();
            for (j, row) in a.iter_mut().enumerate().filter(|(j, _)| *j != i) {
                let factor = row[i];
                row.iter_mut().zip(&lead).for_each(|(v, l)| *v -= factor * l);
                assert!(j < n);
            }
        }
        a.into_iter().flat_map(|row| row[n..].to_vec()).collect()
    }

    fn scattered(n: u32, seed: u64) -> Csr<f64> {
        let mut rng = random_stream(seed, Purpose::Walk, 0);
        let rows: Vec<Vec<(u32, f64)>> = (0..n)
            .map(|i| {
                let mut to: Vec<u32> = (0..5).map(|_| rng.random_range(0..n)).chain([(i + 1) % n]).collect();
                to.sort_unstable();
                to.dedup();
                let weights: Vec<f64> = to.iter().map(|_| (6.0 * rng.random::<f64>()).exp()).collect();
                let total: f64 = weights.iter().sum();
                to.into_iter().zip(weights).map(|(to, w)| (to, w / total)).collect()
            })
            .collect();
        Csr::from_rows(n as usize, rows).unwrap()
    }

    #[test]
    fn the_sparse_solver_agrees_with_dense_elimination() {
        for seed in 0..4 {
            let walk = scattered(120, seed);
            let of: Vec<Option<u32>> = (0..120).map(|i| (i % 17 == 0).then_some(i % 3)).collect();
            let ends = sets(&of, 3);
            let (found, expected) = (absorption(&walk, &ends).unwrap(), dense(&walk, &ends));
            assert!(found.unreachable.is_empty());
            for (found, expected) in found.probabilities.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-8, "{found} {expected}");
            }
        }
    }

    #[test]
    fn one_thread_and_two_give_the_same_bits() {
        let walk = scattered(400, 7);
        let of: Vec<Option<u32>> = (0..400).map(|i| (i % 40 == 0).then_some(i / 40 % 4)).collect();
        let ends = sets(&of, 4);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| absorption(&walk, &ends).unwrap())
        };
        assert_eq!(on(1), on(2));
    }

    #[test]
    fn a_piece_without_a_terminal_set_is_counted_and_the_rest_is_not_harmed() {
        // 0 – 1 – 2 (terminal); 3 – 4 are disconnected
        let rows = vec![vec![(1, 1.0)], vec![(0, 0.5), (2, 0.5)], vec![(1, 1.0)], vec![(4, 1.0)], vec![(3, 1.0)]];
        let walk = Csr::from_rows(5, rows).unwrap();
        let found = absorption(&walk, &sets(&[None, None, Some(0), None, None], 1)).unwrap();
        assert_eq!(found.unreachable, [3, 4]);
        assert_eq!(found.probabilities, [1.0, 1.0, 1.0, 0.0, 0.0]);
        let steps = steps_to_absorption(&walk, &sets(&[None, None, Some(0), None, None], 1)).unwrap();
        assert!((steps[0] - 4.0).abs() < 1e-6 && steps[3].is_infinite());
    }

    #[test]
    fn cells_that_are_all_but_locked_in_are_told_apart_from_those_that_are() {
        // 1 and 2 lead to each other; they are left once in 1e6 steps, or once in 1e30
        for (out, reached) in [(1e-6, true), (1e-30, false)] {
            let rows =
                vec![vec![(1, 1.0)], vec![(0, out), (2, 1.0 - out)], vec![(1, 1.0 - out), (3, out)], vec![(2, 1.0)]];
            let walk = Csr::from_rows(4, rows).unwrap();
            let found = absorption(&walk, &sets(&[Some(0), None, None, Some(1)], 2)).unwrap();
            assert_eq!(found.unreachable.is_empty(), reached);
            assert!(found.probabilities.iter().all(|p| p.is_finite()));
            if reached {
                assert!((found.probabilities[2] - 0.5).abs() < 1e-3, "{:?}", found.probabilities);
            }
        }
    }
}
