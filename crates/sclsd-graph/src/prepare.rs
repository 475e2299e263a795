//! Prepares raw counts for training.
//!
//! Selects genes and computes library sizes, normalised expression, principal components, neighbours, clusters,
//! diffusion pseudotime and a layout, with scanpy's names and formats. Elements that the data already has are retained
//! unless [`PrepareSpec::force`] is set.
//!
//! Reference: `prepare_data_dict`, followed by `scanpy.tl.diffmap` and `scanpy.tl.dpt`.

mod error;
mod genes;
mod spec;
mod steps;

use sclsd_data::{Dataset, DatasetError, Windows};
use sclsd_spec::{OutOfRange, in_range};

use genes::{SelectedGenes, Source, select_genes};
use steps::Work;

pub use error::PrepareError;
pub use spec::{PrepareSpec, Root};

/// A prepared data set, with a record of what was changed.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The prepared data.
    pub data: Dataset,
    /// Number of cells that were removed because they have no count of any selected gene.
    pub empty_cells: usize,
    /// Number of genes that were removed because no cell has a count of them.
    pub empty_genes: usize,
    /// Number of cells that were removed because they have no neighbour in the graph.
    pub isolated_cells: usize,
    /// Number of cells that are not connected to the root. They were removed if the spec says so, otherwise their
    /// pseudotime is infinite.
    pub unreachable_cells: usize,
    /// Number of edges of an existing graph whose two directions differed. Both directions now have the larger weight.
    pub one_way_edges: usize,
    /// Number of entries of an existing graph that were removed because they are not edges: zeros, and edges from a
    /// cell to itself.
    pub no_edges: usize,
    /// Name of the root cell, if there is one.
    pub root: Option<String>,
    /// Elements that the data already had and that were retained.
    pub kept: Vec<String>,
}

/// Prepares a data set of counts. The counts are in `layers[spec.counts]`, or in X if there is no such layer.
///
/// # Errors
/// [`PrepareError`] names what is missing or invalid: no counts, duplicate names, fewer genes or cells than requested,
/// an unknown root.
pub fn prepare(data: Dataset, spec: &PrepareSpec) -> Result<Prepared, PrepareError> {
    check_all(&data, spec)?;
    let mut data = with_counts(data, spec)?;
    let counts = data.layers.remove(&spec.counts).unwrap_or_default();
    let expression = data.x.take();
    prepare_sources(data, Source::Held(counts), expression.map(Source::Held), spec)
}

/// Like [`prepare`], with counts and (if they are to be retained) normalised expression that are read in windows. Only
/// a few windows of the genes that are not selected are in memory at a time. `data` must hold neither matrix.
///
/// # Errors
/// Under the same conditions as [`prepare`], or if a matrix cannot be read.
///
/// # Panics
/// If the shape of a matrix does not match the cells and genes of `data`.
pub fn prepare_from(
    data: Dataset,
    counts: &dyn Windows,
    expression: Option<&dyn Windows>,
    spec: &PrepareSpec,
) -> Result<Prepared, PrepareError> {
    check_all(&data, spec)?;
    let shape = (data.n_cells(), data.n_genes());
    assert_eq!(counts.shape(), shape, "counts of all cells and genes");
    assert!(expression.is_none_or(|x| x.shape() == shape), "expression of all cells and genes");
    let expression = expression.filter(|_| !spec.force).map(Source::Windows);
    prepare_sources(data, Source::Windows(counts), expression, spec)
}

fn check_all(data: &Dataset, spec: &PrepareSpec) -> Result<(), PrepareError> {
    check(spec)?;
    data.check()?;
    data.check_names()?;
    check_root(data, spec)?;
    if data.n_cells() == 0 || data.n_genes() == 0 {
        return Err(DatasetError::Empty { n_cells: data.n_cells(), n_genes: data.n_genes() }.into());
    }
    Ok(())
}

