//! `sclsd prepare`: reads raw counts, writes a file that is ready for training.

use anyhow::{Context, bail};
use sclsd::data::{Dataset, Frame, H5ad, Keys, Uns, Windows, is_10x, read_10x, write_h5ad};
use sclsd::graph::{PrepareSpec, Prepared, Root, prepare, prepare_from};

use super::files::Files;
use super::reading::{named_apart, read_text};
use super::settings::named_graph;
use super::threads::use_threads;
use super::{counts, groups, symbols};
use crate::args::PrepareArgs;
use crate::figures::Figures;
use crate::progress::Output;

pub(crate) fn run(args: &PrepareArgs, output: Output) -> anyhow::Result<()> {
    use_threads(args.threads)?;
    Files::default()
        .reads("INPUT", &args.input)
        .may_read("--genes", args.genes.as_ref())
        .writes_over("-o", &args.output, &args.input)
        .check()?;
    let spec = spec(args)?;
    if args.input.is_dir() && !is_10x(&args.input) {
        bail!(
            "{} is a directory without the three files of Cell Ranger: one matrix.mtx, barcodes.tsv and features.tsv (or genes.tsv), \
             gzipped or not, all with the same prefix; give the directory that has these files, or an .h5ad or .h5 file",
            args.input.display()
        );
    }
    let (found, n_cells, n_genes) =
        if is_10x(&args.input) { of_10x(args, &spec, output)? } else { of_h5ad(args, &spec, output)? };

    let data = &found.data;
    if found.unreachable_cells > 0 && !args.drop_unreachable {
        output.note(format!(
            "no path in the graph connects {} cells to the root: their dpt_pseudotime is infinite, which training \
             refuses; drop them with --drop-unreachable",
            found.unreachable_cells
        ));
    }
    if found.one_way_edges + found.no_edges > 0 {
        output.note(format!(
            "the graph of the file was used; {} edges had two different weights, and the larger one replaced both; {} \
             entries were no edges (zeros, or a cell to itself) and were removed",
            found.one_way_edges, found.no_edges
        ));
    }
    if spec.root.is_none() && data.obs.get("dpt_pseudotime").is_none() {
        output
            .note("no root is given, so there is no dpt_pseudotime; name the root with --root-cluster or --root-cell");
    }
    let mut figures = Figures::default();
    figures.count("cells before", n_cells);
    figures.count("cells", data.n_cells());
    figures.count("genes before", n_genes);
    figures.count("genes", data.n_genes());
    figures.count("empty cells left out", found.empty_cells);
    figures.count("empty genes left out", found.empty_genes);
    figures.count("cells without neighbours left out", found.isolated_cells);
    let clusters = groups::of(data, &spec.clusters)?;
    let occupied: std::collections::BTreeSet<u32> = clusters.codes().iter().flatten().copied().collect();
    figures.count("clusters", occupied.len());
    if let Some(root) = &found.root {
        figures.text("root", root);
        figures.count("cells not joined to the root", found.unreachable_cells);
    }
    if !found.kept.is_empty() {
        figures.text("kept as they were", found.kept.join(", "));
    }
    figures.text("prepared", args.output.display());
    figures.print(output)
}

/// Prepares an `.h5ad` file and writes a copy; returns the prepared data, and the numbers of cells and genes before.
fn of_h5ad(args: &PrepareArgs, spec: &PrepareSpec, output: Output) -> anyhow::Result<(Prepared, usize, usize)> {
    let shown = || args.input.display().to_string();
    let file = H5ad::open(&args.input)?;
    let named = named_graph(&file)?.filter(|_| !args.force);
    let graph = named.as_ref().map_or(GRAPH, |(_, graph)| graph).to_owned();
    let mut before = named_apart(&args.input, file.read(&keys(&file.keys()?, &args.cluster_key, &graph))?)?;
    if let Some((entry, _)) = &named
        && let Some(found) = before.obsp.remove(&graph)
    {
        output.note(format!("the graph is obsp[\"{graph}\"], which uns[\"{entry}\"] names"));
        before.obsp.insert(GRAPH.into(), found);
    }
    let (counts, source) = counts::choose(&args.input, &file, &before, args.counts.as_deref(), output)?;
    let x = if args.force { None } else { counts::normalized(&file, source == "X", output)? };
    groups::name(&mut before, &args.cluster_key).with_context(shown)?;
    drop_what_is_not_finite(&mut before, output);
    let (n_cells, n_genes) = (before.n_cells(), before.n_genes());
    let expression = x.as_ref().map(|x| x as &dyn Windows);
    let mut found = prepare_from(before, &counts, expression, spec).with_context(shown)?;
    if graph != GRAPH
        && let Some(used) = found.data.obsp.remove(GRAPH)
    {
        found.data.obsp.insert(graph.clone(), used);
        found
            .kept
            .iter_mut()
            .filter(|kept| *kept == "obsp connectivities")
            .for_each(|kept| *kept = format!("obsp {graph}"));
    }
    if source != counts::LAYER_RAW {
        let gone = if source == "X" { "; normalized expression replaces X" } else { "" };
        output.note(format!("counts are taken from {source}{gone}"));
        if file.keys()?.layers.iter().any(|layer| layer == counts::LAYER) {
            output.note(format!("{} held other values, which are replaced by the counts", counts::LAYER_RAW));
        }
    }
    let repaired = found.one_way_edges + found.no_edges > 0;
    let mut kept: Vec<String> = found.kept.iter().map(|element| element.replacen(' ', "/", 1)).collect();
    kept.retain(|key| !(repaired && *key == format!("obsp/{graph}")));
    // an entry without a base, or with the base None, means the same as the one written here
    if file.keys()?.uns.iter().any(|key| key == "log1p")
        && let Some(Uns::Map(entries)) =
            file.read(&Keys { uns: vec!["log1p".into()], ..Keys::none() })?.uns.get("log1p")
        && !entries.contains_key("base")
    {
        kept.push("uns/log1p".into());
    }
    if source == counts::LAYER_RAW {
        kept.push(format!("layers/{}", counts::LAYER));
    }
    let replaced = recomputed(&file, &found.data, &kept)?;
    if !replaced.is_empty() {
        output.note(format!("recomputed, replacing what the file had: {}", replaced.join(", ")));
    }
    for (table, frame) in [("obs", &found.data.obs), ("var", &found.data.var)] {
        let index = file.index_name(table);
        if frame.get(&index).is_some() {
            output.note(format!(
                "the index of {table} is named \"{index}\", and so is one of the results: the index is renamed to \"_index\""
            ));
        }
    }
    for lost in file.cut(&args.output, &found.data, &kept, args.write.compress)? {
        output.note(format!("not carried over: {lost}"));
    }
    Ok((found, n_cells, n_genes))
}

