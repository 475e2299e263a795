//! Options of `fates`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::headings::{CELLS, FILES, HARD, METHOD};
use super::machine::ThreadArgs;
use super::sde::SdeArgs;
use super::write::WriteArgs;

/// β of the walks that are absorbed, unless another is asked for; `docs/fates.md` compares values.
pub(crate) const FATE_BETA: f64 = 50.0;

#[derive(Debug, Args)]
pub(crate) struct FatesArgs {
    /// Result of sclsd train or annotate (.h5ad).
    pub input: PathBuf,
    /// Copy of the input to write, with obsm fate_probabilities, obs fate and obs fate_entropy added.
    ///
    /// The probabilities of two methods without a model are added for comparison: fate_probabilities_prior and
    /// fate_probabilities_neighbors.
    #[arg(short, long, value_name = "FILE", help_heading = FILES)]
    pub output: PathBuf,
    /// Model that the input was trained or annotated with.
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub model: PathBuf,
    #[command(flatten)]
    pub write: WriteArgs,
    /// Clusters in which differentiation ends [default: those of the training]; may be repeated.
    ///
    /// Set it if the terminal states that training printed are not those you want to compare.
    #[arg(long, num_args = 1.., value_name = "NAME", conflicts_with = "hard", help_heading = CELLS)]
    pub terminal: Vec<String>,
    /// Column of obs with the clusters (cell types) [default: the one that the model was trained with].
    #[arg(long, value_name = "COLUMN", help_heading = CELLS)]
    pub cluster_key: Option<String>,
    /// Method that computes the fate probabilities. Change it to compare methods: prior and neighbors use no model.
    #[arg(
        long,
        value_enum,
        default_value_t = FateMethodArg::Transitions,
        conflicts_with = "hard",
        help_heading = METHOD
    )]
    pub method: FateMethodArg,
    /// Inverse temperature β of the walks: a larger β makes steps back in pseudotime rarer.
    ///
    /// Lower it if mature cells get the fate of another cell type; raise it if all cells have nearly the same fates. It
    /// is used by --method transitions and prior, and by the prior's fates that are always added.
    #[arg(
        long,
        default_value_t = FATE_BETA,
        allow_negative_numbers = true,
        conflicts_with = "hard",
        help_heading = METHOD
    )]
    pub beta: f64,
    /// Weight of the prior in the transitions, from 0 (model only) to 1 (prior only), with --method transitions
    /// [default: 0.5].
    #[arg(
        long,
        value_name = "WEIGHT",
        value_parser = fraction,
        allow_negative_numbers = true,
        conflicts_with = "hard",
        help_heading = METHOD
    )]
    pub prior_weight: Option<f64>,
    /// Time for which cells are followed, in units of a training walk's length, with --hard or --method flow or sde.
    /// Lower it if everything ends in one cluster.
    #[arg(long, value_name = "TIME", default_value_t = 15.0, help_heading = METHOD)]
    pub time_range: f64,
    #[command(flatten)]
    pub sde: SdeArgs,
    /// Follow each cell down the potential, and take the cluster of the nearest cell at the end as its only fate.
    ///
    /// This is what the Python package does. It gives no probabilities and is less accurate.
    #[arg(long, help_heading = HARD)]
    pub hard: bool,
    /// Time between two points of a path, with --hard.
    #[arg(long, value_name = "TIME", default_value_t = 0.5, requires = "hard", help_heading = HARD)]
    pub dt: f64,
    /// File for the nearest cell at every point of every path (.safetensors), with --hard [default: not written].
    #[arg(long, value_name = "FILE", requires = "hard", help_heading = HARD)]
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
            sde: SdeArgs::default(),
            dt: 0.5,
            paths: None,
            threads: ThreadArgs::default(),
        }
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    let fraction: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    if (0.0..=1.0).contains(&fraction) { Ok(fraction) } else { Err("expected a number from 0 to 1".into()) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FateMethodArg {
    /// Where walks end whose steps are those of the prior. No model is used.
    Prior,
    /// The 15 nearest terminal cells in X_pca vote. No model is used.
    Neighbors,
    /// Where walks end whose steps are those of the model or of the prior.
    Transitions,
    /// Where walks end whose steps go to neighbors in the direction of the model's drift.
    Drift,
    /// The terminal cells nearest to the end of the model's flow vote.
    Flow,
    /// Where paths end that follow the model's drift with noise, dz = -grad V dt + sigma dW.
    Sde,
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
            Self::Sde => "sde",
        }
    }
}
