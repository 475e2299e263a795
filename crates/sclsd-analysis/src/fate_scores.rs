//! Scores of fate probabilities: against true probabilities, against cells of the same clone, and in mature cells.
//!
//! Let p be the predicted probabilities, t the true probabilities and K the number of fates. Means are over the cells
//! with known truth:
//!
//! ```text
//! accuracy             fraction of cells with max t > 0.8 whose most likely fate is the true one
//! mean squared error   mean (p_k − t_k)², over cells and fates
//! Brier                mean over cells of Σ_k (p_k − t_k)² + t_k (1 − t_k): the expected score of a drawn fate
//! calibration error    Σ_bins n_b / n |mean p − mean t|, over cells and fates, ten bins of p
//! ```
//!
//! Sources: Brier (1950); Guo et al. (2017) for the calibration error; Weinreb et al. (2020) for clones.

use sclsd_data::{Categorical, Matrix};
use sclsd_graph::{Nearest, NearestError, Terminal};

use crate::FateProbabilities;

/// True probability above which the fate of a cell counts as decided.
const DECIDED: f64 = 0.8;
/// Number of bins of a calibration curve.
const BINS: usize = 10;
/// A point is off the data if it is further from its nearest cell than this fraction of cells is from theirs.
const ON_DATA: f64 = 0.99;

/// Agreement with true fate probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreement {
    /// Accuracy over decided cells; `None` if there are none.
    pub accuracy: Option<f64>,
    /// Number of decided cells.
    pub decided: usize,
    /// Mean squared error; see the module docs.
    pub mean_squared_error: f64,
    /// Brier score; see the module docs.
    pub brier: f64,
    /// Calibration of the predicted probabilities.
    pub calibration: Calibration,
    /// Number of cells with known truth.
    pub n_cells: usize,
}

/// One bin of a calibration curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationBin {
    /// Mean predicted probability.
    pub predicted: f64,
    /// Mean true probability.
    pub observed: f64,
    /// Number of predictions in the bin.
    pub count: usize,
}

/// A calibration curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Non-empty bins, from low to high predictions.
    pub bins: Vec<CalibrationBin>,
    /// Calibration error: mean distance between predicted and observed, weighted by count.
    pub error: f64,
}

/// Scores predicted against true probabilities, both `n_cells × n_fates` with the same order of fates. Cells with a row
/// of zeros in the truth are ignored. A predicted row of zeros (no terminal state reached) is scored as it is. `None`
/// if no cell has a known truth.
///
/// # Panics
/// If the inputs differ in size.
#[must_use]
pub fn agreement(fates: &FateProbabilities, truth: &[f64]) -> Option<Agreement> {
    assert_eq!(fates.values().len(), truth.len(), "one true probability for each");
    let k = fates.names().len();
    let known: Vec<usize> =
        (0..fates.n_cells()).filter(|&c| truth[c * k..(c + 1) * k].iter().sum::<f64>() > 0.5).collect();
    if known.is_empty() {
        return None;
    }
    let (mut right, mut decided, mut squares, mut brier) = (0, 0, 0.0, 0.0);
    for &cell in &known {
        let (p, t) = (fates.row(cell), &truth[cell * k..(cell + 1) * k]);
        let best = (0..k).fold(0, |best, i| if t[i] > t[best] { i } else { best });
        if t[best] > DECIDED {
            decided += 1;
            right += usize::from(fates.likeliest(cell) == Some(best));
        }
        let error: f64 = p.iter().zip(t).map(|(p, t)| (p - t).powi(2)).sum();
        squares += error;
        brier += error + t.iter().map(|t| t * (1.0 - t)).sum::<f64>();
    }
    let pairs = known.iter().flat_map(|&c| fates.row(c).iter().copied().zip(truth[c * k..(c + 1) * k].iter().copied()));
    let n = count(known.len());
    Some(Agreement {
        accuracy: (decided > 0).then(|| count(right) / count(decided)),
        decided,
        mean_squared_error: squares / (n * count(k)),
        brier: brier / n,
        calibration: calibration_curve(pairs),
        n_cells: known.len(),
    })
}

/// Calibration curve of pairs of a predicted probability and an observation: a true probability, or 0 or 1.
#[must_use]
pub fn calibration_curve(pairs: impl IntoIterator<Item = (f64, f64)>) -> Calibration {
    let mut sums = [(0.0, 0.0, 0_usize); BINS];
    for (predicted, observed) in pairs {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a probability times ten")]
        let bin = ((predicted * count(BINS)) as usize).min(BINS - 1);
        sums[bin].0 += predicted;
        sums[bin].1 += observed;
        sums[bin].2 += 1;
    }
    let all: usize = sums.iter().map(|bin| bin.2).sum();
    let bins: Vec<CalibrationBin> = sums
        .into_iter()
        .filter(|bin| bin.2 > 0)
        .map(|(p, o, n)| CalibrationBin { predicted: p / count(n), observed: o / count(n), count: n })
        .collect();
    let error = bins.iter().map(|b| count(b.count) * (b.predicted - b.observed).abs()).sum::<f64>() / count(all.max(1));
    Calibration { bins, error }
}

