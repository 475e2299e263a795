//! The genes of a model among the genes of a data set.

use std::borrow::Cow;
use std::collections::HashMap;

use sclsd_data::Dataset;
use sclsd_model::Model;

/// Names shown in an error.
const SHOWN: usize = 5;

/// Why a model does not apply to a data set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenesError {
    /// Genes of the model are not in the data.
    #[error("{missing} of the model's {n_genes} genes are not in the data: {first}")]
    Missing {
        /// How many.
        missing: usize,
        /// Genes of the model.
        n_genes: usize,
        /// The first few.
        first: String,
    },
    /// The model does not know its genes' names, and the numbers differ.
    #[error("the model has {model} genes without names, but the data has {data} genes")]
    Count {
        /// Genes of the model.
        model: usize,
        /// Genes of the data.
        data: usize,
    },
}

/// The data with the model's genes in the model's order. Genes that the model does not know are left out.
///
/// # Errors
/// [`GenesError`] says how many genes are missing and names the first few.
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
