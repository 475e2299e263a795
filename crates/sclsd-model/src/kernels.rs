//! Kernels on host slices: the few loops in which training spends its time, written out with their derivatives.
//!
//! Each is the same function as the tensor code it stands for, which remains as its oracle and serves the backends whose
//! tensors are not in the host's memory. Sums run in a fixed order, whatever the number of threads.

// A loop is compiled for the vector width at hand only if all it calls is part of it.
#![allow(clippy::inline_always)]

pub(crate) mod derivative;
pub(crate) mod expression;
pub(crate) mod flow;
pub(crate) mod lanes;
pub(crate) mod potential;
mod products;
pub(crate) mod reconstruction;
pub(crate) mod recurrent;
mod rows;
pub(crate) mod stack;
mod vector;
