//! From raw counts to a data set that can be trained on.
//!
//! Genes, library sizes, normalisation, principal components, neighbours, clusters, diffusion pseudotime and a layout,
//! under the names and in the form that scanpy gives them. What the data already has is kept unless
//! [`PrepareSpec::force`] says otherwise.
//!
//! Reference: `prepare_data_dict`, followed by `scanpy.tl.diffmap` and `scanpy.tl.dpt`.

mod steps;

use std::collections::HashSet;

use sclsd_data::{Dataset, DatasetError, Flavor, VariableGenesError, did_you_mean};

use crate::{DiffusionError, KnnError};
use steps::Work;

/// Where pseudotime begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// At the cell of this name.
    Cell(String),
    /// At the cell of this cluster that is furthest, by mean squared diffusion distance, from all cells together.
    Cluster(String),
}

/// What to prepare, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct PrepareSpec {
    /// Layer that holds the counts, and gets them where they are in X. Default: `raw`.
    pub counts: String,
    /// Number of most variable genes to keep. Default: 5,000, or all with a count where there are no more.
    pub n_top_genes: Option<usize>,
    /// How variability is measured. Default: dispersion of raw counts, as the Python package does.
    pub flavor: Flavor,
    /// Names of the genes to keep, instead of the most variable ones. Default: none.
    pub genes: Vec<String>,
    /// Counts of a cell after normalisation. Default: 10,000.
    pub target_sum: f64,
    /// Principal components. Default: 50.
    pub n_pcs: usize,
    /// Neighbours of a cell, itself included. Default: 15.
    pub n_neighbors: usize,
    /// Components of the diffusion map. Default: 15.
    pub n_diffusion_components: usize,
    /// Those of them that pseudotime uses. Default: 10.
    pub n_dcs: usize,
    /// Column of `obs` with clusters, made by the Leiden algorithm where there is none. Default: `clusters`.
    pub clusters: String,
    /// Resolution of the Leiden algorithm: more makes more clusters. Default: 1.
    pub resolution: f64,
    /// Where pseudotime begins; without it none is made. Default: none.
    pub root: Option<Root>,
    /// Whether to leave out cells that the graph does not join to the root. Default: no, and their pseudotime is
    /// infinite, as in scanpy.
    pub drop_unreachable: bool,
    /// Whether to make everything anew. Default: no.
    pub force: bool,
    /// Seed of clusters, layout and the neighbour search above 50,000 cells. Default: 0.
    pub random_state: u64,
}

impl Default for PrepareSpec {
    fn default() -> Self {
        Self {
            counts: "raw".into(),
            n_top_genes: None,
            flavor: Flavor::Dispersion,
            genes: Vec::new(),
            target_sum: 1e4,
            n_pcs: 50,
            n_neighbors: 15,
            n_diffusion_components: 15,
            n_dcs: 10,
            clusters: "clusters".into(),
            resolution: 1.0,
            root: None,
            drop_unreachable: false,
            force: false,
            random_state: 0,
        }
    }
}

/// A data set that can be trained on, and what was done to get it.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The data.
    pub data: Dataset,
    /// Cells left out because none of the kept genes has a count in them.
    pub empty_cells: usize,
    /// Genes left out because no cell has a count of them.
    pub empty_genes: usize,
    /// Cells left out because the graph has no neighbour for them.
    pub isolated_cells: usize,
    /// Cells that the graph does not join to the root.
    pub unreachable_cells: usize,
    /// Name of the root cell, where there is one.
    pub root: Option<String>,
    /// What was already there and was kept.
    pub kept: Vec<String>,
}

