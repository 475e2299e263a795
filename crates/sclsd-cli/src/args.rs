//! The command line.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use sclsd::analysis::Directions;
use sclsd::data::{Compression, Flavor, Topology};
use sclsd::infer::Preset;

use crate::choices::{COMPRESSIONS, DIRECTIONS, FLAVORS, PRESETS, TOPOLOGIES, choices};

/// Threads that may be asked for: more than any machine has cores.
const MOST_THREADS: i64 = 1024;

/// β of the walks that are absorbed, unless another is asked for; `docs/fates.md` compares values.
pub(crate) const FATE_BETA: f64 = 50.0;

/// Latent State Dynamics: how cells differentiate, from single-cell RNA counts.
#[derive(Debug, Parser)]
#[command(name = "sclsd", version, about, propagate_version = true)]
pub(crate) struct Arguments {
    /// Say nothing but errors and results: no progress, no notes.
    #[arg(long, global = true)]
    pub quiet: bool,
    /// Print figures as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// The instructions that kernels run with, to see what a lesser processor would do: scalar, neon, avx2, avx512 or amx.
    #[arg(long, global = true, hide = true, value_name = "LEVEL")]
    pub simd: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Simulate cells, train on them and compare with the truth.
    Demo(DemoArgs),
    /// Write simulated cells whose truth is known, with components, neighbours and a layout.
    Simulate(SimulateArgs),
    /// Take raw counts all the way to a file that can be trained on.
    Prepare(PrepareArgs),
    /// Train a model on a prepared .h5ad file and annotate its cells.
    Train(TrainArgs),
    /// Annotate the cells of a file with a trained model.
    Annotate(AnnotateArgs),
    /// Say how likely each cell is to end in each terminal state.
    Fates(FatesArgs),
    /// Knock genes out, or set them to a level, and say where cells end then.
    Perturb(PerturbArgs),
    /// Score directions and pseudotime against what is known.
    Evaluate(EvaluateArgs),
    /// Draw one picture of a result.
    Plot(PlotArgs),
    /// Write one HTML file with everything a result says, to be opened in a browser.
    Report(ReportArgs),
    /// Convert a checkpoint of the Python package.
    Convert(ConvertArgs),
    /// Say what is in an .h5ad file or a checkpoint, and what is missing for the next step.
    Inspect(InspectArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Directory for simulated.h5ad, prepared.h5ad, model.safetensors, result.h5ad and report.html.
    #[arg(long, default_value = "sclsd-demo")]
    pub out: PathBuf,
    /// Number of cells.
    #[arg(long, default_value_t = 1000)]
    pub cells: usize,
    /// Number of genes.
    #[arg(long, default_value_t = 200)]
    pub genes: usize,
    /// Epochs of training, at most [default: those of the recommended preset].
    #[arg(long)]
    pub epochs: Option<usize>,
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
    #[command(flatten)]
    pub write: WriteArgs,
    /// Number of cells.
    #[arg(long, default_value_t = 1000)]
    pub cells: usize,
    /// Number of genes.
    #[arg(long, default_value_t = 200)]
    pub genes: usize,
    /// Shape of the landscape.
    #[arg(long, value_parser = choices(TOPOLOGIES), default_value_t = Topology::Bifurcation)]
    pub topology: Topology,
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

#[derive(Debug, Args)]
pub(crate) struct PrepareArgs {
    /// File with raw counts, in X or in a layer.
    pub input: PathBuf,
    /// Prepared file to write.
    #[arg(short, long)]
    pub output: PathBuf,
    #[command(flatten)]
    pub symbols: SymbolArgs,
    #[command(flatten)]
    pub write: WriteArgs,
    /// Where the counts are: a layer's name, X, or raw.X [default: the first there is of the layers raw and counts, raw.X and
    /// X that holds counts]. The prepared file has them in the layer raw.
    #[arg(long, value_name = "LAYER|X|raw.X")]
    pub counts: Option<String>,
    /// Number of most variable genes to keep [default: 5000, or all with a count where there are no more].
    #[arg(long)]
    pub n_top_genes: Option<usize>,
    /// How variability is measured.
    #[arg(long, value_parser = choices(FLAVORS), default_value_t = Flavor::Dispersion)]
    pub flavor: Flavor,
    /// File with the names of the genes to keep, one on a line, instead of the most variable ones.
    #[arg(long, conflicts_with = "n_top_genes")]
    pub genes: Option<PathBuf>,
    /// Counts of a cell after normalisation.
    #[arg(long, default_value_t = 1e4)]
    pub target_sum: f64,
    /// Principal components.
    #[arg(long, default_value_t = 50)]
    pub n_pcs: usize,
    /// Neighbours of a cell, itself included.
    #[arg(long, default_value_t = 15)]
    pub n_neighbors: usize,
    /// Column of obs with clusters; made by the Leiden algorithm where there is none.
    #[arg(long, default_value = "clusters")]
    pub cluster_key: String,
    /// Resolution of the Leiden algorithm: more makes more clusters.
    #[arg(long, default_value_t = 1.0)]
    pub resolution: f64,
    /// Cluster in which pseudotime begins: at its outermost cell.
    #[arg(long)]
    pub root_cluster: Option<String>,
    /// Cell at which pseudotime begins.
    #[arg(long, conflicts_with = "root_cluster")]
    pub root_cell: Option<String>,
    /// Leave out cells that the graph does not join to the root.
    #[arg(long)]
    pub drop_unreachable: bool,
    /// Make everything anew, whatever the file already has (clusters excepted).
    #[arg(long)]
    pub force: bool,
    /// Seed of clusters and layout.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Number of threads, 1 to 1024 [default: one per core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=MOST_THREADS))]
    pub threads: Option<u16>,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct TrainArgs {
    /// Prepared file: X, layer of counts, library sizes, connectivities, pseudotime.
    pub input: PathBuf,
    /// Result: a copy of the input with the annotation added.
    #[arg(short, long)]
    pub output: PathBuf,
    #[command(flatten)]
    pub write: WriteArgs,
    /// Checkpoint to write, and with --resume to go on from.
    #[arg(long)]
    pub model: PathBuf,
    /// Settings to begin with: recommended chooses them by the data, reference has those of the Python package.
    #[arg(long, value_parser = choices(PRESETS), default_value_t = Preset::Recommended)]
    pub preset: Preset,
    /// Clusters in which differentiation ends, in place of those that are found; may be repeated. Change it when the
    /// terminal states that are printed are not the ones you know.
    #[arg(long, num_args = 1.., value_name = "NAME", conflicts_with = "prior")]
    pub terminal: Vec<String>,
    /// Average the prior time over neighbours so many times: for a coarse time, such as days, which then has an order
    /// within a day too.
    #[arg(long, value_name = "K", conflicts_with = "prior")]
    pub smooth_time: Option<usize>,
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
    /// Infer the phylogeny from the connectivity of clusters, beginning at this one.
    #[arg(long, value_name = "ROOT_CLUSTER", conflicts_with = "phylogeny")]
    pub infer_phylogeny: Option<String>,
    /// Share of a cluster's strongest connection from which on another is its child.
    #[arg(long, default_value_t = 0.3, requires = "infer_phylogeny")]
    pub ratio: f64,
    /// The same for a cluster to which this one is connected more strongly than all its children are.
    #[arg(long, default_value_t = 0.05, requires = "infer_phylogeny")]
    pub hot_ratio: f64,
    /// Make a prior time with a small model, for a phylogeny that is given or inferred; obs prior_pseudotime keeps it.
    #[arg(long, conflicts_with_all = ["time_key", "scale_time"])]
    pub bootstrap_prior: bool,
    /// Epochs of the small model.
    #[arg(long, default_value_t = 5, requires = "bootstrap_prior")]
    pub bootstrap_epochs: usize,
    /// Train a small model for every branch of the phylogeny, on its own cells.
    #[arg(long, requires = "bootstrap_prior")]
    pub bootstrap_per_branch: bool,
    /// Transition probabilities of the walks themselves, in place of a time: a Matrix Market file (.mtx).
    #[arg(long, conflicts_with_all = ["time_key", "scale_time", "phylogeny", "infer_phylogeny", "bootstrap_prior"])]
    pub prior: Option<PathBuf>,
    /// Column of obs with the clusters that the phylogeny names [default: clusters].
    #[arg(long)]
    pub cluster_key: Option<String>,
    /// Embedding of obsm on which directions are drawn [default: the first there is of X_umap, X_tsne and X_pca].
    #[arg(long)]
    pub basis: Option<String>,
    /// Epochs of training, at most [default: by the preset].
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
    /// Train together with other processes, on this machine or others: the addresses of all, the same for each. Every one has
    /// the same file and settings; the first writes the results.
    #[arg(long, value_name = "HOST:PORT,HOST:PORT", value_delimiter = ',', requires = "rank")]
    pub peers: Vec<String>,
    /// Which of the peers this one is, counted from 0.
    #[arg(long, requires = "peers")]
    pub rank: Option<usize>,
    /// Seconds to wait for a peer that is silent.
    #[arg(long, default_value_t = 300, requires = "peers", value_parser = clap::value_parser!(u64).range(1..))]
    pub peer_timeout: u64,
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    /// Where to compute: cpu, ndarray, cuda:0 or wgpu:0, as far as this build has them; for training several, such as
    /// cuda:0,cuda:1.
    #[arg(long, default_value = sclsd::Device::DEFAULT)]
    pub device: String,
    /// Number of threads, 1 to 1024 [default: one per core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=MOST_THREADS))]
    pub threads: Option<u16>,
}

/// Threads of what needs no device: analysis runs on the CPU.
#[derive(Debug, Default, Args)]
pub(crate) struct ThreadArgs {
    /// Number of threads, 1 to 1024 [default: one per core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=MOST_THREADS))]
    pub threads: Option<u16>,
    /// What earlier versions took and did nothing with.
    #[arg(long, hide = true)]
    pub device: Option<String>,
}

/// How genes are called.
#[derive(Debug, Default, Args)]
pub(crate) struct SymbolArgs {
    /// Column of var in which genes are called as they are named here, where their names are others, such as Ensembl ids.
    #[arg(long, value_name = "COLUMN")]
    pub gene_symbols: Option<String>,
}

/// How files of cells are written.
#[derive(Debug, Default, Args)]
pub(crate) struct WriteArgs {
    /// How arrays are packed that are written.
    #[arg(long, value_parser = choices(COMPRESSIONS), default_value_t = Compression::None)]
    pub compress: Compression,
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
    #[command(flatten)]
    pub write: WriteArgs,
    /// Graph of obsp [default: the one the model was trained with].
    #[arg(long)]
    pub connectivities: Option<String>,
    /// Embedding of obsm on which directions are drawn [default: the first there is of X_umap, X_tsne and X_pca].
    #[arg(long)]
    pub basis: Option<String>,
    #[command(flatten)]
    pub threads: ThreadArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FatesArgs {
    /// Result of sclsd train or annotate.
    pub input: PathBuf,
    /// The model it was annotated with.
    #[arg(long)]
    pub model: PathBuf,
    /// Copy of the input with obsm fate_probabilities, obs fate and fate_entropy added, and beside them the same by the
    /// prior and by neighbours.
    #[arg(short, long)]
    pub output: PathBuf,
    #[command(flatten)]
    pub write: WriteArgs,
    /// How fates are told.
    #[arg(long, value_enum, default_value_t = FateMethodArg::Transitions, conflicts_with = "hard")]
    pub method: FateMethodArg,
    /// Clusters in which differentiation ends [default: those of the run].
    #[arg(long, num_args = 1.., value_name = "NAME", conflicts_with = "hard")]
    pub terminal: Vec<String>,
    /// How much rarer a step is the earlier it leads, per unit of pseudotime (0 to 1): with --method transitions or prior, and
    /// for the prior's fates that are written beside every method's. Lower it where mature cells are said to become another fate, raise it where fates hardly differ.
    #[arg(long, default_value_t = FATE_BETA, allow_negative_numbers = true, conflicts_with = "hard")]
    pub beta: f64,
    /// Share of the prior's steps among the model's, 0 (the model alone) to 1, with --method transitions [default: 0.5].
    #[arg(long, value_parser = share, allow_negative_numbers = true, conflicts_with = "hard")]
    pub prior_weight: Option<f64>,
    /// Follow each cell down the potential and take the cluster of the one cell it ends nearest to, as the Python package
    /// does, in place of probabilities.
    #[arg(long)]
    pub hard: bool,
    /// Column of obs with the clusters that are fates [default: the one the model was trained with].
    #[arg(long)]
    pub cluster_key: Option<String>,
    /// Time to follow cells for, with --hard or --method flow, in units of a training walk's length.
    #[arg(long, default_value_t = 15.0)]
    pub time_range: f64,
    /// Time between two points of a path, with --hard.
    #[arg(long, default_value_t = 0.5, requires = "hard")]
    pub dt: f64,
    /// Write the nearest cell at every point of every path to this .safetensors file, with --hard.
    #[arg(long, requires = "hard")]
    pub paths: Option<PathBuf>,
    #[command(flatten)]
    pub threads: ThreadArgs,
}

impl FatesArgs {
    /// The defaults, written into the result itself.
    pub(crate) fn of(result: &Path, model: &Path) -> Self {
        Self {
            input: result.to_owned(),
            model: model.to_owned(),
            output: result.to_owned(),
            write: WriteArgs::default(),
            method: FateMethodArg::Transitions,
            terminal: Vec::new(),
            beta: FATE_BETA,
            prior_weight: None,
            hard: false,
            cluster_key: None,
            time_range: 15.0,
            dt: 0.5,
            paths: None,
            threads: ThreadArgs::default(),
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("expected a share of 0 to 1".into()) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FateMethodArg {
    /// Where a walk of the prior is absorbed: without a model.
    Prior,
    /// The vote of the 15 terminal cells that are nearest in X_pca: without a model.
    Neighbors,
    /// Where a walk is absorbed whose steps are the model's or the prior's.
    Transitions,
    /// The same for steps to neighbours in the direction of the model's drift.
    Drift,
    /// The terminal cells nearest to where the model's flow ends.
    Flow,
}

impl FateMethodArg {
    /// Its name on the command line and in files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prior => "prior",
            Self::Neighbors => "neighbors",
            Self::Transitions => "transitions",
            Self::Drift => "drift",
            Self::Flow => "flow",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct PerturbArgs {
    /// File with the cells: X, and the clusters that are fates.
    pub input: PathBuf,
    /// Trained model.
    #[arg(long)]
    pub model: PathBuf,
    /// Genes to set; may be repeated.
    #[arg(long, required = true, num_args = 1.., value_name = "NAME")]
    pub gene: Vec<String>,
    #[command(flatten)]
    pub symbols: SymbolArgs,
    /// Perturb each gene by itself rather than all together.
    #[arg(long)]
    pub each: bool,
    /// What to set them to, in units of X: 0 is a knockout.
    #[arg(long, default_value_t = 0.0)]
    pub level: f64,
    /// Column of obs with the clusters that are fates.
    #[arg(long)]
    pub cluster_key: String,
    /// Perturb cells of these clusters only.
    #[arg(long, num_args = 1.., value_name = "NAME")]
    pub clusters: Vec<String>,
    /// Table of fates by cluster (.csv).
    #[arg(short, long)]
    pub output: PathBuf,
    /// Table of fates by cell (.csv).
    #[arg(long)]
    pub cells_out: Option<PathBuf>,
    /// Rounds in which the genes are set anew.
    #[arg(long, default_value_t = 10)]
    pub rounds: usize,
    /// Time to follow cells for in a round.
    #[arg(long, default_value_t = 0.2)]
    pub dt_pert: f64,
    /// Time to follow them for at last.
    #[arg(long, default_value_t = 15.0)]
    pub time_range: f64,
    #[command(flatten)]
    pub threads: ThreadArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EvaluateArgs {
    /// Result of sclsd train or annotate.
    pub input: PathBuf,
    /// Column of obs with clusters [default: the one the model was trained with].
    #[arg(long)]
    pub cluster_key: Option<String>,
    /// Which cluster gives rise to which, as "A>B,B>C", or a JSON file of {"parent": ["child", …], …}, in which names may
    /// hold commas [default: the run's phylogeny, or uns cluster_edges].
    #[arg(long)]
    pub edges: Option<String>,
    /// Embedding of obsm [default: the first there is of X_umap, X_tsne and X_pca].
    #[arg(long)]
    pub basis: Option<String>,
    /// Graph of obsp [default: the run's].
    #[arg(long)]
    pub connectivities: Option<String>,
    /// Columns of obs to compare lsd_pseudotime with; may be repeated.
    #[arg(long, num_args = 1..)]
    pub time_key: Vec<String>,
    /// Element of obsm with the numbers of sister cells (of the same clone) by fate, to compare fate probabilities with.
    #[arg(long, value_name = "OBSM")]
    pub sisters: Option<String>,
    /// Element of uns with the names of its columns.
    #[arg(long, value_name = "UNS", default_value = "fate_names", requires = "sisters")]
    pub sister_names: String,
    /// Trained model: how many cells' flow ends off the data is told with it.
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// Number of threads, 1 to 1024 [default: one per core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=MOST_THREADS))]
    pub threads: Option<u16>,
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

#[derive(Debug, Args)]
pub(crate) struct PlotArgs {
    /// Result of sclsd train, annotate or fates; for --kind perturb the table that sclsd perturb wrote.
    pub input: PathBuf,
    /// What to draw.
    #[arg(long, value_enum)]
    pub kind: PlotKind,
    /// Picture to write, .svg or .png; what goes to a device or a pipe, as /dev/stdout, is SVG.
    #[arg(short, long)]
    pub output: PathBuf,
    /// Column of obs, or gene, that colours cells [default: the clusters of the run, or lsd_pseudotime].
    #[arg(long)]
    pub color: Option<String>,
    #[command(flatten)]
    pub symbols: SymbolArgs,
    /// Embedding of obsm to draw on [default: the first there is of X_umap, X_tsne and X_pca].
    #[arg(long)]
    pub basis: Option<String>,
    /// Column of obs with clusters [default: the one the model was trained with].
    #[arg(long)]
    pub cluster_key: Option<String>,
    /// Trained model: for trajectories on a landscape, among walks, and for components.
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// Clusters whose cells paths start from [default: all].
    #[arg(long, num_args = 1.., value_name = "NAME")]
    pub clusters: Vec<String>,
    /// Cells that paths start from [default: 16 on a landscape, 6 for walks, 400 for components].
    #[arg(long, value_name = "N")]
    pub paths: Option<usize>,
    /// Time to follow cells for, in units of a training walk's length [default: 15].
    #[arg(long)]
    pub time_range: Option<f64>,
    /// Whose directions streamlines follow [default: transitions].
    #[arg(long, value_parser = choices(DIRECTIONS))]
    pub velocity: Option<Directions>,
    /// How close streamlines are: 2 draws twice as many across [default: 1].
    #[arg(long)]
    pub density: Option<f64>,
    /// Radius over which directions are averaged, in sixtieths of the picture [default: 1].
    #[arg(long)]
    pub smooth: Option<f64>,
    /// Colour streamlines by speed; their width follows it in any case.
    #[arg(long)]
    pub color_by_speed: bool,
    /// Draw the landscape as a surface rather than as a map of contours.
    #[arg(long)]
    pub surface: bool,
    /// Turn of the surface, in degrees [default: -60].
    #[arg(long, allow_negative_numbers = true, requires = "surface")]
    pub azimuth: Option<f64>,
    /// Height of the eye above the horizon, in degrees [default: 42].
    #[arg(long, allow_negative_numbers = true, requires = "surface")]
    pub elevation: Option<f64>,
    /// Title [default: what is drawn].
    #[arg(long)]
    pub title: Option<String>,
    /// Seed of the prior walks [default: 0].
    #[arg(long)]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub threads: ThreadArgs,
}

impl PlotArgs {
    /// Options that were given, but for those that every kind has.
    fn given(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("--color", self.color.is_some()),
            ("--basis", self.basis.is_some()),
            ("--cluster-key", self.cluster_key.is_some()),
            ("--model", self.model.is_some()),
            ("--clusters", !self.clusters.is_empty()),
            ("--paths", self.paths.is_some()),
            ("--time-range", self.time_range.is_some()),
            ("--velocity", self.velocity.is_some()),
            ("--density", self.density.is_some()),
            ("--smooth", self.smooth.is_some()),
            ("--color-by-speed", self.color_by_speed),
            ("--surface", self.surface),
            ("--azimuth", self.azimuth.is_some()),
            ("--elevation", self.elevation.is_some()),
            ("--seed", self.seed.is_some()),
        ];
        all.into_iter().filter_map(|(name, given)| given.then_some(name))
    }

    /// An option that is of other kinds of pictures than the one that is asked for, and what those are.
    pub(crate) fn misplaced(&self) -> Option<(&'static str, Vec<String>)> {
        let option = self.given().find(|option| !self.kind.options().contains(option))?;
        let kinds = PlotKind::value_variants().iter().filter(|kind| kind.options().contains(&option));
        Some((option, kinds.map(|kind| kind.name()).collect()))
    }
}

impl PlotKind {
    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The options it has beside those of every kind.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Embedding => &["--color", "--basis", "--cluster-key"],
            Self::Stream => {
                &["--color", "--basis", "--cluster-key", "--velocity", "--density", "--smooth", "--color-by-speed"]
            }
            Self::Landscape => &[
                "--basis",
                "--cluster-key",
                "--model",
                "--clusters",
                "--paths",
                "--time-range",
                "--surface",
                "--azimuth",
                "--elevation",
            ],
            Self::Walks => {
                &["--color", "--basis", "--cluster-key", "--model", "--clusters", "--paths", "--time-range", "--seed"]
            }
            Self::Components => &["--cluster-key", "--model", "--clusters", "--paths", "--time-range"],
            Self::Fates | Self::FateCircle => &["--cluster-key"],
            Self::FateProbabilities => &["--basis", "--cluster-key"],
            Self::Loss | Self::Calibration | Self::Perturb => &[],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlotKind {
    /// Cells, coloured by a column of obs or a gene.
    Embedding,
    /// Streamlines of the directions cells go in.
    Stream,
    /// The potential over the embedding: contours, or a surface with --surface.
    Landscape,
    /// Walks of the prior and trajectories of the model.
    Walks,
    /// Latent components along time.
    Components,
    /// The loss and the progress metrics by epoch.
    Loss,
    /// Which cluster's cells have which fate.
    Fates,
    /// Fate probabilities on the embedding, a panel a fate.
    FateProbabilities,
    /// Every cell between its fates, which stand on a circle.
    FateCircle,
    /// Fate probabilities against true ones, where the file has them (obs true_fate_…).
    Calibration,
    /// What perturbed genes do to fates.
    Perturb,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Result of sclsd train, annotate or fates.
    pub input: PathBuf,
    /// The model it was annotated with; trajectories and fates need it.
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// Page to write (.html).
    #[arg(short, long)]
    pub output: PathBuf,
    /// Embedding of obsm to draw on [default: the first there is of X_umap, X_tsne and X_pca].
    #[arg(long)]
    pub basis: Option<String>,
    /// Column of obs with clusters [default: the one the model was trained with].
    #[arg(long)]
    pub cluster_key: Option<String>,
    /// Further columns of obs, or genes, that cells can be coloured by.
    #[arg(long, num_args = 1.., value_name = "KEY")]
    pub color: Vec<String>,
    #[command(flatten)]
    pub symbols: SymbolArgs,
    /// Time to follow cells for, in units of a training walk's length.
    #[arg(long, default_value_t = 15.0)]
    pub time_range: f64,
    /// Title [default: the name of the file].
    #[arg(long)]
    pub title: Option<String>,
    #[command(flatten)]
    pub threads: ThreadArgs,
}
