//! The complete model: encoders, decoders, potential, recurrent prior and dispersion.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, activation, backend::Backend};

use sclsd_kernels::reconstruction::{Decoder, Inputs, log_likelihood, reconstruct};
use sclsd_kernels::{CountLikelihood, GeneLikelihood, GlobalBatch, PrecomputedGradients, SparseRows};

use super::batch_norm::{BatchStatistics, RowShares};
use super::potential::PotentialNetwork;
use super::recurrent::RecurrentPrior;
use super::stack::Stack;
use crate::accelerated;
use crate::density::zero_inflated_negative_binomial;
use crate::derivative::{Trainable, all_numbers, function, input, numbers};
use crate::executor::Kernels;
use crate::folded::FoldedLastLayer;
use crate::spec::CheckedModelSpec;
use crate::special::softplus;
use crate::weights::{Weights, WeightsError, weights_of, with_weights};

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
    /// q(xl | x): `[rows, genes]` → location and scale of ln xl, the logarithm of the library size.
    pub xl_encoder: Stack<B>,
    /// V(z).
    pub potential: PotentialNetwork<B>,
    /// Mean of p(B) along a walk.
    pub rnn: RecurrentPrior<B>,
    /// Initial state of the recurrent prior, `[2, 1, B]`.
    pub h_0: Param<Tensor<B, 3>>,
    /// ln θ, `[genes]`.
    pub log_inverse_dispersion: Param<Tensor<B, 1>>,
    /// Distribution of the counts.
    #[module(skip)]
    pub(crate) likelihood: CountLikelihood,
}

/// Mean outputs of the last layers of encoder and decoder before training.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Median of the logarithm of the counts per cell.
    pub log_library: f64,
    /// Standard deviation of the logarithm of the counts per cell.
    pub log_library_scale: f64,
    /// Logarithm of every gene's fraction of all counts.
    pub log_rates: Vec<f32>,
}

/// Batch statistics of one training pass, for every network with batch normalisation.
#[derive(Debug, Clone)]
pub struct Statistics<B: Backend> {
    /// Statistics of the expression encoder.
    pub x_encoder: Vec<BatchStatistics<B>>,
    /// Statistics of the library size encoder.
    pub xl_encoder: Vec<BatchStatistics<B>>,
    /// Statistics of the decoder.
    pub z_decoder: Vec<BatchStatistics<B>>,
}

