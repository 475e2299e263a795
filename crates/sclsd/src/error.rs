//! One error that those of all modules convert into.

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

/// Whatever went wrong: the error of every public function converts into it by `?`, and reads as it did.
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
    /// A number that can be chosen is out of range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// A name is none of those there are.
    #[error(transparent)]
    UnknownName(#[from] UnknownName),
    /// A part is of another size than the rest.
    #[error(transparent)]
    WrongSize(#[from] WrongSize),
    /// There is no such device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A data set lacks something or holds what it must not.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// An `.h5ad` file cannot be read or written.
    #[error(transparent)]
    H5ad(#[from] H5adError),
    /// Arrays are no sparse matrix.
    #[error(transparent)]
    Sparse(#[from] SparseError),
    /// Genes cannot be selected.
    #[error(transparent)]
    VariableGenes(#[from] VariableGenesError),
    /// An `AnnData` cannot be read or written.
    #[cfg(feature = "anndata")]
    #[error(transparent)]
    AnnData(#[from] sclsd_data::AnnDataError),
    /// Absorption cannot be computed.
    #[error(transparent)]
    Absorption(#[from] AbsorptionError),
    /// There is no diffusion map.
    #[error(transparent)]
    Diffusion(#[from] DiffusionError),
    /// A matrix is no graph of the cells.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// No phylogeny is inferred.
    #[error(transparent)]
    InferPhylogeny(#[from] InferPhylogenyError),
    /// Neighbors cannot be found.
    #[error(transparent)]
    Knn(#[from] KnnError),
    /// The nearest cell cannot be found.
    #[error(transparent)]
    Nearest(#[from] NearestError),
    /// A table of parents and children is no phylogeny of the data.
    #[error(transparent)]
    Phylogeny(#[from] PhylogenyError),
    /// A data set cannot be prepared.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// There are no terminal states.
    #[error(transparent)]
    Terminal(#[from] TerminalError),
    /// There are no transitions.
    #[error(transparent)]
    Transition(#[from] TransitionError),
    /// Weights alone do not make a model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Another process of the same training is at fault.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// Kernels cannot run with a SIMD level.
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
    /// No prior time is made.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// A checkpoint cannot be read, written or gone on from.
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
    /// A specification cannot be trained with.
    #[error(transparent)]
    TrainSpec(#[from] TrainSpecError),
    /// Data cannot be trained on.
    #[error(transparent)]
    TrainingData(#[from] TrainingDataError),
    /// Cells cannot be annotated.
    #[error(transparent)]
    Annotate(#[from] AnnotateError),
    /// There are no fate probabilities.
    #[error(transparent)]
    Fate(#[from] FateError),
    /// Cells cannot be followed.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// The genes are not the model's.
    #[error(transparent)]
    Genes(#[from] GenesError),
    /// There are no hard fates.
    #[error(transparent)]
    HardFate(#[from] HardFateError),
    /// There is no score.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// Genes cannot be perturbed.
    #[error(transparent)]
    Perturb(#[from] PerturbError),
    /// There are no directions.
    #[error(transparent)]
    Velocity(#[from] VelocityError),
    /// A picture cannot be made.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The system refuses to read or write a file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
