//! Options of `demo` and `simulate`.

use std::path::PathBuf;

use clap::Args;

use super::headings::{FILES, SETTINGS, SIMULATION};
use sclsd::data::Topology;

use super::machine::MachineArgs;
use super::write::WriteArgs;
use crate::choices::{TOPOLOGIES, choices};

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Directory for the files of the demo: simulated.h5ad, prepared.h5ad, model.safetensors, result.h5ad, report.html.
    #[arg(long, value_name = "DIR", default_value = "sclsd-demo", help_heading = FILES)]
    pub out: PathBuf,
    /// Number of cells to simulate. Lower it for a quicker demo.
    #[arg(long, value_name = "N", default_value_t = 1000, help_heading = SIMULATION)]
    pub cells: usize,
    /// Number of genes to simulate. Lower it for a quicker demo.
    #[arg(long, value_name = "N", default_value_t = 200, help_heading = SIMULATION)]
    pub genes: usize,
    /// Maximum number of training epochs [default: chosen from the size of the data]. Lower it for a quicker demo.
    #[arg(long, value_name = "N", help_heading = SETTINGS)]
    pub epochs: Option<usize>,
    /// Seed of the random numbers of simulation and training. Change it to see how much a result depends on chance.
    #[arg(long, default_value_t = 0, help_heading = SETTINGS)]
    pub seed: u64,
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// File to write (.h5ad).
    pub output: PathBuf,
    #[command(flatten)]
    pub write: WriteArgs,
    /// Number of cells to simulate.
    #[arg(long, value_name = "N", default_value_t = 1000, help_heading = SIMULATION)]
    pub cells: usize,
    /// Number of genes to simulate. (In other commands --genes is a file.)
    #[arg(long, value_name = "N", default_value_t = 200, help_heading = SIMULATION)]
    pub genes: usize,
    /// Shape of the differentiation: the number of fates, and where the paths to them part.
    #[arg(long, value_parser = choices(TOPOLOGIES), default_value_t = Topology::Bifurcation, help_heading = SIMULATION)]
    pub topology: Topology,
    /// Sequencing depth: median number of counts of a cell, divided by the number of genes. Lower it for noisier
    /// counts.
    #[arg(long, default_value_t = 2.0, help_heading = SIMULATION)]
    pub depth: f64,
    /// Standard deviation of the noise in the simulated prior time: obs prior_time is obs true_time plus this noise.
    ///
    /// Both times run from 0 to 1. Raise it to see how a bad prior time changes the results.
    #[arg(long, default_value_t = 0.05, help_heading = SIMULATION)]
    pub prior_noise: f64,
    /// Seed of the random numbers of the simulation. Change it for other cells of the same kind.
    #[arg(long, default_value_t = 0, help_heading = SIMULATION)]
    pub seed: u64,
}
