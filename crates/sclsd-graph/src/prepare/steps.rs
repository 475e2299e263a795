//! The steps of the preparation, in order.

use std::collections::BTreeMap;

use sclsd_data::{
    Categorical, Column, Csr, Dataset, Uns, closest_names, did_you_mean, library_sizes, log1p_normalize, pca,
};

use super::error::PrepareError;
use super::spec::{PrepareSpec, Root};
use crate::graph::{GraphError, Undirected, neighbors_of};
use crate::{
    DiffusionError, DiffusionMap, KnnError, components, connectivities, diffusion_map, layout, leiden, neighbors,
};

/// A data set during preparation.
pub(super) struct Work<'a> {
    pub(super) spec: &'a PrepareSpec,
    pub(super) data: Dataset,
    pub(super) kept: Vec<String>,
    /// Whether obsm `X_diffmap` was computed here.
    pub(super) mapped: bool,
    /// Whether clusters exist, retained or computed.
    pub(super) clustered: bool,
    /// Repairs of an existing graph.
    pub(super) repaired: Repaired,
}

/// Changes that made an existing graph undirected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Repaired {
    pub(super) one_way: usize,
    pub(super) no_edges: usize,
}

impl Work<'_> {
    /// Whether an element exists and is retained. A retained element is added to the record.
    fn keeps(&mut self, present: bool, what: &str) -> bool {
        let keeps = present && !self.spec.force;
        if keeps {
            self.kept.push(what.to_owned());
        }
        keeps
    }

    fn counts(&self) -> &Csr {
        &self.data.layers[&self.spec.counts]
    }

    pub(super) fn normalize(&mut self) {
        let sized = self.data.obs.get("librarysize").is_some();
        if !self.keeps(sized, "obs librarysize") {
            let sizes = library_sizes(self.counts());
            self.data.obs.set("librarysize", Column::Float(sizes));
        }
        let normalized = self.data.x.is_some();
        if !self.keeps(normalized, "X") {
            let x = log1p_normalize(self.counts(), self.spec.target_sum);
            self.data.x = Some(x);
            self.data.uns.insert("log1p".into(), Uns::Map(BTreeMap::new()));
        }
    }

    pub(super) fn components(&mut self) -> Result<(), PrepareError> {
        let present = self.data.obsm.contains_key("X_pca");
        if self.keeps(present, "obsm X_pca") {
            return Ok(());
        }
        let x = self.data.expression()?;
        if x.n_rows() < 2 {
            return Err(KnnError::TooFewCells { n_neighbors: self.spec.n_neighbors, n_cells: x.n_rows() }.into());
        }
        let most = x.n_cols().min(x.n_rows()) - 1;
        let found = pca(x, self.spec.n_pcs.min(most).max(1));
        let floats = |values: Vec<f64>| Uns::Floats(vec![values.len()], values);
        let params = map([
            ("zero_center", Uns::Booleans(vec![], vec![true])),
            ("use_highly_variable", Uns::Booleans(vec![], vec![false])),
        ]);
        let uns = map([
            ("params", params),
            ("variance", floats(found.variance)),
            ("variance_ratio", floats(found.variance_ratio)),
        ]);
        self.data.uns.insert("pca".into(), uns);
        self.data.obsm.insert("X_pca".into(), found.scores);
        self.data.varm.insert("PCs".into(), found.loadings);
        Ok(())
    }

    /// The graph. Cells without neighbours are removed and counted.
    pub(super) fn neighbors(&mut self) -> Result<usize, PrepareError> {
        let present = self.data.obsp.contains_key("connectivities");
        if !self.keeps(present, "obsp connectivities") {
            let found = neighbors(&self.data.obsm["X_pca"], self.spec.n_neighbors, self.spec.random_state)?;
            self.data.obsp.insert("connectivities".into(), connectivities(&found));
            self.data.obsp.insert("distances".into(), found.to_csr());
            let integer = |n: u64| Uns::Integers(vec![], vec![i64::try_from(n).unwrap_or(i64::MAX)]);
            let params = map([
                ("n_neighbors", integer(self.spec.n_neighbors as u64)),
                ("method", Uns::Text("umap".into())),
                ("metric", Uns::Text("euclidean".into())),
                ("use_rep", Uns::Text("X_pca".into())),
                ("random_state", integer(self.spec.random_state)),
            ]);
            let uns = map([
                ("connectivities_key", Uns::Text("connectivities".into())),
                ("distances_key", Uns::Text("distances".into())),
                ("params", params),
            ]);
            self.data.uns.insert("neighbors".into(), uns);
        }
        self.repair()?;
        let graph = &self.data.obsp["connectivities"];
        let joined: Vec<usize> = (0..graph.n_rows()).filter(|&c| neighbors_of(graph, c).next().is_some()).collect();
        let isolated = graph.n_rows() - joined.len();
        if isolated > 0 {
            if let Some(Root::Cell(name)) = &self.spec.root
                && self.data.obs.names.iter().position(|n| n == name).is_some_and(|c| joined.binary_search(&c).is_err())
            {
                return Err(PrepareError::LonelyRoot { name: name.clone() });
            }
            self.data = self.data.select_cells(&joined);
        }
        Ok(isolated)
    }

    /// Makes the graph in the data undirected, because all later steps assume that.
    fn repair(&mut self) -> Result<(), PrepareError> {
        let undirected = Undirected::new(&self.data.obsp["connectivities"]).map_err(|error| match error {
            GraphError::Weight { from, to, weight } => PrepareError::Weight {
                from: self.data.obs.names[from].clone(),
                to: self.data.obs.names[to as usize].clone(),
                weight,
            },
            other => other.into(),
        })?;
        self.repaired = Repaired { one_way: undirected.one_way(), no_edges: undirected.no_edges() };
        if let Some(graph) = undirected.changed() {
            self.data.obsp.insert("connectivities".into(), graph);
        }
        Ok(())
    }

    /// Removes cells that are not connected to the root, if requested, before anything is computed from the graph.
    /// Afterwards the graph is connected. If the root is a cluster, the connected component is that of the cluster's
    /// outermost cell in the entire graph.
    pub(super) fn drop_unreachable(&mut self) -> Result<usize, PrepareError> {
        let Some(root) = self.spec.root.as_ref().filter(|_| self.spec.drop_unreachable) else { return Ok(0) };
        let part = components(&self.data.obsp["connectivities"])?;
        if part.iter().all(|&p| p == 0) {
            return Ok(0);
        }
        let root = match root {
            Root::Cell(name) => cell_named(&self.data, name)?,
            cluster @ Root::Cluster(_) => {
                self.clusters()?;
                self.root(cluster, &self.diffusion()?)?
            }
        };
        let reached: Vec<usize> = (0..part.len()).filter(|&cell| part[cell] == part[root]).collect();
        self.data = self.data.select_cells(&reached);
        Ok(part.len() - reached.len())
    }

    pub(super) fn clusters(&mut self) -> Result<(), PrepareError> {
        let key = &self.spec.clusters;
        if self.clustered {
            return Ok(());
        }
        self.clustered = true;
        // never recomputed: they are the user's names for the cells
        if self.data.obs.get(key).is_some() {
            self.data.groups(key)?;
            self.kept.push(format!("obs {key}"));
            return Ok(());
        }
        let found = leiden(&self.data.obsp["connectivities"], self.spec.resolution, self.spec.random_state)?;
        self.data.obs.set(key, Column::Categorical(found));
        Ok(())
    }

    pub(super) fn pseudotime(&mut self) -> Result<(Option<String>, usize), PrepareError> {
        let present = self.data.obs.get("dpt_pseudotime").is_some();
        let Some(root) = &self.spec.root else {
            if present {
                self.kept.push("obs dpt_pseudotime".into());
            }
            return Ok((None, 0));
        };
        let map = self.diffusion()?;
        let root = self.root(root, &map)?;
        let name = self.data.obs.names[root].clone();
        let graph = &self.data.obsp["connectivities"];
        let time = map.pseudotime(graph, root, self.spec.n_dcs).map_err(|error| match error {
            DiffusionError::LonelyRoot { .. } => PrepareError::LonelyRoot { name: name.clone() },
            other => other.into(),
        })?;
        let unreachable = time.iter().filter(|t| !t.is_finite()).count();
        self.data.obs.set("dpt_pseudotime", Column::Float(time));
        self.data.obsm.insert("X_diffmap".into(), map.components);
        self.mapped = true;
        let evals = Uns::Floats(vec![map.eigenvalues.len()], map.eigenvalues);
        self.data.uns.insert("diffmap_evals".into(), evals);
        let iroot = Uns::Integers(vec![], vec![i64::try_from(root).unwrap_or(i64::MAX)]);
        self.data.uns.insert("iroot".into(), iroot);
        Ok((Some(name), unreachable))
    }

    fn diffusion(&self) -> Result<DiffusionMap, PrepareError> {
        Ok(diffusion_map(&self.data.obsp["connectivities"], self.spec.n_diffusion_components)?)
    }

    fn root(&self, root: &Root, map: &DiffusionMap) -> Result<usize, PrepareError> {
        match root {
            Root::Cell(name) => cell_named(&self.data, name),
            Root::Cluster(name) => {
                let clusters = self.data.groups(&self.spec.clusters)?;
                let cells = members(&clusters, name);
                if cells.is_empty() && clusters.categories().contains(name) {
                    return Err(PrepareError::EmptyRoot { name: name.clone() });
                }
                map.outermost(&cells, self.spec.n_dcs).ok_or_else(|| no_cluster(name, &clusters, self.spec))
            }
        }
    }

    pub(super) fn layout(&mut self) -> Result<(), PrepareError> {
        let present = self.data.obsm.contains_key("X_umap");
        if self.keeps(present, "obsm X_umap") {
            return Ok(());
        }
        let (graph, seed) = (&self.data.obsp["connectivities"], self.spec.random_state);
        let y = if self.mapped {
            layout(graph, &self.data.obsm["X_diffmap"], seed)?
        } else {
            layout(graph, &self.diffusion()?.components, seed)?
        };
        self.data.obsm.insert("X_umap".into(), y);
        Ok(())
    }

    /// Checks that the elements to be retained are finite, before work that depends on them begins.
    pub(super) fn check_kept(&self) -> Result<(), PrepareError> {
        if self.spec.force { Ok(()) } else { self.check_finite() }
    }

    /// Checks that elements used in later computations are finite. An infinite pseudotime is valid for cells that are
    /// not connected to the root.
    pub(super) fn check_finite(&self) -> Result<(), PrepareError> {
        let names = &self.data.obs.names;
        let refuse = |element: String, cell: usize, value: f64| {
            Err(PrepareError::NotFinite { element, cell: names[cell].clone(), value })
        };
        for key in ["X_pca", "X_diffmap", "X_umap"] {
            let Some(matrix) = self.data.obsm.get(key) else { continue };
            if let Some(at) = matrix.values().iter().position(|v| !v.is_finite()) {
                return refuse(format!("obsm[\"{key}\"]"), at / matrix.n_cols(), f64::from(matrix.values()[at]));
            }
        }
        for (key, good) in [
            ("librarysize", (|v| v.is_finite()) as fn(f64) -> bool),
            ("dpt_pseudotime", |v| v.is_finite() || v == f64::INFINITY),
        ] {
            let Some(Column::Float(values)) = self.data.obs.get(key) else { continue };
            if let Some(cell) = values.iter().position(|&v| !good(v)) {
                return refuse(format!("obs[\"{key}\"]"), cell, values[cell]);
            }
        }
        Ok(())
    }
}

fn members(clusters: &Categorical, name: &str) -> Vec<usize> {
    (0..clusters.codes().len()).filter(|&cell| clusters.name(cell) == Some(name)).collect()
}

fn map<const N: usize>(entries: [(&str, Uns); N]) -> Uns {
    Uns::Map(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
/// Index of the cell with this name.
pub(super) fn cell_named(data: &Dataset, name: &str) -> Result<usize, PrepareError> {
    data.obs.names.iter().position(|n| n == name).ok_or_else(|| {
        let known = did_you_mean(&closest_names(name, &data.obs.names));
        PrepareError::Root { what: "cell", name: name.to_owned(), known }
    })
}

pub(super) fn no_cluster(name: &str, clusters: &Categorical, spec: &PrepareSpec) -> PrepareError {
    let known = format!("; obs[\"{}\"] has {}", spec.clusters, clusters.categories().join(", "));
    PrepareError::Root { what: "cluster", name: name.to_owned(), known }
}
