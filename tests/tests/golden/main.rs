//! The library against golden values of the Python package.

mod analysis;
mod forms;
mod prepare;
mod priors;
mod trained;