/// For each terminal state: the fraction of the non-terminal cells in its cluster whose most likely fate is that state,
/// and the number of these cells. `None` if the cluster has no other cells. States and clusters are matched by name.
///
/// # Panics
/// If the numbers of cells differ.
#[must_use]
pub fn fate_retention(
    fates: &FateProbabilities,
    clusters: &Categorical,
    terminal: &Terminal,
) -> Vec<(String, Option<f64>, usize)> {
    let n = fates.n_cells();
    assert!(clusters.codes().len() == n && terminal.n_cells() == n, "the same cells");
    let kept = |(k, name): (usize, &String)| {
        let mature: Vec<usize> =
            (0..n).filter(|&c| clusters.name(c) == Some(name) && terminal.of(c).is_none()).collect();
        let stay = mature.iter().filter(|&&cell| fates.likeliest(cell) == Some(k)).count();
        (name.clone(), (!mature.is_empty()).then(|| count(stay) / count(mature.len())), mature.len())
    };
    fates.names().iter().enumerate().map(kept).collect()
}

/// Fraction of points off the data: further from the nearest cell than 99 % of cells are from theirs.
///
/// # Errors
/// [`NearestError`] if a coordinate is not finite.
pub fn off_data(points: &Matrix, cells: &Matrix) -> Result<f64, NearestError> {
    let tree = Nearest::new(cells)?;
    let distance = |point: &[f32], cell: u32| -> f32 {
        cells.row(cell as usize).iter().zip(point).map(|(a, b)| (a - b) * (a - b)).sum()
    };
    let mut own: Vec<f32> = (0..cells.n_rows())
        .map(|cell| {
            let (row, itself) = (cells.row(cell), u32::try_from(cell).unwrap_or(u32::MAX));
            tree.of_other(row, itself).map_or(0.0, |other| distance(row, other))
        })
        .collect();
    own.sort_by(f32::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
    let limit = own[(ON_DATA * count(own.len() - 1)) as usize];
    let nearest = tree.of_rows(points)?;
    let far = nearest.iter().enumerate().filter(|&(i, &cell)| distance(points.row(i), cell) > limit).count();
    Ok(count(far) / count(points.n_rows().max(1)))
}

/// Agreement with the later fates of sister cells (cells of the same clone).
#[derive(Debug, Clone, PartialEq)]
pub struct SisterAgreement {
    /// Pearson's correlation of the probability of a fate with its fraction among sisters, averaged over fates.
    pub pearson: f64,
    /// Area under the ROC curve: the probability of a fate as a score for cells most of whose sisters have that fate,
    /// averaged over fates.
    pub auroc: f64,
    /// Number of cells with sisters in these fates.
    pub n_cells: usize,
    /// Fates that both inputs have.
    pub fates: Vec<String>,
}

/// Compares probabilities with counts of sisters by fate, `n_cells × names.len()`. Both are restricted to the common
/// fates and normalised. `None` if fewer than two fates or cells are in common.
///
/// # Panics
/// If there is not exactly one row of counts per cell.
#[must_use]
pub fn sister_agreement(fates: &FateProbabilities, names: &[String], counts: &Matrix) -> Option<SisterAgreement> {
    assert_eq!(fates.n_cells(), counts.n_rows(), "the same cells");
    let common: Vec<(usize, usize)> = fates
        .names()
        .iter()
        .enumerate()
        .filter_map(|(k, name)| names.iter().position(|other| same_name(name, other)).map(|c| (k, c)))
        .collect();
    let cells: Vec<usize> =
        (0..fates.n_cells()).filter(|&i| common.iter().map(|&(_, c)| counts.row(i)[c]).sum::<f32>() > 0.0).collect();
    if common.len() < 2 || cells.len() < 2 {
        return None;
    }
    let (mut pearsons, mut aurocs) = (Vec::new(), Vec::new());
    for &(k, c) in &common {
        let of = |i: usize| {
            let total: f64 = common.iter().map(|&(k, _)| fates.row(i)[k]).sum();
            if total > 0.0 { fates.row(i)[k] / total } else { 1.0 / count(common.len()) }
        };
        let sisters = |i: usize| {
            let total: f32 = common.iter().map(|&(_, c)| counts.row(i)[c]).sum();
            f64::from(counts.row(i)[c] / total)
        };
        let (p, s): (Vec<f64>, Vec<f64>) = cells.iter().map(|&i| (of(i), sisters(i))).unzip();
        pearsons.push(pearson(&p, &s));
        aurocs.push(area_under_roc(&p, &s.iter().map(|&s| s > 0.5).collect::<Vec<_>>()));
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / count(v.len());
    let fates = common.iter().map(|&(k, _)| fates.names()[k].clone()).collect();
    Some(SisterAgreement { pearson: mean(&pearsons), auroc: mean(&aurocs), n_cells: cells.len(), fates })
}

/// Whether names are equal up to case and a plural s, as in the cluster Neutrophil and the fate neutrophils.
fn same_name(a: &str, b: &str) -> bool {
    let plain = |name: &str| name.to_lowercase().trim_end_matches('s').to_owned();
    plain(a) == plain(b)
}

/// Pearson's correlation; `NaN` if either input is constant.
///
/// # Panics
/// If the inputs differ in length.
#[must_use]
pub fn pearson(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "pairs");
    let mean = |v: &[f64]| v.iter().sum::<f64>() / count(v.len());
    let (ma, mb) = (mean(a), mean(b));
    let product: f64 = a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum();
    let square = |v: &[f64], m: f64| v.iter().map(|v| (v - m).powi(2)).sum::<f64>();
    product / (square(a, ma) * square(b, mb)).sqrt()
}

/// Area under the ROC curve: the probability that a positive case has the higher score, with ties counted half. `NaN`
/// if there are no positive or no negative cases.
///
/// # Panics
/// If the inputs differ in length.
#[must_use]
pub fn area_under_roc(scores: &[f64], positive: &[bool]) -> f64 {
    assert_eq!(scores.len(), positive.len(), "pairs");
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    // ranks of the positive cases, where ties share their mean rank
    let (mut sum, mut at) = (0.0, 0);
    while at < order.len() {
        let tied = order[at..].iter().take_while(|&&i| scores[i].total_cmp(&scores[order[at]]).is_eq()).count().max(1);
        let rank = count(at) + f64::midpoint(count(tied), 1.0);
        sum += rank * count(order[at..at + tied].iter().filter(|&&i| positive[i]).count());
        at += tied;
    }
    let n = count(positive.iter().filter(|p| **p).count());
    let others = count(positive.len()) - n;
    (sum - n * (n + 1.0) / 2.0) / (n * others)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two(values: &[f64]) -> FateProbabilities {
        FateProbabilities::from_rows(vec!["a".into(), "b".into()], values.to_vec()).unwrap()
    }

    #[test]
    fn agreement_is_that_of_its_formulas() {
        let truth = [0.9, 0.1, 0.5, 0.5, 0.0, 1.0, 0.0, 0.0];
        let found = agreement(&two(&[0.8, 0.2, 0.5, 0.5, 0.6, 0.4, 1.0, 0.0]), &truth).unwrap();
        assert_eq!((found.accuracy, found.decided, found.n_cells), (Some(0.5), 2, 3));
        assert!((found.mean_squared_error - (0.01 + 0.36) / 3.0).abs() < 1e-12);
        assert!((found.brier - (0.02 + 0.18 + 0.5 + 0.72) / 3.0).abs() < 1e-12);
        let perfect = agreement(&two(&truth), &truth).unwrap();
        assert!(perfect.calibration.error < 1e-12 && perfect.mean_squared_error < 1e-12);
        assert_eq!(agreement(&two(&[1.0, 0.0]), &[0.0, 0.0]), None);
    }

    #[test]
    fn mature_cells_outside_the_terminal_sets_are_asked_for_their_fate() {
        let clusters = Categorical::from_names(["a", "a", "a", "b", "b", "stem"]);
        let sets =
            Categorical::new(vec![None, None, Some(0), Some(1), Some(1), None], vec!["a".into(), "b".into()], false);
        let fates = two(&[0.9, 0.1, 0.3, 0.7, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.5, 0.5]);
        let kept = fate_retention(&fates, &clusters, &Terminal::new(&sets).unwrap());
        assert_eq!(kept, [("a".to_owned(), Some(0.5), 2), ("b".to_owned(), None, 0)]);
    }

    #[test]
    fn the_roc_curve_and_pearson_are_those_of_scikit_learn_and_scipy() {
        // roc_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) = 0.75
        assert!((area_under_roc(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]) - 0.75).abs() < 1e-12);
        assert!((area_under_roc(&[0.5, 0.5], &[false, true]) - 0.5).abs() < 1e-12);
        // pearsonr([1, 2, 4], [1, 3, 2]) = 0.3273268353539886
        assert!((pearson(&[1.0, 2.0, 4.0], &[1.0, 3.0, 2.0]) - 0.327_326_835_353_988_6).abs() < 1e-12);
    }

    #[test]
    fn points_further_out_than_cells_are_from_each_other_are_off_the_data() {
        let cells = Matrix::new(1, (0..100_u8).map(f32::from).collect());
        let share = off_data(&Matrix::new(1, vec![5.5, 99.5, 120.0, -3.0]), &cells).unwrap();
        assert!((share - 0.5).abs() < 1e-12);
    }

    #[test]
    fn sisters_are_compared_over_the_fates_that_both_name() {
        let names = ["A", "b", "other"].map(String::from);
        let counts = Matrix::new(3, vec![2.0, 0.0, 1.0, 0.0, 3.0, 0.0, 0.0, 0.0, 4.0, 1.0, 3.0, 0.0]);
        let found = sister_agreement(&two(&[0.9, 0.1, 0.2, 0.8, 0.5, 0.5, 0.4, 0.6]), &names, &counts).unwrap();
        assert_eq!((found.n_cells, found.fates.len()), (3, 2));
        assert!(found.pearson > 0.95 && (found.auroc - 1.0).abs() < 1e-12);
    }
}
