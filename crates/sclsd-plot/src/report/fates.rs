//! Fate probabilities in the report: of the shown cells, and means within clusters over all cells.
//!
//! ```text
//! mean(cluster, fate) = Σ p(cell, fate) / n      over the n cells of the cluster that reach a terminal state
//! ```
//!
//! A probability is stored in one byte, in 254ths. 255 means that the cell reaches no terminal state.

use sclsd_data::Categorical;
use serde::Serialize;

use super::packed::{PackedNumbers, byte};
use crate::color::hex;
use crate::fate_probabilities::{ColoredFates, reaches};

/// Fate probabilities by up to three methods. All have the shape of the model's, `n_cells × n_fates`.
#[derive(Debug, Clone)]
pub struct FateEstimates<'a> {
    /// From the trained model, with names and colors of the fates.
    pub model: &'a ColoredFates,
    /// From the prior, without a model.
    pub prior: Option<&'a [f64]>,
    /// From the neighbors.
    pub neighbors: Option<&'a [f64]>,
    /// Cluster of each cell, for the table of means.
    pub clusters: Option<&'a Categorical>,
    /// A note on how the probabilities were computed.
    pub note: Option<String>,
}

/// Fate probabilities for the report.
#[derive(Debug, Clone, Serialize)]
pub struct ReportFates {
    names: Vec<String>,
    colors: Vec<String>,
    /// Number of cells with probabilities.
    n: usize,
    /// Number of these cells that reach no terminal state according to the model.
    unreached: usize,
    /// Names of clusters and their numbers of cells; empty if there are no clusters.
    clusters: Vec<(String, usize)>,
    /// The model first, then the methods to compare with.
    methods: Vec<Method>,
    note: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
struct Method {
    name: &'static str,
    /// Probabilities, shown cells × fates.
    values: PackedNumbers,
    /// Means, clusters × fates; `None` if no cell of the cluster reaches a terminal state.
    means: Vec<Option<f64>>,
}

impl ReportFates {
    /// Packs the probabilities of the `shown` cells (row indices), which must be the cells of the page's
    /// [`ReportCells`](crate::ReportCells) in the same order. Means are over all cells with probabilities.
    ///
    /// # Panics
    /// If a method has another number of probabilities than the model, the number of clusters differs from the number
    /// of cells, or a shown cell has no probabilities.
    #[must_use]
    pub fn new(estimates: FateEstimates<'_>, shown: &[usize]) -> Self {
        let FateEstimates { model, prior, neighbors, clusters, note } = estimates;
        let n = model.n_cells();
        let method = |name: &'static str, values: &[f64]| {
            assert_eq!(values.len(), model.values.len(), "{name}: cells × fates");
            let rows = Rows { values, n_fates: model.names.len() };
            let means = clusters.map_or_else(Vec::new, |clusters| rows.means(clusters, n));
            Method { name, values: rows.packed(shown), means }
        };
        let mut methods = vec![method("model", &model.values)];
        methods.extend(prior.map(|values| method("prior", values)));
        methods.extend(neighbors.map(|values| method("neighbors", values)));
        Self {
            names: model.names.clone(),
            colors: model.colors.iter().copied().map(hex).collect(),
            n,
            unreached: (0..n).filter(|&cell| !model.reaches(cell)).count(),
            clusters: clusters.map_or_else(Vec::new, sizes),
            methods,
            note,
        }
    }
}

/// Clusters with their numbers of cells.
fn sizes(clusters: &Categorical) -> Vec<(String, usize)> {
    let mut sizes = vec![0; clusters.categories().len()];
    for code in clusters.codes().iter().flatten() {
        sizes[*code as usize] += 1;
    }
    clusters.categories().iter().cloned().zip(sizes).collect()
}

struct Rows<'a> {
    values: &'a [f64],
    n_fates: usize,
}

impl Rows<'_> {
    fn of(&self, cell: usize) -> &[f64] {
        &self.values[cell * self.n_fates..(cell + 1) * self.n_fates]
    }

    fn packed(&self, shown: &[usize]) -> PackedNumbers {
        let mut bytes = Vec::with_capacity(shown.len() * self.n_fates);
        for &cell in shown {
            let row = self.of(cell);
            let reaches = reaches(row);
            bytes.extend(row.iter().map(|&p| if reaches { byte(p, [0.0, 1.0]) } else { 255 }));
        }
        PackedNumbers::new(bytes, vec![[0.0, 1.0]])
    }

    /// Means over the cells of each cluster that reach a terminal state, clusters × fates.
    fn means(&self, clusters: &Categorical, n_cells: usize) -> Vec<Option<f64>> {
        assert_eq!(clusters.codes().len(), n_cells, "one cluster per cell");
        let n = clusters.categories().len();
        let (mut sums, mut cells) = (vec![0.0; n * self.n_fates], vec![0_u32; n]);
        for (cell, code) in clusters.codes().iter().enumerate() {
            let (Some(code), row) = (code, self.of(cell)) else { continue };
            if reaches(row) {
                let cluster = *code as usize;
                cells[cluster] += 1;
                for (sum, p) in sums[cluster * self.n_fates..].iter_mut().zip(row) {
                    *sum += p;
                }
            }
        }
        let mean = |(i, sum): (usize, &f64)| {
            let cells = cells[i / self.n_fates];
            // rounded to four digits, the most that a table shows
            (cells > 0).then(|| (sum / f64::from(cells) * 1e4).round() / 1e4)
        };
        sums.iter().enumerate().map(mean).collect()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn model() -> ColoredFates {
        let values = vec![1.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0];
        ColoredFates { names: vec!["a".into(), "b".into()], colors: vec![[255, 0, 0], [0, 0, 255]], values }
    }

    #[test]
    fn cells_that_reach_nothing_are_counted_and_not_part_of_a_mean() {
        let (model, clusters) = (model(), Categorical::from_names(["early", "early", "early", "late"]));
        let prior = [0.0, 1.0, 0.0, 1.0, 0.25, 0.75, 0.5, 0.5];
        let estimates = FateEstimates {
            model: &model,
            prior: Some(&prior),
            neighbors: None,
            clusters: Some(&clusters),
            note: Some("why".into()),
        };
        let fates = ReportFates::new(estimates, &[0, 2]);
        assert_eq!((fates.n, fates.unreached), (4, 2));
        assert_eq!(fates.clusters, [("early".to_owned(), 3), ("late".to_owned(), 1)]);
        assert_eq!(fates.methods[0].means, [Some(0.75), Some(0.25), None, None]);
        assert_eq!(fates.methods[1].means, [Some(0.0833), Some(0.9167), Some(0.5), Some(0.5)]);
        assert_eq!(fates.methods.iter().map(|m| m.name).collect::<Vec<_>>(), ["model", "prior"]);
    }

    #[test]
    fn a_page_holds_the_cells_that_are_shown_in_their_order_a_byte_for_each_fate() {
        let model = model();
        let estimates = FateEstimates { model: &model, prior: None, neighbors: None, clusters: None, note: None };
        let fates = ReportFates::new(estimates, &[3, 1, 0]);
        let bytes = STANDARD.decode(&fates.methods[0].values.data).unwrap();
        assert_eq!(bytes, [255, 255, 127, 127, 254, 0]);
        assert!(fates.clusters.is_empty() && fates.methods[0].means.is_empty());
    }
}
