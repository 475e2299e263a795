//! The option of how `.h5ad` files are written.

use clap::Args;
use sclsd::data::Compression;

use super::headings::FILES;
use crate::choices::{COMPRESSIONS, choices};

/// How `.h5ad` files are written.
#[derive(Debug, Default, Args)]
pub(crate) struct WriteArgs {
    /// Compression of the arrays in the output file. Use gzip for smaller files, which take longer to write.
    #[arg(long, value_parser = choices(COMPRESSIONS), default_value_t = Compression::None, help_heading = FILES)]
    pub compress: Compression,
}
