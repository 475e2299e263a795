//! The option that names genes by their symbols.

use clap::Args;

use super::headings::GENES;

/// Where gene symbols are found.
#[derive(Debug, Default, Args)]
pub(crate) struct SymbolArgs {
    /// Column of var with gene symbols [default: none].
    ///
    /// Set it if the genes of the file have other names, such as Ensembl ids. Genes can then be named by their symbols.
    #[arg(long, value_name = "COLUMN", help_heading = GENES)]
    pub gene_symbols: Option<String>,
}
