//! `sclsd fates`: where every cell ends.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use safetensors::tensor::{Dtype, TensorView};
use sclsd::analysis::{FateSpec, FateTable, Fates, fates};
use sclsd::data::{Additions, Keys, add_to_h5ad};
use sclsd::infer::Checkpoint;
use serde_json::{Map, Value, json};

use super::{check_writable, device, read_with_hint, write_file};
use crate::args::FatesArgs;
use crate::figures::Figures;
use crate::progress::Output;

pub(crate) fn run(args: &FatesArgs, output: Output) -> anyhow::Result<()> {
    let device = device(&args.machine)?;
    check_writable(&args.output)?;
    if let Some(paths) = &args.paths {
        check_writable(paths)?;
    }
    let checkpoint = Checkpoint::load(&args.model)?;
    let wanted = Keys::none().with_obs(&args.cluster_key).with_obsm("X_cell_state");
    let hint = "fates start from obsm[\"X_cell_state\"], which sclsd annotate writes";
    let data = read_with_hint(&args.input, &wanted, hint)?;
    let shown = || args.input.display().to_string();
    let clusters = data.groups(&args.cluster_key).with_context(shown)?;
    let spec = FateSpec {
        time_range: args.time_range,
        dt: args.dt,
        paths: args.paths.is_some(),
        ode: checkpoint.spec.ode.clone(),
    };
    let found = fates(&checkpoint.model, &data.obsm["X_cell_state"], &spec, &device)
        .with_context(|| format!("{} with {}", args.input.display(), args.model.display()))?;
    let additions = Additions { obs: vec![("fate".into(), found.column(&clusters))], ..Additions::default() };
    if let Some(paths) = &args.paths {
        write_paths(paths, &found)?;
    }
    add_to_h5ad(&args.input, &args.output, &additions)?;

    let all: Vec<u32> = (0_u32..).take(data.n_cells()).collect();
    let table = FateTable::new(&clusters, &all, &found.cells);
    let mut figures = Figures::default();
    figures.count("cells", data.n_cells());
    figures.number("time", args.time_range, 2);
    let (shown, value) = summary(&table);
    figures.nested("fates", shown, value);
    if let Some(paths) = &args.paths {
        figures.text("paths", paths.display());
    }
    figures.text("result", args.output.display());
    figures.print(output);
    Ok(())
}

/// Cells that end in each cluster, and where they come from: for people and for machines.
fn summary(table: &FateTable) -> (String, Value) {
    let (ends, n) = (table.ends(), table.clusters.len());
    let all: usize = ends.iter().sum();
    let (mut shown, mut fates) = (String::new(), Map::new());
    let width = table.clusters.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (to, name) in table.clusters.iter().enumerate() {
        let origins: Vec<usize> = (0..n).filter(|&from| table.count(from, to) > 0).collect();
        let from: Map<String, Value> =
            origins.iter().map(|&from| (table.clusters[from].clone(), json!(table.count(from, to)))).collect();
        let from_shown: Vec<String> =
            origins.iter().map(|&f| format!("{} of {}", table.count(f, to), table.clusters[f])).collect();
        #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
        let fraction = ends[to] as f64 / all.max(1) as f64;
        let percent = 100.0 * fraction;
        let line = format!("\n    {name:<width$}  {:>6}  {percent:5.1} %  {}", ends[to], from_shown.join(", "));
        shown.push_str(line.trim_end());
        fates.insert(name.clone(), json!({"cells": ends[to], "fraction": fraction, "from": from}));
    }
    (shown, Value::Object(fates))
}

/// `times` in f64 and `cells`, times × cells, in u32.
fn write_paths(path: &Path, fates: &Fates) -> anyhow::Result<()> {
    let times: Vec<u8> = fates.times.iter().flat_map(|t| t.to_le_bytes()).collect();
    let cells: Vec<u8> = fates.paths.iter().flatten().flat_map(|c| c.to_le_bytes()).collect();
    let shape = vec![fates.times.len(), fates.cells.len()];
    let tensors = HashMap::from([
        ("times", TensorView::new(Dtype::F64, vec![fates.times.len()], &times)?),
        ("cells", TensorView::new(Dtype::U32, shape, &cells)?),
    ]);
    write_file(path, &safetensors::serialize(tensors, None)?)
}
