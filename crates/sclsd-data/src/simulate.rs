//! Simulated cells with known dynamics and fates.
//!
//! Every cell starts at the origin, rolls down a [landscape](Topology) with noise and is sampled at a random time:
//!
//! ```text
//! dp = −∇U(p) dt + σ dW,   p(0) = origin,   t ~ Uniform(0, 1)
//! ```
//!
//! (A cell that has left the tissue by then is replaced by another cell. Cells leave at the end of a leaf that ends
//! before time 1.) The position determines the rates of the genes: each gene has a peak along the path and a preference
//! among branches. Counts are zero-inflated negative binomial draws with a library size per cell. The truth is stored
//! with each cell: `true_time`, `branch`, `true_potential`, and for each branch the probability of ending there,
//! estimated from 1,024 roll-outs with the same dynamics.

mod dynamics;
mod fates;
mod landscape;
mod topology;
mod valleys;

use std::collections::BTreeMap;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma, LogNormal, Poisson, StandardNormal};
use rayon::prelude::*;
use sclsd_spec::{OutOfRange, in_range};
use serde::{Deserialize, Serialize};

use crate::random::{Purpose, random_stream};
use crate::{Categorical, Column, Csr, Dataset, Frame, Matrix, Uns, library_sizes, log1p_normalize};
use dynamics::roll;
use fates::Fates;
use landscape::{Landscape, Point};

pub use topology::Topology;

/// Colours of stages, distinguishable with colour blindness (Okabe and Ito).
const COLORS: [&str; 8] = ["#0072b2", "#56b4e9", "#e69f00", "#d55e00", "#009e73", "#cc79a7", "#f0e442", "#999999"];

/// Configuration of a simulation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulateSpec {
    /// Number of cells. At least 10. Default: 1,000.
    pub n_cells: usize,
    /// Number of genes. At least 10. Default: 200.
    pub n_genes: usize,
    /// Shape of the landscape. Default: bifurcation.
    pub topology: Topology,
    /// Strength σ of the noise in the dynamics, in units of the plane per √time. Default: 0.08.
    pub noise: f64,
    /// Median library size, in counts per gene. Default: 2.
    pub depth: f64,
    /// Probability that a count is lost. Default: 0.05.
    pub dropout: f64,
    /// Standard deviation of the noise in `prior_time`, in units of the true time 0…1. Default: 0.05.
    pub prior_noise: f64,
    /// Seed of all random draws. Default: 0.
    pub seed: u64,
}

impl Default for SimulateSpec {
    fn default() -> Self {
        Self {
            n_cells: 1000,
            n_genes: 200,
            topology: Topology::Bifurcation,
            noise: 0.08,
            depth: 2.0,
            dropout: 0.05,
            prior_noise: 0.05,
            seed: 0,
        }
    }
}

/// A [`SimulateSpec`] with valid fields.
#[derive(Debug, Clone)]
pub struct CheckedSimulateSpec(SimulateSpec);

impl SimulateSpec {
    /// Validates every field.
    ///
    /// # Errors
    /// [`OutOfRange`] names the first field that is out of range.
    pub fn check(self) -> Result<CheckedSimulateSpec, OutOfRange> {
        let unit = 0.0..=1.0;
        let deep = self.depth > 0.0 && self.depth <= 1e4;
        in_range("simulate.n_cells", self.n_cells, self.n_cells >= 10, "at least 10")?;
        in_range("simulate.n_genes", self.n_genes, self.n_genes >= 10, "at least 10")?;
        in_range("simulate.noise", self.noise, unit.contains(&self.noise), "a number from 0 to 1")?;
        in_range("simulate.depth", self.depth, deep, "a number above 0 and up to 10000")?;
        in_range("simulate.dropout", self.dropout, (0.0..1.0).contains(&self.dropout), "a probability below 1")?;
        in_range("simulate.prior_noise", self.prior_noise, unit.contains(&self.prior_noise), "a number from 0 to 1")?;
        Ok(CheckedSimulateSpec(self))
    }
}

/// Rates of one gene as a function of position.
struct Gene {
    base: f64,
    height: f64,
    center: f64,
    width: f64,
    tilt: Vec<f64>,
    inverse_dispersion: f64,
}

/// One simulated cell.
struct Cell {
    place: Point,
    time: f64,
    prior: f64,
    counts: Vec<(u32, f32)>,
    ends: Vec<f64>,
}

