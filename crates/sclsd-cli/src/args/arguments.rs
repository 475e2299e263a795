//! The commands, and the options of all of them.

use clap::{Parser, Subcommand};

use super::audit::AuditArgs;
use super::combine::CombineArgs;
use super::evaluate::EvaluateArgs;
use super::examples;
use super::fates::FatesArgs;
use super::headings::OUTPUT;
use super::model::{AnnotateArgs, ConvertArgs, InspectArgs};
use super::perturb::PerturbArgs;
use super::plot::PlotCommand;
use super::prepare::PrepareArgs;
use super::report::ReportArgs;
use super::shell::{CompletionsArgs, ManArgs};
use super::simulation::{DemoArgs, SimulateArgs};
use super::train::TrainArgs;

/// Columns of `--help` at most.
const HELP_WIDTH: usize = 100;

/// What `sclsd --help` opens with.
const PURPOSE: &str = "\
sclsd learns how cells differentiate from single-cell RNA counts (Latent State Dynamics). It trains a model on an \
.h5ad file, as scanpy writes it, and adds to each cell a latent state, a potential (high in stem cells, low in mature \
cells), a pseudotime, the direction in which it differentiates, and the probability of each fate. It also predicts \
what a knockout does to the fates.

The commands in the order in which they are used:
  1. prepare   makes raw counts ready for training (or use scanpy; inspect lists what is missing)
  2. train     fits the model and annotates the cells (annotate does so for further cells)
  3. fates     computes the probability of each fate for each cell
  4. audit     checks whether the result is to be believed
  5. evaluate, perturb, plot, report   score, predict, draw and show the result
demo runs all of it on simulated cells.";

/// Learn how cells differentiate from single-cell RNA counts (Latent State Dynamics).
#[derive(Debug, Parser)]
#[command(
    name = "sclsd",
    version,
    about,
    long_about = PURPOSE,
    after_help = examples::PROGRAM,
    propagate_version = true,
    disable_help_flag = true,
    disable_version_flag = true,
    max_term_width = HELP_WIDTH
)]
pub(crate) struct Arguments {
    /// Print only results and errors, without progress and notes.
    #[arg(long, global = true, help_heading = OUTPUT)]
    pub quiet: bool,
    /// Print the numbers of the result as JSON, for use in a script.
    #[arg(long, global = true, help_heading = OUTPUT)]
    pub json: bool,
    /// SIMD level of the kernels: scalar, neon, avx2, avx512 or amx [default: the best that this CPU has].
    ///
    /// Lower it to reproduce the results of another CPU.
    #[arg(long, global = true, hide = true, value_name = "LEVEL", help_heading = OUTPUT)]
    pub simd: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Simulate cells, train on them, and compare the result with the truth.
    #[command(after_help = examples::DEMO)]
    Demo(DemoArgs),
    /// Write simulated cells whose fates are known, ready for training.
    #[command(after_help = examples::SIMULATE)]
    Simulate(SimulateArgs),
    /// List the contents of an .h5ad file or a model, and what the next step still needs.
    #[command(after_help = examples::INSPECT)]
    Inspect(InspectArgs),
    /// Prepare raw counts for training: select genes, normalize, and compute principal components, neighbors, clusters
    /// and pseudotime.
    ///
    /// Elements that the file already has are reused, unless --force is given.
    #[command(after_help = examples::PREPARE)]
    Prepare(PrepareArgs),
    /// Train a model on a prepared .h5ad file and annotate its cells.
    ///
    /// Walks on the neighbor graph, directed from early to late cells, show the model how cells differentiate. The most
    /// important choices are the prior time (--time-key) and the terminal states (--terminal).
    #[command(after_help = examples::TRAIN)]
    Train(Box<TrainArgs>),
    /// Join the parts that sclsd train --shard wrote into the model and the result of one run.
    ///
    /// Use it if the members of a model were trained by several commands, on several machines or one after the other.
    /// The files are byte for byte those that a single sclsd train of all members writes.
    #[command(after_help = examples::COMBINE)]
    Combine(CombineArgs),
    /// Annotate the cells of a file with a trained model.
    #[command(after_help = examples::ANNOTATE)]
    Annotate(AnnotateArgs),
    /// Compute the probability that each cell ends in each terminal state.
    #[command(after_help = examples::FATES)]
    Fates(FatesArgs),
    /// Score directions, pseudotime and fates against what you know about the cells.
    ///
    /// The scores of the prior are printed beside those of the model.
    #[command(after_help = examples::EVALUATE)]
    Evaluate(EvaluateArgs),
    /// Check whether a result is to be believed: its order, directions, fates and drivers.
    ///
    /// Every check is a number beside its threshold, and a sentence. train says the verdict too.
    #[command(after_help = examples::AUDIT)]
    Audit(AuditArgs),
    /// Predict the fates of cells after a knockout, or after genes are set to a level.
    ///
    /// A fate here is the cluster of the nearest cell at the end of the model's flow, which has no noise: it differs
    /// from fate_probabilities. Compare with housekeeping genes and with other seeds before you believe an effect.
    #[command(after_help = examples::PERTURB)]
    Perturb(PerturbArgs),
    /// Draw one picture of a result, as SVG or PNG.
    #[command(
        subcommand,
        after_help = examples::PLOT,
        subcommand_value_name = "KIND",
        subcommand_help_heading = "Kinds"
    )]
    Plot(PlotCommand),
    /// Write an interactive report (one HTML file) of a result.
    #[command(after_help = examples::REPORT)]
    Report(ReportArgs),
    /// Convert a checkpoint of the Python package.
    #[command(after_help = examples::CONVERT)]
    Convert(ConvertArgs),
    /// Print a script that lets your shell complete commands and options.
    #[command(after_help = examples::COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Write man pages, one for each command.
    #[command(after_help = examples::MAN)]
    Man(ManArgs),
}
