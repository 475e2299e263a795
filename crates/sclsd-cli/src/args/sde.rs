//! Options of `fates --method sde`.

use std::path::PathBuf;

use clap::Args;

use super::headings::NOISE;
use super::symbols::SymbolArgs;

/// Paths of dz = −∇V dt + σ dW.
#[derive(Debug, Default, Args)]
pub(crate) struct SdeArgs {
    /// Number of paths drawn from each cell, with --method sde [default: 100].
    ///
    /// Raise it for a smaller sampling error: a probability of one half has a standard error of 0.05 with 100 paths,
    /// 0.016 with 1,000.
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = NOISE)]
    pub draws: Option<u32>,
    /// Size of the noise, in units of z over the square root of a training walk's length, with --method sde [default:
    /// measured on the walks of the training].
    ///
    /// Lower it if all cells have nearly the same fates; 0 follows the flow without noise.
    #[arg(long, allow_negative_numbers = true, help_heading = NOISE)]
    pub sigma: Option<f64>,
    /// Seed of the noise, with --method sde [default: 0]. Change it to see how far the draws matter.
    #[arg(long, help_heading = NOISE)]
    pub seed: Option<u64>,
    /// Table to write: the expression of --gene along the paths, by cluster that they begin in (.csv), with --method
    /// sde [default: not written].
    ///
    /// At every time it has the mean over paths and the 5 % and 95 % quantiles, in expected counts of a cell with
    /// 10,000 counts. Paths begin at up to 20 cells of each cluster.
    #[arg(long, value_name = "FILE", requires = "gene", help_heading = NOISE)]
    pub gene_paths: Option<PathBuf>,
    /// Genes of the table of --gene-paths; may be repeated [default: none].
    #[arg(long, num_args = 1.., value_name = "NAME", requires = "gene_paths", help_heading = NOISE)]
    pub gene: Vec<String>,
    /// Clusters that the paths of --gene-paths begin in [default: all]; may be repeated.
    #[arg(long, num_args = 1.., value_name = "NAME", requires = "gene_paths", help_heading = NOISE)]
    pub clusters: Vec<String>,
    #[command(flatten)]
    pub symbols: SymbolArgs,
}

impl SdeArgs {
    /// The first option that was given, for a method that has none of them.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let given = [
            (self.draws.is_some(), "--draws"),
            (self.sigma.is_some(), "--sigma"),
            (self.seed.is_some(), "--seed"),
            (self.gene_paths.is_some(), "--gene-paths"),
            (self.symbols.gene_symbols.is_some(), "--gene-symbols"),
        ];
        given.into_iter().find_map(|(given, flag)| given.then_some(flag))
    }
}
