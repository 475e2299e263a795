//! Gene perturbation: genes are knocked out or set to a level, and the fates of cells are compared.
//!
//! The perturbation proceeds in rounds. In each round the genes are set, the cell is encoded and followed for a short
//! time, and is replaced by the cell nearest to its state. After the last round the cell is followed for a long time
//! without the perturbation. The result of a round depends only on the cell it starts from. Each cell's round is
//! therefore solved at most once, for any number of cells and rounds.
//!
//! Reference: `LSD.perturb`.

use sclsd_data::{Dataset, DatasetError, Matrix, closest_names, did_you_mean};
use sclsd_graph::{Nearest, NearestError};
use sclsd_model::ode::{CheckedOdeSpec, OdeError, OdeSpec};
use sclsd_model::{Model, WeightsError};
use sclsd_spec::{OutOfRange, in_range};
use serde::{Deserialize, Serialize};

use crate::encode::{Edited, encode, encode_edited};
use crate::flow::follow;
use crate::flow_error::FlowError;
use crate::genes::{GenesError, match_genes};

/// Genes to perturb, and settings of the flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PerturbSpec {
    /// Genes to set, all at the same time.
    pub genes: Vec<String>,
    /// Expression to set, in units of X (log1p of normalised counts). At least 0. Default: 0, a knockout.
    pub level: f64,
    /// Duration of the flow in a round, in units of the length of a training walk. Above 0. Default: 0.2.
    pub dt_pert: f64,
    /// Duration of the final flow without the perturbation, in the same units. Above 0. Default: 15.
    pub t_unpert: f64,
    /// Number of rounds. At least 1. Default: 10.
    pub max_perturbations: usize,
    /// Settings of the ODE solver.
    pub ode: OdeSpec,
}

impl Default for PerturbSpec {
    fn default() -> Self {
        Self {
            genes: Vec::new(),
            level: 0.0,
            dt_pert: 0.2,
            t_unpert: 15.0,
            max_perturbations: 10,
            ode: OdeSpec::default(),
        }
    }
}

/// Final cells with and without the perturbation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Perturbation {
    /// Indices of the starting cells.
    pub cells: Vec<u32>,
    /// For each starting cell, the final cell with the perturbation.
    pub perturbed: Vec<u32>,
    /// For each starting cell, the final cell without the perturbation.
    pub unperturbed: Vec<u32>,
}

