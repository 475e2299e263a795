//! Analysis of cells with a trained model.
//!
//! [`annotate`] computes the cell state z, differentiation state B, potential V, entropy and pseudotime of every cell,
//! and the transition probabilities to its neighbours. [`propagate`] follows cells down the potential. A [`FateMethod`]
//! computes fate probabilities, [`hard_fates`] finds the cell at which each cell ends, and [`perturb`] does so with
//! genes knocked out. [`velocity_from_transitions`] and [`velocity_from_drift`] compute velocities on an embedding.
//! [`cross_boundary_correctness`] and [`inner_cluster_coherence`] score velocities, and [`evaluate`] computes both
//! scores. [`match_genes`] restricts a data set to the genes of a model, in the model's order.
//!
//! [`audit`] has the checks that say whether to believe a result.
//!
//! Nothing has dense size cells × cells: cells are encoded and followed in blocks, and nearest cells are found with a
//! k-d tree.

mod annotate;
pub mod audit;
mod correlation;
mod encode;
mod ensemble;
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
mod spread;
mod trends;
mod velocity;

pub use annotate::{AnnotateError, Annotation, annotate};
pub use correlation::spearman;
pub use ensemble::{AnnotationSpread, EnsembleAnnotation, mean_arrows};
pub use evaluate::{Evaluation, evaluate};
pub use fate_scores::{
    Agreement, Calibration, CalibrationBin, SisterAgreement, agreement, area_under_roc, calibration_curve,
    fate_retention, off_data, pearson, sister_agreement,
};
pub use fates::{
    Absorbed, AbsorbedPaths, CheckedNoisyFlowSpec, DriftDirected, EndOfFlow, FateError, FateInterval, FateMethod,
    FateProbabilities, FateSpread, GenePaths, NeighborVote, NoisyFlow, NoisyFlowSpec, fate_interval, fate_spread,
    sigma_of_walks,
};
pub use flow::{drift, propagate};
pub use flow_error::FlowError;
pub use genes::{GenesError, match_genes};
pub use hard_fates::{FateTable, HardFateError, HardFateSpec, HardFates, hard_fates};
pub use metrics::{
    MetricsError, Score, cross_boundary_correctness, cross_boundary_correlation, inner_cluster_coherence, mean_score,
    stages,
};
pub use perturb::{PerturbError, PerturbSpec, Perturbation, perturb};
pub use spread::mean_and_std;
pub use trends::{Trends, cluster_flow, trends};
pub use velocity::{Directions, VelocityError, velocity_from_drift, velocity_from_transitions};
