//! Threads and devices, as the command line requests them.

use sclsd::Device;

use crate::args::{MachineArgs, ThreadArgs};
use crate::progress::Output;

/// The requested device; starts the requested number of threads.
pub(super) fn device(machine: &MachineArgs) -> anyhow::Result<Device> {
    use_threads(machine.threads)?;
    Ok(machine.device.parse::<Device>()?)
}

/// Starts the requested number of threads; notes that a device has no effect on commands that do not train.
pub(super) fn start(args: &ThreadArgs, output: Output) -> anyhow::Result<()> {
    if let Some(device) = &args.device {
        output.note(format!("--device {device} has no effect here: only training runs on a device"));
    }
    use_threads(args.threads)
}

/// The requested devices, one or several.
pub(super) fn devices(machine: &MachineArgs) -> anyhow::Result<Vec<Device>> {
    let names: Vec<&str> = machine.device.split(',').collect();
    if names.len() == 1 {
        use_threads(machine.threads)?;
    } else {
        // one thread per device trains and waits for the others, so none of these may be a thread of the pool
        threads(machine.threads).build_global().map_err(no_threads)?;
    }
    names.into_iter().map(|name| Ok(name.parse::<Device>()?)).collect()
}

/// Starts the requested number of threads, this thread included, so that this thread does its own work instead of
/// waking another for it.
pub(super) fn use_threads(count: Option<u16>) -> anyhow::Result<()> {
    threads(count).use_current_thread().build_global().map_err(no_threads)
}

fn no_threads(error: rayon::ThreadPoolBuildError) -> anyhow::Error {
    anyhow::Error::new(error).context("threads cannot be started; give fewer with --threads")
}

fn threads(count: Option<u16>) -> rayon::ThreadPoolBuilder {
    rayon::ThreadPoolBuilder::new().num_threads(count.unwrap_or(0).into())
}
