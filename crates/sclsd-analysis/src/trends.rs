//! Gene expression along pseudotime, and flow between clusters.

use sclsd_data::{Categorical, Csr};

/// Mean expression in bins of pseudotime.
#[derive(Debug, Clone, PartialEq)]
pub struct Trends {
    /// Mean pseudotime of each bin.
    pub times: Vec<f64>,
    /// Mean expression of every gene in every bin, `n_genes × n_bins`, row-major.
    pub means: Vec<f64>,
}

/// Mean expression of every gene in `bins` bins of pseudotime with equal numbers of cells (fewer bins if there are
/// fewer cells). O(cells log cells + non-zeros) time, O(genes × bins) memory.
///
/// # Panics
/// If there is not exactly one pseudotime per cell.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
pub fn trends(x: &Csr, pseudotime: &[f64], bins: usize) -> Trends {
    assert_eq!(x.n_rows(), pseudotime.len(), "one pseudotime per cell");
    let n = pseudotime.len();
    let bins = bins.min(n);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| pseudotime[a].total_cmp(&pseudotime[b]));
    let (mut times, mut means) = (vec![0.0; bins], vec![0.0; x.n_cols() * bins]);
    for bin in 0..bins {
        let members = &order[bin * n / bins..(bin + 1) * n / bins];
        let share = 1.0 / members.len() as f64;
        for &cell in members {
            times[bin] += share * pseudotime[cell];
            let (genes, values) = x.row(cell);
            for (&gene, &value) in genes.iter().zip(values) {
                means[gene as usize * bins + bin] += share * f64::from(value);
            }
        }
    }
    Trends { times, means }
}

/// Flow between every pair of clusters in one step of the transitions: `n_clusters × n_clusters`, row-major, in numbers
/// of cells. A cell is distributed over its neighbours by transition probability. Cells without a cluster are ignored.
///
/// # Panics
/// If there is not exactly one row of transitions per cell.
#[must_use]
pub fn cluster_flow(transitions: &Csr, clusters: &Categorical) -> Vec<f64> {
    let n = clusters.categories().len();
    assert_eq!(transitions.n_rows(), clusters.codes().len(), "one row per cell");
    let mut flow = vec![0.0; n * n];
    for (cell, from) in clusters.codes().iter().enumerate() {
        let Some(from) = from else { continue };
        let (to, probabilities) = transitions.row(cell);
        for (&to, &p) in to.iter().zip(probabilities) {
            if let Some(to) = clusters.codes()[to as usize] {
                flow[*from as usize * n + to as usize] += f64::from(p);
            }
        }
    }
    flow
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gene_that_rises_with_pseudotime_has_a_trend_that_rises() {
        let time = [0.9, 0.1, 0.5, 0.3, 0.7, 0.2];
        #[expect(clippy::cast_possible_truncation, reason = "small decimals")]
        let x = Csr::from_rows(2, time.iter().map(|&t: &f64| vec![(1, t as f32)])).unwrap();
        let found = trends(&x, &time, 3);
        let expected = [0.15, 0.4, 0.8];
        for (bin, expected) in expected.into_iter().enumerate() {
            assert!((found.times[bin] - expected).abs() < 1e-9);
            assert!((found.means[3 + bin] - expected).abs() < 1e-6);
        }
        assert_eq!(found.means[..3], [0.0; 3], "the other gene is never expressed");
        assert_eq!(trends(&x, &time, 100).times.len(), 6, "no bin is empty");
    }

    #[test]
    fn flow_between_clusters_adds_up_to_the_cells() {
        let clusters = Categorical::from_names(["a", "a", "b"]);
        let rows = [vec![(1, 0.5), (2, 0.5)], vec![(2, 1.0)], vec![(0, 0.25), (1, 0.75)]];
        let transitions: Csr = Csr::from_rows(3, rows).unwrap();
        assert_eq!(cluster_flow(&transitions, &clusters), [0.5, 1.5, 1.0, 0.0]);
    }
}
