//! Matches the genes of a model with the genes of a data set.

use std::borrow::Cow;
use std::collections::HashMap;

use sclsd_data::Dataset;
use sclsd_model::Model;

/// Number of names shown in an error.
const SHOWN: usize = 5;

/// The reason why a model does not apply to a data set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenesError {
    /// Genes of the model are missing from the data.
    #[error("{missing} of the model's {n_genes} genes are not in the data: {first}")]
    Missing {
        /// Number of missing genes.
        missing: usize,
        /// Number of genes of the model.
        n_genes: usize,
        /// Names of the first missing genes.
        first: String,
    },
    /// The model has no gene names, and the numbers of genes differ.
    #[error("the model has {model} genes without names, but the data has {data} genes")]
    Count {
        /// Number of genes of the model.
        model: usize,
        /// Number of genes of the data.
        data: usize,
    },
}

/// The data restricted to the model's genes, in the model's order.
///
/// # Errors
/// [`GenesError`] reports the number of missing genes and the first few names.
pub fn match_genes<'a>(model: &Model, data: &'a Dataset) -> Result<Cow<'a, Dataset>, GenesError> {
    if model.genes.is_empty() {
        let (model, data_genes) = (model.n_genes, data.n_genes());
        if model != data_genes {
            return Err(GenesError::Count { model, data: data_genes });
        }
        return Ok(Cow::Borrowed(data));
    }
    if model.genes == data.var.names {
        return Ok(Cow::Borrowed(data));
    }
    let place: HashMap<&str, usize> = data.var.names.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let found: Vec<Option<usize>> = model.genes.iter().map(|name| place.get(name.as_str()).copied()).collect();
    let missing: Vec<&str> =
        model.genes.iter().zip(&found).filter(|(_, at)| at.is_none()).map(|(name, _)| name.as_str()).collect();
    if missing.is_empty() {
        return Ok(Cow::Owned(data.select_genes(&found.into_iter().flatten().collect::<Vec<_>>())));
    }
    let more = if missing.len() > SHOWN { ", …" } else { "" };
    let first = format!("{}{more}", missing[..missing.len().min(SHOWN)].join(", "));
    Err(GenesError::Missing { missing: missing.len(), n_genes: model.genes.len(), first })
}