fn prepare_sources(
    data: Dataset,
    counts: Source<'_>,
    expression: Option<Source<'_>>,
    spec: &PrepareSpec,
) -> Result<Prepared, PrepareError> {
    let SelectedGenes { data, empty_cells, empty_genes } = select_genes(data, counts, expression, spec)?;
    let mut work =
        Work { spec, data, kept: Vec::new(), mapped: false, clustered: false, repaired: steps::Repaired::default() };
    work.check_kept()?;
    work.normalize();
    work.components()?;
    let isolated_cells = work.neighbors()?;
    let dropped = work.drop_unreachable()?;
    work.clusters()?;
    let (root, off_root) = work.pseudotime()?;
    work.layout()?;
    work.check_finite()?;
    let Work { data, kept, repaired, .. } = work;
    Ok(Prepared {
        data,
        empty_cells,
        empty_genes,
        isolated_cells,
        unreachable_cells: dropped + off_root,
        one_way_edges: repaired.one_way,
        no_edges: repaired.no_edges,
        root,
        kept,
    })
}

fn check(spec: &PrepareSpec) -> Result<(), OutOfRange> {
    let positive = |v: f64| v > 0.0 && v.is_finite();
    let above = "a finite number above 0";
    let components = spec.n_diffusion_components;
    in_range("prepare.target_sum", spec.target_sum, positive(spec.target_sum), above)?;
    in_range("prepare.resolution", spec.resolution, positive(spec.resolution), above)?;
    in_range("prepare.n_pcs", spec.n_pcs, spec.n_pcs >= 1, "at least 1")?;
    in_range("prepare.n_dcs", spec.n_dcs, spec.n_dcs >= 1, "at least 1")?;
    in_range("prepare.n_diffusion_components", components, components >= 3, "at least 3")
}

/// Checks the root before any computation. A root cluster is only checked if the data has clusters already.
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