/// Why a data set cannot be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// An element is missing or holds what it must not.
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// Two rows bear the same name.
    #[error("{what} {name} appears twice; names must differ (in scanpy: adata.{table}_names_make_unique())")]
    Duplicate {
        /// Cell or gene.
        what: &'static str,
        /// Its name.
        name: String,
        /// `obs` or `var`.
        table: &'static str,
    },
    /// A gene of the list is not in the data.
    #[error("gene {gene} is not in the data{}", did_you_mean(.closest))]
    Gene {
        /// Its name.
        gene: String,
        /// The most similar names there are.
        closest: Vec<String>,
    },
    /// Genes cannot be selected.
    #[error(transparent)]
    VariableGenes(#[from] VariableGenesError),
    /// No cell has a count of any gene that is kept.
    #[error("no cell has a count of any of the {n_genes} genes that are kept")]
    AllEmpty {
        /// Genes that are kept.
        n_genes: usize,
    },
    /// A number is out of range.
    #[error("{field} is {value}, expected {expected}")]
    Value {
        /// Field of [`PrepareSpec`].
        field: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// Neighbours cannot be found.
    #[error(transparent)]
    Neighbors(#[from] KnnError),
    /// There is no such root.
    #[error("root {what} \"{name}\" is not in the data{known}")]
    Root {
        /// Cell or cluster.
        what: &'static str,
        /// What was named.
        name: String,
        /// What there is instead.
        known: String,
    },
    /// The root cluster has no cells.
    #[error("root cluster \"{name}\" has no cells")]
    EmptyRoot {
        /// Its name.
        name: String,
    },
    /// The root reaches nothing.
    #[error(
        "root cell {name} is joined to no other cell by the graph, so no pseudotime runs from it; choose another root"
    )]
    LonelyRoot {
        /// Name of the root.
        name: String,
    },
    /// There is no diffusion map.
    #[error(transparent)]
    Diffusion(#[from] DiffusionError),
}

/// Prepares a data set of counts: in `layers[spec.counts]` where that is there, else in X.
///
/// # Errors
/// [`PrepareError`] names what is missing or wrong: no counts, names that appear twice, fewer genes or cells than are
/// asked for, an unknown root.
pub fn prepare(data: Dataset, spec: &PrepareSpec) -> Result<Prepared, PrepareError> {
    check(spec)?;
    unique("cell", "obs", &data.obs.names)?;
    unique("gene", "var", &data.var.names)?;
    check_root(&data, spec)?;
    let mut work = Work { spec, data: with_counts(data, spec)?, kept: Vec::new(), mapped: false };
    let (empty_cells, empty_genes) = work.genes()?;
    work.normalize();
    work.components()?;
    let isolated_cells = work.neighbors()?;
    work.clusters()?;
    let (root, unreachable_cells) = work.pseudotime()?;
    work.layout()?;
    let Work { data, kept, .. } = work;
    Ok(Prepared { data, empty_cells, empty_genes, isolated_cells, unreachable_cells, root, kept })
}

fn check(spec: &PrepareSpec) -> Result<(), PrepareError> {
    #[expect(clippy::cast_precision_loss, reason = "for a message")]
    let whole = |n: usize| n as f64;
    let positive = |v: f64| v > 0.0 && v.is_finite();
    let above = "a finite number above 0";
    let rules = [
        ("target_sum", spec.target_sum, positive(spec.target_sum), above),
        ("resolution", spec.resolution, positive(spec.resolution), above),
        ("n_pcs", whole(spec.n_pcs), spec.n_pcs >= 1, "at least 1"),
        ("n_dcs", whole(spec.n_dcs), spec.n_dcs >= 1, "at least 1"),
        ("n_diffusion_components", whole(spec.n_diffusion_components), spec.n_diffusion_components >= 3, "at least 3"),
    ];
    match rules.into_iter().find(|rule| !rule.2) {
        Some((field, value, _, expected)) => Err(PrepareError::Value { field, value, expected }),
        None => Ok(()),
    }
}

/// What can be said of the root before any work is done: that it is there, where clusters are not yet to be made.
fn check_root(data: &Dataset, spec: &PrepareSpec) -> Result<(), PrepareError> {
    match &spec.root {
        Some(Root::Cell(name)) => steps::cell_named(data, name).map(|_| ()),
        Some(Root::Cluster(name)) if data.obs.get(&spec.clusters).is_some() => {
            let clusters = data.groups(&spec.clusters)?;
            if clusters.categories().contains(name) { Ok(()) } else { Err(steps::no_cluster(name, &clusters, spec)) }
        }
        _ => Ok(()),
    }
}

fn unique(what: &'static str, table: &'static str, names: &[String]) -> Result<(), PrepareError> {
    let mut seen = HashSet::with_capacity(names.len());
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        Some(name) => Err(PrepareError::Duplicate { what, name: name.clone(), table }),
        None => Ok(()),
    }
}

