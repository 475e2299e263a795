//! Genes along the paths of dz = −∇V dt + σ dW, through the decoder, with their spread.

use rayon::prelude::*;
use sclsd_graph::Terminal;
use sclsd_spec::{OutOfRange, in_range};

use super::method::FateError;
use super::sde::{CHECKS, NoisyFlow, Paths};

/// Times in a unit of time at which genes are told.
const TOLD: usize = 4;
/// States that are decoded at a time.
const BLOCK: usize = 256;
/// Values that are kept at most: paths × times × genes.
const MOST: usize = 1 << 27;
/// Counts of the cell that states are decoded to.
const LIBRARY_SIZE: f32 = 10_000.0;

/// Expected expression along paths, in counts of a cell with 10,000 counts in all: over all paths its mean and its 5 %
/// and 95 % quantiles. Each is genes × times, gene by gene.
#[derive(Debug, Clone, PartialEq)]
pub struct GenePaths {
    /// Times, the first being 0, in units of a training walk's length.
    pub times: Vec<f64>,
    /// Means.
    pub mean: Vec<f64>,
    /// 5 % quantiles.
    pub low: Vec<f64>,
    /// 95 % quantiles.
    pub high: Vec<f64>,
}

impl NoisyFlow<'_> {
    /// Expected expression of genes, by their places in the model, along the paths from some cells, all draws of all
    /// cells together. A path that enters a terminal set stays as it is there. Memory is paths × times × genes, four
    /// bytes each, and is at most a GiB.
    ///
    /// # Errors
    /// [`FateError`] where sizes disagree, there are more paths than fit, a state is not finite, or a path leaves the
    /// range of numbers.
    ///
    /// # Panics
    /// When a gene or a cell is not one of the model's and the data's.
    pub fn gene_paths(&self, cells: &[u32], genes: &[usize], terminal: &Terminal) -> Result<GenePaths, FateError> {
        let paths = Paths::new(self, terminal)?;
        let told = told(paths.grid.len());
        let draws = self.spec.get().draws;
        check_number(draws, [cells.len(), genes.len(), told.len()])?;
        let values: Vec<Vec<f32>> = cells
            .par_iter()
            .map(|&cell| Decoded::new(&paths, genes, &told, draws as usize).along(cell as usize, terminal))
            .collect::<Result<_, _>>()?;
        let columns = genes.len() * told.len();
        let summaries: Vec<[f64; 3]> = (0..columns)
            .into_par_iter()
            .map(|column| summary(values.iter().flat_map(|cell| cell.iter().skip(column).step_by(columns).copied())))
            .collect();
        let part = |i: usize| summaries.iter().map(|summary| summary[i]).collect();
        let times = told.iter().map(|&time| paths.grid[time]).collect();
        Ok(GenePaths { times, mean: part(0), low: part(1), high: part(2) })
    }
}

fn check_number(draws: u32, others: [usize; 3]) -> Result<(), OutOfRange> {
    let values = others.into_iter().fold(draws as usize, usize::saturating_mul);
    let expected = "so few that draws × cells × genes × times are at most 134,217,728";
    in_range("fates.draws", draws, values <= MOST, expected)
}

/// Places in the grid at which genes are told: the first, the last and some between.
fn told(grid: usize) -> Vec<usize> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a handful")]
    let stride = CHECKS as usize / TOLD;
    (0..grid - 1).step_by(stride).chain([grid - 1]).collect()
}

/// Genes along the paths of one cell.
struct Decoded<'a> {
    paths: &'a Paths<'a>,
    genes: &'a [usize],
    told: &'a [usize],
    draws: usize,
    /// draws × genes × times.
    values: Vec<f32>,
    /// States that are to be decoded, one row after the other.
    states: Vec<f32>,
    /// Of each its path and the times, by their places among those told, that it is the path's state at.
    spans: Vec<(usize, std::ops::Range<usize>)>,
}

impl<'a> Decoded<'a> {
    fn new(paths: &'a Paths<'a>, genes: &'a [usize], told: &'a [usize], draws: usize) -> Self {
        let values = vec![0.0; draws * genes.len() * told.len()];
        Self { paths, genes, told, draws, values, states: Vec::new(), spans: Vec::new() }
    }

    fn along(mut self, cell: usize, terminal: &Terminal) -> Result<Vec<f32>, FateError> {
        let (paths, n) = (self.paths, self.told.len());
        if terminal.of(cell).is_some() {
            for draw in 0..self.draws {
                self.take(draw, 0..n, paths.start(cell));
            }
        } else {
            paths.follow(cell, |draw, time, state, entered| {
                let at = self.told.partition_point(|&told| told < time);
                if entered.is_some() {
                    self.take(draw as usize, at..n, state);
                } else if self.told.get(at) == Some(&time) {
                    self.take(draw as usize, at..at + 1, state);
                }
            })?;
        }
        self.decode();
        Ok(self.values)
    }

    fn take(&mut self, draw: usize, times: std::ops::Range<usize>, state: &[f32]) {
        self.states.extend_from_slice(state);
        self.spans.push((draw, times));
        if self.spans.len() == BLOCK {
            self.decode();
        }
    }

    fn decode(&mut self) {
        if self.spans.is_empty() {
            return;
        }
        let networks = &self.paths.networks;
        let (expression, n) = (networks.decode(&self.states, LIBRARY_SIZE), self.told.len());
        for ((draw, times), row) in self.spans.drain(..).zip(expression.chunks_exact(networks.n_genes())) {
            for (place, &gene) in self.genes.iter().enumerate() {
                let first = (draw * self.genes.len() + place) * n;
                self.values[first + times.start..first + times.end].fill(row[gene]);
            }
        }
        self.states.clear();
    }
}

/// Mean, 5 % and 95 % quantile.
#[expect(clippy::cast_precision_loss, reason = "numbers of paths are far below 2^52")]
fn summary(values: impl Iterator<Item = f32>) -> [f64; 3] {
    let mut sorted: Vec<f64> = values.map(f64::from).collect();
    sorted.sort_by(f64::total_cmp);
    let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
    [mean, quantile(&sorted, 0.05), quantile(&sorted, 0.95)]
}

/// As numpy's, linear between the values beside it; `NaN` where there are none.
#[expect(clippy::cast_precision_loss, reason = "numbers of paths are far below 2^52")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place among the values")]
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * sorted.len().saturating_sub(1) as f64;
    let below = place.floor() as usize;
    match (sorted.get(below), sorted.get(below + 1)) {
        (Some(a), Some(b)) => a + (b - a) * place.fract(),
        (Some(last), None) => *last,
        _ => f64::NAN,
    }
}
