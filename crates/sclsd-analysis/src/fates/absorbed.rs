//! Absorption under given transitions.

use sclsd_data::Csr;
use sclsd_graph::{Terminal, absorption};

use super::method::{FateError, FateMethod};
use super::probabilities::FateProbabilities;

/// Absorption of a walk by given transitions: rows sum to one, or are empty.
#[derive(Debug, Clone, Copy)]
pub struct Absorbed<'a> {
    /// `n_cells × n_cells`.
    pub transitions: &'a Csr<f64>,
}

impl FateMethod for Absorbed<'_> {
    fn probabilities(&self, terminal: &Terminal) -> Result<FateProbabilities, FateError> {
        let found = absorption(self.transitions, terminal)?;
        Ok(FateProbabilities::of_whole_rows(terminal.names().to_vec(), found.probabilities))
    }
}
