//! Options of `train`.

use std::path::PathBuf;

use clap::Args;

use sclsd::infer::Preset;
use sclsd::spec::Shard;

use super::headings::{CHECKPOINTS, CHECKS, FILES, MEMBERS, PHYLOGENY, PROCESSES, SETTINGS, TIME};

use super::machine::MachineArgs;
use super::write::WriteArgs;
use crate::choices::{PRESETS, choices};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct TrainArgs {
    /// Prepared file (.h5ad): expression in X, raw counts in a layer, library sizes, a neighbor graph and a pseudotime.
    /// sclsd inspect lists what is missing.
    pub input: PathBuf,
    /// Result to write (.h5ad): a copy of the input with latent states, potential, pseudotime and directions added.
    #[arg(short, long, value_name = "FILE", help_heading = FILES)]
    pub output: PathBuf,
    /// Model to write (.safetensors). Training saves the model here every --checkpoint-every epochs; --resume continues
    /// from this file.
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub model: PathBuf,
    #[command(flatten)]
    pub write: WriteArgs,
    /// Column of obs with the prior time, which directs the training walks from early to late cells
    /// [default: dpt_pseudotime].
    ///
    /// Name another column to use another time that increases from early to late cells, such as days or a score. The
    /// time must run from 0 to 1, unless --scale-time is given. To compare results with a time that you know, use sclsd
    /// evaluate --time-key instead. Configuration key: keys.time.
    #[arg(long, value_name = "COLUMN", help_heading = TIME)]
    pub time_key: Option<String>,
    /// Scale the prior time to the range from 0 to 1.
    ///
    /// Use this option if the prior time has other units, such as days. Configuration key: prior.scale_time.
    #[arg(long, help_heading = TIME)]
    pub scale_time: bool,
    /// Average the prior time of each cell over its neighbors, K times [default: 0].
    ///
    /// Use this option if the prior time is coarse, such as days: cells of the same day then get different times.
    /// Configuration key: prior.smooth_time.
    #[arg(long, value_name = "K", conflicts_with = "prior", help_heading = TIME)]
    pub smooth_time: Option<usize>,
    /// Clusters in which differentiation ends, such as mature cell types [default: found automatically]; may be
    /// repeated.
    ///
    /// Name them if the terminal states that training prints are wrong. Configuration key: prior.terminal.
    #[arg(long, num_args = 1.., value_name = "NAME", conflicts_with = "prior", help_heading = TIME)]
    pub terminal: Vec<String>,
    /// Matrix Market file (.mtx) with your own transition probabilities between cells, which replace the prior time
    /// [default: none].
    ///
    /// Use this option to train on the transitions of another method. Row i has the probabilities of going from cell i
    /// to each cell, in the order of the input; rows are scaled to sum to 1.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["time_key", "scale_time", "phylogeny", "infer_phylogeny", "bootstrap_prior"],
        help_heading = TIME
    )]
    pub prior: Option<PathBuf>,
    /// JSON file that says which cluster gives rise to which: {"parent": ["child", …], …} [default: none].
    ///
    /// Walks then only step within a cluster or to its children. Use this option if the lineage tree is known.
    #[arg(long, value_name = "FILE", help_heading = PHYLOGENY)]
    pub phylogeny: Option<PathBuf>,
    /// Cluster in which differentiation starts; the phylogeny is inferred from there, by the connections between
    /// clusters in the neighbor graph [default: not inferred].
    ///
    /// Use this option if you know where differentiation starts, but not the full tree.
    #[arg(long, value_name = "ROOT_CLUSTER", conflicts_with = "phylogeny", help_heading = PHYLOGENY)]
    pub infer_phylogeny: Option<String>,
    /// Column of obs with the clusters (cell types) that the phylogeny and --terminal name [default: clusters].
    ///
    /// Set it if the column has another name in your file. Configuration key: keys.clusters.
    #[arg(long, value_name = "COLUMN", help_heading = PHYLOGENY)]
    pub cluster_key: Option<String>,
    /// Weakest connection between a parent and a child, as a fraction of the parent's strongest connection.
    ///
    /// Lower it if children are missing from the inferred phylogeny; raise it if clusters have children that are not
    /// theirs. The most strongly connected cluster is always a child.
    #[arg(long, value_name = "FRACTION", default_value_t = 0.3, requires = "infer_phylogeny", help_heading = PHYLOGENY)]
    pub ratio: f64,
    /// Second, lower threshold, for a cluster to which the parent is connected more strongly than every child found by
    /// --ratio.
    ///
    /// Such a cluster probably descends from the parent itself, so a weaker connection makes it a child too. Lower the
    /// threshold if a small side branch is missing from the inferred phylogeny; set it to the value of --ratio to
    /// switch it off.
    #[arg(
        long,
        value_name = "FRACTION",
        default_value_t = 0.05,
        requires = "infer_phylogeny",
        help_heading = PHYLOGENY
    )]
    pub hot_ratio: f64,
    /// Train a small model first, which computes the prior time from the phylogeny.
    ///
    /// Use this option if you have a phylogeny but no pseudotime. The time is stored in obs prior_pseudotime.
    #[arg(long, conflicts_with_all = ["time_key", "scale_time"], help_heading = PHYLOGENY)]
    pub bootstrap_prior: bool,
    /// Number of training epochs of the small model. Raise it if obs prior_pseudotime does not increase along the
    /// phylogeny.
    #[arg(long, value_name = "N", default_value_t = 5, requires = "bootstrap_prior", help_heading = PHYLOGENY)]
    pub bootstrap_epochs: usize,
    /// Train one small model for each branch of the phylogeny, on the cells of that branch, instead of one model for
    /// all cells. Try it if obs prior_pseudotime orders the cells of a branch badly.
    #[arg(long, requires = "bootstrap_prior", help_heading = PHYLOGENY)]
    pub bootstrap_per_branch: bool,
    /// Settings to start from. Use reference to reproduce results of the Python package.
    #[arg(long, value_parser = choices(PRESETS), default_value_t = Preset::Recommended, help_heading = SETTINGS)]
    pub preset: Preset,
    /// Configuration file (.toml or .json) [default: none].
    ///
    /// Its settings replace those of --preset. --set and options such as --epochs replace those of the file.
    #[arg(long, value_name = "FILE", help_heading = SETTINGS)]
    pub config: Option<PathBuf>,
    /// One setting of the configuration, such as walks.path_len=20 [default: none]; may be repeated.
    ///
    /// The setting replaces that of --config. An unknown key is an error that lists the known keys.
    #[arg(long, value_name = "KEY=VALUE", help_heading = SETTINGS)]
    pub set: Vec<String>,
    /// Maximum number of training epochs [default: that of the preset].
    ///
    /// Raise it if the loss still falls when training ends; lower it for a quick trial. Configuration key: num_epochs.
    #[arg(long, value_name = "N", help_heading = SETTINGS)]
    pub epochs: Option<usize>,
    /// Seed of the random numbers of walks and training [default: 42].
    ///
    /// Train with several seeds to see which results are stable. Configuration keys: random_state and
    /// walks.random_state.
    #[arg(long, help_heading = SETTINGS)]
    pub seed: Option<u64>,
    /// Embedding of obsm that directions are computed on [default: the first of X_umap, X_tsne and X_pca in the file].
    ///
    /// Name another embedding to draw streamlines on it later.
    #[arg(long, value_name = "OBSM", help_heading = SETTINGS)]
    pub basis: Option<String>,
    /// Number of models to train on the same data with different seeds, 1 to 1000.
    ///
    /// Results are then the mean over the models, with their spread beside: what differs from one seed to the next is
    /// not to be believed. Member K (from 0) has the seed of the run plus K. Five are usual; training takes N times as
    /// long.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=1000),
        help_heading = MEMBERS
    )]
    pub members: u16,
    /// Train all members but the first on cells and edges of the graph that are drawn again with replacement.
    ///
    /// The spread then shows too what hangs on single cells and on single edges.
    #[arg(long, help_heading = MEMBERS)]
    pub bootstrap: bool,
    /// Train only every N-th member, beginning with the I-th, and write parts for sclsd combine [default: all members].
    ///
    /// Use it to train members on several machines: --shard 1/2 on one, --shard 2/2 on the other.
    #[arg(long, value_name = "I/N", help_heading = MEMBERS)]
    pub shard: Option<Shard>,
    /// Save the model every N epochs, and at the end.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = CHECKPOINTS
    )]
    pub checkpoint_every: u32,
    /// Continue training from the file of --model after an interruption. Repeat the command with the same input,
    /// settings and seed.
    ///
    /// The result is then the same as without the interruption. The data, the prior (time, phylogeny, terminal states),
    /// the configuration and the seed must stay the same; otherwise an error names the first difference. Only --epochs,
    /// --threads, --checkpoint-every and the names of files may change. Raise --epochs to continue a run that has
    /// reached its last epoch. On another device or CPU the result differs by rounding.
    #[arg(long, help_heading = CHECKPOINTS)]
    pub resume: bool,
    /// End with exit status 3 if the audit's verdict on the result is "do not believe". The result is written all the
    /// same.
    #[arg(long, help_heading = CHECKS)]
    pub strict: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Addresses of all processes that train one model together, in the same order for each process
    /// [default: one process].
    ///
    /// Use several processes to train on several machines. Start the same command once for each process, with the same
    /// file and settings and another --rank. The process with rank 0 writes the results.
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
    /// Seconds to wait for another process that sends nothing, before training ends with an error. Raise it if one
    /// machine is much slower than the others.
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
