//! The commands, one file each, and what several of them share.

pub(crate) mod annotate;
mod basis;
pub(crate) mod convert;
mod counts;
pub(crate) mod demo;
mod edges;
pub(crate) mod evaluate;
pub(crate) mod fates;
mod files;
mod groups;
pub(crate) mod inspect;
pub(crate) mod perturb;
pub(crate) mod plot;
pub(crate) mod prepare;
mod prior;
mod record;
pub(crate) mod report;
mod settings;
pub(crate) mod simulate;
mod symbols;
mod telling;
pub(crate) mod train;
mod trajectories;
mod velocity;

pub(crate) use telling::BETA as FATE_BETA;

use std::path::Path;

use anyhow::bail;
use sclsd::Device;
use sclsd::data::{
    Additions, Compression, Dataset, DatasetError, H5ad, H5adError, Keys, plain_reason, read_h5ad, repeated_name,
};
use sclsd::graph::neighbors_of;

use crate::args::{MachineArgs, ThreadArgs};
use crate::progress::Output;

/// The device asked for, with as many threads as asked for.
fn device(machine: &MachineArgs) -> anyhow::Result<Device> {
    use_threads(machine.threads)?;
    Ok(Device::parse(&machine.device)?)
}

/// As many threads as asked for; a device makes no difference to what only reads a model off.
fn start(args: &ThreadArgs, output: Output) -> anyhow::Result<()> {
    if let Some(device) = &args.device {
        output.note(format!("--device {device} makes no difference here: only training runs on a device"));
    }
    use_threads(args.threads)
}

/// The devices asked for, one or several.
fn devices(machine: &MachineArgs) -> anyhow::Result<Vec<Device>> {
    let names: Vec<&str> = machine.device.split(',').collect();
    if names.len() == 1 {
        use_threads(machine.threads)?;
    } else {
        // a thread trains on each and waits for the others: none of them can be one of those that do the work
        threads(machine.threads).build_global().map_err(no_threads)?;
    }
    names.into_iter().map(|name| Ok(Device::parse(name)?)).collect()
}

/// As many threads as asked for, of which this is one: work that it would hand to another, which has to be woken for it, it
/// does itself.
fn use_threads(count: Option<u16>) -> anyhow::Result<()> {
    threads(count).use_current_thread().build_global().map_err(no_threads)
}

fn no_threads(error: rayon::ThreadPoolBuildError) -> anyhow::Error {
    anyhow::Error::new(error).context("threads cannot be started; give fewer with --threads")
}

fn threads(count: Option<u16>) -> rayon::ThreadPoolBuilder {
    rayon::ThreadPoolBuilder::new().num_threads(count.unwrap_or(0).into())
}

/// Reads elements of a file whose cells and genes can be told apart by name.
fn read(path: &Path, keys: &Keys) -> anyhow::Result<Dataset> {
    named_apart(path, read_h5ad(path, keys)?)
}

/// Reads a file; where it lacks something, `hint` says who would have written it.
fn read_with_hint(path: &Path, keys: &Keys, hint: &'static str) -> anyhow::Result<Dataset> {
    named_apart(path, hinted(read_h5ad(path, keys), hint)?)
}

/// Writes a copy of a file with results, and says what is replaced and what could not be carried over.
fn add(file: &H5ad, to: &Path, additions: &Additions, compression: Compression, output: Output) -> anyhow::Result<()> {
    say_replaced(file, additions, output)?;
    for lost in file.add(to, additions, compression)? {
        output.note(format!("not carried over: {lost}"));
    }
    Ok(())
}

/// Says which elements of a file that are none of our results are replaced by results of the same name, and what becomes of names
/// of cells that are called as one of them.
fn say_replaced(file: &H5ad, additions: &Additions, output: Output) -> anyhow::Result<()> {
    let index = file.index_name("obs");
    if additions.obs.iter().any(|(name, _)| *name == index) {
        output.note(format!(
            "the names of cells were called \"{index}\", as a result is: they are called \"_index\" now"
        ));
    }
    let all = file.keys()?;
    let has = |slot: &str, name: &str| {
        let names = match slot {
            "obs" => &all.obs,
            "obsm" => &all.obsm,
            "obsp" => &all.obsp,
            _ => &all.uns,
        };
        names.iter().any(|there| there == name)
    };
    let ours = |slot: &str, name: &str| {
        has("uns", record::KEY) && (slot != "obs" || name != "fate" || has("obsm", telling::PROBABILITIES))
    };
    let names = additions.obs.iter().map(|(name, _)| ("obs", name));
    let names = names.chain(additions.obsm.keys().map(|name| ("obsm", name)));
    let names = names.chain(additions.obsp.keys().map(|name| ("obsp", name)));
    let names = names.chain(additions.uns.keys().map(|name| ("uns", name)));
    let replaced: Vec<String> = names
        .filter(|(slot, name)| has(slot, name) && !ours(slot, name))
        .map(|(slot, name)| format!("{slot}[\"{name}\"]"))
        .collect();
    if !replaced.is_empty() {
        output.note(format!("replaced, as the results are called the same: {}", replaced.join(", ")));
    }
    Ok(())
}

/// The same error; where a graph is missing, with the option that names another.
fn graph_option(error: H5adError, option: &str) -> H5adError {
    match error {
        H5adError::Missing { path, missing } if missing.contains("obsp[") => {
            H5adError::Missing { path, missing: format!("{missing}; {option} names the graph") }
        }
        other => other,
    }
}

/// The first cell that the graph joins to no other, and how many there are; `None` where there is none.
fn lonely(data: &Dataset, graph: &str) -> Result<Option<String>, DatasetError> {
    let edges = data.graph(graph)?;
    let cells = 0..edges.n_rows().min(data.n_cells());
    let alone: Vec<usize> = cells.filter(|&cell| neighbors_of(edges, cell).next().is_none()).collect();
    Ok(alone.first().map(|&first| {
        let many = if alone.len() == 1 { String::new() } else { format!(" (nor have {} others)", alone.len() - 1) };
        format!("cell {} has no neighbour in obsp[\"{graph}\"]{many}", data.obs.names[first])
    }))
}

/// What was read; where something is missing, `hint` says who would have written it.
fn hinted(read: Result<Dataset, H5adError>, hint: &'static str) -> anyhow::Result<Dataset> {
    read.map_err(|error| match error {
        H5adError::Missing { .. } => anyhow::Error::new(error).context(hint),
        other => other.into(),
    })
}

/// Refuses names that appear twice: genes are found by name, and results belong to cells by name.
fn named_apart(path: &Path, data: Dataset) -> anyhow::Result<Dataset> {
    match repeated(&data) {
        Some(repeated) => bail!("{}: {repeated}", path.display()),
        None => Ok(data),
    }
}

/// The first name that appears twice, and what to do about it.
fn repeated(data: &Dataset) -> Option<String> {
    [("cell", "obs", &data.obs.names), ("gene", "var", &data.var.names)].into_iter().find_map(|(what, table, names)| {
        let name = repeated_name(names)?;
        Some(format!("{what} {name} appears twice; names must differ (in scanpy: adata.{table}_names_make_unique())"))
    })
}

/// A text file as it is.
fn read_text(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| anyhow::anyhow!("{} cannot be read: {}", path.display(), plain_reason(&error)))?;
    // Windows marks a text by a first character that is none
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