/// The reason why genes cannot be perturbed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PerturbError {
    /// A gene is not one of the model's.
    #[error(
        "the model has no gene {gene}{}{}",
        if gene.contains(',') { "; genes are separated by spaces" } else { "" },
        if closest.is_empty() { "; its genes are in var_names of the file it was trained on".into() } else { did_you_mean(closest) }
    )]
    Gene {
        /// Name of the gene.
        gene: String,
        /// The most similar gene names of the model.
        closest: Vec<String>,
    },
    /// No gene is given.
    #[error("no gene to perturb is named")]
    NoGene,
    /// A cell index is out of range.
    #[error("cell {cell} is to be perturbed, but there are {n_cells} cells")]
    Cell {
        /// Index of the cell.
        cell: u32,
        /// Number of cells.
        n_cells: usize,
    },
    /// An element of the data is missing or has invalid content.
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// The data lacks genes of the model.
    #[error(transparent)]
    Genes(#[from] GenesError),
    /// The gradient flow cannot be computed.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// The state of a cell is not finite.
    #[error("cell states: {0}")]
    State(#[from] NearestError),
}

impl From<WeightsError> for PerturbError {
    fn from(error: WeightsError) -> Self {
        Self::Flow(error.into())
    }
}

impl From<OutOfRange> for PerturbError {
    fn from(error: OutOfRange) -> Self {
        Self::Flow(error.into())
    }
}

impl From<OdeError> for PerturbError {
    fn from(error: OdeError) -> Self {
        Self::Flow(error.into())
    }
}

/// Perturbs genes in `cells` (`None` for all cells) and finds the cells at which they end.
///
/// # Errors
/// [`PerturbError`] if a gene is unknown (the error suggests similar names), a setting is out of range, or the flow
/// diverges.
pub fn perturb(
    model: &Model,
    data: &Dataset,
    cells: Option<&[u32]>,
    spec: &PerturbSpec,
) -> Result<Perturbation, PerturbError> {
    check(spec)?;
    let matched = match_genes(model, data)?;
    let genes = genes(&matched.var.names, spec)?;
    let x = matched.expression()?;
    let n_cells = x.n_rows();
    let cells: Vec<u32> = match cells {
        Some(cells) => cells.to_vec(),
        None => (0_u32..).take(n_cells).collect(),
    };
    if let Some(&cell) = cells.iter().find(|&&cell| cell as usize >= n_cells) {
        return Err(PerturbError::Cell { cell, n_cells });
    }
    let states = encode(model, x)?.cell_state;
    let nearest = Nearest::new(&states)?;
    let ode = spec.ode.clone().check()?;
    let landing = Landing { model, nearest: &nearest, ode: &ode };

    #[expect(clippy::cast_possible_truncation, reason = "expression is kept in f32")]
    let level = spec.level as f32;
    let edited = |cells: &[u32]| -> Result<Matrix, PerturbError> {
        Ok(encode_edited(model, &Edited { x, cells, genes: &genes, level })?)
    };
    let as_they_are = |cells: &[u32]| -> Result<Matrix, PerturbError> { Ok(rows(&states, cells)) };
    let round = |cells: &[u32]| landing.after(&edited(cells)?, spec.dt_pert);
    let perturbed = repeat(&cells, n_cells, spec.max_perturbations, round)?;
    let round = |cells: &[u32]| landing.after(&as_they_are(cells)?, spec.dt_pert);
    let unperturbed = repeat(&cells, n_cells, spec.max_perturbations, round)?;
    let last = |cells: &[u32]| landing.after(&as_they_are(cells)?, spec.t_unpert);
    let mut memory = Memory::new(n_cells);
    Ok(Perturbation { perturbed: memory.of(&perturbed, last)?, unperturbed: memory.of(&unperturbed, last)?, cells })
}

fn check(spec: &PerturbSpec) -> Result<(), OutOfRange> {
    let positive = |v: f64| v > 0.0 && v.is_finite();
    let time = "a finite time above 0";
    let (level, rounds) = (spec.level, spec.max_perturbations);
    in_range("perturb.level", level, level >= 0.0 && level.is_finite(), "a finite number of 0 or more")?;
    in_range("perturb.dt_pert", spec.dt_pert, positive(spec.dt_pert), time)?;
    in_range("perturb.t_unpert", spec.t_unpert, positive(spec.t_unpert), time)?;
    in_range("perturb.max_perturbations", rounds, rounds >= 1, "at least 1")
}

fn genes(names: &[String], spec: &PerturbSpec) -> Result<Vec<usize>, PerturbError> {
    if spec.genes.is_empty() {
        return Err(PerturbError::NoGene);
    }
    let place = |gene: &String| {
        names
            .iter()
            .position(|name| name == gene)
            .ok_or_else(|| PerturbError::Gene { gene: gene.clone(), closest: closest_names(gene, names) })
    };
    spec.genes.iter().map(place).collect()
}

fn rows(states: &Matrix, cells: &[u32]) -> Matrix {
    states.select_rows(&cells.iter().map(|&cell| cell as usize).collect::<Vec<_>>())
}

/// Maps states to the nearest cells after a given time.
struct Landing<'a> {
    model: &'a Model,
    nearest: &'a Nearest,
    ode: &'a CheckedOdeSpec,
}

impl Landing<'_> {
    fn after(&self, start: &Matrix, time: f64) -> Result<Vec<u32>, PerturbError> {
        let last = |states: Vec<Matrix>| self.nearest.of_rows(&states[1]);
        let blocks = follow(self.model, start, &[0.0, time], self.ode, last)?;
        Ok(blocks.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
    }
}

/// Cache of results per cell.
struct Memory {
    known: Vec<Option<u32>>,
}

impl Memory {
    fn new(n_cells: usize) -> Self {
        Self { known: vec![None; n_cells] }
    }

    /// `f` of every cell, which is only called for cells that are not in the cache.
    fn of(
        &mut self,
        cells: &[u32],
        f: impl Fn(&[u32]) -> Result<Vec<u32>, PerturbError>,
    ) -> Result<Vec<u32>, PerturbError> {
        let mut new: Vec<u32> = cells.iter().copied().filter(|&cell| self.known[cell as usize].is_none()).collect();
        new.sort_unstable();
        new.dedup();
        if !new.is_empty() {
            for (&cell, found) in new.iter().zip(f(&new)?) {
                self.known[cell as usize] = Some(found);
            }
        }
        Ok(cells.iter().filter_map(|&cell| self.known[cell as usize]).collect())
    }
}

fn repeat(
    cells: &[u32],
    n_cells: usize,
    rounds: usize,
    f: impl Fn(&[u32]) -> Result<Vec<u32>, PerturbError>,
) -> Result<Vec<u32>, PerturbError> {
    let mut memory = Memory::new(n_cells);
    (0..rounds).try_fold(cells.to_vec(), |cells, _| memory.of(&cells, &f))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn every_cell_is_asked_for_once_however_many_rounds_there_are() {
        let asked = RefCell::new(Vec::new());
        let next = |cells: &[u32]| {
            asked.borrow_mut().extend_from_slice(cells);
            Ok(cells.iter().map(|c| (c + 1) % 4).collect())
        };
        let found = repeat(&[0, 0, 2], 4, 7, next).unwrap();
        assert_eq!(found, [3, 3, 1]);
        asked.borrow_mut().sort_unstable();
        assert_eq!(*asked.borrow(), [0, 1, 2, 3]);
    }
}
