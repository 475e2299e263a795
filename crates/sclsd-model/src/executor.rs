//! Runs computations on a backend without naming the backend's type.
//!
//! A caller has an [`Executor`], and a library function passes a [`Job`] to it. The executor runs the job on its
//! backend. Code inside a job is generic over the backend; code outside is not.

use sclsd_kernels::{OnDevice, Precision};

use crate::derivative::Trainable;

/// How the hot loops of training are computed.
#[derive(Debug, Clone, Copy, Default)]
pub enum Kernels {
    /// With tensor operations, on any backend.
    #[default]
    Tensors,
    /// With loops over host memory, for backends with tensors in host memory.
    Host,
    /// With kernels on the device of the tensors, and tensor operations between them.
    Device(&'static dyn OnDevice),
}

/// Device kernels are compared by whether both are device kernels.
impl PartialEq for Kernels {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Eq for Kernels {}

impl Kernels {
    /// The same kernels with matrix products of this precision; `None` if they do not support the precision.
    #[must_use]
    pub fn with(self, precision: Precision) -> Option<Self> {
        match self {
            Self::Device(kernels) => Some(Self::Device(kernels.with(precision))),
            Self::Tensors | Self::Host => (precision == Precision::F32).then_some(self),
        }
    }
}

/// A computation that is generic over the backend.
pub trait Job {
    /// Result of the job: values on the host, never tensors.
    type Output;

    /// Runs the job on a device.
    fn run<B: Trainable>(self, device: &B::Device) -> Self::Output;
}

/// Runs jobs on a backend and one of its devices.
pub trait Executor {
    /// Runs a job.
    fn run<J: Job>(&self, job: J) -> J::Output;

    /// The kernels that suit the backend. Default: tensor operations.
    fn kernels(&self) -> Kernels {
        Kernels::Tensors
    }
}

/// A Burn backend that the caller chooses, with one of its devices.
#[derive(Debug, Clone, Default)]
pub struct OnBackend<B: Trainable>(pub B::Device);

impl<B: Trainable> Executor for OnBackend<B> {
    fn run<J: Job>(&self, job: J) -> J::Output {
        job.run::<B>(&self.0)
    }
}
