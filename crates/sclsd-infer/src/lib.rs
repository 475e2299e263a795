//! Inference: the loss, the optimiser, the training loop and checkpoints.
//!
//! [`Trainer`] takes [`TrainingData`] and walks, runs the epochs of a [`CheckedTrainSpec`] on an
//! [`Executor`](sclsd_model::Executor) and returns a [`Checkpoint`]: the model, the state of the optimiser and the
//! history. It reports [`Event`]s to an observer, which may stop training at any step, and prints nothing. [`Elbo`] is
//! one evaluation of the loss, with named terms and with the noise as an argument. [`Bootstrap`] computes a prior time
//! for data without one.

mod adam;
mod bootstrap;
mod checked;
mod checkpoint;
mod combine;
mod data;
mod elbo;
mod ensemble;
mod fingerprint;
mod import;
mod lock;
mod memory;
mod monotonicity;
mod peers;
mod recommended;
mod record;
mod schedule;
mod spec;
mod train;
mod trainer;

pub use adam::{Adam, AdamMoments, Norms};
pub use bootstrap::{Bootstrap, BootstrapError, BootstrapSpec};
pub use checked::CheckedTrainSpec;
pub use checkpoint::{Checkpoint, CheckpointError};
pub use combine::{CombineError, combine};
pub use data::{TrainingData, TrainingDataError};
pub use elbo::{Batch, Coefficients, Elbo, LibrarySize, Loss, Noise, Terms};
pub use ensemble::Ensemble;
pub use fingerprint::Fingerprint;
pub use import::{ImportError, import_pth};
pub use lock::{ModelLock, ModelLockError};
pub use monotonicity::{Monotonicity, monotonicity};
pub use peers::{Network, threads};
pub use recommended::{DataScale, Preset};
pub use record::{EpochRecord, PartialEpoch};
pub use schedule::{KlSchedule, LearningRate, WassersteinSchedule};
pub use sclsd_graph::StepKernel;
pub use spec::{AdamSpec, DataKeys, EarlyStopping, InitialValues, OptimizerSpec, PriorSpec, TrainSpec, TrainSpecError};
pub use train::{Event, TrainError};
pub use trainer::{NoDevice, Trainer};
