//! Selects genes and cells from counts that are read in windows, so the counts of genes that are not selected need not
//! fit into memory.

use std::collections::HashMap;
use std::ops::ControlFlow;

use sclsd_data::{
    Column, Csr, Dataset, DatasetError, Flavor, H5adError, Normalized, VariableGenes, Windows, closest_names,
    first_bad, is_count, variable_genes_among,
};

use super::error::PrepareError;
use super::spec::PrepareSpec;

/// Number of genes that are selected by default, if the data has more.
const MOST_GENES: usize = 5000;

/// A matrix of all cells and genes.
pub(super) enum Source<'a> {
    /// A matrix in memory, passed by value.
    Held(Csr),
    /// A matrix that is read on demand.
    Windows(&'a dyn Windows),
}

impl Source<'_> {
    fn windows(&self) -> &dyn Windows {
        match self {
            Self::Held(matrix) => matrix,
            Self::Windows(windows) => *windows,
        }
    }

    fn select(self, cells: Option<&[usize]>, genes: Option<&[usize]>) -> Result<Csr, H5adError> {
        match self {
            Self::Held(matrix) if cells.is_none() && genes.is_none() => Ok(matrix),
            other => other.windows().select(cells, genes),
        }
    }
}

/// The selected genes, and the cells with a count of at least one of them, with counts and expression.
pub(super) struct SelectedGenes {
    pub(super) data: Dataset,
    pub(super) empty_cells: usize,
    pub(super) empty_genes: usize,
}

pub(super) fn select_genes(
    mut data: Dataset,
    counts: Source<'_>,
    expression: Option<Source<'_>>,
    spec: &PrepareSpec,
) -> Result<SelectedGenes, PrepareError> {
    let n_cells = data.n_cells();
    let totals = Totals::of(&data, counts.windows())?;
    let expressed = totals.genes.iter().filter(|&&seen| seen).count();
    let empty_genes = totals.genes.len() - expressed;
    let genes = if spec.genes.is_empty() {
        match spec.n_top_genes.or_else(|| (expressed > MOST_GENES).then_some(MOST_GENES)) {
            Some(wanted) => variable(&mut data, counts.windows(), &totals, wanted, spec)?,
            None => places(&totals.genes),
        }
    } else {
        listed(&data.var.names, spec)?
    };
    let cells = places(&totals.cells);
    if cells.is_empty() {
        return Err(PrepareError::AllEmpty { n_genes: data.n_genes() });
    }
    let mut cells = (cells.len() < n_cells).then_some(cells);
    let genes = (genes.len() < data.n_genes()).then_some(genes);
    let mut counts = counts.select(cells.as_deref(), genes.as_deref())?;
    // cells that have counts of other genes only
    let left: Vec<bool> = (0..counts.n_rows()).map(|cell| counts.row(cell).1.iter().any(|&v| v > 0.0)).collect();
    if left.contains(&false) {
        let left = places(&left);
        if left.is_empty() {
            return Err(PrepareError::AllEmpty { n_genes: counts.n_cols() });
        }
        counts = counts.select_rows(&left);
        cells = Some(cells.map_or(left.clone(), |cells| left.iter().map(|&cell| cells[cell]).collect()));
    }
    let x = expression.map(|x| x.select(cells.as_deref(), genes.as_deref())).transpose()?;
    if let Some(x) = &x {
        counts = counts.sharing(x);
    }
    let mut data = select(data, cells.as_deref(), genes.as_deref());
    data.x = x;
    data.layers.insert(spec.counts.clone(), counts);
    Ok(SelectedGenes { empty_cells: n_cells - data.n_cells(), empty_genes, data })
}

fn select(data: Dataset, cells: Option<&[usize]>, genes: Option<&[usize]>) -> Dataset {
    let data = match cells {
        Some(cells) => data.select_cells(cells),
        None => data,
    };
    match genes {
        Some(genes) => data.select_genes(genes),
        None => data,
    }
}

fn places(kept: &[bool]) -> Vec<usize> {
    (0..kept.len()).filter(|&place| kept[place]).collect()
}

/// Which cells and genes have a count, and the library size of every cell.
struct Totals {
    cells: Vec<bool>,
    genes: Vec<bool>,
    library_sizes: Vec<f64>,
}

impl Totals {
    fn of(data: &Dataset, counts: &dyn Windows) -> Result<Self, PrepareError> {
        let (n_cells, n_genes) = counts.shape();
        let mut all =
            Self { cells: vec![false; n_cells], genes: vec![false; n_genes], library_sizes: vec![0.0; n_cells] };
        let mut whole = true;
        counts.visit(&mut |window| {
            window.for_each(|cell, gene, value| {
                whole &= is_count(value);
                if value > 0.0 {
                    (all.cells[cell], all.genes[gene]) = (true, true);
                    all.library_sizes[cell] += f64::from(value);
                }
            });
            if whole { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if !whole && let Some((cell, gene, value)) = first_bad(counts, is_count)? {
            let place = format!("the count of cell {} and gene {}", data.obs.names[cell], data.var.names[gene]);
            let expected = "an integer count of 0 or more";
            return Err(DatasetError::Value { place, value: f64::from(value), expected }.into());
        }
        Ok(all)
    }
}

/// The most variable genes. The scores of all genes are written to `var`.
fn variable(
    data: &mut Dataset,
    counts: &dyn Windows,
    totals: &Totals,
    wanted: usize,
    spec: &PrepareSpec,
) -> Result<Vec<usize>, PrepareError> {
    let n_cells = totals.cells.iter().filter(|&&seen| seen).count();
    let library_sizes = &totals.library_sizes;
    let normalized = Normalized { counts, library_sizes, target_sum: spec.target_sum };
    let of: &dyn Windows = if spec.flavor == Flavor::Seurat { &normalized } else { counts };
    let VariableGenes { means, dispersions, normalized, selected } =
        variable_genes_among(of, n_cells, wanted, spec.flavor)?;
    let names = match spec.flavor {
        Flavor::SeuratV3 => ["variances", "variances_norm"],
        _ => ["dispersions", "dispersions_norm"],
    };
    for (name, values) in [("means", means), (names[0], dispersions), (names[1], normalized)] {
        data.var.set(name, Column::Float(values));
    }
    Ok(places(&selected))
}

fn listed(names: &[String], spec: &PrepareSpec) -> Result<Vec<usize>, PrepareError> {
    let place: HashMap<&str, usize> = names.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let mut chosen = Vec::with_capacity(spec.genes.len());
    for gene in &spec.genes {
        match place.get(gene.as_str()) {
            Some(&at) => chosen.push(at),
            None => {
                let closest = closest_names(gene, names);
                return Err(PrepareError::Gene { gene: gene.clone(), closest });
            }
        }
    }
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}
