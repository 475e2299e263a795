//! Where computations run, without naming a backend.
//!
//! A caller holds an [`Executor`]; a library function hands it a [`Job`], which it runs once on the backend it stands
//! for. Everything below that point is generic over the backend, everything above it is not.

use sclsd_kernels::{OnDevice, Precision};

use crate::derivative::Trainable;

/// How the loops in which training spends its time are run.
#[derive(Debug, Clone, Copy, Default)]
pub enum Kernels {
    /// As tensor code, on any backend.
    #[default]
    Tensors,
    /// As loops over host memory, for backends whose tensors are there.
    Host,
    /// As kernels where the tensors are, and tensor code between them.
    Device(&'static dyn OnDevice),
}

/// By kind.
impl PartialEq for Kernels {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Eq for Kernels {}

impl Kernels {
    /// The same, with products of that precision where there is a choice.
    #[must_use]
    pub fn with(self, precision: Precision) -> Option<Self> {
        match self {
            Self::Device(kernels) => Some(Self::Device(kernels.with(precision))),
            Self::Tensors | Self::Host => (precision == Precision::F32).then_some(self),
        }
    }
}

/// A computation that runs on whatever backend it is given.
pub trait Job {
    /// What it returns: host values, never tensors.
    type Output;

    /// Runs it.
    fn run<B: Trainable>(self, device: &B::Device) -> Self::Output;
}

/// What runs jobs: one backend with one of its devices.
pub trait Executor {
    /// Runs a job.
    fn run<J: Job>(&self, job: J) -> J::Output;

    /// Which kernels suit it. Default: tensor code.
    fn kernels(&self) -> Kernels {
        Kernels::Tensors
    }
}

/// A Burn backend of the caller's own, with one of its devices.
#[derive(Debug, Clone, Default)]
pub struct OnBackend<B: Trainable>(pub B::Device);

impl<B: Trainable> Executor for OnBackend<B> {
    fn run<J: Job>(&self, job: J) -> J::Output {
        job.run::<B>(&self.0)
    }
}
