//! Options of where and with how many threads a command works.

use clap::Args;
use clap::builder::RangedI64ValueParser;

use super::headings::MACHINE;

/// Threads that may be asked for: 1024 is more than any machine has cores.
pub(super) fn thread_count() -> RangedI64ValueParser<u16> {
    RangedI64ValueParser::new().range(1..=1024)
}

#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    /// Where to train: cpu, ndarray, cuda:0 or wgpu:0; sclsd --version lists those of this build.
    ///
    /// sclsd train takes several devices, which train one model together, as in cuda:0,cuda:1.
    #[arg(long, value_name = "DEVICE", default_value = sclsd::Device::DEFAULT, help_heading = MACHINE)]
    pub device: String,
    /// Number of threads, 1 to 1024 [default: one per core].
    #[arg(long, value_name = "N", value_parser = thread_count(), help_heading = MACHINE)]
    pub threads: Option<u16>,
}

/// Threads of what needs no device: analysis runs on the CPU.
#[derive(Debug, Default, Args)]
pub(crate) struct ThreadArgs {
    /// Number of threads, 1 to 1024 [default: one per core].
    #[arg(long, value_name = "N", value_parser = thread_count(), help_heading = MACHINE)]
    pub threads: Option<u16>,
    /// Taken by earlier versions, without an effect.
    #[arg(long, hide = true, help_heading = MACHINE)]
    pub device: Option<String>,
}
