//! Analysis: what a trained model says about cells.
//!
//! [`annotate`] gives every cell its state z, differentiation state B, potential V, entropy and pseudotime, and the
//! probabilities of going over to each of its neighbours. [`match_genes`] brings a data set into the order of a model's
//! genes. [`spearman`] compares a pseudotime with another order.

mod annotate;
mod correlation;
mod genes;

pub use annotate::{AnnotateError, Annotation, annotate};
pub use correlation::spearman;
pub use genes::{GenesError, match_genes};
