//! `sclsd inspect`: lists the contents of a file, and what the next step still needs.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use sclsd::data::{Compression, H5ad, Inspection, Keys, inspect, plain_reason, read_h5ad};
use sclsd::infer::{Checkpoint, DataKeys, Ensemble};
use sclsd::model::Peers;
use serde_json::json;

use super::fate_estimates::PROBABILITIES;
use super::members::Members;
use super::part::Part;
use super::prior_choice::PriorChoice;
use super::record;
use super::settings::Settings;
use super::train::Job;
use crate::args::InspectArgs;
use crate::figures::FORMAT_VERSION;
use crate::progress::Output;
use crate::{escape, standard};

pub(crate) fn run(args: &InspectArgs, output: Output) -> anyhow::Result<()> {
    if args.input.is_dir() {
        return print_h5ad(&args.input, output); // fails with an error that says what the directory is
    }
    let start = start(&args.input)?;
    if is_model(&args.input)? {
        print_model(&Ensemble::load(&args.input)?, output)
    } else if start.starts_with(b"PK") {
        anyhow::bail!("{} looks like a PyTorch checkpoint. Convert it with sclsd convert", args.input.display())
    } else {
        print_h5ad(&args.input, output) // fails with the reason if this is not an .h5ad file
    }
}

/// The first bytes of a file, which tell its format whatever its name.
fn start(path: &Path) -> anyhow::Result<Vec<u8>> {
    let cannot = |error| anyhow::anyhow!("{} cannot be read: {}", path.display(), plain_reason(&error));
    let mut start = Vec::new();
    std::fs::File::open(path).map_err(cannot)?.take(9).read_to_end(&mut start).map_err(cannot)?;
    Ok(start)
}

/// Whether a file is a model, or by its name is to be one.
pub(super) fn is_model(path: &Path) -> anyhow::Result<bool> {
    let start = start(path)?;
    let named_so = !start.starts_with(b"\x89HDF") && path.extension().is_some_and(|e| e == "safetensors");
    Ok(is_safetensors(&start) || named_so)
}

/// The length of a header of JSON in eight bytes, and its beginning.
fn is_safetensors(start: &[u8]) -> bool {
    matches!(start, [_, _, _, _, _, _, 0, 0, b'{'])
}

