//! Where paths of dz = −∇V dt + σ dW enter a terminal set.
//!
//! From every cell's z as many paths are drawn as are asked for. A path ends at the first time, of [`CHECKS`] to a
//! unit, at which the cell nearest to it is terminal: it has entered the set of that cell. A path that has entered none
//! by the end of the time counts for the nearest terminal cell, and the share of such paths is told. A terminal cell
//! keeps its fate: its paths have entered before they begin.
//!
//! Path `draw` of `cell` goes along path `cell · 2³² + draw` of the noise. So a cell's fates depend neither on other
//! cells nor on threads, and more draws add paths to those there were.

use rayon::prelude::*;
use sclsd_data::Matrix;
use sclsd_graph::Terminal;
use sclsd_model::ode::{Brownian, CheckedSdeSpec, OdeError, SdeError, SdeMethod, SdeSpec};
use sclsd_model::{Evaluator, Model};
use sclsd_spec::{OutOfRange, in_range};

use super::entry::Entry;
use super::method::{FateError, FateMethod, check_cells};
use super::probabilities::FateProbabilities;
use crate::flow::check_dimensions;
use crate::flow_error::FlowError;

/// Times in a unit of time at which it is asked whether a path has entered a terminal set.
pub(super) const CHECKS: f64 = 8.0;
/// Steps of Euler and Maruyama between two of them.
const STEPS: usize = 2;
/// Paths of a cell that are followed at a time.
const BLOCK: u32 = 128;

/// Which paths to draw.
#[derive(Debug, Clone, PartialEq)]
pub struct NoisyFlowSpec {
    /// Paths from every cell. From 1 to 1,000,000. Default: 100.
    pub draws: u32,
    /// Size of the noise, in units of z over the square root of a training walk's length. At least 0. Default: 0.
    pub sigma: f64,
    /// Time to follow paths for, in units of a training walk's length. Above 0, at most 10,000. Default: 15.
    pub time_range: f64,
    /// Seed of the noise. Default: 0.
    pub seed: u64,
}

impl Default for NoisyFlowSpec {
    fn default() -> Self {
        Self { draws: 100, sigma: 0.0, time_range: 15.0, seed: 0 }
    }
}

/// Paths that can be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedNoisyFlowSpec(NoisyFlowSpec);

impl NoisyFlowSpec {
    /// Checks every field.
    ///
    /// # Errors
    /// [`OutOfRange`] names the first field that is out of range.
    pub fn check(self) -> Result<CheckedNoisyFlowSpec, OutOfRange> {
        let (draws, sigma, time) = (self.draws, self.sigma, self.time_range);
        in_range("fates.draws", draws, (1..=1_000_000).contains(&draws), "a number from 1 to 1,000,000")?;
        in_range("fates.sigma", sigma, sigma >= 0.0 && sigma.is_finite(), "a finite number of 0 or more")?;
        in_range("fates.time_range", time, time > 0.0 && time.is_finite(), "a finite time above 0")?;
        in_range("fates.time_range", time, time <= 10_000.0, "at most 10,000")?;
        Ok(CheckedNoisyFlowSpec(self))
    }
}

impl CheckedNoisyFlowSpec {
    /// The fields.
    #[must_use]
    pub fn get(&self) -> &NoisyFlowSpec {
        &self.0
    }

    /// The times at which it is asked where paths are: 0 and what follows it.
    pub(super) fn grid(&self) -> Vec<f64> {
        let end = self.0.time_range;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 80,000")]
        let times = (end * CHECKS).ceil() as u32;
        (0..=times).map(|i| end * f64::from(i) / f64::from(times)).collect()
    }
}

/// The share of a cell's paths that are absorbed in each terminal set.
#[derive(Debug, Clone, Copy)]
pub struct NoisyFlow<'a> {
    /// The model.
    pub model: &'a Model,
    /// z of every cell, `n_cells × z`.
    pub cell_state: &'a Matrix,
    /// Which paths are drawn.
    pub spec: &'a CheckedNoisyFlowSpec,
}

/// Where paths were absorbed.
#[derive(Debug, Clone, PartialEq)]
pub struct AbsorbedPaths {
    /// Shares of a cell's paths, by terminal state.
    pub probabilities: FateProbabilities,
    /// Share of all paths, from cells that are not terminal, that had entered no set by the end of the time.
    pub unabsorbed: f64,
}

