//! `sclsd inspect`: what is in a file, and what the next step would miss.

use std::io::Read;
use std::path::Path;

use sclsd::data::{Inspection, inspect, plain_reason};
use sclsd::infer::{Checkpoint, DataKeys};
use serde_json::json;

use crate::args::InspectArgs;
use crate::progress::Output;

pub(crate) fn run(args: &InspectArgs, output: Output) -> anyhow::Result<()> {
    if starts_with(&args.input, b"\x89HDF")? {
        print_h5ad(&args.input, output)
    } else if args.input.extension().is_some_and(|e| e == "safetensors") {
        print_checkpoint(&Checkpoint::load(&args.input)?, output)
    } else if starts_with(&args.input, b"PK")? {
        anyhow::bail!(
            "{} looks like a checkpoint of PyTorch; sclsd convert makes one of ours of it",
            args.input.display()
        )
    } else {
        print_h5ad(&args.input, output) // fails, saying why it is none
    }
}

fn starts_with(path: &Path, magic: &[u8]) -> anyhow::Result<bool> {
    let cannot = |error| anyhow::anyhow!("{} cannot be read: {}", path.display(), plain_reason(&error));
    let mut start = Vec::new();
    std::fs::File::open(path).map_err(cannot)?.take(magic.len() as u64).read_to_end(&mut start).map_err(cannot)?;
    Ok(start == magic)
}

/// What `sclsd train` needs with its default keys, and where.
fn missing(file: &Inspection) -> Vec<String> {
    let keys = DataKeys::default();
    let needs = [
        ("X", String::new(), "normalised expression"),
        ("layers", keys.counts, "raw counts"),
        ("obs", keys.library_size, "library sizes"),
        ("obs", keys.time, "prior pseudotime; or name another column with --time-key"),
        ("obsp", keys.connectivities, "graph of neighbours"),
    ];
    let absent = needs.into_iter().filter(|(slot, name, _)| !file.has(slot, name));
    absent
        .map(
            |(slot, name, what)| {
                if name.is_empty() { format!("{slot} ({what})") } else { format!("{slot}[\"{name}\"] ({what})") }
            },
        )
        .collect()
}

#[expect(clippy::print_stdout, reason = "this is what the program is run for")]
fn print_h5ad(path: &Path, output: Output) -> anyhow::Result<()> {
    let file = inspect(path)?;
    let missing = missing(&file);
    if output.json {
        let entries: Vec<_> =
            file.entries.iter().map(|e| json!({"slot": e.slot, "name": e.name, "form": e.form})).collect();
        println!(
            "{}",
            json!({"n_cells": file.n_cells, "n_genes": file.n_genes, "elements": entries, "missing_for_train": missing})
        );
        return Ok(());
    }
    println!("{} cells × {} genes", file.n_cells, file.n_genes);
    let width = file.entries.iter().map(|e| e.name.chars().count()).max().unwrap_or(0);
    for entry in &file.entries {
        println!("{:<7} {:<width$}  {}", entry.slot, entry.name, entry.form);
    }
    match missing.len() {
        0 => println!("ready for sclsd train"),
        _ => println!(
            "missing for sclsd train: {}; sclsd prepare makes what is missing from raw counts",
            missing.join("; ")
        ),
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what the program is run for")]
fn print_checkpoint(checkpoint: &Checkpoint, output: Output) -> anyhow::Result<()> {
    let model = &checkpoint.model;
    let loss = checkpoint.history.last().map(|record| record.loss.total());
    let resumable = !checkpoint.fingerprint.is_empty();
    if output.json {
        println!(
            "{}",
            json!({
                "n_genes": model.n_genes, "genes": model.genes, "epochs": checkpoint.epoch(), "loss": loss,
                "resumable": resumable, "config": checkpoint.spec, "tensors": model.weights.len(),
            })
        );
        return Ok(());
    }
    let spec = model.spec.get();
    println!("model of {} genes, z of {} dimensions, B of {}", model.n_genes, spec.z_dim, spec.b_dim);
    println!(
        "{} tensors, {} values",
        model.weights.len(),
        model.weights.values().map(|a| a.values.len()).sum::<usize>()
    );
    println!("{} epochs trained{}", checkpoint.epoch(), loss.map_or(String::new(), |l| format!(", loss {l:.4}")));
    match (model.genes.is_empty(), resumable) {
        (true, _) => println!("imported without gene names: ready for sclsd annotate on files with the same genes"),
        (false, false) => println!("ready for sclsd annotate"),
        (false, true) => println!("ready for sclsd annotate, and for sclsd train --resume on the same data"),
    }
    println!("configuration: {}", serde_json::to_string(&checkpoint.spec)?);
    Ok(())
}
