//! Analysis: what a trained model says about cells.
//!
//! [`annotate`] gives every cell its state z, differentiation state B, potential V, entropy and pseudotime, and the
//! probabilities of going over to each of its neighbours. [`propagate`] follows cells down the potential, a
//! [`FateMethod`] gives the probabilities of a cell's fates, [`hard_fates`] the one cell it ends nearest to, and
//! [`perturb`] where they would end with genes knocked out. [`velocity_from_transitions`] and [`velocity_from_drift`]
//! draw directions on an embedding, which [`cross_boundary_correctness`] and [`inner_cluster_coherence`] score,
//! [`evaluate`] both. [`match_genes`] brings a data set into the order of a model's genes.
//!
//! [`audit`] has the checks by which a result is believed or not.
//!
//! Nothing here is of size cells × cells: cells are encoded and followed in blocks, and what is nearest is found by a
//! tree.

mod annotate;
pub mod audit;
mod correlation;
mod encode;
mod evaluate;
mod fate_scores;
mod fates;
mod flow;
mod flow_error;
mod genes;
mod hard_fates;
mod memory;
mod metrics;
mod perturb;
mod trends;
mod velocity;

pub use annotate::{AnnotateError, Annotation, annotate};
pub use correlation::spearman;
pub use evaluate::{Evaluation, evaluate};
pub use fate_scores::{
    Agreement, Calibration, CalibrationBin, SisterAgreement, agreement, area_under_roc, calibration_curve,
    fate_retention, off_data, pearson, sister_agreement,
};
pub use fates::{Absorbed, DriftDirected, EndOfFlow, FateError, FateMethod, FateProbabilities, NeighborVote};
pub use flow::{drift, propagate};
pub use flow_error::FlowError;
pub use genes::{GenesError, match_genes};
pub use hard_fates::{FateTable, HardFateError, HardFateSpec, HardFates, hard_fates};
pub use metrics::{
    MetricsError, Score, cross_boundary_correctness, cross_boundary_correlation, inner_cluster_coherence, mean_score,
    stages,
};
pub use perturb::{PerturbError, PerturbSpec, Perturbation, perturb};
pub use trends::{Trends, cluster_flow, trends};
pub use velocity::{Directions, VelocityError, velocity_from_drift, velocity_from_transitions};