/// Moves the counts into a layer. X is retained only if it is not the counts.
fn with_counts(mut data: Dataset, spec: &PrepareSpec) -> Result<Dataset, PrepareError> {
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
    use rand::RngExt;
    use sclsd_data::{Categorical, Column, Csr, Purpose, SimulateSpec, library_sizes, random_stream, simulate};

    use super::*;

    /// Counts only, in X.
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
            let select = |gene: u32| cell != 7 && gene != 3 && gene != 5;
            genes.iter().copied().zip(values.iter().copied()).filter(|e| select(e.0)).collect()
        });
        let x = Csr::from_rows(60, rows.collect::<Vec<_>>()).unwrap();
        let found =
            prepare(Dataset { x: Some(x), ..data }, &PrepareSpec { n_pcs: 10, ..PrepareSpec::default() }).unwrap();
        assert_eq!((found.empty_cells, found.empty_genes), (1, 2));
        assert_eq!((found.data.n_cells(), found.data.n_genes()), (149, 58));
    }

    /// Counts of cells in two groups without common genes, 90 and 40 cells, with their clusters.
    fn two_heaps() -> Dataset {
        let rows = (0..130_u32).map(|cell| {
            let mut rng = random_stream(0, Purpose::Cell, u64::from(cell));
            let genes = if cell < 90 { 0..30 } else { 30..60_u32 };
            genes.map(|gene| (gene, f32::from(rng.random_range(1..11_u8)))).collect()
        });
        let x = Csr::from_rows(60, rows.collect::<Vec<_>>()).unwrap();
        let cells = counts().select_cells(&(0..130).collect::<Vec<_>>());
        let mut data = Dataset { x: Some(x), ..cells };
        data.obs.columns.clear();
        let heap = |cell: usize| if cell < 90 { "near" } else { "far" };
        data.obs.set("clusters", Column::Categorical(Categorical::from_names((0..130).map(heap))));
        data
    }

    #[test]
    fn what_is_computed_after_cells_are_dropped_is_of_the_cells_that_stay() {
        let data = two_heaps();
        let first = Root::Cell(data.obs.names[0].clone());
        for root in [first, Root::Cluster("near".into())] {
            let spec = PrepareSpec { n_pcs: 10, root: Some(root), drop_unreachable: true, ..PrepareSpec::default() };
            let found = prepare(data.clone(), &spec).unwrap();
            assert_eq!((found.unreachable_cells, found.data.n_cells()), (40, 90));
            // the same graph restricted to the remaining cells gives the same result
            let mut alone = found.data.clone();
            alone.obs.columns.retain(|(name, _)| name == "clusters");
            alone.obsm.retain(|key, _| key == "X_pca");
            let again = prepare(alone, &spec).unwrap();
            assert_eq!(again.data.obsm, found.data.obsm);
            assert_eq!(again.data.obs.get("dpt_pseudotime"), found.data.obs.get("dpt_pseudotime"));
            assert_eq!(again.data.uns, found.data.uns);
            assert!(found.data.numbers("dpt_pseudotime").unwrap().iter().all(|t| (0.0..=1.0).contains(t)));
            assert!(found.data.obsm["X_umap"].values().iter().all(|v| v.is_finite()));
        }
        let spec = PrepareSpec { n_pcs: 10, root: Some(Root::Cluster("near".into())), ..PrepareSpec::default() };
        let kept = prepare(data, &spec).unwrap();
        assert_eq!((kept.unreachable_cells, kept.data.n_cells()), (40, 130));
        let Some(Column::Float(time)) = kept.data.obs.get("dpt_pseudotime") else { panic!("there is a pseudotime") };
        assert_eq!(time.iter().filter(|t| t.is_infinite()).count(), 40, "without the flag they stay, infinitely late");
    }

    #[test]
    fn a_kept_graph_is_made_one_whose_edges_go_both_ways_and_that_is_counted() {
        let spec = PrepareSpec { n_pcs: 10, ..PrepareSpec::default() };
        let once = prepare(counts(), &spec).unwrap().data;
        let graph = once.obsp["connectivities"].clone();
        let with = |edges: fn(u32, u32, f32) -> Option<f32>| {
            let rows = (0..150_u32).map(|i| {
                let (others, weights) = graph.row(i as usize);
                let mut row: Vec<(u32, f32)> = others.iter().copied().zip(weights.iter().copied()).collect();
                row.push((i, 0.0));
                row.sort_by_key(|edge| edge.0);
                row.into_iter().filter_map(|(j, w)| edges(i, j, w).map(|w| (j, w))).collect()
            });
            let mut data = once.clone();
            data.obsp.insert("connectivities".into(), Csr::from_rows(150, rows.collect::<Vec<_>>()).unwrap());
            data.obsm.remove("X_umap");
            data
        };
        let half = prepare(with(|i, j, w| (i < j).then_some(w)), &spec).unwrap();
        assert_eq!((half.one_way_edges, half.no_edges), (graph.nnz() / 2, 0));
        assert_eq!(half.data.obsp["connectivities"], graph);
        assert_eq!(half.data.obsm["X_umap"], once.obsm["X_umap"]);
        let looped = prepare(with(|i, j, w| Some(if i == j { 1.0 } else { w })), &spec).unwrap();
        assert_eq!((looped.one_way_edges, looped.no_edges), (0, 150));
        assert_eq!(looped.data.obsm["X_umap"], once.obsm["X_umap"]);
        for (bad, shown) in [(f32::NAN, "NaN"), (-1.0, "-1"), (f32::INFINITY, "inf")] {
            let mut data = once.clone();
            let mut values = graph.values().to_vec();
            values[0] = bad;
            data.obsp.insert("connectivities".into(), Csr::over(graph.pattern().clone(), values));
            let error = prepare(data, &spec).unwrap_err().to_string();
            let names = &once.obs.names;
            let expected = format!(
                "obsp[\"connectivities\"] has weight {shown} on the edge from cell {} to cell {}, ",
                names[0],
                names[graph.row(0).0[0] as usize]
            );
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn nothing_that_is_not_finite_is_kept() {
        let spec = PrepareSpec { n_pcs: 10, ..PrepareSpec::default() };
        let once = prepare(counts(), &spec).unwrap().data;
        for key in ["X_umap", "X_pca"] {
            for bad in [f32::NAN, f32::INFINITY] {
                let mut data = once.clone();
                let mut values = data.obsm[key].values().to_vec();
                let width = data.obsm[key].n_cols();
                values[3 * width] = bad;
                data.obsm.insert(key.into(), sclsd_data::Matrix::new(width, values));
                let error = prepare(data.clone(), &spec).unwrap_err().to_string();
                let expected =
                    format!("obsm[\"{key}\"] of cell {} is {bad}, expected a finite number", once.obs.names[3]);
                assert!(error.starts_with(&expected), "{error}");
                let anew = prepare(data, &PrepareSpec { force: true, ..spec.clone() }).unwrap();
                assert_eq!(anew.data.obsm, once.obsm);
            }
        }
        let mut data = once;
        let mut sizes = data.numbers("librarysize").unwrap();
        sizes[5] = f64::NAN;
        data.obs.set("librarysize", Column::Float(sizes));
        let error = prepare(data, &spec).unwrap_err().to_string();
        assert!(error.starts_with("obs[\"librarysize\"] of cell "), "{error}");
    }
}
