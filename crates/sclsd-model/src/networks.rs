//! The networks of the model.

mod batch_norm;
mod cells;
mod linear;
mod lsd;
mod parameters;
mod potential;
mod recurrent;
mod stack;

pub use batch_norm::{BatchNorm, BatchStatistics, RowShares};
pub use cells::Cells;
pub use linear::Linear;
pub use lsd::{Lsd, Start, Statistics};
pub use potential::{CustomPotential, Flow, PotentialNetwork};
pub use recurrent::RecurrentPrior;
pub use stack::{Layer, Stack};
