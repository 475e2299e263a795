//! Options of `train`.

use std::path::PathBuf;

use clap::Args;

use super::headings::{CHECKPOINTS, CHECKS, FILES, PHYLOGENY, PROCESSES, SETTINGS, TIME};
use sclsd::infer::Preset;

use super::machine::MachineArgs;
use super::write::WriteArgs;
use crate::choices::{PRESETS, choices};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct TrainArgs {
    /// Prepared file (.h5ad): expression in X, raw counts in a layer, library sizes, a neighbor graph and a pseudotime.
    /// sclsd inspect lists what is missing.
    pub input: PathBuf,
    /// Result to write: a copy of the input with latent states, potential, pseudotime and directions added.
    #[arg(short, long, value_name = "FILE", help_heading = FILES)]
    pub output: PathBuf,
    /// Model to write (.safetensors). It is saved during training too; --resume goes on from it.
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub model: PathBuf,
    #[command(flatten)]
    pub write: WriteArgs,
    /// Column of obs with the prior time, which directs the training walks from early to late cells
    /// [default: dpt_pseudotime].
    ///
    /// Any time will do that runs from early to late: diffusion pseudotime, days, a score. It should run from 0 to 1;
    /// see --scale-time.
    #[arg(long, value_name = "COLUMN", help_heading = TIME)]
    pub time_key: Option<String>,
    /// Scale the prior time to the range from 0 to 1 first. Use it for a time in other units, such as days.
    #[arg(long, help_heading = TIME)]
    pub scale_time: bool,
    /// Average the prior time over neighbors K times [default: 0].
    ///
    /// Use it for a coarse time, such as days: cells of one day are then ordered too.
    #[arg(long, value_name = "K", conflicts_with = "prior", help_heading = TIME)]
    pub smooth_time: Option<usize>,
    /// Clusters in which differentiation ends [default: found automatically]; may be repeated.
    ///
    /// Set it if the terminal states that training prints are wrong.
    #[arg(long, num_args = 1.., value_name = "NAME", conflicts_with = "prior", help_heading = TIME)]
    pub terminal: Vec<String>,
    /// Your own transition probabilities between cells: a Matrix Market file (.mtx), cells × cells [default: none].
    /// They replace the prior time.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["time_key", "scale_time", "phylogeny", "infer_phylogeny", "bootstrap_prior"],
        help_heading = TIME
    )]
    pub prior: Option<PathBuf>,
    /// Which cluster gives rise to which: a JSON file of {"parent": ["child", …], …} [default: none].
    ///
    /// Walks then stay in a cluster or go on to the clusters after it. Use it if the lineage tree is known.
    #[arg(long, value_name = "FILE", help_heading = PHYLOGENY)]
    pub phylogeny: Option<PathBuf>,
    /// Infer the phylogeny from the connections between clusters, starting from this cluster [default: not inferred].
    ///
    /// Use it if you know where differentiation starts but not the whole tree.
    #[arg(long, value_name = "ROOT_CLUSTER", conflicts_with = "phylogeny", help_heading = PHYLOGENY)]
    pub infer_phylogeny: Option<String>,
    /// Column of obs with the clusters that the phylogeny and --terminal name [default: clusters].
    #[arg(long, value_name = "COLUMN", help_heading = PHYLOGENY)]
    pub cluster_key: Option<String>,
    /// A cluster is a child if its connection is at least this fraction of the parent's strongest connection.
    ///
    /// Lower it if children are missing from the inferred phylogeny.
    #[arg(long, value_name = "FRACTION", default_value_t = 0.3, requires = "infer_phylogeny", help_heading = PHYLOGENY)]
    pub ratio: f64,
    /// The same threshold, lower, for a cluster that the parent connects to more strongly than any of the children
    /// found so far does.
    #[arg(
        long,
        value_name = "FRACTION",
        default_value_t = 0.05,
        requires = "infer_phylogeny",
        help_heading = PHYLOGENY
    )]
    pub hot_ratio: f64,
    /// Train a small model first to get a prior time, if you have a phylogeny but no pseudotime. The time is stored in
    /// obs prior_pseudotime.
    #[arg(long, conflicts_with_all = ["time_key", "scale_time"], help_heading = PHYLOGENY)]
    pub bootstrap_prior: bool,
    /// Number of epochs of the small model.
    #[arg(long, value_name = "N", default_value_t = 5, requires = "bootstrap_prior", help_heading = PHYLOGENY)]
    pub bootstrap_epochs: usize,
    /// Train one small model for each branch of the phylogeny, on the cells of the branch, instead of one for all
    /// cells.
    #[arg(long, requires = "bootstrap_prior", help_heading = PHYLOGENY)]
    pub bootstrap_per_branch: bool,
    /// Settings to start from. "recommended" chooses them from the size of the data; "reference" uses those of the
    /// Python package.
    #[arg(long, value_parser = choices(PRESETS), default_value_t = Preset::Recommended, help_heading = SETTINGS)]
    pub preset: Preset,
    /// Configuration file (TOML or JSON) [default: none]. Its settings replace those of the preset.
    #[arg(long, value_name = "FILE", help_heading = SETTINGS)]
    pub config: Option<PathBuf>,
    /// One setting of the configuration, such as walks.path_len=20 [default: none]; may be repeated. It replaces that
    /// of --config.
    #[arg(long, value_name = "KEY=VALUE", help_heading = SETTINGS)]
    pub set: Vec<String>,
    /// Number of training epochs, at most [default: as the preset has it].
    #[arg(long, value_name = "N", help_heading = SETTINGS)]
    pub epochs: Option<usize>,
    /// Seed of the walks and of the training [default: 42]. Train with several seeds to see which results are stable.
    #[arg(long, help_heading = SETTINGS)]
    pub seed: Option<u64>,
    /// Embedding of obsm that directions are written for [default: the first of X_umap, X_tsne and X_pca in the file].
    #[arg(long, value_name = "OBSM", help_heading = SETTINGS)]
    pub basis: Option<String>,
    /// Save the model every N epochs, and at the end.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = CHECKPOINTS
    )]
    pub checkpoint_every: u32,
    /// Go on from the saved model after an interruption. Repeat all other options: the result is the same as if
    /// training had not been interrupted.
    #[arg(long, help_heading = CHECKPOINTS)]
    pub resume: bool,
    /// End with exit status 3 if the audit's verdict on the result is "do not believe". The result is written all the
    /// same.
    #[arg(long, help_heading = CHECKS)]
    pub strict: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Train one model with several processes: the addresses of all processes, in the same order everywhere
    /// [default: one process].
    ///
    /// Each process needs the same file and settings. Rank 0 writes the results.
    #[arg(
        long,
        value_name = "HOST:PORT,HOST:PORT",
        value_delimiter = ',',
        requires = "rank",
        help_heading = PROCESSES
    )]
    pub peers: Vec<String>,
    /// Number of this process in the list of --peers, counted from 0 [default: none].
    #[arg(long, value_name = "N", requires = "peers", help_heading = PROCESSES)]
    pub rank: Option<usize>,
    /// Seconds to wait for a process that sends nothing. Raise it if one machine is much slower.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 300,
        requires = "peers",
        value_parser = clap::value_parser!(u64).range(1..),
        help_heading = PROCESSES
    )]
    pub peer_timeout: u64,
}
