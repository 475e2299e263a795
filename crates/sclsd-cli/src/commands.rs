//! The commands, one file each, and what several of them share.

pub(crate) mod annotate;
pub(crate) mod convert;
pub(crate) mod demo;
pub(crate) mod inspect;
pub(crate) mod simulate;
pub(crate) mod train;

use std::path::Path;

use anyhow::bail;
use sclsd::Device;
use sclsd::data::plain_reason;

use crate::args::MachineArgs;

/// The device asked for, with as many threads as asked for.
fn device(machine: &MachineArgs) -> anyhow::Result<Device> {
    if let Some(threads) = machine.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global()?;
    }
    Ok(Device::parse(&machine.device)?)
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
