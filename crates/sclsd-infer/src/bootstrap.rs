//! A prior time for data without one, from a small model trained on undirected walks.
//!
//! Walks of two cells go from a cell to one of its neighbours, with probabilities proportional to their connectivities.
//! A model trained on them for a few epochs places cells in the differentiation state B by similarity only. The time of
//! a cell is its distance in B from a cell of origin: the cell of the root cluster that is on average furthest from all
//! cells outside the root cluster. Finally, every cluster of the phylogeny is shifted so that it does not begin before
//! its parent ends, and all times are scaled to 0…1.
//!
//! Reference: `get_prior_transition` without a time, that is `_infer_global_pseudotime`, `infer_prior_time`,
//! `get_prior_pseudotime` and `_shift_child_pseudotime`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;

use rayon::prelude::*;
use sclsd_data::{Categorical, Csr, Dataset, DatasetError};
use sclsd_graph::{KnnError, Phylogeny, PhylogenyError, Transition, TransitionError, WalkSpec, neighborhood};
use sclsd_model::{Evaluator, Executor, Model, ModelSpec, Peers, WeightsError};
use serde::{Deserialize, Serialize};

use crate::data::sparse_rows;
use crate::train::{Observer, train};
use crate::{
    AdamSpec, DataKeys, Event, NoDevice, OptimizerSpec, TrainError, TrainSpec, TrainSpecError, TrainingData,
    TrainingDataError, WassersteinSchedule,
};

/// Number of cells outside the root cluster to which distances are computed, spread evenly over all of them.
const OTHERS: usize = 10_000;

/// Settings for computing a prior time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BootstrapSpec {
    /// Passes through the walks. At least 1. Default: 5.
    pub num_epochs: usize,
    /// Whether to train one model per branch of the phylogeny, on the cells of the branch and with neighbours among
    /// them. Default: no. By default one model of all cells serves all branches, which is also the result of the Python
    /// package.
    pub per_branch: bool,
    /// Dimensions of the model's cell state z. At least 1. Default: 50.
    pub z_dim: usize,
    /// Seed of the walks and of training. Default: 42.
    pub random_state: u64,
}

impl Default for BootstrapSpec {
    fn default() -> Self {
        Self { num_epochs: 5, per_branch: false, z_dim: 50, random_state: 42 }
    }
}

