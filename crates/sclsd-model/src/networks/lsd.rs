//! The whole model: encoders, decoders, potential, recurrent prior and dispersion.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, activation, backend::Backend};

use super::{BatchStatistics, Potential, RecurrentPrior, Stack};
use crate::density::zero_inflated_negative_binomial;
use crate::kernels::reconstruction;
use crate::special::softplus;
use crate::{CheckedModelSpec, CountRows, Kernels, Weights};

/// ε of the likelihood's logits.
const EPSILON: f64 = 1e-3;

/// θ of every gene before training.
const INITIAL_INVERSE_DISPERSION: f32 = 100.0;

/// The networks of Latent State Dynamics. Reference: `LSDModel`.
#[derive(Module, Debug)]
pub struct Lsd<B: Backend> {
    /// p(z | B): `[rows, B]` → location and scale of z.
    pub b_decoder: Stack<B>,
    /// p(x | z): `[rows, z]` → gate logits and logits of the rates.
    pub z_decoder: Stack<B>,
    /// q(z | x): `[rows, genes]` → location and scale of z.
    pub x_encoder: Stack<B>,
    /// q(B | z): `[rows, z]` → location and scale of B.
    pub z_encoder: Stack<B>,
    /// q(xl | x): `[rows, genes]` → location and scale of the logarithm of the library size.
    pub xl_encoder: Stack<B>,
    /// V(z).
    pub potential: Potential<B>,
    /// Mean of p(B) along a walk.
    pub rnn: RecurrentPrior<B>,
    /// State of the recurrent prior before the first step, `[2, 1, B]`.
    pub h_0: Param<Tensor<B, 3>>,
    /// ln θ, `[genes]`.
    pub log_inverse_dispersion: Param<Tensor<B, 1>>,
}

/// Batch statistics of the normalised networks in one training pass.
#[derive(Debug, Clone)]
pub struct Statistics<B: Backend> {
    /// Of the expression encoder.
    pub x_encoder: Vec<BatchStatistics<B>>,
    /// Of the library size encoder.
    pub xl_encoder: Vec<BatchStatistics<B>>,
    /// Of the decoder.
    pub z_decoder: Vec<BatchStatistics<B>>,
}

impl<B: Backend> Lsd<B> {
    /// A model for `n_genes` genes with PyTorch's initial values, drawn from `rng` network by network.
    #[must_use]
    pub fn new(spec: &CheckedModelSpec, n_genes: usize, rng: &mut impl rand::Rng, device: &B::Device) -> Self {
        let spec = spec.get();
        let (z, b, dims) = (spec.z_dim, spec.b_dim, &spec.layer_dims);
        let sizes = |input: usize, hidden: &[usize], output: usize| -> Vec<usize> {
            [input].into_iter().chain(hidden.iter().copied()).chain([output]).collect()
        };
        Self {
            b_decoder: Stack::new(&sizes(b, &dims.b_decoder, 2 * z), false, rng, device),
            z_decoder: Stack::new(&sizes(z, &dims.z_decoder, 2 * n_genes), true, rng, device),
            x_encoder: Stack::new(&sizes(n_genes, &dims.x_encoder, 2 * z), true, rng, device),
            z_encoder: Stack::new(&sizes(z, dims.z_encoder(), 2 * b), false, rng, device),
            xl_encoder: Stack::new(&sizes(n_genes, dims.xl_encoder(), 2), true, rng, device),
            potential: Potential::new(z, &dims.potential, rng, device),
            rnn: RecurrentPrior::new(n_genes, b, rng, device),
            h_0: Param::from_tensor(Tensor::zeros([2, 1, b], device)),
            log_inverse_dispersion: Param::from_tensor(Tensor::full(
                [n_genes],
                INITIAL_INVERSE_DISPERSION.ln(),
                device,
            )),
        }
    }

    /// A model with given weights.
    ///
    /// # Errors
    /// As [`Lsd::with_weights`].
    pub fn from_weights(
        spec: &CheckedModelSpec,
        n_genes: usize,
        weights: &Weights,
        device: &B::Device,
    ) -> Result<Self, crate::WeightsError> {
        Self::new(spec, n_genes, &mut Zeros, device).with_weights(weights)
    }

    /// Location and scale of q(z | x) in evaluation mode.
    ///
    /// # Shapes
    /// - `x`: `[rows, genes]` → two of `[rows, z]`
    #[must_use]
    pub fn encode_x(&self, x: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
        Self::location_scale(self.x_encoder.evaluate(x))
    }

    /// Location and scale of q(B | z).
    ///
    /// # Shapes
    /// - `z`: `[rows, z]` → two of `[rows, B]`
    #[must_use]
    pub fn encode_z(&self, z: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
        Self::location_scale(self.z_encoder.evaluate(z))
    }

    /// Location and scale of p(z | B) at time 0.
    ///
    /// # Shapes
    /// - `b`: `[rows, B]` → two of `[rows, z]`
    #[must_use]
    pub fn decode_b(&self, b: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
        Self::location_scale(self.b_decoder.evaluate(b))
    }

