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
use sclsd::data::{Dataset, H5adError, Keys, plain_reason, read_h5ad, repeated_name};

use crate::args::MachineArgs;

/// The device asked for, with as many threads as asked for.
fn device(machine: &MachineArgs) -> anyhow::Result<Device> {
    use_threads(machine.threads)?;
    Ok(Device::parse(&machine.device)?)
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
    std::fs::read_to_string(path)
        .map_err(|error| anyhow::anyhow!("{} cannot be read: {}", path.display(), plain_reason(&error)))
}