impl<B: Backend> Lsd<B> {
    /// A model for `n_genes` genes with PyTorch's initial values, drawn from `rng` one network after the other.
    #[must_use]
    pub fn new(spec: &CheckedModelSpec, n_genes: usize, rng: &mut impl rand::Rng, device: &B::Device) -> Self {
        let (potential, likelihood) = (spec.custom().potential.clone(), spec.likelihood());
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
            potential: {
                // a network that is replaced is not allocated, whatever its sizes
                let hidden = if potential.is_some() { &[][..] } else { &dims.potential };
                PotentialNetwork::new(z, hidden, rng, device).replaced(potential, z, device)
            },
            rnn: RecurrentPrior::new(n_genes, b, rng, device),
            h_0: Param::from_tensor(Tensor::zeros([2, 1, b], device)),
            log_inverse_dispersion: Param::from_tensor(Tensor::full(
                [n_genes],
                INITIAL_INVERSE_DISPERSION.ln(),
                device,
            )),
            likelihood,
        }
    }

    /// The same model with other mean outputs before training: the library encoder gives the library size of the data,
    /// and the decoder gives every gene's mean rate.
    ///
    /// # Panics
    /// If the number of rates is not the number of genes.
    #[must_use]
    pub fn starting_at(mut self, start: &Start) -> Self {
        let n_genes = self.log_inverse_dispersion.dims()[0];
        assert_eq!(start.log_rates.len(), n_genes, "one rate per gene");
        #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
        let (library, scale) = (start.log_library as f32, start.log_library_scale as f32);
        self.xl_encoder = self.xl_encoder.starting_at(&[(0, library)], &[(0, scale)]);
        let rates: Vec<(usize, f32)> = (n_genes..).zip(start.log_rates.iter().copied()).collect();
        self.z_decoder = self.z_decoder.starting_at(&rates, &[]);
        self
    }

    /// A model with the given weights.
    ///
    /// # Errors
    /// As [`Lsd::with_weights`].
    pub fn from_weights(
        spec: &CheckedModelSpec,
        n_genes: usize,
        weights: &Weights,
        device: &B::Device,
    ) -> Result<Self, WeightsError> {
        Self::new(spec, n_genes, &mut Zeros, device).with_weights(weights)
    }

    /// All tensors of the model, copied to the host.
    #[must_use]
    pub fn weights(&self) -> Weights {
        weights_of(self)
    }

    /// The model with these weights. Unknown names are ignored; batch counters and the logarithm of θ may be missing.
    ///
    /// # Errors
    /// [`WeightsError`] names a tensor that is missing, of the wrong shape, or not finite.
    pub fn with_weights(self, weights: &Weights) -> Result<Self, WeightsError> {
        with_weights(self, weights)
    }

    /// Location and scale of q(z | x) in evaluation mode.
    ///
    /// # Shapes
    /// - `x`: `[rows, genes]` → two of `[rows, z]`
    #[must_use]
    pub fn encode_x(&self, x: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
        Self::location_scale(self.x_encoder.forward_eval(x))
    }

    /// Location and scale of q(B | z).
    ///
    /// # Shapes
    /// - `z`: `[rows, z]` → two of `[rows, B]`
    #[must_use]
    pub fn encode_z(&self, z: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
        Self::location_scale(self.z_encoder.forward_eval(z))
    }

    /// Location and scale of p(z | B) at time 0.
    ///
    /// # Shapes
    /// - `b`: `[rows, B]` → two of `[rows, z]`
    #[must_use]
    pub fn decode_b(&self, b: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
        Self::location_scale(self.b_decoder.forward_eval(b))
    }

    /// Gate logits and rates of p(x | z) from the decoder's output. The rates of a row sum to one.
    ///
    /// # Shapes
    /// - `out`: `[rows, 2 · genes]` → two of `[rows, genes]`
    #[must_use]
    pub fn gate_and_rate(out: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
        let (gate, logits) = halves(out);
        (gate, activation::softmax(logits, 1))
    }

    /// Splits an encoder's output into a location and a scale; softplus makes the scale positive.
    ///
    /// # Shapes
    /// - `out`: `[rows, 2 n]` → two of `[rows, n]`
    #[must_use]
    pub fn location_scale(out: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
        let (location, scale) = halves(out);
        (location, softplus(scale))
    }

    /// Adds a batch to all running averages. The Python package passes x through the expression encoder twice per step,
    /// so the averages of that encoder are updated twice.
    #[must_use]
    pub fn absorb(mut self, statistics: &Statistics<B>) -> Self {
        self.x_encoder = self.x_encoder.absorb(&statistics.x_encoder).absorb(&statistics.x_encoder);
        self.xl_encoder = self.xl_encoder.absorb(&statistics.xl_encoder);
        self.z_decoder = self.z_decoder.absorb(&statistics.z_decoder);
        self
    }
}

