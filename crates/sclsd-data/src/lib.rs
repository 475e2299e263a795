//! Single-cell data: cells × genes in memory and in `.h5ad` files, preprocessing of counts, and simulated data.
//!
//! The principal type is [`Dataset`], which has AnnData's slots and scanpy's names. [`read_h5ad`] reads the elements
//! that [`Keys`] requests. Matrices are [`Csr`] in `f32`, and matrices with the same [`Pattern`] share it.
//! [`add_to_h5ad`] adds results to a copy of a file and leaves all other elements unchanged. [`variable_genes`],
//! [`log1p_normalize`] and [`pca`] preprocess raw counts as scanpy does. [`simulate`] draws cells from a landscape with
//! known dynamics, so that inferred results can be compared with the truth.
//!
//! ```
//! use sclsd_data::{Compression, Keys, SimulateSpec, read_h5ad, simulate, write_h5ad};
//!
//! let spec = SimulateSpec { n_cells: 60, n_genes: 40, ..SimulateSpec::default() };
//! let data = simulate(&spec.check()?);
//! let path = std::env::temp_dir().join("sclsd-data-example.h5ad");
//! write_h5ad(&path, &data, Compression::None)?;
//! let read = read_h5ad(&path, &Keys { obsp: vec![], ..Keys::default() }.with_obs("true_time"))?;
//! assert_eq!(read.counts("raw")?, data.counts("raw")?);
//! # std::fs::remove_file(path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod builder;
mod check;
mod column;
mod csr_view;
mod dataset;
mod eigen;
mod h5ad;
#[cfg(feature = "anndata")]
mod interop;
mod loess;
mod matrix;
mod matrix_market;
mod memory;
mod names;
mod normalize;
mod pca;
mod random;
mod replace;
mod simulate;
mod sparse;
mod tenx;
mod variable_genes;
mod vector_state;
mod windows;

pub use builder::{DatasetBuilder, IntoCsr, IntoMatrix};
pub use column::{Categorical, Column};
pub use csr_view::CsrView;
pub use dataset::{Dataset, DatasetError, Frame, Uns, is_count};
pub use eigen::eigenvectors;
pub use h5ad::{
    Additions, Compression, Entry, FileMatrix, H5ad, H5adError, Inspection, Keys, add_to_h5ad, inspect, read_h5ad,
    write_h5ad,
};
#[cfg(feature = "anndata")]
pub use interop::AnnDataError;
pub use matrix::Matrix;
pub use matrix_market::read_matrix_market;
pub use memory::available as available_memory;
pub use names::{closest_names, did_you_mean, repeated_name};
pub use normalize::{Normalized, library_sizes, log1p_normalize};
pub use pca::{Pca, pca};
pub use random::{Purpose, random_stream};
pub use replace::{
    check_replaceable, is_stream, plain_reason, remove_own_temporaries, remove_stale_temporaries, replace_file,
    resolved, write_file,
};
pub use simulate::{CheckedSimulateSpec, SimulateSpec, Topology, simulate};
pub use sparse::{Csr, Pattern, SparseError};
/// The sparse-matrix library, in the version whose matrices convert into [`CsrView`].
pub use sprs;
pub use tenx::{TenX, is_10x, read_10x};
pub use variable_genes::{Flavor, VariableGenes, VariableGenesError, variable_genes, variable_genes_among};
pub use vector_state::leave_vector_code;
pub use windows::{Window, Windows, first_bad};