/// The data with its counts in a layer; X stays only where it was something else than the counts.
fn with_counts(mut data: Dataset, spec: &PrepareSpec) -> Result<Dataset, PrepareError> {
    if data.n_cells() == 0 || data.n_genes() == 0 {
        return Err(DatasetError::Empty { n_cells: data.n_cells(), n_genes: data.n_genes() }.into());
    }
    if data.layers.contains_key(&spec.counts) {
        data.counts(&spec.counts)?;
        if spec.force {
            data.x = None;
        }
        return Ok(data);
    }
    let x = data.x.take().ok_or(DatasetError::NoExpression)?;
    data.layers.insert(spec.counts.clone(), x);
    match data.counts(&spec.counts) {
        Ok(_) => Ok(data),
        Err(DatasetError::Value { place, value, expected }) => {
            let place = place.replacen(&format!("layers[\"{}\"]", spec.counts), "X", 1);
            let place = format!("there is no layers[\"{}\"], and {place}", spec.counts);
            Err(DatasetError::Value { place, value, expected }.into())
        }
        Err(other) => Err(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use sclsd_data::{Csr, SimulateSpec, library_sizes, simulate};

    use super::*;

    /// Counts alone, in X.
    fn counts() -> Dataset {
        let spec = SimulateSpec { n_cells: 150, n_genes: 60, ..SimulateSpec::default() };
        let cells = simulate(&spec.check().unwrap());
        Dataset { x: cells.layers.get("raw").cloned(), obs: cells.obs, var: cells.var, ..Dataset::default() }
    }

    #[test]
    fn raw_counts_become_everything_that_training_needs() {
        let mut data = counts();
        data.obs.columns.retain(|(name, _)| name == "true_time");
        let first = data.obs.names[0].clone();
        let spec =
            PrepareSpec { n_top_genes: Some(40), n_pcs: 20, root: Some(Root::Cell(first)), ..PrepareSpec::default() };
        let found = prepare(data, &spec).unwrap();
        let data = found.data;
        assert_eq!(data.layers["raw"].pattern(), data.x.as_ref().unwrap().pattern());
        assert!(data.n_genes() == 40 || data.n_genes() == 39);
        assert_eq!(data.obsm["X_umap"].n_cols(), 2);
        assert_eq!(data.obsm["X_pca"].n_cols(), 20);
        assert!(data.groups("clusters").unwrap().categories().len() > 1);
        assert!(data.numbers("dpt_pseudotime").unwrap().iter().all(|t| (0.0..=1.0).contains(t)));
        assert_eq!(data.numbers("librarysize").unwrap(), library_sizes(&data.layers["raw"]));
        assert_eq!(found.kept, Vec::<String>::new());
    }

    #[test]
    fn what_is_there_is_kept_unless_forced() {
        let spec = PrepareSpec { n_pcs: 10, ..PrepareSpec::default() };
        let once = prepare(counts(), &spec).unwrap().data;
        let again = prepare(once.clone(), &spec).unwrap();
        assert_eq!(again.data, once);
        assert_eq!(again.kept.len(), 6, "{:?}", again.kept);
        let forced = prepare(once.clone(), &PrepareSpec { force: true, ..spec }).unwrap();
        assert_eq!(forced.kept, ["obs clusters"]);
        assert_eq!(forced.data.obsm, once.obsm, "same seed, same bits");
    }

    #[test]
    fn empty_cells_and_genes_are_left_out_and_counted() {
        let data = counts();
        let x = data.x.clone().unwrap();
        let rows = (0..150).map(|cell| {
            let (genes, values) = x.row(cell);
            let keep = |gene: u32| cell != 7 && gene != 3 && gene != 5;
            genes.iter().copied().zip(values.iter().copied()).filter(|e| keep(e.0)).collect()
        });
        let x = Csr::from_rows(60, rows.collect::<Vec<_>>()).unwrap();
        let found =
            prepare(Dataset { x: Some(x), ..data }, &PrepareSpec { n_pcs: 10, ..PrepareSpec::default() }).unwrap();
        assert_eq!((found.empty_cells, found.empty_genes), (1, 2));
        assert_eq!((found.data.n_cells(), found.data.n_genes()), (149, 58));
    }
}