/// Simulates a data set with these elements: X (log1p of counts per 10,000), layer `raw`, obs `clusters` (the stage),
/// `branch`, `librarysize`, `true_time` (0…1), `prior_time` (the true time with noise), `true_potential` and
/// `true_fate_<branch>` (probabilities, which sum to one for every cell), obsm `X_true_state` (the position in the
/// plane), uns `iroot`, `cluster_edges` and `simulation`.
///
/// The result has no kNN graph. The graph crate adds one.
///
/// # Panics
/// Never, because the specification is checked.
#[must_use]
pub fn simulate(spec: &CheckedSimulateSpec) -> Dataset {
    let spec = &spec.0;
    let landscape = Landscape::new(spec.topology);
    let genes: Vec<Gene> = (0..spec.n_genes as u64).map(|gene| draw_gene(spec.seed, gene, &landscape)).collect();
    let fates = Fates::new(&landscape, spec.noise);
    let cells: Vec<Cell> = (0..spec.n_cells as u64)
        .into_par_iter()
        .map(|cell| draw_cell(spec, cell, &landscape, &fates, &genes))
        .collect();
    assemble(spec, &landscape, cells)
}

fn draw_gene(seed: u64, index: u64, landscape: &Landscape) -> Gene {
    let mut rng = random_stream(seed, Purpose::Gene, index);
    let normal = |rng: &mut ChaCha8Rng| -> f64 { rng.sample(StandardNormal) };
    Gene {
        base: 0.8 * normal(&mut rng),
        height: 1.2 + 0.6 * normal(&mut rng).abs(),
        center: rng.random_range(-0.1..1.1),
        width: rng.random_range(0.1..0.4),
        tilt: {
            let strength = if rng.random_bool(0.5) { 0.7 } else { 0.0 };
            (0..landscape.n_valleys()).map(|_| strength * normal(&mut rng)).collect()
        },
        inverse_dispersion: rng.random_range(2.0..10.0),
    }
}

fn draw_cell(spec: &SimulateSpec, index: u64, landscape: &Landscape, fates: &Fates, genes: &[Gene]) -> Cell {
    let mut rng = random_stream(spec.seed, Purpose::Cell, index);
    let (time, place) = draw_place(landscape, spec.noise, &mut rng);
    let prior = (time + spec.prior_noise * rng.sample::<f64, _>(StandardNormal)).clamp(0.0, 1.0);

    let (progress, membership) = (landscape.progress(place), landscape.membership(place));
    let rates: Vec<f64> = genes
        .iter()
        .map(|gene| {
            let tilt: f64 = gene.tilt.iter().zip(&membership).map(|(t, m)| t * m).sum();
            let bump = (-0.5 * (landscape.apart(progress, gene.center) / gene.width).powi(2)).exp();
            (gene.base + gene.height * bump + tilt).exp()
        })
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "numbers of genes are far below 2^52")]
    let median = spec.depth * genes.len() as f64;
    let library: f64 = LogNormal::new(median.ln(), 0.3).expect("a finite median").sample(&mut rng);
    let total: f64 = rates.iter().sum();
    let mut counts: Vec<(u32, f32)> = Vec::new();
    for (column, (gene, rate)) in (0_u32..).zip(genes.iter().zip(&rates)) {
        let count = draw_count(library * rate / total, gene.inverse_dispersion, &mut rng);
        if count > 0.0 && !rng.random_bool(spec.dropout) {
            counts.push((column, count));
        }
    }
    if counts.is_empty() {
        counts.push((0, 1.0)); // a cell without a count would not have been detected
    }

    let ends = fates.probabilities(place, &mut random_stream(spec.seed, Purpose::Fate, index));
    Cell { place, time, prior, counts, ends }
}

/// Draws a time and the position of a cell at that time. Repeats the draw if the cell has left the tissue.
fn draw_place(landscape: &Landscape, noise: f64, rng: &mut impl Rng) -> (f64, Point) {
    loop {
        let time: f64 = rng.random_range(0.0..1.0);
        let place = roll(landscape, landscape.origin(), time, noise, rng);
        if !landscape.has_left(place) {
            return (time, place);
        }
    }
}

/// Draws from a negative binomial: Poisson with a gamma-distributed rate.
fn draw_count(mean: f64, inverse_dispersion: f64, rng: &mut impl Rng) -> f32 {
    let Ok(gamma) = Gamma::new(inverse_dispersion, mean / inverse_dispersion) else { return 0.0 };
    let rate: f64 = gamma.sample(rng);
    #[expect(clippy::cast_possible_truncation, reason = "counts are far below 2^24")]
    Poisson::new(rate).map_or(0.0, |poisson| poisson.sample(rng) as f32)
}

