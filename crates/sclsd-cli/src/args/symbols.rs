//! The option of how genes are named.

use clap::Args;

use super::headings::GENES;

/// How genes are named.
#[derive(Debug, Default, Args)]
pub(crate) struct SymbolArgs {
    /// Column of var with gene symbols [default: none].
    ///
    /// Set it if the genes of the file are named by other ids, such as Ensembl ids.
    #[arg(long, value_name = "COLUMN", help_heading = GENES)]
    pub gene_symbols: Option<String>,
}
