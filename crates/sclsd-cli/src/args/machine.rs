//! Options of the device and the number of threads of a command.

use clap::Args;
use clap::builder::RangedI64ValueParser;

use super::headings::MACHINE;

/// Allowed numbers of threads.
pub(super) fn thread_count() -> RangedI64ValueParser<u16> {
    RangedI64ValueParser::new().range(1..=1024)
}

#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    /// Device to train on: cpu, ndarray, cuda:0 or wgpu:0. Name a GPU, such as cuda:0, to train large models faster.
    ///
    /// sclsd --version lists the devices of this build. sclsd train takes several devices, which train one model
    /// together, as in cuda:0,cuda:1.
    #[arg(long, value_name = "DEVICE", default_value = sclsd::Device::DEFAULT, help_heading = MACHINE)]
    pub device: String,
    /// Number of CPU threads, 1 to 1024 [default: one per core]. Lower it to leave cores to other programs.
    #[arg(long, value_name = "N", value_parser = thread_count(), help_heading = MACHINE)]
    pub threads: Option<u16>,
}

/// Threads of the commands that run on the CPU only: all but training.
#[derive(Debug, Default, Args)]
pub(crate) struct ThreadArgs {
    /// Number of CPU threads, 1 to 1024 [default: one per core]. Lower it to leave cores to other programs.
    #[arg(long, value_name = "N", value_parser = thread_count(), help_heading = MACHINE)]
    pub threads: Option<u16>,
    /// No effect: accepted because earlier versions had this option.
    #[arg(long, hide = true, help_heading = MACHINE)]
    pub device: Option<String>,
}
