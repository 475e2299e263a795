//! Threads and devices to run on, as the command line asks for them.

use sclsd::Device;

use crate::args::{MachineArgs, ThreadArgs};
use crate::progress::Output;

/// The device asked for, with as many threads as asked for.
pub(super) fn device(machine: &MachineArgs) -> anyhow::Result<Device> {
    use_threads(machine.threads)?;
    Ok(machine.device.parse::<Device>()?)
}

/// As many threads as asked for; a device makes no difference to what only reads a model off.
pub(super) fn start(args: &ThreadArgs, output: Output) -> anyhow::Result<()> {
    if let Some(device) = &args.device {
        output.note(format!("--device {device} makes no difference here: only training runs on a device"));
    }
    use_threads(args.threads)
}

/// The devices asked for, one or several.
pub(super) fn devices(machine: &MachineArgs) -> anyhow::Result<Vec<Device>> {
    let names: Vec<&str> = machine.device.split(',').collect();
    if names.len() == 1 {
        use_threads(machine.threads)?;
    } else {
        // a thread trains on each and waits for the others: none of them can be one of those that do the work
        threads(machine.threads).build_global().map_err(no_threads)?;
    }
    names.into_iter().map(|name| Ok(name.parse::<Device>()?)).collect()
}

/// As many threads as asked for, of which this is one: work that it would hand to another, which has to be woken for
/// it, it does itself.
pub(super) fn use_threads(count: Option<u16>) -> anyhow::Result<()> {
    threads(count).use_current_thread().build_global().map_err(no_threads)
}

fn no_threads(error: rayon::ThreadPoolBuildError) -> anyhow::Error {
    anyhow::Error::new(error).context("threads cannot be started; give fewer with --threads")
}

fn threads(count: Option<u16>) -> rayon::ThreadPoolBuilder {
    rayon::ThreadPoolBuilder::new().num_threads(count.unwrap_or(0).into())
}
