//! Where computations run, without naming a backend.
//!
//! A caller holds a [`Device`]; a library function hands it a [`Job`], which the device runs once on the backend it
//! stands for. Everything below that point is generic over the backend, everything above it is not.

use crate::Trainable;

/// How the loops in which training spends its time are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kernels {
    /// As tensor code, on any backend.
    #[default]
    Tensors,
    /// As loops over host memory, for backends whose tensors are there.
    Host,
}

/// A computation that runs on whatever backend it is given.
pub trait Job {
    /// What it returns: host values, never tensors.
    type Output;

    /// Runs it.
    fn run<B: Trainable>(self, device: &B::Device) -> Self::Output;
}

/// A place to run jobs.
pub trait Device {
    /// Runs a job there.
    fn run<J: Job>(&self, job: J) -> J::Output;

    /// Which kernels suit it. Default: tensor code.
    fn kernels(&self) -> Kernels {
        Kernels::Tensors
    }
}

/// A Burn backend of the caller's own, with one of its devices.
#[derive(Debug, Clone, Default)]
pub struct OnBackend<B: Trainable>(pub B::Device);

impl<B: Trainable> Device for OnBackend<B> {
    fn run<J: Job>(&self, job: J) -> J::Output {
        job.run::<B>(&self.0)
    }
}
