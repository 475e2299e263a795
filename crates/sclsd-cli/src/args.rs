//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Latent State Dynamics: how cells differentiate, from single-cell RNA counts.
#[derive(Debug, Parser)]
#[command(name = "sclsd", version, about, propagate_version = true)]
pub(crate) struct Arguments {
    /// Say nothing but errors and results.
    #[arg(long, global = true)]
    pub quiet: bool,
    /// Print figures as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Simulate cells, train on them and compare with the truth.
    Demo(DemoArgs),
    /// Write simulated cells whose truth is known.
    Simulate(SimulateArgs),
    /// Train a model on a prepared .h5ad file and annotate its cells.
    Train(TrainArgs),
    /// Annotate the cells of a file with a trained model.
    Annotate(AnnotateArgs),
    /// Convert a checkpoint of the Python package.
    Convert(ConvertArgs),
    /// Say what is in an .h5ad file or a checkpoint, and what is missing for the next step.
    Inspect(InspectArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Directory for simulated.h5ad, model.safetensors and result.h5ad.
    #[arg(long, default_value = "sclsd-demo")]
    pub out: PathBuf,
    /// Number of cells.
    #[arg(long, default_value_t = 1000)]
    pub cells: usize,
    /// Number of genes.
    #[arg(long, default_value_t = 200)]
    pub genes: usize,
    /// Epochs of training.
    #[arg(long, default_value_t = 32)]
    pub epochs: usize,
    /// Seed of the simulation and of training.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// File to write.
    pub output: PathBuf,
    /// Number of cells.
    #[arg(long, default_value_t = 1000)]
    pub cells: usize,
    /// Number of genes.
    #[arg(long, default_value_t = 200)]
    pub genes: usize,
    /// Shape of the landscape.
    #[arg(long, value_enum, default_value_t = TopologyArg::Bifurcation)]
    pub topology: TopologyArg,
    /// Median library size, in counts per gene.
    #[arg(long, default_value_t = 2.0)]
    pub depth: f64,
    /// Standard deviation by which prior_time is blurred, in units of true_time (0 to 1).
    #[arg(long, default_value_t = 0.05)]
    pub prior_noise: f64,
    /// Seed.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum TopologyArg {
    Linear,
    Bifurcation,
    Tree,
    Cycle,
}

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// Prepared file: X, layer of counts, library sizes, connectivities, pseudotime.
    pub input: PathBuf,
    /// Result: a copy of the input with the annotation added.
    #[arg(short, long)]
    pub output: PathBuf,
    /// Checkpoint to write, and with --resume to go on from.
    #[arg(long)]
    pub model: PathBuf,
    /// Configuration in TOML or JSON.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// One field of the configuration, such as walks.path_len=20; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Column of obs with the prior pseudotime [default: dpt_pseudotime].
    #[arg(long)]
    pub time_key: Option<String>,
    /// Stretch the prior pseudotime to 0…1 first.
    #[arg(long)]
    pub scale_time: bool,
    /// Phylogeny: a JSON file of {"parent": ["child", …], …}.
    #[arg(long)]
    pub phylogeny: Option<PathBuf>,
    /// Column of obs with the clusters that the phylogeny names [default: clusters].
    #[arg(long)]
    pub cluster_key: Option<String>,
    /// Epochs of training.
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Seed of walks and of training.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Write the checkpoint every so many epochs, and at the end.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub checkpoint_every: u32,
    /// Go on from the checkpoint as if never interrupted.
    #[arg(long)]
    pub resume: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    /// Where to compute.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Number of threads [default: one per core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct AnnotateArgs {
    /// File with X and connectivities.
    pub input: PathBuf,
    /// Trained model.
    #[arg(long)]
    pub model: PathBuf,
    /// Result: a copy of the input with the annotation added.
    #[arg(short, long)]
    pub output: PathBuf,
    /// Graph of obsp [default: the one the model was trained with].
    #[arg(long)]
    pub connectivities: Option<String>,
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// Checkpoint of the Python package (.pth).
    pub input: PathBuf,
    /// Checkpoint to write (.safetensors).
    pub output: PathBuf,
    /// Configuration that the model was trained with, in TOML or JSON.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// File whose genes are the model's, in its order.
    #[arg(long)]
    pub genes: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// An .h5ad file or a checkpoint.
    pub input: PathBuf,
}