impl<B: Trainable> Lsd<B> {
    /// Σ ln p(x | z, xl) over visits and genes in training mode, `[1]`, and the decoder's batch statistics.
    ///
    /// # Shapes
    /// - `z`: `[visits, z]`; `log_library`, ln xl: `[visits, 1]`; `counts`: one row per visit
    #[must_use]
    pub fn reconstruct(
        &self,
        z: Tensor<B, 2>,
        log_library: Tensor<B, 2>,
        counts: SparseRows<'_>,
        global: &GlobalBatch,
        kernels: Kernels,
    ) -> (Tensor<B, 1>, Vec<BatchStatistics<B>>) {
        let device = z.device();
        let log_theta = self.log_inverse_dispersion.val();
        let zinb = matches!(self.likelihood, CountLikelihood::BuiltIn(GeneLikelihood::Zinb));
        match self.z_decoder.suited(kernels) {
            Kernels::Host => {
                let weights = self.z_decoder.inputs();
                let (held, widths) = (all_numbers::<B>(&weights), self.z_decoder.widths());
                let held_rows = [numbers(&z), numbers(&log_library), numbers(&log_theta)];
                let [z_held, library_held, theta_held] = &held_rows;
                let from = Decoder {
                    z: z_held,
                    weights: &held,
                    widths: &widths,
                    log_library: library_held,
                    log_theta: theta_held,
                    likelihood: &self.likelihood,
                };
                let (sum, moments, derivative) = reconstruct(&from, counts, global);
                let inputs = [input(z), input(log_library), input(log_theta)].into_iter().chain(weights);
                let sum = function(&inputs.collect::<Vec<_>>(), vec![sum], [1], derivative);
                (sum, moments.into_iter().map(|moments| BatchStatistics::new(moments, &device)).collect())
            }
            // tensor code and GPU kernels implement the ZINB only; other likelihoods are computed on the host, after
            // the decoder has run on the tensors' device
            kernels if !zinb => {
                let (folded, statistics) = self.z_decoder.train_folded(z, global, kernels);
                (counted(folded, log_library, log_theta, &self.likelihood, counts), statistics)
            }
            Kernels::Device(kernels) => {
                let (folded, statistics) = self.z_decoder.train_folded(z, global, Kernels::Device(kernels));
                (accelerated::reconstruct(kernels, folded, log_library, log_theta, counts), statistics)
            }
            Kernels::Tensors => {
                let (visits, genes) = (z.dims()[0], log_theta.dims()[0]);
                let counts = Tensor::from_data(TensorData::new(counts.dense(genes), [visits, genes]), &device);
                let (decoded, statistics) =
                    Stack::train(&self.z_decoder, z, &RowShares::equal(global), Kernels::Tensors);
                let (gate, rate) = Self::gate_and_rate(decoded); // [visits, genes] each
                let theta = log_theta.exp().unsqueeze::<2>(); // [1, genes]
                let each = zero_inflated_negative_binomial(counts, theta, rate * log_library.exp(), gate);
                (each.sum_dim(1).sum_dim(0).reshape([1]), statistics)
            }
        }
    }
}

/// Σ ln p of counts, `[1]`, computed on the host from the input of the decoder's last layer.
fn counted<B: Trainable>(
    decoder: FoldedLastLayer<B>,
    log_library: Tensor<B, 2>,
    log_theta: Tensor<B, 1>,
    likelihood: &CountLikelihood,
    counts: SparseRows<'_>,
) -> Tensor<B, 1> {
    let held = [numbers(&decoder.hidden), numbers(&decoder.weight)];
    let rows = [numbers(&decoder.bias), numbers(&log_library), numbers(&log_theta)];
    let ([hidden, weight], [bias, library, theta]) = (&held, &rows);
    let value =
        log_likelihood(Inputs { hidden, weight, bias, log_library: library, log_theta: theta, likelihood }, counts);
    let inputs =
        [input(decoder.hidden), input(decoder.weight), input(decoder.bias), input(log_library), input(log_theta)];
    #[expect(clippy::cast_possible_truncation, reason = "tensors are f32")]
    let sum = value.log_likelihood as f32;
    let grads = PrecomputedGradients(vec![value.hidden, value.weight, value.bias, value.log_library, value.log_theta]);
    function(&inputs, vec![sum], [1], grads)
}