impl NoisyFlow<'_> {
    /// Draws the paths. Memory is O(cells), whatever the draws and the time.
    ///
    /// # Errors
    /// [`FateError`] where sizes disagree, a state is not finite, or a path leaves the range of numbers.
    #[expect(clippy::cast_precision_loss, reason = "numbers of paths are far below 2^52")]
    pub fn absorb(&self, terminal: &Terminal) -> Result<AbsorbedPaths, FateError> {
        let paths = Paths::new(self, terminal)?;
        let counts: Vec<(Vec<u32>, u32)> =
            (0..terminal.n_cells()).into_par_iter().map(|cell| paths.count(cell)).collect::<Result<_, _>>()?;
        let moving = (0..terminal.n_cells()).filter(|&cell| terminal.of(cell).is_none()).count();
        let total = moving as f64 * f64::from(self.spec.get().draws);
        let unabsorbed = counts.iter().map(|(_, n)| f64::from(*n)).sum::<f64>() / total.max(1.0);
        let values = counts.into_iter().flat_map(|(counts, _)| counts).map(f64::from).collect();
        Ok(AbsorbedPaths {
            probabilities: FateProbabilities::of_whole_rows(terminal.names().to_vec(), values),
            unabsorbed,
        })
    }
}

impl FateMethod for NoisyFlow<'_> {
    fn probabilities(&self, terminal: &Terminal) -> Result<FateProbabilities, FateError> {
        Ok(self.absorb(terminal)?.probabilities)
    }
}

/// Paths that are absorbed.
pub(super) struct Paths<'a> {
    pub(super) networks: Evaluator,
    pub(super) grid: Vec<f64>,
    flow: &'a NoisyFlow<'a>,
    terminal: &'a Terminal,
    entry: Entry<'a>,
    steps: CheckedSdeSpec,
}

impl<'a> Paths<'a> {
    pub(super) fn new(flow: &'a NoisyFlow<'a>, terminal: &'a Terminal) -> Result<Self, FateError> {
        check_cells("cell state", flow.cell_state.n_rows(), terminal)?;
        check_dimensions(flow.model, flow.cell_state)?;
        let spec = SdeSpec { method: SdeMethod::EulerMaruyama, substeps: STEPS, halvings: 0 };
        Ok(Self {
            networks: Evaluator::new(flow.model).map_err(FlowError::from)?,
            grid: flow.spec.grid(),
            flow,
            terminal,
            entry: Entry::new(flow.cell_state, terminal)?,
            steps: spec.check().map_err(FlowError::from)?,
        })
    }

    /// Paths of a cell that end in each terminal state, and how many of them are in none of the sets.
    fn count(&self, cell: usize) -> Result<(Vec<u32>, u32), FateError> {
        let (mut ends, mut unabsorbed) = (vec![0; self.terminal.len()], 0);
        if let Some(state) = self.terminal.of(cell) {
            ends[state] = self.flow.spec.get().draws;
            return Ok((ends, 0));
        }
        self.follow(cell, |_, time, state, entered| {
            let lost = entered.is_none() && time + 1 == self.grid.len();
            unabsorbed += u32::from(lost);
            if let Some(end) = if lost { self.entry.nearest(state) } else { entered } {
                ends[end] += 1;
            }
        })?;
        Ok((ends, unabsorbed))
    }

    /// z of a cell.
    pub(super) fn start(&self, cell: usize) -> &'a [f32] {
        self.flow.cell_state.row(cell)
    }

    /// Follows all paths from a cell that is not terminal, each until it enters a set: `see(draw, time, state, set)`.
    pub(super) fn follow(
        &self,
        cell: usize,
        mut see: impl FnMut(u32, usize, &[f32], Option<usize>),
    ) -> Result<(), FateError> {
        let NoisyFlowSpec { draws, sigma, seed, .. } = *self.flow.spec.get();
        let start = self.start(cell);
        for first in (0..draws).step_by(BLOCK as usize) {
            let block = BLOCK.min(draws - first);
            let noise = Brownian::new(seed).from_path((cell as u64) << 32 | u64::from(first));
            let mut outside = vec![cell; block as usize];
            let shown = |row: usize, time: usize, state: &[f32]| {
                // before it moves a path is where its cell is, though a terminal one may lie in the same place
                let entered = if time == 0 { None } else { self.entry.of(state, &mut outside[row]) };
                #[expect(clippy::cast_possible_truncation, reason = "a row of the block")]
                see(first + row as u32, time, state, entered);
                entered.is_none()
            };
            let starts = start.repeat(block as usize);
            self.networks
                .follow_paths(&starts, &self.grid, sigma, &self.steps, noise, shown)
                .map_err(|e| of(e, cell))?;
        }
        Ok(())
    }
}