/// Why a prior time cannot be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// The phylogeny does not have exactly one root.
    #[error("the phylogeny has {} root clusters ({}), expected one", .roots.len(), .roots.join(", "))]
    Roots {
        /// The roots: clusters with children but without a parent.
        roots: Vec<String>,
    },
    /// A cluster of the phylogeny has no cells.
    #[error("cluster \"{cluster}\" of the phylogeny has no cells")]
    NoCells {
        /// Name of the cluster.
        cluster: String,
    },
    /// The phylogeny does not match the data.
    #[error(transparent)]
    Phylogeny(#[from] PhylogenyError),
    /// An element is missing or holds a value that is not allowed.
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// The data cannot be used for training.
    #[error(transparent)]
    Training(#[from] TrainingDataError),
    /// The graph cannot be used for walks.
    #[error(transparent)]
    Graph(#[from] TransitionError),
    /// Neighbours within a branch cannot be found.
    #[error("neighbours within a branch: {0}")]
    Neighbors(#[from] KnnError),
    /// A setting is out of range.
    #[error(transparent)]
    Spec(#[from] TrainSpecError),
    /// The observer stopped the training.
    #[error("training was stopped before there was a prior time")]
    Stopped,
    /// Training failed.
    #[error("the model for the prior time: {0}")]
    Train(#[from] TrainError),
    /// The model's weights do not match its networks.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// Computes a prior time for data without one.
#[must_use = "no time is made before it is asked for"]
pub struct Bootstrap<'a, D = NoDevice> {
    spec: BootstrapSpec,
    device: D,
    observe: Box<Observer<'a>>,
}

impl<D: fmt::Debug> fmt::Debug for Bootstrap<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spec, device, .. } = self;
        f.debug_struct("Bootstrap").field("spec", spec).field("device", device).finish_non_exhaustive()
    }
}

impl Bootstrap<'_> {
    /// Settings without an observer; choose the device next.
    pub fn new(spec: BootstrapSpec) -> Self {
        Self { spec, device: NoDevice, observe: Box::new(|_| ControlFlow::Continue(())) }
    }
}

impl<'a, D> Bootstrap<'a, D> {
    /// Trains the small models on this device.
    pub fn device<E: Executor>(self, device: E) -> Bootstrap<'a, E> {
        let Self { spec, observe, .. } = self;
        Bootstrap { spec, device, observe }
    }

    /// Calls `observe` after every step and epoch of every small model. If it breaks, no time is computed. Default: no
    /// observer.
    pub fn observe(self, observe: impl FnMut(Event<'_>) -> ControlFlow<()> + 'a) -> Self {
        Self { observe: Box::new(observe), ..self }
    }
}

impl<D: Executor> Bootstrap<'_, D> {
    /// Prior time of every cell, 0…1, from clusters and the phylogeny that relates them. Cells outside all branches get
    /// the time of the model of all cells.
    ///
    /// # Errors
    /// [`BootstrapError`] if the phylogeny does not have exactly one root or does not match the data, if training
    /// fails, or if the observer breaks.
    pub fn time(mut self, data: &Dataset, keys: &DataKeys, phylogeny: &Phylogeny) -> Result<Vec<f64>, BootstrapError> {
        let clusters = data.groups(&keys.clusters)?;
        phylogeny.allowed(&clusters, sclsd_graph::Descent::Children)?;
        let root = root(phylogeny)?;
        if !(0..data.n_cells()).any(|cell| clusters.name(cell) == Some(root)) {
            return Err(BootstrapError::NoCells { cluster: root.to_owned() });
        }
        let mut time = if self.spec.per_branch {
            self.by_branch(data, keys, &branches(phylogeny, root), root)?
        } else {
            self.model_time(data, data.graph(&keys.connectivities)?, keys, root)?
        };
        shift(&mut time, phylogeny, &clusters);
        Ok(sclsd_graph::scale_time(&time))
    }

    /// The mean time over the branches that contain a cell; every branch has a model of its own cells.
    fn by_branch(
        &mut self,
        data: &Dataset,
        keys: &DataKeys,
        branches: &[Vec<&str>],
        root: &str,
    ) -> Result<Vec<f64>, BootstrapError> {
        let (n_cells, clusters) = (data.n_cells(), data.groups(&keys.clusters)?);
        let (mut sum, mut count) = (vec![0.0; n_cells], vec![0.0; n_cells]);
        for branch in branches {
            let in_branch = |&cell: &usize| clusters.name(cell).is_some_and(|name| branch.contains(&name));
            let cells: Vec<usize> = (0..n_cells).filter(in_branch).collect();
            let part = data.select_cells(&cells);
            let graph = neighborhood(part.expression()?, self.spec.random_state)?;
            let time = self.model_time(&part, &graph, keys, root)?;
            for (&cell, time) in cells.iter().zip(time) {
                sum[cell] += time;
                count[cell] += 1.0;
            }
        }
        if count.contains(&0.0) {
            let everywhere = self.model_time(data, data.graph(&keys.connectivities)?, keys, root)?;
            for cell in (0..n_cells).filter(|&cell| count[cell] == 0.0).collect::<Vec<_>>() {
                (sum[cell], count[cell]) = (everywhere[cell], 1.0);
            }
        }
        Ok(sum.into_iter().zip(count).map(|(s, c)| s / c).collect())
    }

    /// Distance in B from the cell of origin, scaled to 0…1, with a model trained on these cells.
    fn model_time(
        &mut self,
        data: &Dataset,
        graph: &Csr,
        keys: &DataKeys,
        root: &str,
    ) -> Result<Vec<f64>, BootstrapError> {
        let training = TrainingData::new(data, keys)?;
        let train_spec = train_spec(&self.spec, keys, data.n_cells()).check()?;
        let walks = Transition::from_matrix(&graph.map(f64::from))?;
        let walks = walks.walks(&train_spec.get().walks.clone().check().map_err(TrainSpecError::from)?);
        let mut stopped = false;
        let mut observe = |event: Event<'_>| {
            let flow = (self.observe)(event);
            stopped |= flow.is_break();
            flow
        };
        let fit = train(&training, &walks, &train_spec, None, &self.device, &Peers::alone(), &mut observe)?;
        if stopped {
            return Err(BootstrapError::Stopped);
        }
        let states = diff_states(&fit.model, data.expression()?)?;
        let clusters = data.groups(&keys.clusters)?;
        let is_root: Vec<bool> = (0..data.n_cells()).map(|cell| clusters.name(cell) == Some(root)).collect();
        Ok(distance_from_origin(&states, &is_root))
    }
}

