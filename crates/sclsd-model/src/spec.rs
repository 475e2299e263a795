//! Sizes of the model, with the names of the Python package.

use sclsd_kernels::{CountLikelihood, GeneLikelihood};
use sclsd_spec::{OutOfRange, in_range};
use serde::{Deserialize, Serialize};

use crate::custom::Custom;

/// Sizes and coefficients of the model. Reference: `ModelConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ModelSpec {
    /// Dimensions of the cell state z. At least 1. Default: 10.
    pub z_dim: usize,
    /// Dimensions of the differentiation state B. At least 1. Default: 2.
    #[serde(rename = "B_dim")]
    pub b_dim: usize,
    /// Weight of the largest squared potential of a batch in the loss, in nats per visit. Default: 0.01.
    #[serde(rename = "V_coeff")]
    pub v_coeff: f64,
    /// Distribution of the counts given the decoder's rates: zinb, nb or poisson. Default: zinb, as in the Python
    /// package.
    pub gene_likelihood: GeneLikelihood,
    /// Widths of the hidden layers.
    pub layer_dims: LayerDims,
}

/// Widths of the hidden layers, from input to output. Reference: `LayerDims`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LayerDims {
    /// Differentiation state to cell state. Default: 32, 64.
    #[serde(rename = "B_decoder")]
    pub b_decoder: Vec<usize>,
    /// Cell state to expression. Default: 128, 256.
    pub z_decoder: Vec<usize>,
    /// Expression to cell state. Default: 512, 256.
    pub x_encoder: Vec<usize>,
    /// Cell state to differentiation state. Default: as `x_encoder`. (The Python package uses `x_encoder` here,
    /// whatever its own field of this name is.)
    pub z_encoder: Option<Vec<usize>>,
    /// Expression to library size. Default: as `z_decoder`, as in the Python package.
    pub xl_encoder: Option<Vec<usize>>,
    /// Cell state to potential. Default: 32, 32.
    pub potential: Vec<usize>,
}

impl Default for ModelSpec {
    fn default() -> Self {
        Self {
            z_dim: 10,
            b_dim: 2,
            v_coeff: 0.01,
            gene_likelihood: GeneLikelihood::default(),
            layer_dims: LayerDims::default(),
        }
    }
}

impl Default for LayerDims {
    fn default() -> Self {
        Self {
            b_decoder: vec![32, 64],
            z_decoder: vec![128, 256],
            x_encoder: vec![512, 256],
            z_encoder: None,
            xl_encoder: None,
            potential: vec![32, 32],
        }
    }
}

impl LayerDims {
    /// Hidden widths from cell state to differentiation state.
    #[must_use]
    pub fn z_encoder(&self) -> &[usize] {
        self.z_encoder.as_deref().unwrap_or(&self.x_encoder)
    }

    /// Hidden widths from expression to library size.
    #[must_use]
    pub fn xl_encoder(&self) -> &[usize] {
        self.xl_encoder.as_deref().unwrap_or(&self.z_decoder)
    }
}

/// Checked sizes of a model, and user-defined parts that replace its networks.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedModelSpec {
    spec: ModelSpec,
    custom: Custom,
}

impl ModelSpec {
    /// Checks every field.
    ///
    /// # Errors
    /// [`OutOfRange`] names the first field that is out of range.
    pub fn check(self) -> Result<CheckedModelSpec, OutOfRange> {
        in_range("model.z_dim", self.z_dim, self.z_dim >= 1, "at least 1")?;
        in_range("model.B_dim", self.b_dim, self.b_dim >= 1, "at least 1")?;
        let weighs = self.v_coeff.is_finite() && self.v_coeff >= 0.0;
        in_range("model.V_coeff", self.v_coeff, weighs, "a finite number of 0 or more")?;
        let dims = &self.layer_dims;
        for (field, sizes) in [
            ("model.layer_dims.B_decoder", &dims.b_decoder[..]),
            ("model.layer_dims.z_decoder", &dims.z_decoder),
            ("model.layer_dims.x_encoder", &dims.x_encoder),
            ("model.layer_dims.z_encoder", dims.z_encoder()),
            ("model.layer_dims.xl_encoder", dims.xl_encoder()),
            ("model.layer_dims.potential", &dims.potential),
        ] {
            in_range(field, format!("{sizes:?}"), !sizes.contains(&0), "sizes of at least 1")?;
        }
        Ok(CheckedModelSpec { spec: self, custom: Custom::default() })
    }
}

impl ModelSpec {
    /// Number of weights of a model with `n_genes` genes; saturates at the largest `u128`.
    #[must_use]
    pub fn weights(&self, n_genes: usize) -> u128 {
        self.stacks(n_genes).iter().flat_map(|sizes| sizes.windows(2)).fold(0, |sum, pair| {
            let wide = |n: usize| n as u128;
            wide(pair[0]).saturating_mul(wide(pair[1])).saturating_add(wide(pair[1])).saturating_add(sum)
        })
    }

    /// Numbers that all layers compute for one visit.
    #[must_use]
    pub fn units(&self, n_genes: usize) -> u128 {
        self.stacks(n_genes).iter().flatten().fold(0, |sum, &n| (n as u128).saturating_add(sum))
    }

    /// Widths of every network from input to output.
    fn stacks(&self, n_genes: usize) -> [Vec<usize>; 6] {
        let (dims, twice) = (&self.layer_dims, |n: usize| n.saturating_mul(2));
        let stack = |input: usize, hidden: &[usize], output: usize| {
            [input].into_iter().chain(hidden.iter().copied()).chain([output]).collect()
        };
        [
            stack(n_genes, &dims.x_encoder, twice(self.z_dim)),
            stack(n_genes, dims.xl_encoder(), 2),
            stack(self.z_dim, dims.z_encoder(), twice(self.b_dim)),
            stack(self.b_dim, &dims.b_decoder, twice(self.z_dim)),
            stack(self.z_dim, &dims.z_decoder, twice(n_genes)),
            stack(self.z_dim, &dims.potential, 1),
        ]
    }
}

impl CheckedModelSpec {
    /// The checked specification.
    #[must_use]
    pub fn get(&self) -> &ModelSpec {
        &self.spec
    }

    /// The same sizes with user-defined parts.
    #[must_use]
    pub fn with(self, custom: Custom) -> Self {
        Self { custom, ..self }
    }

    /// The user-defined parts.
    #[must_use]
    pub fn custom(&self) -> &Custom {
        &self.custom
    }

    /// Distribution of the counts.
    #[must_use]
    pub fn likelihood(&self) -> CountLikelihood {
        match &self.custom.likelihood {
            Some(likelihood) => CountLikelihood::Custom(likelihood.clone()),
            None => CountLikelihood::BuiltIn(self.spec.gene_likelihood),
        }
    }
}
