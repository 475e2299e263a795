//! Import of checkpoints of the Python package.

mod archive;

use std::path::Path;

use burn_store::pytorch::PytorchReader;
use sclsd_data::plain_reason;
use sclsd_model::{Array, Model, ModelError, Weights};

use crate::checkpoint::read_regular;

/// Why a `.pth` file cannot be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be opened.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// Path of the file.
        path: String,
        /// The reason.
        reason: String,
    },
    /// The file is not a PyTorch checkpoint.
    #[error("{path} is not a PyTorch checkpoint: {reason}")]
    NotPytorch {
        /// Path of the file.
        path: String,
        /// The reason.
        reason: String,
    },
    /// The tensors are not those of the Python package's model.
    #[error("{path} is not a checkpoint of the Python package sclsd: {problem}")]
    NotLsd {
        /// Path of the file.
        path: String,
        /// Why the tensors are not a model.
        problem: ModelError,
    },
    /// The number of gene names is not the number of genes of the model.
    #[error("{path} is a model of {n_genes} genes, but {named} names were given")]
    Genes {
        /// Path of the file.
        path: String,
        /// Number of genes of the model.
        n_genes: usize,
        /// Number of names given.
        named: usize,
    },
}

/// Reads a checkpoint that `LSD.save` of the Python package wrote. The file has no gene names: pass them, or an empty
/// list.
///
/// # Errors
/// [`ImportError`] names the file and what is wrong with it.
pub fn import_pth(path: &Path, genes: Vec<String>) -> Result<Model, ImportError> {
    let shown = path.display().to_string();
    let bytes =
        read_regular(path).map_err(|e| ImportError::Unreadable { path: shown.clone(), reason: plain_reason(&e) })?;
    let not_pytorch = |reason: String| ImportError::NotPytorch { path: shown.clone(), reason: one_line(&reason) };
    if !bytes.starts_with(b"PK") {
        return Err(not_pytorch("it is not the archive that torch.save makes".into()));
    }
    archive::check(&bytes).map_err(not_pytorch)?;
    let size = bytes.len();
    drop(bytes);
    let reader = PytorchReader::new(path).map_err(|e| not_pytorch(e.to_string()))?;
    let mut weights = Weights::new();
    for name in reader.keys() {
        let Some(snapshot) = reader.get(&name) else { continue };
        let numbers = snapshot.shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
        if numbers.and_then(|n| n.checked_mul(snapshot.dtype.size())).is_none_or(|claimed| claimed > size) {
            let shape = snapshot.shape.to_vec();
            return Err(not_pytorch(format!(
                "its tensor {name} claims the shape {shape:?}, but the file has {size} bytes"
            )));
        }
        let data = snapshot.to_data().map_err(|e| not_pytorch(format!("{e:?}")))?;
        let shape = data.shape.to_vec();
        let values: Vec<f32> = data.iter::<f32>().collect();
        if let Some(name) = name.strip_prefix("model_state_dict.") {
            // the potential appears a second time under its gradient network
            if !name.starts_with("gradnet.") {
                weights.insert(name.to_owned(), Array { shape, values });
            }
        } else if name.ends_with("params.inverse_dispersion") {
            weights.insert("log_inverse_dispersion".into(), Array { shape, values });
        }
    }
    let not_lsd = |problem| ImportError::NotLsd { path: shown.clone(), problem };
    let model = Model::from_weights(weights, genes).map_err(not_lsd)?;
    if !model.genes.is_empty() && model.genes.len() != model.n_genes {
        return Err(ImportError::Genes { path: shown, n_genes: model.n_genes, named: model.genes.len() });
    }
    Ok(model)
}

/// The first sentence of a library's message.
fn one_line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.split(". ").next().unwrap_or_default().to_owned()
}
