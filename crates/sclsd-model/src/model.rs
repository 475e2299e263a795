//! A trained model on the host: what training returns, a checkpoint holds and analysis starts from.

use burn::tensor::backend::Backend;

use crate::{Array, CheckedModelSpec, LayerDims, Lsd, ModelSpec, ModelSpecError, Weights, WeightsError};

/// Sizes, genes and weights. Holds no tensor of any backend.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Sizes of the networks.
    pub spec: CheckedModelSpec,
    /// Number of genes.
    pub n_genes: usize,
    /// Names of the genes in the order of the networks' input; empty where nobody knows them.
    pub genes: Vec<String>,
    /// Weights under the Python package's names.
    pub weights: Weights,
}

/// Why weights alone do not make a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A tensor that tells the sizes is missing or has the wrong number of dimensions.
    #[error("tensor {name} is missing or is no matrix, so the sizes of the networks are unknown")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// The sizes are no model's.
    #[error(transparent)]
    Spec(#[from] ModelSpecError),
    /// The weights do not fit the sizes.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

impl Model {
    /// The networks on a device.
    ///
    /// # Errors
    /// [`WeightsError`] where the weights do not fit the sizes.
    pub fn on<B: Backend>(&self, device: &B::Device) -> Result<Lsd<B>, WeightsError> {
        Lsd::from_weights(&self.spec, self.n_genes, &self.weights, device)
    }

    /// A model from weights alone: the sizes are read off the tensors. `v_coeff`, which is in no tensor, takes its
    /// default; it matters for training only.
    ///
    /// # Errors
    /// [`ModelError`] names the tensor that is missing or does not fit.
    pub fn from_weights(weights: Weights, genes: Vec<String>) -> Result<Self, ModelError> {
        let widths = |network: &str, stride: usize| -> Result<Vec<usize>, ModelError> {
            let name = |layer: usize| format!("{network}.fc.{}.weight", stride * layer);
            let shape = |layer: usize| match weights.get(&name(layer)) {
                Some(Array { shape, .. }) => <[usize; 2]>::try_from(&shape[..]).ok(),
                None => None,
            };
            let Some([_, input]) = shape(0) else { return Err(ModelError::Unknown { name: name(0) }) };
            Ok([input].into_iter().chain((0..).map_while(shape).map(|[output, _]| output)).collect())
        };
        let hidden = |sizes: &[usize]| sizes[1..sizes.len() - 1].to_vec();
        let x_encoder = widths("x_encoder", 3)?;
        let b_decoder = widths("B_decoder", 2)?;
        let spec = ModelSpec {
            z_dim: x_encoder[x_encoder.len() - 1] / 2,
            b_dim: b_decoder[0],
            layer_dims: LayerDims {
                b_decoder: hidden(&b_decoder),
                z_decoder: hidden(&widths("z_decoder", 3)?),
                x_encoder: hidden(&x_encoder),
                z_encoder: Some(hidden(&widths("z_encoder", 2)?)),
                xl_encoder: Some(hidden(&widths("xl_encoder", 3)?)),
                potential: hidden(&widths("potential", 2)?),
            },
            ..ModelSpec::default()
        };
        Ok(Self { spec: spec.check()?, n_genes: x_encoder[0], genes, weights })
    }
}
