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
    /// Directory for simulated.h5ad, prepared.h5ad, model.safetensors, result.h5ad and report.html.
    #[arg(long, value_name = "DIR", default_value = "sclsd-demo", help_heading = FILES)]
    pub out: PathBuf,
    /// Number of cells to simulate.
    #[arg(long, value_name = "N", default_value_t = 1000, help_heading = SIMULATION)]
    pub cells: usize,
    /// Number of genes to simulate.
    #[arg(long, value_name = "N", default_value_t = 200, help_heading = SIMULATION)]
    pub genes: usize,
    /// Number of training epochs, at most [default: chosen from the size of the data].
    #[arg(long, value_name = "N", help_heading = SETTINGS)]
    pub epochs: Option<usize>,
    /// Seed of the simulation and of the training. Change it to see how much a result depends on chance.
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
    /// Number of cells.
    #[arg(long, value_name = "N", default_value_t = 1000, help_heading = SIMULATION)]
    pub cells: usize,
    /// Number of genes.
    #[arg(long, value_name = "N", default_value_t = 200, help_heading = SIMULATION)]
    pub genes: usize,
    /// Shape of the differentiation: how many fates there are, and where they part.
    #[arg(long, value_parser = choices(TOPOLOGIES), default_value_t = Topology::Bifurcation, help_heading = SIMULATION)]
    pub topology: Topology,
    /// Sequencing depth: median number of counts of a cell, divided by the number of genes. Lower it for noisier
    /// counts.
    #[arg(long, default_value_t = 2.0, help_heading = SIMULATION)]
    pub depth: f64,
    /// Standard deviation of the noise that is added to true_time to give prior_time. Both run from 0 to 1.
    #[arg(long, default_value_t = 0.05, help_heading = SIMULATION)]
    pub prior_noise: f64,
    /// Seed of the simulation. Another seed gives other cells of the same kind.
    #[arg(long, default_value_t = 0, help_heading = SIMULATION)]
    pub seed: u64,
}