/// The training settings of a small model of `n_cells` cells.
fn train_spec(spec: &BootstrapSpec, keys: &DataKeys, n_cells: usize) -> TrainSpec {
    let num_walks = 1_usize << n_cells.max(1).ilog2();
    TrainSpec {
        model: ModelSpec { z_dim: spec.z_dim, ..ModelSpec::default() },
        optimizer: OptimizerSpec {
            adam: AdamSpec { eta_min: 1e-4, t_0: 30, ..AdamSpec::default() },
            wasserstein_schedule: WassersteinSchedule { min_w: 1.0, max_w: 1.0, ..WassersteinSchedule::default() },
            ..OptimizerSpec::default()
        },
        walks: WalkSpec {
            path_len: 2,
            num_walks,
            batch_size: (num_walks / 16).max(1),
            random_state: spec.random_state,
            ..WalkSpec::default()
        },
        keys: keys.clone(),
        num_epochs: spec.num_epochs,
        random_state: spec.random_state,
        ..TrainSpec::default()
    }
}

/// The only cluster with children and without a parent.
fn root(phylogeny: &Phylogeny) -> Result<&str, BootstrapError> {
    let children = phylogeny.children();
    let is_child = |name: &String| children.values().any(|c| c.contains(name));
    let begins = |(name, below): &(&String, &Vec<String>)| !below.is_empty() && !is_child(name);
    let roots: Vec<&String> = children.iter().filter(begins).map(|(name, _)| name).collect();
    match roots[..] {
        [root] => Ok(root),
        _ => Err(BootstrapError::Roots { roots: roots.into_iter().cloned().collect() }),
    }
}

/// All paths from the root to a cluster without children.
fn branches<'a>(phylogeny: &'a Phylogeny, root: &'a str) -> Vec<Vec<&'a str>> {
    let below = phylogeny.children().get(root).map_or(&[][..], Vec::as_slice);
    if below.is_empty() {
        return vec![vec![root]];
    }
    let with_root = |mut branch: Vec<&'a str>| {
        branch.insert(0, root);
        branch
    };
    below.iter().flat_map(|child| branches(phylogeny, child)).map(with_root).collect()
}

fn distance_from_origin(states: &[Vec<f64>], is_root: &[bool]) -> Vec<f64> {
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
    let others: Vec<usize> = (0..states.len()).filter(|&cell| !is_root[cell]).collect();
    let others: Vec<usize> = others.iter().copied().step_by(others.len().div_ceil(OTHERS).max(1)).collect();
    let roots: Vec<usize> = (0..states.len()).filter(|&cell| is_root[cell]).collect();
    if others.is_empty() || roots.is_empty() {
        return vec![0.0; states.len()];
    }
    let total = |&cell: &usize| others.iter().map(|&other| distance(&states[cell], &states[other])).sum::<f64>();
    let totals: Vec<f64> = roots.par_iter().map(total).collect();
    let furthest = (0..roots.len()).reduce(|best, next| if totals[next] > totals[best] { next } else { best });
    let origin = &states[roots[furthest.unwrap_or(0)]];
    sclsd_graph::scale_time(&states.iter().map(|state| distance(state, origin)).collect::<Vec<_>>())
}

/// Shifts clusters, from the roots of the phylogeny downwards, so that none begins before its parent ends.
fn shift(time: &mut [f64], phylogeny: &Phylogeny, clusters: &Categorical) {
    let mut cells: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for cell in 0..time.len() {
        if let Some(name) = clusters.name(cell) {
            cells.entry(name).or_default().push(cell);
        }
    }
    let children = phylogeny.children();
    let is_child = |name: &String| children.values().any(|c| c.contains(name));
    let mut open: Vec<&String> = children.keys().filter(|name| !is_child(name)).collect();
    while let Some(parent) = open.pop() {
        let below = children.get(parent).map_or(&[][..], Vec::as_slice);
        open.extend(below);
        let of = |name: &String| cells.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        let end = of(parent).iter().map(|&cell| time[cell]).fold(f64::NEG_INFINITY, f64::max);
        for child in below {
            let begin = of(child).iter().map(|&cell| time[cell]).fold(f64::INFINITY, f64::min);
            if end > begin {
                of(child).iter().for_each(|&cell| time[cell] += end - begin);
            }
        }
    }
}

