//! What walks and fates keep: all of it exact, by products of a sparse matrix with a vector, O(edges × steps).

use rayon::prelude::*;
use sclsd_data::{Categorical, Csr};
use sclsd_graph::Terminal;

use crate::FateProbabilities;

/// Mean over the cells of the named clusters of the probability that a walk from the cell is in its own cluster after
/// `steps` steps; nothing where there is no such cell.
///
/// # Panics
/// When there is not one cluster per cell of the walk.
#[must_use]
pub fn walks_in_own_cluster(walk: &Csr<f64>, clusters: &Categorical, names: &[String], steps: usize) -> Option<f64> {
    assert_eq!(clusters.codes().len(), walk.n_rows(), "one cluster per cell");
    let (mut sum, mut cells) = (0.0, 0.0);
    for name in names {
        let own: Vec<bool> = (0..walk.n_rows()).map(|cell| clusters.name(cell) == Some(name)).collect();
        let start = own.iter().map(|&own| f64::from(u8::from(own))).collect();
        let there = expected(walk, start, steps);
        // a cell that a phylogeny left without steps goes nowhere, so it has no walk
        for cell in (0..own.len()).filter(|&cell| own[cell] && !walk.row(cell).0.is_empty()) {
            sum += there[cell];
            cells += 1.0;
        }
    }
    (cells > 0.0).then(|| sum / cells)
}

/// Mean rise of a value from the first to the last cell of a walk of `steps` steps, over all cells that have walks.
///
/// # Panics
/// When there is not one value per cell.
#[must_use]
pub fn rise_along_walks(walk: &Csr<f64>, values: &[f64], steps: usize) -> f64 {
    assert_eq!(values.len(), walk.n_rows(), "one value per cell");
    let last = expected(walk, values.to_vec(), steps);
    let starts: Vec<usize> = (0..values.len()).filter(|&cell| !walk.row(cell).0.is_empty()).collect();
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    let n = starts.len().max(1) as f64;
    starts.into_iter().map(|cell| last[cell] - values[cell]).sum::<f64>() / n
}

/// Mean value of the cell where a walk from each cell is after `steps` steps: Pˢ v.
fn expected(walk: &Csr<f64>, values: Vec<f64>, steps: usize) -> Vec<f64> {
    (0..steps).fold(values, |values, _| {
        let mean = |cell: usize| {
            let (to, p) = walk.row(cell);
            to.iter().zip(p).map(|(&to, p)| p * values[to as usize]).sum()
        };
        (0..walk.n_rows()).into_par_iter().map(mean).collect()
    })
}

/// Of every terminal set, the share of its cells that are later than the median of the cells in no set; that of the
/// worst set, with its name.
///
/// # Panics
/// When the numbers of cells disagree.
#[must_use]
pub fn late_terminal(pseudotime: &[f64], terminal: &Terminal) -> Option<(String, f64)> {
    assert_eq!(pseudotime.len(), terminal.n_cells(), "one time per cell");
    let mut others: Vec<f64> =
        pseudotime.iter().zip(0..).filter(|&(_, cell)| terminal.of(cell).is_none()).map(|(t, _)| *t).collect();
    others.sort_by(f64::total_cmp);
    let median = *others.get(others.len() / 2)?;
    let mut late = vec![0.0; terminal.len()];
    for (cell, time) in pseudotime.iter().enumerate() {
        if let Some(set) = terminal.of(cell) {
            late[set] += f64::from(u8::from(*time > median));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    let share = |set: usize| late[set] / terminal.sizes()[set] as f64;
    let worst = (0..terminal.len()).min_by(|&a, &b| share(a).total_cmp(&share(b)))?;
    Some((terminal.names()[worst].clone(), share(worst)))
}

/// Mean |p − q| over fates and the cells that reach a terminal state by both; nothing where the fates have other names.
///
/// # Panics
/// When the numbers of cells disagree.
#[must_use]
pub fn mean_difference(a: &FateProbabilities, b: &FateProbabilities) -> Option<f64> {
    assert_eq!(a.n_cells(), b.n_cells(), "the same cells");
    if a.names() != b.names() {
        return None;
    }
    let both = (0..a.n_cells()).filter(|&cell| a.likeliest(cell).is_some() && b.likeliest(cell).is_some());
    let (mut sum, mut n) = (0.0, 0.0);
    for cell in both {
        sum += a.row(cell).iter().zip(b.row(cell)).map(|(p, q)| (p - q).abs()).sum::<f64>();
        n += 1.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a number of fates")]
    let fates = a.names().len() as f64;
    (n > 0.0).then(|| sum / (n * fates))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three cells in a row; the last is mature and leaks back with probability `leak`.
    fn path(leak: f64) -> Csr<f64> {
        Csr::from_rows(3, [vec![(1, 1.0)], vec![(2, 1.0)], vec![(1, leak), (2, 1.0 - leak)]]).unwrap()
    }

    #[test]
    fn walks_that_leave_a_mature_cluster_are_counted_exactly() {
        let clusters = Categorical::from_names(["stem", "stem", "mature"]);
        let stay = |leak: f64, steps| walks_in_own_cluster(&path(leak), &clusters, &["mature".into()], steps).unwrap();
        assert!((stay(0.0, 9) - 1.0).abs() < 1e-12);
        // one step: 3/4 stay; two: 3/4 of these, and those that came back
        assert!((stay(0.25, 1) - 0.75).abs() < 1e-12);
        assert!((stay(0.25, 2) - (0.75 * 0.75 + 0.25)).abs() < 1e-12);
        assert_eq!(walks_in_own_cluster(&path(0.0), &clusters, &["none".into()], 3), None);
    }

    #[test]
    fn a_value_rises_along_walks_towards_it() {
        let rise = rise_along_walks(&path(0.0), &[0.0, 1.0, 2.0], 1);
        assert!((rise - 2.0 / 3.0).abs() < 1e-12, "{rise}");
        assert!(rise_along_walks(&path(0.0), &[2.0, 1.0, 0.0], 5) < 0.0);
    }

    #[test]
    fn the_worst_terminal_set_is_named() {
        let sets =
            Categorical::new(vec![None, None, None, Some(0), Some(1), Some(1)], vec!["a".into(), "b".into()], false);
        let terminal = Terminal::new(&sets).unwrap();
        let found = late_terminal(&[0.0, 0.3, 0.5, 0.9, 0.8, 0.1], &terminal);
        assert_eq!(found, Some(("b".to_owned(), 0.5)));
    }

    #[test]
    fn fates_differ_by_their_mean_distance_over_cells_that_have_both() {
        let fates = |rows: &[f64]| FateProbabilities::from_rows(vec!["a".into(), "b".into()], rows.to_vec()).unwrap();
        let (p, q) = (fates(&[1.0, 0.0, 0.5, 0.5, 0.0, 0.0]), fates(&[0.5, 0.5, 0.5, 0.5, 1.0, 0.0]));
        assert!((mean_difference(&p, &q).unwrap() - 0.25).abs() < 1e-12);
        let other = FateProbabilities::from_rows(vec!["a".into()], vec![1.0; 3]).unwrap();
        assert_eq!(mean_difference(&p, &other), None);
    }
}