    /// Gate logits and rates of p(x | z) from the decoder's output; the rates of a row sum to one.
    ///
    /// # Shapes
    /// - `out`: `[rows, 2 · genes]` → two of `[rows, genes]`
    #[must_use]
    pub fn gate_and_rate(out: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
        let (gate, logits) = halves(out);
        (gate, activation::softmax(logits, 1))
    }

    /// Σ ln p(x | z, xl) over visits and genes in training mode, `[1]`, and the decoder's batch statistics.
    ///
    /// # Shapes
    /// - `z`: `[visits, z]`; `log_library`, ln xl: `[visits, 1]`; `counts`: one row per visit
    #[must_use]
    pub fn reconstruct(
        &self,
        z: Tensor<B, 2>,
        log_library: Tensor<B, 2>,
        counts: CountRows<'_>,
        kernels: Kernels,
    ) -> (Tensor<B, 1>, Vec<BatchStatistics<B>>) {
        let last = &self.z_decoder.layers[self.z_decoder.layers.len() - 1];
        match (kernels, &last.norm) {
            (Kernels::Host, Some(norm)) => {
                let (hidden, mut statistics) = self.z_decoder.train_hidden(z, kernels);
                let (weight, bias, batch) = norm.fold(&last.linear, &hidden);
                statistics.push(batch);
                (
                    reconstruct_on_host(hidden, weight, bias, log_library, self.log_inverse_dispersion.val(), counts),
                    statistics,
                )
            }
            _ => {
                let (visits, genes) = (z.dims()[0], self.log_inverse_dispersion.dims()[0]);
                let counts = Tensor::from_data(TensorData::new(counts.dense(genes), [visits, genes]), &z.device());
                let (decoded, statistics) = Stack::train(&self.z_decoder, z, None, kernels);
                let (gate, rate) = Self::gate_and_rate(decoded); // [visits, genes] each
                let theta = self.log_inverse_dispersion.val().exp().unsqueeze::<2>(); // [1, genes]
                let logits =
                    (rate * log_library.exp()).add_scalar(EPSILON).log() - theta.clone().add_scalar(EPSILON).log();
                let each = zero_inflated_negative_binomial(counts, theta, logits, gate);
                (each.sum_dim(1).sum(), statistics)
            }
        }
    }

    /// Splits an encoder's output into a location and, through softplus, a scale.
    ///
    /// # Shapes
    /// - `out`: `[rows, 2 n]` → two of `[rows, n]`
    #[must_use]
    pub fn location_scale(out: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
        let (location, scale) = halves(out);
        (location, softplus(scale))
    }

    /// Adds a batch to all running averages. The Python package passes x through the expression encoder twice in a
    /// step, so that encoder's averages move twice.
    #[must_use]
    pub fn absorb(mut self, statistics: &Statistics<B>) -> Self {
        self.x_encoder = self.x_encoder.absorb(&statistics.x_encoder).absorb(&statistics.x_encoder);
        self.xl_encoder = self.xl_encoder.absorb(&statistics.xl_encoder);
        self.z_decoder = self.z_decoder.absorb(&statistics.z_decoder);
        self
    }
}

/// The likelihood by the kernel, as a number that knows its derivatives: Σ (x − x₀) · ∂/∂x over the inputs, which is 0, with
/// the derivatives as constants, plus the value.
fn reconstruct_on_host<B: Backend>(
    hidden: Tensor<B, 2>,
    weight: Tensor<B, 2>,
    bias: Tensor<B, 2>,
    log_library: Tensor<B, 2>,
    log_theta: Tensor<B, 1>,
    counts: CountRows<'_>,
) -> Tensor<B, 1> {
    let device = hidden.device();
    let log_theta = log_theta.unsqueeze::<2>(); // [1, genes]
    let inputs = [hidden, weight, bias, log_library, log_theta];
    let host: [Vec<f32>; 5] = inputs.clone().map(|t| t.into_data().iter::<f32>().collect());
    let [hidden, weight, bias, library, theta] = &host;
    let inputs_on_host = reconstruction::Inputs { hidden, weight, bias, log_library: library, log_theta: theta };
    let value = reconstruction::evaluate(inputs_on_host, counts);
    let slopes = [value.hidden, value.weight, value.bias, value.log_library, value.log_theta];
    let forms = inputs.into_iter().zip(slopes).map(|(input, slope)| {
        let slope = Tensor::<B, 2>::from_data(TensorData::new(slope, input.dims()), &device);
        ((input.clone() - input.detach()) * slope).sum_dim(1).sum()
    });
    let start = Tensor::from_data(TensorData::new(vec![value.log_likelihood], [1]).convert::<f32>(), &device);
    forms.fold(start, |sum: Tensor<B, 1>, form| sum + form)
}

fn halves<B: Backend>(out: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
    let width = out.dims()[1] / 2;
    (out.clone().narrow(1, 0, width), out.narrow(1, width, width))
}

/// A generator of zeros, for values that are replaced at once.
struct Zeros;

impl rand::TryRng for Zeros {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Self::Error> {
        dst.fill(0);
        Ok(())
    }
}