/// B of every cell.
fn diff_states(model: &Model, x: &Csr) -> Result<Vec<Vec<f64>>, WeightsError> {
    let networks = Evaluator::new(model)?;
    let all: Vec<u32> = (0_u32..).take(x.n_rows()).collect();
    let (z, _) = networks.encode(sparse_rows(x.into(), &all));
    let (b, _) = networks.encode_z(&z);
    let rows = b.chunks_exact(model.spec.get().b_dim);
    Ok(rows.map(|row| row.iter().copied().map(f64::from).collect()).collect())
}

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, Flex};
    use sclsd_data::{SimulateSpec, simulate};
    use sclsd_model::OnBackend;

    use super::*;

    fn tree(rows: &[(&str, &[&str])]) -> Phylogeny {
        let row = |(p, c): &(&str, &[&str])| ((*p).to_owned(), c.iter().map(ToString::to_string).collect());
        Phylogeny::new(rows.iter().map(row).collect()).unwrap()
    }

    #[test]
    fn children_do_not_begin_before_their_parents_end() {
        let clusters = Categorical::from_names(["a", "a", "b", "b", "c"]);
        let mut time = [0.0, 0.5, 0.2, 0.4, 0.1];
        shift(&mut time, &tree(&[("a", &["b"]), ("b", &["c"])]), &clusters);
        for (found, expected) in time.iter().zip([0.0, 0.5, 0.5, 0.7, 0.7]) {
            assert!((found - expected).abs() < 1e-12, "{time:?}");
        }
    }

    #[test]
    fn branches_run_from_the_root_to_every_leaf() {
        let tree = tree(&[("a", &["b", "c"]), ("c", &["d"]), ("x", &[])]);
        assert_eq!(root(&tree).unwrap(), "a");
        assert_eq!(branches(&tree, "a"), [vec!["a", "b"], vec!["a", "c", "d"]]);
    }

    #[test]
    fn the_origin_is_the_root_cell_furthest_from_the_others() {
        let states = [vec![1.0], vec![0.0], vec![3.0], vec![4.0]];
        assert_eq!(distance_from_origin(&states, &[true, true, false, false]), [0.25, 0.0, 0.75, 1.0]);
    }

    /// The cells of a chain of clusters, the names of the clusters, and the chain as a phylogeny.
    fn chain() -> (Dataset, Vec<String>, Phylogeny) {
        let spec = SimulateSpec { n_cells: 120, n_genes: 20, ..SimulateSpec::default() };
        let mut data = simulate(&spec.check().unwrap());
        data.obsp.insert("connectivities".into(), neighborhood(data.x.as_ref().unwrap(), 0).unwrap());
        let names = data.groups("clusters").unwrap().categories().to_vec();
        let edges = names.windows(2).map(|pair| (pair[0].clone(), vec![pair[1].clone()])).collect();
        (data, names, Phylogeny::new(edges).unwrap())
    }

    fn small(per_branch: bool) -> Bootstrap<'static, OnBackend<Autodiff<Flex>>> {
        let spec = BootstrapSpec { num_epochs: 1, z_dim: 4, per_branch, ..BootstrapSpec::default() };
        Bootstrap::new(spec).device(OnBackend::default())
    }

    #[test]
    fn a_time_is_made_for_every_cell_by_one_model_or_by_branch() {
        let (data, names, phylogeny) = chain();
        for per_branch in [false, true] {
            let time = small(per_branch).time(&data, &DataKeys::default(), &phylogeny).unwrap();
            assert!(time.len() == 120 && time.iter().all(|t| (0.0..=1.0).contains(t)));
            let end = |name: &str, pick: fn(f64, f64) -> f64, start: f64| {
                let clusters = data.groups("clusters").unwrap();
                (0..120).filter(|&c| clusters.name(c) == Some(name)).map(|c| time[c]).fold(start, pick)
            };
            for pair in names.windows(2) {
                let (ends, begins) = (end(&pair[0], f64::max, 0.0), end(&pair[1], f64::min, 1.0));
                assert!(ends <= begins + 1e-12, "{} ends at {ends}, {} begins at {begins}", pair[0], pair[1]);
            }
        }
    }

    #[test]
    fn an_observer_that_stops_a_small_model_ends_with_no_time_rather_than_that_of_a_model_half_trained() {
        let (data, _, phylogeny) = chain();
        for per_branch in [false, true] {
            let mut events = 0;
            let observe = |_: Event<'_>| {
                events += 1;
                if events < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            let bootstrap = small(per_branch).observe(observe);
            let error = bootstrap.time(&data, &DataKeys::default(), &phylogeny).unwrap_err();
            assert!(matches!(error, BootstrapError::Stopped), "{error}");
            assert_eq!(events, 3, "it stops at that step");
        }
    }
}
