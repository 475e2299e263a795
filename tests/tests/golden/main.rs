//! Compares the library with golden values of the Python package.

mod analysis;
mod forms;
mod prepare;
mod priors;
mod trained;
