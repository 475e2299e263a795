//! Options of `plot`: one subcommand for each kind of picture, with the options of that kind only.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::headings::{CELLS, FILES, FOLLOWING, LOOKS};
use sclsd::analysis::Directions;

use super::examples;
use super::machine::ThreadArgs;
use super::symbols::SymbolArgs;
use crate::choices::{DIRECTIONS, choices};

/// Default of `--time-range`, in units of the length of a training walk.
pub(super) const TIME_RANGE: f64 = 15.0;

#[derive(Debug, Subcommand)]
pub(crate) enum PlotCommand {
    /// Cells, colored by a column of obs or by a gene.
    #[command(after_help = examples::EMBEDDING)]
    Embedding(EmbeddingPlot),
    /// Streamlines: the directions in which cells differentiate.
    #[command(after_help = examples::STREAM)]
    Stream(StreamPlot),
    /// The potential over the embedding, as contours or as a surface.
    #[command(after_help = examples::LANDSCAPE)]
    Landscape(LandscapePlot),
    /// Walks of the prior and trajectories of the model, from the same cells.
    #[command(after_help = examples::WALKS)]
    Walks(WalksPlot),
    /// Each coordinate of the latent state along time: median and quartiles by cluster.
    #[command(after_help = examples::COMPONENTS)]
    Components(ComponentsPlot),
    /// The terms of the loss and the progress of training, by epoch.
    #[command(after_help = examples::LOSS)]
    Loss(ResultPlot),
    /// The fates of the cells of each cluster, as flows from clusters to fates.
    #[command(after_help = examples::FATE_FLOWS)]
    Fates(ClusterPlot),
    /// Fate probabilities on the embedding, one panel for each fate.
    #[command(after_help = examples::FATE_PROBABILITIES)]
    FateProbabilities(FateProbabilitiesPlot),
    /// Cells between their fates: fates stand on a circle, and each cell is nearest to its likeliest fate.
    #[command(after_help = examples::FATE_CIRCLE)]
    FateCircle(ClusterPlot),
    /// Predicted against true fate probabilities of simulated cells (obs true_fate_…).
    #[command(after_help = examples::CALIBRATION)]
    Calibration(ResultPlot),
    /// The effect of perturbed genes on fates: log2 fold changes from the table of sclsd perturb.
    #[command(after_help = examples::PERTURBATIONS)]
    Perturb(PerturbPlot),
}

#[derive(Debug, Args)]
pub(crate) struct Drawing {
    /// Result of sclsd train, annotate or fates (.h5ad).
    pub(super) input: PathBuf,
    #[command(flatten)]
    pub(super) to: To,
}

