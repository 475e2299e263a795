//! Paths to draw on an embedding: walks of the prior and trajectories of the model.

use anyhow::{Context, bail};
use sclsd::analysis::propagate;
use sclsd::data::{Categorical, Dataset, Matrix};
use sclsd::graph::{Nearest, WalkSpec};
use sclsd::infer::Checkpoint;
use sclsd::model::ode::linspace;
use sclsd::plot::shown_cells;

use super::prior_choice::PriorChoice;
use super::record::Record;
use crate::progress::Output;

/// A path's places on an embedding.
pub(super) type Path = Vec<[f64; 2]>;

/// Points of a trajectory.
const POINTS: usize = 120;

/// Up to `n` cells, spread evenly over those of the chosen clusters, or over all cells if no cluster is chosen.
pub(super) fn choose(
    data: &Dataset,
    key: Option<&str>,
    clusters: &[String],
    n: usize,
) -> anyhow::Result<(Vec<usize>, Option<Categorical>)> {
    let groups = key.map(|key| data.groups(key)).transpose()?;
    let all: Vec<usize> = match (&groups, clusters) {
        (_, []) => (0..data.n_cells()).collect(),
        (None, _) => bail!("--clusters needs --cluster-key, the column of obs that names them"),
        (Some(groups), names) => {
            if let Some(unknown) = names.iter().find(|name| !groups.categories().contains(name)) {
                let known = groups.categories().join(", ");
                bail!("cluster \"{unknown}\" is not in obs[\"{}\"], which has {known}", key.unwrap_or_default());
            }
            let chosen = |cell: &usize| groups.name(*cell).is_some_and(|name| names.iter().any(|n| n == name));
            (0..data.n_cells()).filter(chosen).collect()
        }
    };
    let taken = n.min(all.len());
    Ok(((0..taken).map(|i| all[i * all.len() / taken]).collect(), groups))
}

/// The states of chosen cells along the model's flow.
pub(super) struct Flow {
    pub times: Vec<f64>,
    /// States, cells × z, at every time.
    pub states: Vec<Matrix>,
}

/// Follows cells down the potential for a time.
pub(super) fn follow(
    checkpoint: &Checkpoint,
    data: &Dataset,
    cells: &[usize],
    time_range: f64,
) -> anyhow::Result<Flow> {
    if !(time_range > 0.0 && time_range.is_finite()) {
        bail!("--time-range is {time_range}, expected a finite time above 0");
    }
    let start = data.obsm["X_cell_state"].select_rows(cells);
    // cells move most at first, so points in time are densest there
    let times: Vec<f64> = linspace(0.0, 1.0, POINTS).into_iter().map(|part| time_range * part * part).collect();
    let ode = checkpoint.spec.ode.clone().check()?;
    let states = propagate(&checkpoint.model, &start, &times, &ode)?;
    Ok(Flow { times, states })
}

/// Trajectories on an embedding: each point is at the cell with the nearest state, smoothed along the path. If there
/// are very many cells, only an even sample of them is used; cells without a place on the embedding are not used.
pub(super) fn on_embedding(flow: &Flow, data: &Dataset, basis: &str) -> anyhow::Result<Vec<Path>> {
    let mut known = shown_cells(data.n_cells());
    known.retain(|&cell| has_place(data, basis, cell));
    let nearest = Nearest::new(&data.obsm["X_cell_state"].select_rows(&known)).context("obsm[\"X_cell_state\"]")?;
    let at: Vec<Vec<u32>> = flow.states.iter().map(|states| nearest.of_rows(states)).collect::<Result<_, _>>()?;
    let n = at.first().map_or(0, Vec::len);
    let path = |i: usize| at.iter().map(|cells| place(data, basis, known[cells[i] as usize])).collect::<Path>();
    Ok((0..n).map(|i| smoothed(&smoothed(&path(i)))).collect())
}

/// A walk of the prior from each of the cells, as long as the training walks.
pub(super) fn prior_walks(
    record: &Record,
    data: &Dataset,
    cells: &[usize],
    basis: &str,
    seed: u64,
    output: Output,
) -> anyhow::Result<Vec<Path>> {
    let prior = PriorChoice::recorded(record).make(data, &record.spec, output)?;
    let spec = WalkSpec { random_state: seed, ..record.spec.walks.clone() }.check()?;
    let starts = cells.iter().map(|&cell| u32::try_from(cell)).collect::<Result<Vec<u32>, _>>()?;
    let walks = prior.transition.walks_from(&starts, &spec);
    Ok((0..walks.len())
        .map(|w| {
            let cells = walks.walk(w).iter().map(|&cell| cell as usize);
            cells.filter(|&cell| has_place(data, basis, cell)).map(|cell| place(data, basis, cell)).collect()
        })
        .collect())
}

fn has_place(data: &Dataset, basis: &str, cell: usize) -> bool {
    place(data, basis, cell).iter().all(|v| v.is_finite())
}

fn place(data: &Dataset, basis: &str, cell: usize) -> [f64; 2] {
    let row = data.obsm[basis].row(cell);
    [f64::from(row[0]), f64::from(row[1])]
}

/// The mean of each point and its neighbours along the path; the first and the last stay where they are.
fn smoothed(path: &[[f64; 2]]) -> Path {
    const REACH: usize = 8;
    (0..path.len())
        .map(|i| {
            let reach = REACH.min(i).min(path.len() - 1 - i);
            let near = &path[i - reach..=i + reach];
            #[expect(clippy::cast_precision_loss, reason = "a handful of points")]
            let mean = |axis: usize| near.iter().map(|p| p[axis]).sum::<f64>() / near.len() as f64;
            [mean(0), mean(1)]
        })
        .collect()
}