/// Prepares the output of Cell Ranger.
fn of_10x(args: &PrepareArgs, spec: &PrepareSpec, output: Output) -> anyhow::Result<(Prepared, usize, usize)> {
    let read = read_10x(&args.input)?;
    if read.renamed > 0 {
        output.note(format!(
            "{} genes have the symbol of another gene and are renamed with -1, -2, … at the end; ids are in var[\"gene_ids\"]",
            read.renamed
        ));
    }
    if read.other_features > 0 {
        output.note(format!("{} features that are not genes are left out", read.other_features));
    }
    let before = named_apart(&args.input, read.data)?;
    let (n_cells, n_genes) = (before.n_cells(), before.n_genes());
    let found = prepare(before, spec).with_context(|| args.input.display().to_string())?;
    write_h5ad(&args.output, &found.data, args.write.compress)?;
    Ok((found, n_cells, n_genes))
}

/// Elements of the file that are replaced, except X and the counts, which have notes of their own.
fn recomputed(file: &H5ad, data: &Dataset, kept: &[String]) -> anyhow::Result<Vec<String>> {
    let has = file.inspect()?;
    let columns = |frame: &Frame| frame.columns.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let slots = [
        ("obs", columns(&data.obs)),
        ("var", columns(&data.var)),
        ("obsm", data.obsm.keys().cloned().collect()),
        ("varm", data.varm.keys().cloned().collect()),
        ("obsp", data.obsp.keys().cloned().collect()),
        ("uns", data.uns.keys().cloned().collect()),
    ];
    let all = slots.iter().flat_map(|(slot, names)| names.iter().map(move |name| (*slot, name)));
    let anew = all.filter(|(slot, name)| has.has(slot, name) && !kept.contains(&format!("{slot}/{name}")));
    Ok(anew.map(|(slot, name)| format!("{slot}[\"{name}\"]")).collect())
}

/// The graph that preparation computes.
const GRAPH: &str = "connectivities";

/// The elements of a file that preparation can reuse; all others are copied for the cells and genes that stay.
fn keys(all: &Keys, clusters: &str, graph: &str) -> Keys {
    let there = |names: &[String], wanted: &[&str]| -> Vec<String> {
        wanted.iter().filter(|key| names.iter().any(|name| name == *key)).map(ToString::to_string).collect()
    };
    Keys {
        obs: there(&all.obs, &[clusters, "librarysize", "dpt_pseudotime"]),
        obsm: there(&all.obsm, &["X_pca", "X_umap"]),
        obsp: there(&all.obsp, &[graph]),
        ..Keys::none()
    }
}

/// Drops coordinates that are not all finite, so that preparation recomputes them.
fn drop_what_is_not_finite(data: &mut Dataset, output: Output) {
    for key in ["X_pca", "X_umap"] {
        let Some(matrix) = data.obsm.get(key) else { continue };
        if let Some(at) = matrix.values().iter().position(|value| !value.is_finite()) {
            output.note(format!(
                "obsm[\"{key}\"] of cell {} is {}, so obsm[\"{key}\"] is recomputed",
                data.obs.names[at / matrix.n_cols()],
                matrix.values()[at]
            ));
            data.obsm.remove(key);
        }
    }
}

fn spec(args: &PrepareArgs) -> anyhow::Result<PrepareSpec> {
    let genes = match &args.genes {
        Some(path) => {
            let text = read_text(path)?;
            let names: Vec<String> =
                text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
            anyhow::ensure!(!names.is_empty(), "{} names no gene", path.display());
            symbols::names(&args.input, &names, args.symbols.gene_symbols.as_deref())?
        }
        None => Vec::new(),
    };
    let cell = args.root_cell.clone().map(Root::Cell);
    Ok(PrepareSpec {
        counts: counts::LAYER.into(),
        n_top_genes: args.n_top_genes,
        flavor: args.flavor,
        genes,
        target_sum: args.target_sum,
        n_pcs: args.n_pcs,
        n_neighbors: args.n_neighbors,
        clusters: args.cluster_key.clone(),
        resolution: args.resolution,
        root: cell.or_else(|| args.root_cluster.clone().map(Root::Cluster)),
        drop_unreachable: args.drop_unreachable,
        force: args.force,
        random_state: args.seed,
        ..PrepareSpec::default()
    })
}