/// The error of a cell's path, which names the cell.
fn of(error: SdeError, cell: usize) -> FateError {
    match error {
        SdeError::Path(OdeError::NotFinite { time, .. }) => OdeError::NotFinite { row: cell, time }.into(),
        SdeError::Path(other) => other.into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use rand::SeedableRng;
    use sclsd_data::Categorical;
    use sclsd_model::{Custom, Lsd, ModelSpec, Potential};

    use super::*;
    use crate::flow::propagate;

    /// V = (z² − 1)² / 4, in one dimension.
    #[derive(Debug)]
    struct DoubleWell;

    impl Potential for DoubleWell {
        fn name(&self) -> &'static str {
            "double well"
        }
        fn initial(&self, _: usize) -> Vec<f32> {
            Vec::new()
        }
        fn value(&self, _: &[f32], z: &[f32]) -> f32 {
            (z[0] * z[0] - 1.0).powi(2) / 4.0
        }
        fn value_vjp(&self, _: &[f32], _: &[f32], _: f32, _: &mut [f32]) {}
        fn drift(&self, _: &[f32], z: &[f32], out: &mut [f32]) {
            out[0] = z[0] - z[0].powi(3);
        }
        fn drift_vjp(&self, _: &[f32], z: &[f32], grad: &[f32], grad_z: &mut [f32], _: &mut [f32]) {
            grad_z[0] = grad[0] * (1.0 - 3.0 * z[0] * z[0]);
        }
    }

    fn model() -> Model {
        let spec = ModelSpec { z_dim: 1, ..ModelSpec::default() }.check().unwrap();
        let spec = spec.with(Custom::default().potential(DoubleWell));
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        let weights = Lsd::<Flex>::new(&spec, 4, &mut rng, &Default::default()).weights();
        Model { spec, n_genes: 4, genes: Vec::new(), weights }
    }

    /// Cells from −1.2 to 1.2, the last three on either side being terminal; the cell in the middle is on the top.
    fn cells() -> (Matrix, Terminal) {
        let states = Matrix::new(1, (-12..=12_i8).map(|i| f32::from(i) / 10.0).collect());
        let side = |i: i8| if i <= -10 { Some(0) } else { (i >= 10).then_some(1) };
        let sets = Categorical::new((-12..=12).map(side).collect(), vec!["left".into(), "right".into()], false);
        (states, Terminal::new(&sets).unwrap())
    }

    fn absorb(spec: NoisyFlowSpec) -> AbsorbedPaths {
        let ((states, terminal), model) = (cells(), model());
        NoisyFlow { model: &model, cell_state: &states, spec: &spec.check().unwrap() }.absorb(&terminal).unwrap()
    }

    #[test]
    fn without_noise_paths_end_where_the_flow_first_enters_a_set() {
        let ((states, terminal), model) = (cells(), model());
        let spec = NoisyFlowSpec { draws: 3, time_range: 5.0, ..NoisyFlowSpec::default() };
        let found = absorb(spec.clone());
        let ode = sclsd_model::ode::OdeSpec::default().check().unwrap();
        let flow = propagate(&model, &states, &spec.check().unwrap().grid(), &ode).unwrap();
        let entry = Entry::new(&states, &terminal).unwrap();
        let mut lost = 0;
        for cell in 0..states.n_rows() {
            let first = flow.iter().find_map(|at| entry.of(at.row(cell), &mut 12));
            let end = first.or_else(|| entry.nearest(flow[flow.len() - 1].row(cell))).unwrap();
            lost += usize::from(first.is_none());
            assert!((found.probabilities.row(cell)[end] - 1.0).abs() < 1e-12, "cell {cell}");
        }
        // the cell on the top stays there; 19 cells are not terminal
        assert_eq!(lost, 1);
        assert!((found.unabsorbed - 1.0 / 19.0).abs() < 1e-12, "{}", found.unabsorbed);
    }

    #[test]
    fn from_the_top_of_a_symmetric_double_well_both_fates_are_as_likely() {
        let found = absorb(NoisyFlowSpec { draws: 4000, sigma: 0.5, ..NoisyFlowSpec::default() });
        let row = found.probabilities.row(12);
        // four standard errors
        assert!((row[0] - 0.5).abs() < 4.0 * (0.25 / 4000.0_f64).sqrt(), "{row:?}");
        assert!(found.unabsorbed < 1e-3, "{}", found.unabsorbed);
        for cell in 0..25 {
            let row = found.probabilities.row(cell);
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert!(cell == 0 || row[1] > found.probabilities.row(cell - 1)[1] - 0.05, "it rises to the right");
        }
    }

    #[test]
    fn terminal_cells_keep_their_fate_whatever_the_noise() {
        let found = absorb(NoisyFlowSpec { draws: 50, sigma: 5.0, ..NoisyFlowSpec::default() });
        for (cell, state) in [(0, 0), (2, 0), (22, 1), (24, 1)] {
            assert_eq!(found.probabilities.row(cell)[state].to_bits(), 1.0_f64.to_bits(), "cell {cell}");
        }
    }

    #[test]
    fn one_thread_and_two_give_the_same_bits_and_a_seed_other_draws() {
        let spec = NoisyFlowSpec { draws: 150, sigma: 0.8, ..NoisyFlowSpec::default() };
        let on = |threads: usize| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| absorb(spec.clone()))
        };
        let found = on(1);
        assert_eq!(found, on(2));
        assert_ne!(found, absorb(NoisyFlowSpec { seed: 1, ..spec }));
    }

    #[test]
    fn genes_along_paths_begin_at_the_cell_and_stay_where_a_path_was_absorbed() {
        let ((states, terminal), model) = (cells(), model());
        let networks = Evaluator::new(&model).unwrap();
        let spec = NoisyFlowSpec { draws: 40, sigma: 0.5, ..NoisyFlowSpec::default() }.check().unwrap();
        let flow = NoisyFlow { model: &model, cell_state: &states, spec: &spec };
        let found = flow.gene_paths(&[12], &[3, 1], &terminal).unwrap();
        let n = found.times.len();
        assert_eq!((n, found.times[0], found.times[n - 1]), (61, 0.0, 15.0));
        assert_eq!(found.mean.len(), 2 * n);
        let here = networks.decode(states.row(12), 10_000.0);
        for (place, gene) in [(0, 3), (1, 1)] {
            let first = f64::from(here[gene]);
            assert!(
                (found.mean[place * n] - first).abs() < 1e-6 * first && found.low[place * n] <= found.high[place * n]
            );
            assert!(found.low[place * n + n - 1] < found.high[place * n + n - 1], "paths end on both sides");
        }
        // a terminal cell's paths do not move
        let still = flow.gene_paths(&[0], &[0], &terminal).unwrap();
        assert!(still.low.iter().chain(&still.high).all(|v| v.to_bits() == still.low[0].to_bits()));
    }

    #[test]
    fn what_cannot_be_drawn_is_named() {
        let message = |spec: NoisyFlowSpec| spec.check().unwrap_err().to_string();
        let spec = NoisyFlowSpec::default();
        assert_eq!(
            message(NoisyFlowSpec { draws: 0, ..spec }),
            "fates.draws is 0, expected a number from 1 to 1,000,000"
        );
        let message = |sigma| message(NoisyFlowSpec { sigma, ..NoisyFlowSpec::default() });
        assert_eq!(message(-1.0), "fates.sigma is -1, expected a finite number of 0 or more");
        assert_eq!(message(f64::NAN), "fates.sigma is NaN, expected a finite number of 0 or more");
        let ((mut states, terminal), model) = (cells(), model());
        let spec = NoisyFlowSpec { draws: 1_000_000, ..NoisyFlowSpec::default() }.check().unwrap();
        let flow = NoisyFlow { model: &model, cell_state: &states, spec: &spec };
        let error = flow.gene_paths(&[1; 20], &[0], &terminal).unwrap_err().to_string();
        assert!(error.starts_with("fates.draws is 1000000, expected so few that"), "{error}");
        states = Matrix::new(1, [states.values(), &[0.0]].concat());
        let flow = NoisyFlow { model: &model, cell_state: &states, spec: &spec };
        let error = flow.absorb(&terminal).unwrap_err().to_string();
        assert_eq!(error, "the cell state is of 26 cells, but the terminal states are of 25");
        states = Matrix::new(1, [&states.values()[..24], &[f32::NAN]].concat());
        let flow = NoisyFlow { model: &model, cell_state: &states, spec: &spec };
        let error = flow.absorb(&terminal).unwrap_err().to_string();
        assert_eq!(error, "cell states: coordinate 0 of cell 24 is NaN, expected a finite number");
    }
}