fn assemble(spec: &SimulateSpec, landscape: &Landscape, cells: Vec<Cell>) -> Dataset {
    let digits = |n: usize| n.to_string().len();
    let width = digits(spec.n_cells);
    let mut obs = Frame::new((0..spec.n_cells).map(|i| format!("cell{i:0width$}")).collect());
    let width = digits(spec.n_genes);
    let var = Frame::new((0..spec.n_genes).map(|i| format!("Gene{i:0width$}")).collect());

    let stages = landscape.stages();
    let groups = |names: &[&'static str], of: &dyn Fn(&Cell) -> &'static str| {
        let code = |cell: &Cell| names.iter().position(|n| *n == of(cell)).and_then(|c| u32::try_from(c).ok());
        let codes = cells.iter().map(code).collect();
        let categories: Vec<String> = names.iter().map(ToString::to_string).collect();
        let colors = COLORS.iter().cycle().take(names.len()).map(ToString::to_string).collect();
        Column::Categorical(Categorical::new(codes, categories, false).with_colors(colors))
    };
    obs.set("clusters", groups(&stages, &|cell| landscape.stage(cell.place)));
    let ends = landscape.ends();
    let branches: Vec<&'static str> = std::iter::once("undecided").chain(ends.iter().copied()).collect();
    obs.set(
        "branch",
        groups(&branches, &|cell| cell.ends.iter().position(|&p| p > 0.9).map_or("undecided", |branch| ends[branch])),
    );
    let column = |f: &dyn Fn(&Cell) -> f64| Column::Float(cells.iter().map(f).collect());
    obs.set("true_time", column(&|cell| cell.time));
    obs.set("prior_time", column(&|cell| cell.prior));
    obs.set("true_potential", column(&|cell| landscape.potential(cell.place)));
    for (branch, name) in ends.iter().enumerate() {
        obs.set(&format!("true_fate_{}", name.replace(' ', "_")), column(&|cell| cell.ends[branch]));
    }
    #[expect(clippy::cast_possible_truncation, reason = "coordinates are kept in f32")]
    let places = cells.iter().flat_map(|cell| cell.place.map(|v| v as f32)).collect();
    let first = (0..cells.len()).fold(0, |best, i| if cells[i].time < cells[best].time { i } else { best });

    let counts = Csr::from_rows(spec.n_genes, cells.into_iter().map(|cell| cell.counts)).expect("genes in order");
    obs.set("librarysize", Column::Float(library_sizes(&counts)));
    let edges = landscape.edges();
    let names = edges.iter().flat_map(|&(from, to)| [from.to_owned(), to.to_owned()]).collect();
    let integer = |n: u64| Uns::Integers(Vec::new(), vec![i64::try_from(n).unwrap_or(i64::MAX)]);
    let float = |v: f64| Uns::Floats(Vec::new(), vec![v]);
    let simulation = BTreeMap::from([
        ("topology".into(), Uns::Text(spec.topology.to_string())),
        ("noise".into(), float(spec.noise)),
        ("prior_noise".into(), float(spec.prior_noise)),
        ("dropout".into(), float(spec.dropout)),
        ("seed".into(), integer(spec.seed)),
        // format version of this entry (docs/formats.md)
        ("format_version".into(), integer(1)),
    ]);
    Dataset {
        x: Some(log1p_normalize(&counts, 1e4)),
        layers: BTreeMap::from([("raw".into(), counts)]),
        obs,
        var,
        varm: BTreeMap::new(),
        obsm: BTreeMap::from([("X_true_state".into(), Matrix::new(2, places))]),
        obsp: BTreeMap::new(),
        uns: BTreeMap::from([
            ("cluster_edges".into(), Uns::Texts(vec![edges.len(), 2], names)),
            ("iroot".into(), integer(first as u64)),
            ("simulation".into(), Uns::Map(simulation)),
        ]),
    }
}

#[cfg(test)]
mod tests {
    use sclsd_spec::Choice;

    use super::*;

    fn small(topology: Topology, seed: u64) -> Dataset {
        simulate(&SimulateSpec { n_cells: 300, n_genes: 40, topology, seed, ..Default::default() }.check().unwrap())
    }

    #[test]
    fn the_same_seed_gives_the_same_cells_and_another_seed_others() {
        assert_eq!(small(Topology::Bifurcation, 1), small(Topology::Bifurcation, 1));
        assert_ne!(small(Topology::Bifurcation, 1), small(Topology::Bifurcation, 2));
    }

    #[test]
    fn the_same_seed_gives_the_same_cells_on_one_thread_and_on_two() {
        let on = |threads| {
            let spec = SimulateSpec { n_cells: 40, n_genes: 20, topology: Topology::UnequalTree, ..Default::default() };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| simulate(&spec.check().unwrap()))
        };
        assert_eq!(on(1), on(2));
    }

    #[test]
    fn every_topology_has_at_least_5_of_300_cells_in_every_stage() {
        for &topology in Topology::ALL {
            let landscape = Landscape::new(topology);
            for seed in 0..5 {
                let draw = |cell| draw_place(&landscape, 0.08, &mut random_stream(seed, Purpose::Cell, cell)).1;
                let found: Vec<&str> = (0..300).map(|cell| landscape.stage(draw(cell))).collect();
                for stage in landscape.stages() {
                    let n = found.iter().filter(|name| **name == stage).count();
                    assert!(n >= 5, "{topology:?}, seed {seed}: {stage} has {n} cells");
                }
            }
        }
    }

    #[test]
    fn cells_of_a_leaf_that_ends_early_are_not_found_later() {
        let landscape = Landscape::new(Topology::UnequalTree);
        let mut last = BTreeMap::from([("Fate A", 0.0_f64), ("Fate B", 0.0), ("Fate C", 0.0)]);
        for cell in 0..1000 {
            let (time, place) = draw_place(&landscape, 0.08, &mut random_stream(0, Purpose::Cell, cell));
            if let Some(latest) = last.get_mut(landscape.stage(place)) {
                *latest = latest.max(time);
            }
        }
        assert!(last["Fate A"] < 0.8 && last["Fate B"] > 0.95 && last["Fate C"] > 0.95, "{last:?}");
    }

    #[test]
    fn the_file_names_its_topology_as_the_command_line_does() {
        for &topology in Topology::ALL {
            let spec = SimulateSpec { n_cells: 10, n_genes: 10, topology, ..Default::default() };
            let data = simulate(&spec.check().unwrap());
            let Uns::Map(simulation) = &data.uns["simulation"] else { panic!("{:?}", data.uns) };
            assert_eq!(simulation["topology"], Uns::Text(topology.to_string()));
        }
    }

    #[test]
    fn the_counts_of_a_seed_stay_as_they_are() {
        let expected = [
            (Topology::Linear, (235, 120_665.0)),
            (Topology::Bifurcation, (245, 102_084.0)),
            (Topology::Tree, (238, 99_154.0)),
            (Topology::Cycle, (244, 108_416.0)),
        ];
        let found = expected.map(|(topology, _)| {
            let spec = SimulateSpec { n_cells: 20, n_genes: 20, topology, seed: 1, ..Default::default() };
            let data = simulate(&spec.check().unwrap());
            let counts = &data.layers["raw"];
            let weighted = (0_u32..).zip(counts.values()).map(|(entry, count)| f64::from(entry) * f64::from(*count));
            (topology, (counts.values().len(), weighted.sum::<f64>()))
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn every_cell_has_fates_that_sum_to_one() {
        for &topology in Topology::ALL.iter().filter(|topology| **topology != Topology::Cycle) {
            let spec = SimulateSpec { n_cells: 60, n_genes: 10, topology, ..Default::default() };
            let data = simulate(&spec.check().unwrap());
            let mut sums = vec![0.0; 60];
            for (name, _) in data.obs.columns.iter().filter(|(name, _)| name.starts_with("true_fate_")) {
                sums.iter_mut().zip(data.numbers(name).unwrap()).for_each(|(sum, p)| *sum += p);
            }
            assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-12), "{topology:?}: {sums:?}");
        }
    }

    #[test]
    fn fates_settle_with_time() {
        let data = small(Topology::Bifurcation, 0);
        let (a, b) = (data.numbers("true_fate_Fate_A").unwrap(), data.numbers("true_fate_Fate_B").unwrap());
        let time = data.numbers("true_time").unwrap();
        let (mut early, mut late) = (Vec::new(), Vec::new());
        for ((a, b), t) in a.iter().zip(&b).zip(&time) {
            if *t < 0.2 {
                early.push((a - b).abs());
            } else if *t > 0.9 {
                late.push((a - b).abs());
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        assert!(mean(&early) < 0.4 && mean(&late) > 0.9, "{} {}", mean(&early), mean(&late));
    }

    #[test]
    fn a_bad_field_is_an_error_that_names_it() {
        let error = SimulateSpec { n_cells: 3, ..Default::default() }.check().unwrap_err();
        assert_eq!(error.to_string(), "simulate.n_cells is 3, expected at least 10");
    }
}
