//! The commands, one file each, and what several of them share.

pub(crate) mod annotate;
pub(crate) mod convert;
pub(crate) mod demo;
pub(crate) mod evaluate;
pub(crate) mod fates;
pub(crate) mod inspect;
pub(crate) mod perturb;
pub(crate) mod plot;
pub(crate) mod prepare;
mod prior;
mod record;
pub(crate) mod report;
mod settings;
pub(crate) mod simulate;
mod telling;
pub(crate) mod train;
mod trajectories;
mod velocity;

pub(crate) use telling::BETA as FATE_BETA;

use std::path::Path;

use anyhow::bail;
use sclsd::Device;
use sclsd::data::{Dataset, H5adError, Keys, plain_reason, read_h5ad, replace_file};

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
        threads(machine.threads).build_global()?;
    }
    names.into_iter().map(|name| Ok(Device::parse(name)?)).collect()
}

/// As many threads as asked for, of which this is one: work that it would hand to another, which has to be woken for it, it
/// does itself.
fn use_threads(count: Option<u16>) -> anyhow::Result<()> {
    Ok(threads(count).use_current_thread().build_global()?)
}

fn threads(count: Option<u16>) -> rayon::ThreadPoolBuilder {
    rayon::ThreadPoolBuilder::new().num_threads(count.unwrap_or(0).into())
}

/// Reads a file; where it lacks something, `hint` says who would have written it.
fn read_with_hint(path: &Path, keys: &Keys, hint: &'static str) -> anyhow::Result<Dataset> {
    read_h5ad(path, keys).map_err(|error| match error {
        H5adError::Missing { .. } => anyhow::Error::new(error).context(hint),
        other => other.into(),
    })
}

/// A text file as it is.
fn read_text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| anyhow::anyhow!("{} cannot be read: {}", path.display(), plain_reason(&error)))
}

/// Writes a file beside its place and puts it there once it is whole.
fn write_file(output: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let failed =
        |error: std::io::Error| anyhow::anyhow!("{} cannot be written: {}", output.display(), plain_reason(&error));
    replace_file(output, failed, |temporary| std::fs::write(temporary, bytes).map_err(failed))
}

/// Fails now rather than after an hour of training: the directory must exist and take files.
fn check_writable(output: &Path) -> anyhow::Result<()> {
    let refuse = |reason: &str| bail!("{} cannot be written: {reason}", output.display());
    if output.is_dir() {
        return refuse("it is a directory");
    }
    let directory = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match tempfile::Builder::new().prefix(".sclsd-").tempfile_in(directory) {
        Ok(_) => Ok(()),
        Err(error) => refuse(&plain_reason(&error)),
    }
}