/// The elements that `sclsd train` needs with its default keys and the file lacks.
fn missing(file: &Inspection, graph: Option<&String>) -> Vec<String> {
    let keys = DataKeys::default();
    let graph = graph.unwrap_or(&keys.connectivities).clone();
    let needs = [
        ("X", String::new(), "normalised expression"),
        ("layers", keys.counts, "raw counts"),
        ("obs", keys.library_size, "library sizes"),
        ("obs", keys.time, "prior pseudotime; or name another column with --time-key"),
        ("obsp", graph, "graph of neighbours; or name another with --set keys.connectivities=NAME"),
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

fn print_h5ad(path: &Path, output: Output) -> anyhow::Result<()> {
    let file = inspect(path)?;
    let (settings, message) = Settings::recommended(None, 0).of_file(path)?;
    let missing = missing(&file, settings.graph.as_ref());
    let part = Part::read(&H5ad::open(path)?, path)?.map(|part| part.shard);
    let repeated = read_h5ad(path, &Keys::none())?.check_names().err().map(|error| error.to_string());
    // elements that exist may still have values that training refuses
    let refused = if missing.is_empty() && repeated.is_none() { refused(path, settings, output) } else { None };
    if output.json {
        let entries: Vec<_> =
            file.entries.iter().map(|e| json!({"slot": e.slot, "name": e.name, "form": e.form})).collect();
        return standard::print_json(&json!({
            "n_cells": file.n_cells, "n_genes": file.n_genes, "elements": entries, "missing_for_train": missing,
            "repeated_name": repeated, "refused_by_train": refused,
            "part": part.map(|shard| shard.to_string()), "format_version": FORMAT_VERSION,
        }));
    }
    let mut lines = vec![format!("{} cells × {} genes", file.n_cells, file.n_genes)];
    lines.extend(part.map(|shard| {
        format!("shard {shard} of a result: ready for sclsd combine, with the other parts; what follows is its input")
    }));
    let names: Vec<_> = file.entries.iter().map(|e| escape::line(&e.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let rows = file.entries.iter().zip(&names);
    lines.extend(rows.map(|(entry, name)| format!("{:<7} {name:<width$}  {}", entry.slot, escape::line(&entry.form))));
    lines.extend(repeated.iter().map(|repeated| format!("not ready for any command: {}", escape::line(repeated))));
    lines.extend(message);
    match missing.len() {
        0 if repeated.is_some() => {}
        0 => match refused {
            None => lines.extend(next(&file, path)),
            Some(reason) => lines.push(format!("not ready for sclsd train: {}", escape::line(&reason))),
        },
        _ => {
            lines.push(format!("missing for sclsd train: {}", missing.join("; ")));
            lines.push(format!(
                "next: sclsd prepare {} -o prepared.h5ad --root-cluster NAME (computes the missing elements from raw counts)",
                quoted(path)
            ));
        }
    }
    standard::print(&lines.join("\n"))
}

/// What a file that can be trained on is ready for, and the next command: a result is not trained on again.
fn next(file: &Inspection, path: &Path) -> [String; 2] {
    let path = quoted(path);
    let trained = file.has("uns", record::KEY) && file.has("obs", "lsd_pseudotime");
    match (trained, file.has("obsm", PROBABILITIES)) {
        (false, _) => [
            "ready for sclsd train".into(),
            format!("next: sclsd train {path} -o result.h5ad --model model.safetensors"),
        ],
        (true, false) => [
            "a result of sclsd train".into(),
            format!("next: sclsd fates {path} --model model.safetensors -o fates.h5ad"),
        ],
        (true, true) => [
            "a result of sclsd train and sclsd fates".into(),
            format!("next: sclsd report {path} --model model.safetensors -o report.html"),
        ],
    }
}

/// The error with which `sclsd train` would refuse the file.
fn refused(path: &Path, settings: Settings, output: Output) -> Option<String> {
    let job = Job {
        input: path,
        output: path,
        model: path,
        members: Members::ONE,
        settings,
        prior: PriorChoice::default(),
        basis: None,
        compression: Compression::None,
        checkpoint_every: 1,
        resume: false,
        goes_on: String::new(),
        devices: Vec::new(),
        peers: Peers::alone(),
    };
    job.check(Output { quiet: true, ..output }).err().map(|error| format!("{error:#}"))
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let shown = escape::line(&path.display().to_string()).into_owned();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%".contains(c);
    if shown.chars().all(plain) { shown } else { format!("'{}'", shown.replace('\'', "'\\''")) }
}

/// The progress of a run: finished epochs, and steps of the next one.
fn trained(checkpoint: &Checkpoint) -> String {
    match checkpoint.step() {
        0 => format!("{} epochs", checkpoint.epoch()),
        step => format!("{} epochs and {step} steps of the next", checkpoint.epoch()),
    }
}

fn print_model(run: &Ensemble, output: Output) -> anyhow::Result<()> {
    let checkpoint = run.first().context("the model has no member")?;
    let model = &checkpoint.model;
    let loss = checkpoint.history.last().map(|record| record.loss.total());
    let resumable = !checkpoint.fingerprint.is_empty();
    if output.json {
        return standard::print_json(&json!({
            "n_genes": model.n_genes, "genes": model.genes, "epochs": checkpoint.epoch(), "step": checkpoint.step(),
            "loss": loss, "resumable": resumable, "config": checkpoint.spec, "tensors": model.weights.len(),
            "simd": checkpoint.simd, "members": run.count, "members_there": run.members.keys().collect::<Vec<_>>(),
            "bootstrap": run.bootstrap, "shard": run.shard.map(|shard| shard.to_string()),
            "format_version": FORMAT_VERSION,
        }));
    }
    let spec = model.spec.get();
    let n_values: usize = model.weights.values().map(|array| array.values.len()).sum();
    let ready = match (run.shard, model.genes.is_empty(), resumable) {
        (Some(_), ..) => "a part of a model: ready for sclsd combine, with the other parts",
        (_, true, _) => "imported without gene names: ready for sclsd annotate on files with the same genes",
        (_, false, false) => "ready for sclsd annotate",
        (_, false, true) => "ready for sclsd annotate, and for sclsd train --resume on the same data",
    };
    let simd = checkpoint.simd.as_ref().map(|level| format!("SIMD level of the training: {level}"));
    let lines = [
        format!(
            "model of {} genes; cell state z has {} dimensions, differentiation state B has {}",
            model.n_genes, spec.z_dim, spec.b_dim
        ),
        format!("{} tensors, {n_values} values", model.weights.len()),
        format!("{} trained{}", trained(checkpoint), loss.map_or(String::new(), |l| format!(", loss {l:.4}"))),
    ];
    let rest = [ready.to_owned(), format!("configuration: {}", serde_json::to_string(&checkpoint.spec)?)];
    let lines: Vec<String> = members(run).into_iter().chain(lines).chain(simd).chain(rest).collect();
    standard::print(&lines.join("\n"))
}

/// How many members a model has, where there are several; what follows is of the first.
fn members(run: &Ensemble) -> Option<String> {
    if run.count == 1 {
        return None;
    }
    let shard = run.shard.map(|shard| format!(" of shard {shard}")).unwrap_or_default();
    let bootstrap = if run.bootstrap { ", all but the first on resampled cells and edges" } else { "" };
    let there = run.members.len();
    let finished = run.members.values().filter(|member| member.is_finished()).count();
    let state = match (there, finished) {
        (there, finished) if there == run.count && finished == there => String::new(),
        (there, finished) => format!(", {there} of them here{shard}, {finished} trained to the end"),
    };
    Some(format!("{} members{bootstrap}{state}; of the first here:", run.count))
}
