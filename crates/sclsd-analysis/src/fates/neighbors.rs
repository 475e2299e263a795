//! Fate probabilities by a vote of the nearest terminal cells: similarity only, without dynamics.

use rayon::prelude::*;
use sclsd_data::Matrix;
use sclsd_graph::Terminal;

use super::method::{FateError, FateMethod, check_cells, check_finite};
use super::probabilities::FateProbabilities;

/// Maximum number of voting terminal cells. A larger number is subsampled evenly, with the same fraction of each state.
const VOTERS: usize = 10_000;

/// Fraction of each state among the terminal cells nearest to a cell.
#[derive(Debug, Clone, Copy)]
pub struct NeighborVote<'a> {
    /// Coordinates of the cells, `n_cells × d`; usually principal components.
    pub points: &'a Matrix,
    /// Number of terminal cells that vote. At least 1. Usually 15.
    pub k: usize,
}

impl FateMethod for NeighborVote<'_> {
    fn probabilities(&self, terminal: &Terminal) -> Result<FateProbabilities, FateError> {
        check_cells("embedding", self.points.n_rows(), terminal)?;
        check_finite(self.points)?;
        Ok(vote(self.points, self.points, terminal, self.k))
    }
}

/// Fractions of the states among the `k` terminal cells (rows of `points`) nearest to each query. A terminal cell votes
/// for itself.
pub(super) fn vote(points: &Matrix, queries: &Matrix, terminal: &Terminal, k: usize) -> FateProbabilities {
    let cells: Vec<usize> = (0..terminal.n_cells()).filter(|&cell| terminal.of(cell).is_some()).collect();
    let cells: Vec<usize> = cells.iter().copied().step_by(cells.len().div_ceil(VOTERS).max(1)).collect();
    let n_fates = terminal.len();
    let shares = |query: &[f32]| {
        // the nearest so far, with the furthest of them last
        let mut nearest: Vec<(f32, usize)> = Vec::with_capacity(k + 1);
        for &cell in &cells {
            let row = points.row(cell);
            let distance: f32 = row.iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum();
            if nearest.len() == k && nearest.last().is_some_and(|last| distance >= last.0) {
                continue;
            }
            let at = nearest.partition_point(|other| other.0 <= distance);
            nearest.insert(at, (distance, cell));
            nearest.truncate(k);
        }
        let mut shares = vec![0.0; n_fates];
        nearest.iter().filter_map(|(_, cell)| terminal.of(*cell)).for_each(|state| shares[state] += 1.0);
        shares
    };
    let rows: Vec<Vec<f64>> = queries.values().par_chunks(queries.n_cols()).map(shares).collect();
    FateProbabilities::of_whole_rows(terminal.names().to_vec(), rows.concat())
}

#[cfg(test)]
mod tests {
    use sclsd_data::Categorical;

    use super::*;

    #[test]
    fn the_nearest_terminal_cells_vote() {
        let points = Matrix::new(1, vec![0.0, 1.0, 2.0, 8.0, 9.0, 10.0]);
        let sets = Categorical::new(
            vec![Some(0), Some(0), None, None, Some(1), Some(1)],
            vec!["left".into(), "right".into()],
            false,
        );
        let fates = NeighborVote { points: &points, k: 3 }.probabilities(&Terminal::new(&sets).unwrap()).unwrap();
        for (cell, left) in [(2, 2.0 / 3.0), (3, 1.0 / 3.0), (0, 2.0 / 3.0)] {
            assert!((fates.row(cell)[0] - left).abs() < 1e-12, "cell {cell}");
        }
    }
}
