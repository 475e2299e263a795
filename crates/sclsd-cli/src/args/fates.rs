//! Options of `fates`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::headings::{CELLS, FILES, HARD, METHOD};
use super::machine::ThreadArgs;
use super::sde::SdeArgs;
use super::write::WriteArgs;

/// Default of `--beta`, the β of the absorbed walks; `docs/fates.md` compares values.
pub(crate) const FATE_BETA: f64 = 50.0;

#[derive(Debug, Args)]
pub(crate) struct FatesArgs {
    /// Result of sclsd train or annotate (.h5ad).
    pub input: PathBuf,
    /// Result to write (.h5ad): a copy of the input with obsm fate_probabilities, obs fate and obs fate_entropy added.
    ///
    /// The probabilities of two methods that use no model are added for comparison: obsm fate_probabilities_prior and
    /// obsm fate_probabilities_neighbors.
    #[arg(short, long, value_name = "FILE", help_heading = FILES)]
    pub output: PathBuf,
    /// Model (.safetensors) that the input was trained or annotated with.
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub model: PathBuf,
    #[command(flatten)]
    pub write: WriteArgs,
    /// Clusters in which differentiation ends, such as mature cell types [default: those of the training]; may be
    /// repeated.
    ///
    /// Name them if the terminal states that training printed are not those that you want to compare. Configuration key
    /// of the training: prior.terminal.
    #[arg(long, num_args = 1.., value_name = "NAME", conflicts_with = "hard", help_heading = CELLS)]
    pub terminal: Vec<String>,
    /// Column of obs with the clusters (cell types) [default: the one that the model was trained with].
    ///
    /// Set it if the column has another name in this file. Configuration key of the training: keys.clusters.
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
    /// Inverse temperature β of the walks to the fates: a larger β makes steps back in pseudotime rarer.
    ///
    /// Lower it if mature cells get the fate of another cell type; raise it if all cells have nearly the same fates. β
    /// is used by --method transitions and prior, and for the fates of the prior that are always added. The β of the
    /// training walks is another number: configuration key prior.beta.
    #[arg(
        long,
        default_value_t = FATE_BETA,
        allow_negative_numbers = true,
        conflicts_with = "hard",
        help_heading = METHOD
    )]
    pub beta: f64,
    /// Weight of the prior in the transitions of --method transitions, from 0 (model only) to 1 (prior only)
    /// [default: 0.5].
    ///
    /// The prior is what directed the training walks: the prior time, or the file of sclsd train --prior. Use 0 to see
    /// what the model alone predicts.
    #[arg(
        long,
        value_name = "WEIGHT",
        value_parser = fraction,
        allow_negative_numbers = true,
        conflicts_with = "hard",
        help_heading = METHOD
    )]
    pub prior_weight: Option<f64>,
    /// Level of the interval of each probability, between 0 and 1, if the model has several members [default: 0.9].
    ///
    /// It covers the spread of the members only. Lower it for narrower intervals.
    #[arg(
        long,
        value_name = "LEVEL",
        value_parser = level,
        allow_negative_numbers = true,
        conflicts_with = "hard",
        help_heading = METHOD
    )]
    pub interval: Option<f64>,
    /// Time for which cells are followed, in units of a training walk's length, with --hard or --method flow or sde.
    /// Lower it if everything ends in one cluster.
    #[arg(long, value_name = "TIME", default_value_t = 15.0, help_heading = METHOD)]
    pub time_range: f64,
    #[command(flatten)]
    pub sde: SdeArgs,
    /// Follow each cell down the potential, and take the cluster of the cell nearest to the end as the only fate.
    ///
    /// Use this option to reproduce results of the Python package. This method gives no probabilities and is less
    /// accurate.
    #[arg(long, help_heading = HARD)]
    pub hard: bool,
    /// Time between two points of a path with --hard, in units of the length of a training walk. Lower it for paths
    /// with more points.
    #[arg(long, value_name = "TIME", default_value_t = 0.5, requires = "hard", help_heading = HARD)]
    pub dt: f64,
    /// File to write (.safetensors) with the nearest cell at each point of each path of --hard [default: not written].
    #[arg(long, value_name = "FILE", requires = "hard", help_heading = HARD)]
    pub paths: Option<PathBuf>,
    #[command(flatten)]
    pub threads: ThreadArgs,
}

impl FatesArgs {
    /// The defaults; the fates are added to the result itself.
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
            interval: None,
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

fn level(text: &str) -> Result<f64, String> {
    let level: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    if level > 0.0 && level < 1.0 { Ok(level) } else { Err("expected a number between 0 and 1".into()) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FateMethodArg {
    /// Where walks of the prior end. No model is used.
    Prior,
    /// Vote of the 15 nearest terminal cells in X_pca. No model is used.
    Neighbors,
    /// Where walks end that take steps of the model and of the prior.
    Transitions,
    /// Where walks end that step to neighbors in the direction of the model's drift.
    Drift,
    /// Vote of the terminal cells nearest to where the model moves the cell.
    Flow,
    /// Where paths end that follow the model's drift with noise, dz = -grad V dt + sigma dW.
    Sde,
}

impl FateMethodArg {
    /// Whether fates depend on the model.
    pub(crate) fn uses_model(self) -> bool {
        !matches!(self, Self::Prior | Self::Neighbors)
    }

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