fn halves<B: Backend>(out: Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
    let width = out.dims()[1] / 2;
    (out.clone().narrow(1, 0, width), out.narrow(1, width, width))
}

/// A generator of zeros, for initial values that are replaced at once.
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

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use rand::SeedableRng;

    use super::*;
    use crate::ModelSpec;

    #[test]
    fn a_model_that_starts_at_the_data_gives_its_means_from_the_last_layers() {
        let spec = ModelSpec::default().check().unwrap();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        let start = Start { log_library: 7.5, log_library_scale: 0.25, log_rates: vec![-1.0, -2.0, -3.0] };
        let model = Lsd::<Flex>::new(&spec, 3, &mut rng, &Default::default()).starting_at(&start);
        let last = |stack: &Stack<Flex>| {
            let norm = stack.layers.last().unwrap().norm.as_ref().unwrap();
            [&norm.bias, &norm.weight].map(|p| p.val().into_data().iter::<f32>().collect::<Vec<f32>>())
        };
        assert_eq!(last(&model.xl_encoder), [vec![7.5, 0.0], vec![0.25, 1.0]]);
        assert_eq!(last(&model.z_decoder), [vec![0.0, 0.0, 0.0, -1.0, -2.0, -3.0], vec![1.0; 6]]);
    }

    #[test]
    fn other_likelihoods_have_the_same_sum_and_gradients_however_deep_the_decoder_and_wherever_it_runs() {
        type B = burn::backend::Autodiff<Flex>;
        for (likelihood, deep) in [GeneLikelihood::Nb, GeneLikelihood::Poisson]
            .into_iter()
            .flat_map(|likelihood| [vec![5, 6], vec![4; 8]].map(|deep| (likelihood, deep)))
        {
            let layer_dims = crate::LayerDims { z_decoder: deep.clone(), ..crate::LayerDims::default() };
            let spec = ModelSpec { z_dim: 3, gene_likelihood: likelihood, layer_dims, ..ModelSpec::default() };
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(4);
            let model = Lsd::<B>::new(&spec.check().unwrap(), 5, &mut rng, &Default::default());
            let run = |kernels| {
                let z: Vec<f32> = (0_u16..36).map(|i| f32::from(i * 7 % 36) / 36.0).collect();
                let z = Tensor::<B, 2>::from_data(TensorData::new(z, [12, 3]), &Default::default()).require_grad();
                let library = Tensor::<B, 2>::full([12, 1], 3.0, &Default::default());
                let rows = [0_u32, 1].repeat(6);
                let counts =
                    SparseRows { indptr: &[0, 2, 3], indices: &[0, 3, 1], values: &[2.0, 7.0, 1.0], rows: &rows };
                let (sum, _) = model.reconstruct(z.clone(), library, counts, &GlobalBatch::alone(12), kernels);
                let gradients = sum.backward();
                let grad_z: Vec<f32> = z.grad(&gradients).unwrap().into_data().to_vec().unwrap();
                let theta = model.log_inverse_dispersion.val().grad(&gradients).unwrap();
                (sum.into_scalar(), grad_z, theta.into_data().to_vec::<f32>().unwrap())
            };
            let (host, tensors) = (run(Kernels::Host), run(Kernels::Tensors));
            assert!(
                (host.0 - tensors.0).abs() < 1e-4 * host.0.abs(),
                "{deep:?} {likelihood:?}: {} {}",
                host.0,
                tensors.0
            );
            let largest = tensors.1.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            assert!(largest > 0.0);
            for (a, b) in host.1.iter().zip(&tensors.1).chain(host.2.iter().zip(&tensors.2)) {
                assert!((a - b).abs() < 1e-3 * (largest + b.abs()), "{deep:?} {likelihood:?}: {a} {b}");
            }
            let moved = host.2.iter().any(|v| *v != 0.0);
            assert_eq!(moved, likelihood == GeneLikelihood::Nb, "Poisson counts know no dispersion");
        }
    }
}
