//! One error type that the errors of all modules convert into.

use sclsd_analysis::{
    AnnotateError, FateError, FlowError, GenesError, HardFateError, MetricsError, PerturbError, VelocityError,
};
use sclsd_data::{DatasetError, H5adError, SparseError, VariableGenesError};
use sclsd_graph::{
    AbsorptionError, DiffusionError, GraphError, InferPhylogenyError, KnnError, NearestError, PhylogenyError,
    PrepareError, TerminalError, TransitionError,
};
use sclsd_infer::{
    BootstrapError, CheckpointError, CombineError, ImportError, ModelLockError, TrainError, TrainSpecError,
    TrainingDataError,
};
use sclsd_model::ode::{OdeError, SdeError};
use sclsd_model::{ModelError, PeerError, SimdLevelError, WeightsError};
use sclsd_plot::PictureError;
use sclsd_spec::{OutOfRange, UnknownName, WrongSize};

use crate::device::DeviceError;

/// Any error of this library. The error of every public function converts into this type with `?`, with the same
/// message.
///
/// ```
/// fn walks() -> Result<sclsd::graph::Walks, sclsd::Error> {
///     let graph = sclsd::data::Csr::from_rows(2, [vec![(1, 1.0_f32)], vec![(0, 1.0)]])?; // a SparseError
///     let prior = sclsd::graph::Transition::from_pseudotime(&graph, &[0.0, 1.0], 50.0)?; // a TransitionError
///     Ok(prior.walks(&sclsd::graph::WalkSpec { path_len: 1, ..Default::default() }.check()?)) // an OutOfRange
/// }
///
/// let error = walks().unwrap_err();
/// assert!(matches!(error, sclsd::Error::OutOfRange(_)));
/// assert_eq!(error.to_string(), "walks.path_len is 1, expected at least 2 cells");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of a specification is out of range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// A name is not among the known names.
    #[error(transparent)]
    UnknownName(#[from] UnknownName),
    /// A part has another size than expected.
    #[error(transparent)]
    WrongSize(#[from] WrongSize),
    /// A device is not available.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A data set lacks a part or holds a value that is not allowed.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// An `.h5ad` file cannot be read or written.
    #[error(transparent)]
    H5ad(#[from] H5adError),
    /// Arrays do not form a sparse matrix.
    #[error(transparent)]
    Sparse(#[from] SparseError),
    /// Variable genes cannot be selected.
    #[error(transparent)]
    VariableGenes(#[from] VariableGenesError),
    /// An `AnnData` cannot be read or written.
    #[cfg(feature = "anndata")]
    #[error(transparent)]
    AnnData(#[from] sclsd_data::AnnDataError),
    /// Absorption probabilities cannot be computed.
    #[error(transparent)]
    Absorption(#[from] AbsorptionError),
    /// A diffusion map cannot be computed.
    #[error(transparent)]
    Diffusion(#[from] DiffusionError),
    /// A matrix is not a graph of the cells.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A phylogeny cannot be inferred.
    #[error(transparent)]
    InferPhylogeny(#[from] InferPhylogenyError),
    /// Neighbors cannot be found.
    #[error(transparent)]
    Knn(#[from] KnnError),
    /// The nearest cell cannot be found.
    #[error(transparent)]
    Nearest(#[from] NearestError),
    /// A table of parents and children is not a phylogeny of the data.
    #[error(transparent)]
    Phylogeny(#[from] PhylogenyError),
    /// A data set cannot be prepared.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// Terminal states cannot be found.
    #[error(transparent)]
    Terminal(#[from] TerminalError),
    /// Transition probabilities cannot be computed.
    #[error(transparent)]
    Transition(#[from] TransitionError),
    /// A model cannot be built from weights alone.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Another process of the same training failed.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// Kernels cannot use a SIMD level.
    #[error(transparent)]
    SimdLevel(#[from] SimdLevelError),
    /// Weights do not fit the sizes of the networks.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// An ODE cannot be solved.
    #[error(transparent)]
    Ode(#[from] OdeError),
    /// An SDE cannot be sampled.
    #[error(transparent)]
    Sde(#[from] SdeError),
    /// A prior time cannot be computed.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// A checkpoint cannot be read, written or resumed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Shards are not those of one run.
    #[error(transparent)]
    Combine(#[from] CombineError),
    /// A checkpoint of the Python package cannot be read.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Another process writes the same model.
    #[error(transparent)]
    ModelLock(#[from] ModelLockError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A training specification is not valid.
    #[error(transparent)]
    TrainSpec(#[from] TrainSpecError),
    /// Data cannot be used for training.
    #[error(transparent)]
    TrainingData(#[from] TrainingDataError),
    /// Cells cannot be annotated.
    #[error(transparent)]
    Annotate(#[from] AnnotateError),
    /// Fate probabilities cannot be computed.
    #[error(transparent)]
    Fate(#[from] FateError),
    /// Cells cannot be followed along the dynamics.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// The genes of the data do not match those of the model.
    #[error(transparent)]
    Genes(#[from] GenesError),
    /// Hard fates cannot be assigned.
    #[error(transparent)]
    HardFate(#[from] HardFateError),
    /// A score cannot be computed.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// Genes cannot be perturbed.
    #[error(transparent)]
    Perturb(#[from] PerturbError),
    /// Velocities cannot be computed.
    #[error(transparent)]
    Velocity(#[from] VelocityError),
    /// A picture cannot be drawn.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The operating system could not read or write a file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
