//! Latent State Dynamics: how cells differentiate, from single-cell RNA counts.
//!
//! This crate is a table of contents. Each part is a crate of its own and can be used without the others:
//!
//! | module | what it does |
//! | --- | --- |
//! | [`data`] | `.h5ad` files in and out, simulated data |
//! | [`graph`] | neighbours, prior transitions, random walks, phylogeny |
//! | [`model`] | networks, potential, likelihoods, solvers |
//! | [`infer`] | the loss, training, checkpoints |
//! | [`analysis`] | states, pseudotime and transitions of a trained model |
//! | [`plot`] | pictures and the report |
//! | [`spec`] | errors of numbers out of range and of unknown names |
//!
//! This crate decides where computations run: a [`Device`] is a value, and its backends are features. The error of
//! every function converts into [`Error`].
//!
//! ```
//! use sclsd::{Device, analysis, data, graph, infer};
//!
//! // simulated cells, with a graph of neighbours
//! let spec = data::SimulateSpec { n_cells: 60, n_genes: 20, ..Default::default() };
//! let mut cells = data::simulate(&spec.check()?);
//! let neighbors = graph::nearest_neighbors(&data::pca(cells.expression()?, 10).scores, 8)?;
//! cells.obsp.insert("connectivities".into(), graph::connectivities(&neighbors));
//!
//! // walks along the graph, directed by a prior time
//! let mut spec = infer::TrainSpec { num_epochs: 1, ..Default::default() };
//! spec.walks = graph::WalkSpec { num_walks: 8, batch_size: 8, path_len: 4, ..Default::default() };
//! let prior = graph::Transition::from_pseudotime(cells.graph("connectivities")?, &cells.numbers("prior_time")?, 50.0)?;
//! let walks = prior.walks(&spec.walks.clone().check()?);
//!
//! // a model, and what it says about every cell
//! let device: Device = "cpu".parse()?;
//! let training = infer::TrainingData::new(&cells, &spec.keys)?;
//! let fit = infer::Trainer::new(spec.check()?).device(device).fit(&training, &walks)?;
//! let result = analysis::annotate(&fit.model, &cells, "connectivities")?;
//! assert_eq!(result.pseudotime.len(), 60);
//! # Ok::<(), sclsd::Error>(())
//! ```

mod device;
mod error;

pub use device::{Device, DeviceError};
pub use error::Error;

pub use sclsd_analysis as analysis;
pub use sclsd_data as data;
pub use sclsd_graph as graph;
pub use sclsd_infer as infer;
pub use sclsd_model as model;
pub use sclsd_plot as plot;
pub use sclsd_spec as spec;
