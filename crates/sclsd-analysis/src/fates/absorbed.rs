//! Fate probabilities by absorption under given transitions.

use sclsd_data::Csr;
use sclsd_graph::{Terminal, absorption};

use super::method::{FateError, FateMethod};
use super::probabilities::FateProbabilities;

/// Absorption of a random walk with given transitions. Rows must sum to one or be empty.
#[derive(Debug, Clone, Copy)]
pub struct Absorbed<'a> {
    /// Transition probabilities, `n_cells × n_cells`.
    pub transitions: &'a Csr<f64>,
}

impl FateMethod for Absorbed<'_> {
    fn probabilities(&self, terminal: &Terminal) -> Result<FateProbabilities, FateError> {
        let found = absorption(self.transitions, terminal)?;
        Ok(FateProbabilities::of_whole_rows(terminal.names().to_vec(), found.probabilities))
    }
}
