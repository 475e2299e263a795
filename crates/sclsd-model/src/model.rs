//! A trained model on the host: the result of training, the content of a checkpoint and the input of the analysis.

use burn::tensor::backend::Backend;
use sclsd_spec::OutOfRange;

use crate::custom::Custom;
use crate::networks::Lsd;
use crate::spec::{CheckedModelSpec, LayerDims, ModelSpec};
use crate::weights::{Array, Weights, WeightsError};

/// Sizes, gene names and weights of a model, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Sizes of the networks.
    pub spec: CheckedModelSpec,
    /// Number of genes.
    pub n_genes: usize,
    /// Names of the genes in the order of the networks' input; empty if they are unknown.
    pub genes: Vec<String>,
    /// Weights, with the names of the Python package.
    pub weights: Weights,
}

/// Why a model cannot be built from weights alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A tensor that determines a size is missing or has the wrong number of dimensions.
    #[error("tensor {name} is missing or is no matrix, so the sizes of the networks are unknown")]
    Unknown {
        /// Name of the tensor.
        name: String,
    },
    /// The sizes are not those of a model.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// The weights do not match the sizes.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

impl Model {
    /// Copies the networks to a device.
    ///
    /// # Errors
    /// [`WeightsError`] if the weights do not match the sizes.
    pub fn on<B: Backend>(&self, device: &B::Device) -> Result<Lsd<B>, WeightsError> {
        Lsd::from_weights(&self.spec, self.n_genes, &self.weights, device)
    }

    /// A model from weights alone, with sizes derived from the shapes of the tensors. `v_coeff` and `gene_likelihood`
    /// are not stored in any tensor and take their defaults.
    ///
    /// # Errors
    /// [`ModelError`] names the tensor that is missing or does not match.
    pub fn from_weights(weights: Weights, genes: Vec<String>) -> Result<Self, ModelError> {
        Self::from_weights_with(weights, genes, Custom::default())
    }

    /// Like [`from_weights`](Self::from_weights), with user-defined parts, which weights do not store.
    ///
    /// # Errors
    /// [`ModelError`] names the tensor that is missing or does not match.
    pub fn from_weights_with(weights: Weights, genes: Vec<String>, custom: Custom) -> Result<Self, ModelError> {
        let hidden = |sizes: &[usize]| sizes[1..sizes.len() - 1].to_vec();
        let widths = |network, stride, ends| widths(&weights, network, stride, ends);
        let x_encoder = widths("x_encoder", 3, [None, None])?;
        let (n_genes, z_dim) = (x_encoder[0], x_encoder[x_encoder.len() - 1] / 2);
        let x_encoder = widths("x_encoder", 3, [Some(n_genes), Some(2 * z_dim)])?;
        let xl_encoder = widths("xl_encoder", 3, [Some(n_genes), Some(2)])?;
        let b_decoder = widths("B_decoder", 2, [None, Some(2 * z_dim)])?;
        let b_dim = b_decoder[0];
        let z_encoder = widths("z_encoder", 2, [Some(z_dim), Some(2 * b_dim)])?;
        let z_decoder = widths("z_decoder", 3, [Some(z_dim), Some(2 * n_genes)])?;
        let potential = match &custom.potential {
            None => hidden(&widths("potential", 2, [Some(z_dim), Some(1)])?),
            Some(_) => LayerDims::default().potential,
        };
        let spec = ModelSpec {
            z_dim,
            b_dim,
            layer_dims: LayerDims {
                b_decoder: hidden(&b_decoder),
                z_decoder: hidden(&z_decoder),
                x_encoder: hidden(&x_encoder),
                z_encoder: Some(hidden(&z_encoder)),
                xl_encoder: Some(hidden(&xl_encoder)),
                potential,
            },
            ..ModelSpec::default()
        };
        Ok(Self { spec: spec.check()?.with(custom), n_genes, genes, weights })
    }
}

/// Widths of a network from input to output, derived from the shapes of its matrices. Checks that every matrix has as
/// many numbers as its shape says, and that consecutive matrices match. `ends` are the input and output widths, if
/// known.
fn widths(weights: &Weights, network: &str, stride: usize, ends: [Option<usize>; 2]) -> Result<Vec<usize>, ModelError> {
    let name = |layer: usize| format!("{network}.fc.{}.weight", stride * layer);
    let matrix = |layer: usize| weights.get(&name(layer)).filter(|array| array.shape.len() == 2);
    let matrices: Vec<&Array> = (0..).map_while(matrix).collect();
    let Some(first) = matrices.first() else { return Err(ModelError::Unknown { name: name(0) }) };
    let mut sizes = vec![ends[0].unwrap_or(first.shape[1]).max(1)];
    for (layer, matrix) in matrices.iter().enumerate() {
        let (output, input) = (matrix.shape[0].max(1), sizes[layer]);
        let output = if layer + 1 == matrices.len() { ends[1].unwrap_or(output) } else { output };
        if matrix.shape != [output, input] || output.checked_mul(input) != Some(matrix.values.len()) {
            let (found, expected) = (matrix.shape.clone(), vec![output, input]);
            return Err(WeightsError::Shape { name: name(layer), found, expected }.into());
        }
        sizes.push(output);
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn sizes_that_tensors_claim_and_do_not_hold_are_errors_that_name_the_tensor() {
        let layer_dims = LayerDims { x_encoder: vec![4], z_decoder: vec![3], ..LayerDims::default() };
        let spec = ModelSpec { z_dim: 2, layer_dims, ..ModelSpec::default() }.check().unwrap();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        let weights = Lsd::<Flex>::new(&spec, 5, &mut rng, &Default::default()).weights();
        let read = Model::from_weights(weights.clone(), Vec::new()).unwrap();
        assert_eq!((read.n_genes, read.spec.get().z_dim, read.spec.get().b_dim), (5, 2, 2));
        assert_eq!(read.spec.get().layer_dims.xl_encoder(), [3]);
        let far = 1_000_000_000_000;
        for (name, shape) in [
            ("x_encoder.fc.0.weight", [far, 0]), // no numbers, but 10¹² rows
            ("x_encoder.fc.0.weight", [usize::MAX, 2]),
            ("x_encoder.fc.3.weight", [4, 5]),
            ("z_decoder.fc.3.weight", [2 * far, 3]),
            ("z_encoder.fc.0.weight", [4, 3]),
            ("potential.fc.4.weight", [2, 32]),
        ] {
            let mut changed = weights.clone();
            let values = shape[0].checked_mul(shape[1]).map_or(0, |n| if n < 100 { n } else { 0 });
            changed.insert(name.into(), Array { shape: shape.to_vec(), values: vec![0.5; values] });
            let error = Model::from_weights(changed, Vec::new()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("tensor {name} has shape {shape:?}, but the model's is ")), "{error}");
        }
    }
}
