//! The option of how files of cells are written.

use clap::Args;
use sclsd::data::Compression;

use super::headings::FILES;
use crate::choices::{COMPRESSIONS, choices};

/// How files of cells are written.
#[derive(Debug, Default, Args)]
pub(crate) struct WriteArgs {
    /// Compression of the arrays in the output file. gzip makes smaller files and takes longer.
    #[arg(long, value_parser = choices(COMPRESSIONS), default_value_t = Compression::None, help_heading = FILES)]
    pub compress: Compression,
}