#[derive(Debug, Args)]
pub(super) struct To {
    /// Picture to write: .svg or .png. A device or a pipe, such as /dev/stdout, gets SVG.
    #[arg(short, long, value_name = "FILE", help_heading = FILES)]
    pub(super) output: PathBuf,
    /// Title of the picture [default: what is drawn].
    #[arg(long, value_name = "TEXT", help_heading = LOOKS)]
    pub(super) title: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct On {
    /// Embedding of obsm to draw on [default: the first of X_umap, X_tsne and X_pca in the file].
    #[arg(long, value_name = "OBSM", help_heading = LOOKS)]
    pub(super) basis: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Colored {
    /// Column of obs, or gene, to color cells by [default: the clusters, or lsd_pseudotime if there are no clusters].
    #[arg(long, value_name = "COLUMN|GENE", help_heading = LOOKS)]
    pub(super) color: Option<String>,
    #[command(flatten)]
    pub(super) symbols: SymbolArgs,
}

#[derive(Debug, Args)]
pub(super) struct Clustered {
    /// Column of obs with the clusters (cell types) [default: the one that the model was trained with].
    ///
    /// Set it if the column has another name in this file. Configuration key of the training: keys.clusters.
    #[arg(long, value_name = "COLUMN", help_heading = CELLS)]
    pub(super) cluster_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ResultPlot {
    #[command(flatten)]
    pub(super) drawing: Drawing,
    #[command(flatten)]
    pub(super) threads: ThreadArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ClusterPlot {
    #[command(flatten)]
    pub(super) drawing: Drawing,
    #[command(flatten)]
    pub(super) clustered: Clustered,
    #[command(flatten)]
    pub(super) threads: ThreadArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FateProbabilitiesPlot {
    #[command(flatten)]
    pub(super) drawing: Drawing,
    #[command(flatten)]
    pub(super) on: On,
    #[command(flatten)]
    pub(super) clustered: Clustered,
    #[command(flatten)]
    pub(super) threads: ThreadArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EmbeddingPlot {
    #[command(flatten)]
    pub(super) drawing: Drawing,
    #[command(flatten)]
    pub(super) on: On,
    #[command(flatten)]
    pub(super) colored: Colored,
    #[command(flatten)]
    pub(super) clustered: Clustered,
    #[command(flatten)]
    pub(super) threads: ThreadArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StreamPlot {
    #[command(flatten)]
    pub(super) drawing: Drawing,
    #[command(flatten)]
    pub(super) on: On,
    #[command(flatten)]
    pub(super) colored: Colored,
    /// Directions that the streamlines follow. Use drift if streamlines seem to follow the density of cells.
    #[arg(long, value_parser = choices(DIRECTIONS), default_value_t = Directions::Transitions, help_heading = LOOKS)]
    pub(super) velocity: Directions,
    /// Density of the streamlines, relative to the usual one. Raise it for more lines: 2 draws twice as many side by
    /// side.
    #[arg(long, default_value_t = 1.0, help_heading = LOOKS)]
    pub(super) density: f64,
    /// Radius over which directions are averaged, in sixtieths of the picture. Raise it for smoother lines.
    #[arg(long, value_name = "RADIUS", default_value_t = 1.0, help_heading = LOOKS)]
    pub(super) smooth: f64,
    /// Color the streamlines by speed. Without this option only their width shows the speed.
    #[arg(long, help_heading = LOOKS)]
    pub(super) color_by_speed: bool,
    #[command(flatten)]
    pub(super) clustered: Clustered,
    #[command(flatten)]
    pub(super) threads: ThreadArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LandscapePlot {
    #[command(flatten)]
    pub(super) drawing: Drawing,
    #[command(flatten)]
    pub(super) on: On,
    /// Draw a surface in three dimensions instead of a map of contours.
    #[arg(long, help_heading = LOOKS)]
    pub(super) surface: bool,
    /// Rotation of the surface about the vertical axis, in degrees. Change it to see another side.
    #[arg(
        long,
        value_name = "DEGREES",
        default_value_t = -60.0,
        allow_negative_numbers = true,
        requires = "surface",
        help_heading = LOOKS
    )]
    pub(super) azimuth: f64,
    /// Height of the viewpoint above the horizon, in degrees. Raise it to look down from higher.
    #[arg(
        long,
        value_name = "DEGREES",
        default_value_t = 42.0,
        allow_negative_numbers = true,
        requires = "surface",
        help_heading = LOOKS
    )]
    pub(super) elevation: f64,
    #[command(flatten)]
    pub(super) clustered: Clustered,
    /// Trained model (.safetensors) [default: none]. Give it to draw cells that roll down the landscape.
    #[arg(long, value_name = "FILE", help_heading = FOLLOWING)]
    pub(super) model: Option<PathBuf>,
    /// Clusters whose cells are followed [default: all]; may be repeated.
    #[arg(long, num_args = 1.., value_name = "NAME", requires = "model", help_heading = FOLLOWING)]
    pub(super) clusters: Vec<String>,
    /// Number of cells to follow.
    #[arg(long, value_name = "N", default_value_t = 16, requires = "model", help_heading = FOLLOWING)]
    pub(super) paths: usize,
    /// Time for which cells are followed, in units of the length of a training walk.
    #[arg(long, value_name = "TIME", default_value_t = TIME_RANGE, requires = "model", help_heading = FOLLOWING)]
    pub(super) time_range: f64,
    #[command(flatten)]
    pub(super) threads: ThreadArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WalksPlot {
    #[command(flatten)]
    pub(super) drawing: Drawing,
    #[command(flatten)]
    pub(super) on: On,
    #[command(flatten)]
    pub(super) colored: Colored,
    #[command(flatten)]
    pub(super) clustered: Clustered,
    /// Trained model (.safetensors) [default: none]. Give it to draw trajectories of the model beside the prior walks.
    #[arg(long, value_name = "FILE", help_heading = FOLLOWING)]
    pub(super) model: Option<PathBuf>,
    /// Clusters in which the paths start [default: all]; may be repeated.
    #[arg(long, num_args = 1.., value_name = "NAME", help_heading = FOLLOWING)]
    pub(super) clusters: Vec<String>,
    /// Number of cells in which paths start.
    #[arg(long, value_name = "N", default_value_t = 6, help_heading = FOLLOWING)]
    pub(super) paths: usize,
    /// Time for which the trajectories of the model run, in units of the length of a training walk.
    #[arg(long, value_name = "TIME", default_value_t = TIME_RANGE, requires = "model", help_heading = FOLLOWING)]
    pub(super) time_range: f64,
    /// Seed of the random numbers of the prior walks. Change it to see other walks from the same cells.
    #[arg(long, default_value_t = 0, help_heading = FOLLOWING)]
    pub(super) seed: u64,
    #[command(flatten)]
    pub(super) threads: ThreadArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ComponentsPlot {
    #[command(flatten)]
    pub(super) drawing: Drawing,
    #[command(flatten)]
    pub(super) clustered: Clustered,
    /// Trained model (.safetensors), which moves the cells.
    #[arg(long, value_name = "FILE", help_heading = FOLLOWING)]
    pub(super) model: PathBuf,
    /// Clusters whose cells are followed [default: all]; may be repeated.
    #[arg(long, num_args = 1.., value_name = "NAME", help_heading = FOLLOWING)]
    pub(super) clusters: Vec<String>,
    /// Number of cells to follow.
    #[arg(long, value_name = "N", default_value_t = 400, help_heading = FOLLOWING)]
    pub(super) paths: usize,
    /// Time for which cells are followed, in units of the length of a training walk.
    #[arg(long, value_name = "TIME", default_value_t = TIME_RANGE, help_heading = FOLLOWING)]
    pub(super) time_range: f64,
    #[command(flatten)]
    pub(super) threads: ThreadArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PerturbPlot {
    /// Table that sclsd perturb wrote with -o (.csv).
    pub(super) input: PathBuf,
    #[command(flatten)]
    pub(super) to: To,
    #[command(flatten)]
    pub(super) threads: ThreadArgs,
}
