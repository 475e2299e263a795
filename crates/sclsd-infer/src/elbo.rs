//! The negative evidence lower bound of one batch.
//!
//! N = walks × steps visits, G genes, one Monte Carlo sample, reparametrised:
//!
//! ```text
//! loss = s Σ_visits ( ln q(z) + a ln q(B) + ln q(xl) + V_coeff max V² + W_coeff W2
//!                     − ln p(z) − a ln p(B) − ln p(xl) − ln p(x) )
//!
//! q(z)  = Normal(ẑ(t), σ_x)          ẑ solves dz/dt = −∇V from z_loc of the walk's first visit, t = 0 … 1
//! q(B)  = Normal(B_loc(z), B_scale(z) eᵗ)       p(B)  = Normal(rnn(x along the walk), 10)
//! q(xl) = LogNormal(l_loc(x), l_scale(x))       p(z)  = Normal(μ_B(B), σ_B(B) eᵗ)
//! W2    = Σ ‖Δz_loc‖² + ‖Δσ_x‖²                  p(xl) = LogNormal(mean, sd of the library sizes)
//!         over walks and consecutive steps      p(x)  = ZINB(θ, ln(xl μ(z) + ε) − ln(θ + ε), gate γ(z))
//! ```
//!
//! The penalties count once per visit. As in the Python package, the prior of the library size uses mean and standard
//! deviation of the sizes themselves, not of their logarithms (see `docs/deviations.md`).
//!
//! Reference: `LSDModel.model` and `LSDModel.guide`, Poursina et al. 2026.

use burn::tensor::{Tensor, TensorData, backend::Backend};
use serde::{Deserialize, Serialize};

use sclsd_model::density::{log_normal, normal, normal_at_draw};
use sclsd_model::ode::{CheckedOdeSpec, OdeError, Work, linspace};
use sclsd_model::{Cells, Expression, FlowCheck, GlobalBatch, Kernels, Lsd, Peers, SparseRows, Statistics, Trainable};

/// Largest ln(library size) that enters the likelihood. A draw above it (10¹⁷ counts) would overflow in `f32` soon, and
/// would carry no information.
const LARGEST_LIBRARY: f64 = 40.0;
/// Standard deviation of p(B).
const B_PRIOR_SCALE: f64 = 10.0;

/// Prior of the library size: mean and standard deviation over cells, in counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LibrarySize {
    /// Mean.
    pub mean: f64,
    /// Unbiased standard deviation.
    pub standard_deviation: f64,
}

/// The visits of some walks, walk after walk. A cell that is visited several times is encoded once.
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    /// Normalised expression of the distinct cells.
    pub x: Expression,
    /// Row of `x` for every visit.
    pub places: Vec<u32>,
    /// Counts, one row per visit.
    pub counts: SparseRows<'a>,
    /// Cells per walk.
    pub steps: usize,
    /// The global batch that these visits are a shard of.
    pub global: GlobalBatch,
}

/// Standard normal noise of one evaluation of the loss.
#[derive(Debug, Clone)]
pub struct Noise<B: Backend> {
    /// Noise of z, `[visits, z]`.
    pub z: Tensor<B, 2>,
    /// Noise of B, `[visits, B]`.
    pub b: Tensor<B, 2>,
    /// Noise of the library size, `[visits, 1]`.
    pub xl: Tensor<B, 2>,
}

/// The coefficients of the loss.
#[derive(Debug, Clone, PartialEq)]
pub struct Coefficients {
    /// s: 1 / (visits of a full batch × genes).
    pub scale: f64,
    /// a: weight of the terms of B.
    pub annealing: f64,
    /// W_coeff, weight of W2.
    pub wasserstein: f64,
    /// V_coeff, weight of the largest squared potential.
    pub potential: f64,
    /// Prior of the library size.
    pub library: LibrarySize,
    /// Settings of the solver.
    pub ode: CheckedOdeSpec,
}

/// Every term of the loss, scaled and summed over visits; each `[1]`.
#[derive(Debug, Clone)]
pub struct Elbo<B: Trainable> {
    /// s Σ ln q(z).
    pub guide_z: Tensor<B, 1>,
    /// s a Σ ln q(B).
    pub guide_b: Tensor<B, 1>,
    /// s Σ ln q(xl).
    pub guide_xl: Tensor<B, 1>,
    /// s N V_coeff max V².
    pub potential_norm: Tensor<B, 1>,
    /// s N W_coeff W2.
    pub wasserstein: Tensor<B, 1>,
    /// s a Σ ln p(B).
    pub model_b: Tensor<B, 1>,
    /// s Σ ln p(z).
    pub model_z: Tensor<B, 1>,
    /// s Σ ln p(xl).
    pub model_xl: Tensor<B, 1>,
    /// s Σ ln p(x).
    pub model_x: Tensor<B, 1>,
    /// Batch statistics, to be added to the running averages.
    pub statistics: Statistics<B>,
    /// Work counters of the solver.
    pub work: Work,
    /// Status of the flow on a device, to be read if the loss is not finite.
    pub flow: Option<FlowCheck<B::InnerBackend>>,
}

/// The terms of the loss of one batch, or their means over an epoch, in nats per visit and gene.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// −ln p(x): how well the model explains the counts.
    pub reconstruction: f64,
    /// ln q(z) − ln p(z).
    pub cell_state: f64,
    /// a (ln q(B) − ln p(B)).
    pub diff_state: f64,
    /// ln q(xl) − ln p(xl).
    pub library_size: f64,
    /// V_coeff max V².
    pub potential_norm: f64,
    /// W_coeff W2.
    pub wasserstein: f64,
}

impl Loss {
    /// The loss: the sum of the terms.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.terms().iter().map(|(_, value)| value).sum()
    }

    /// The terms with their names.
    #[must_use]
    pub fn terms(&self) -> [(&'static str, f64); 6] {
        [
            ("reconstruction", self.reconstruction),
            ("cell_state", self.cell_state),
            ("diff_state", self.diff_state),
            ("library_size", self.library_size),
            ("potential_norm", self.potential_norm),
            ("wasserstein", self.wasserstein),
        ]
    }

    /// The sum over all peers.
    #[must_use]
    pub(crate) fn total_over(self, peers: &Peers) -> Self {
        if peers.count() == 1 {
            return self;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the terms are f32")]
        let mut terms = self.terms().map(|(_, value)| value as f32);
        peers.sum(&mut terms);
        Self::of(terms.map(f64::from))
    }

    /// A loss from its terms, in the order of [`Loss::terms`].
    fn of(terms: [f64; 6]) -> Self {
        let [reconstruction, cell_state, diff_state, library_size, potential_norm, wasserstein] = terms;
        Self { reconstruction, cell_state, diff_state, library_size, potential_norm, wasserstein }
    }

    /// The term-by-term sum of two losses.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        let (ours, theirs) = (self.terms(), other.terms());
        Self::of(std::array::from_fn(|i| ours[i].1 + theirs[i].1))
    }

    /// Divides a sum of losses by the number of steps.
    #[must_use]
    pub(crate) fn over(self, steps: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "steps of an epoch are far below 2^52")]
        let steps = steps as f64;
        Self::of(self.terms().map(|(_, sum)| sum / steps))
    }
}

impl<B: Trainable> Elbo<B> {
    /// Evaluates the loss of a batch in training mode.
    ///
    /// # Errors
    /// [`OdeError`] if the flow cannot be solved.
    pub fn new(
        model: &Lsd<B>,
        batch: Batch<'_>,
        noise: Noise<B>,
        coefficients: &Coefficients,
        kernels: Kernels,
    ) -> Result<Self, OdeError> {
        let Batch { x, places, counts, steps, global } = batch;
        let (device, visits) = (noise.z.device(), places.len());
        let cells = Cells::new(x, places, &global, kernels, &device);
        let at_visits = |rows: Tensor<B, 2>| cells.at_visits(rows); // [cells, n] → [visits, n]
        let walks = visits / steps;
        let times = linspace(0.0, 1.0, steps);
        let spread = time_spread(&times, walks, &device); // eᵗ, [visits, 1]
        let c = coefficients;

        // guide
        let (encoded, x_encoder) = model.x_encoder.train_cells(&cells, kernels);
        let (z_loc, z_scale) = Lsd::location_scale(encoded); // [cells, z] each
        let z_dim = z_loc.dims()[1];
        let largest = model.potential.largest_square(z_loc.clone(), &global.peers, kernels);
        let (z_loc, z_scale) = (at_visits(z_loc), at_visits(z_scale));
        let start = z_loc.clone().reshape([walks, steps * z_dim]).narrow(1, 0, z_dim); // first visit of each walk
        let flow = model.potential.follow(start, &times, &c.ode, kernels)?;
        let z_hat = flow.states;
        let z_hat = z_hat.reshape([visits, z_dim]);
        let z = z_hat + z_scale.clone() * noise.z.clone();
        let guide_z = total(normal_at_draw(noise.z, z_scale.clone()));

        let (b_loc, b_scale) = Lsd::location_scale(model.z_encoder.train_plain(z.clone(), kernels));
        let b_scale = b_scale * spread.clone();
        let b = b_loc + b_scale.clone() * noise.b.clone();
        let guide_b = total(normal_at_draw(noise.b, b_scale));

        let (library, xl_encoder) = model.xl_encoder.train_cells(&cells, kernels);
        let (l_loc, l_scale) = Lsd::location_scale(at_visits(library));
        let l = l_loc + l_scale.clone() * noise.xl.clone(); // ln xl, [visits, 1]
        let guide_xl = total(normal_at_draw(noise.xl, l_scale) - l.clone());
        let distance = consecutive(z_loc, walks, steps) + consecutive(z_scale, walks, steps);

        // model
        let b_prior = model.rnn.train(&cells, &model.h_0.val(), steps, kernels);
        let model_b = total(normal(b.clone(), b_prior.clone(), b_prior.full_like(B_PRIOR_SCALE)));
        let (z_prior, z_prior_scale) = Lsd::location_scale(model.b_decoder.train_plain(b, kernels));
        let model_z = total(normal(z.clone(), z_prior, z_prior_scale * spread));
        let library = |value: f64| l.full_like(value);
        let prior = (library(c.library.mean), library(c.library.standard_deviation));
        let model_xl = total(log_normal(l.clone(), prior.0, prior.1));
        let (model_x, z_decoder) = model.reconstruct(z, l.clamp_max(LARGEST_LIBRARY), counts, &global, kernels);

        #[expect(clippy::cast_precision_loss, reason = "visits of a batch are far below 2^52")]
        let all = c.scale * global.visits as f64;
        Ok(Self {
            guide_z: guide_z.mul_scalar(c.scale),
            guide_b: guide_b.mul_scalar(c.scale * c.annealing),
            guide_xl: guide_xl.mul_scalar(c.scale),
            potential_norm: largest.mul_scalar(all * c.potential),
            wasserstein: distance.mul_scalar(all * c.wasserstein),
            model_b: model_b.mul_scalar(c.scale * c.annealing),
            model_z: model_z.mul_scalar(c.scale),
            model_xl: model_xl.mul_scalar(c.scale),
            model_x: model_x.mul_scalar(c.scale),
            statistics: Statistics { x_encoder, xl_encoder, z_decoder },
            work: flow.work,
            flow: flow.check,
        })
    }
}

impl<B: Trainable> Elbo<B> {
    /// The loss, `[1]`.
    #[must_use]
    pub fn loss(&self) -> Tensor<B, 1> {
        let guide = self.guide_z.clone() + self.guide_b.clone() + self.guide_xl.clone();
        let penalties = self.potential_norm.clone() + self.wasserstein.clone();
        let model = self.model_b.clone() + self.model_z.clone() + self.model_xl.clone() + self.model_x.clone();
        guide + penalties - model
    }

    /// The terms, still on the device.
    #[must_use]
    pub fn terms(&self) -> Terms<B> {
        let all = [
            &self.guide_z,
            &self.guide_b,
            &self.guide_xl,
            &self.potential_norm,
            &self.wasserstein,
            &self.model_b,
            &self.model_z,
            &self.model_xl,
            &self.model_x,
        ];
        Terms(Tensor::cat(all.map(|t| t.clone().detach()).to_vec(), 0))
    }
}

/// The terms of a loss, left on the device so that nothing waits for them.
#[derive(Debug, Clone)]
pub struct Terms<B: Backend>(Tensor<B, 1>);

impl<B: Backend> Terms<B> {
    /// Copies the terms to the host. Waits for the device.
    ///
    /// # Panics
    /// If the backend does not return floats.
    #[must_use]
    pub fn read(self) -> Loss {
        let v: Vec<f64> = self.0.into_data().iter::<f64>().collect();
        Loss {
            reconstruction: -v[8],
            cell_state: v[0] - v[6],
            diff_state: v[1] - v[5],
            library_size: v[2] - v[7],
            potential_norm: v[3],
            wasserstein: v[4],
        }
    }
}

/// Sum of all elements, accumulated row by row in an order that does not depend on the number of threads or on the GPU.
pub(crate) fn total<B: Backend>(values: Tensor<B, 2>) -> Tensor<B, 1> {
    values.sum_dim(1).sum_dim(0).reshape([1])
}

/// `eᵗ` at every visit, `[visits, 1]`.
fn time_spread<B: Backend>(times: &[f64], walks: usize, device: &B::Device) -> Tensor<B, 2> {
    #[expect(clippy::cast_possible_truncation, reason = "tensors are f32")]
    let once: Vec<f32> = times.iter().map(|t| t.exp() as f32).collect();
    let visits = walks * times.len();
    Tensor::from_data(TensorData::new(once.repeat(walks), [visits, 1]), device)
}

/// `Σ ‖v_s − v_{s−1}‖²` over walks and steps.
fn consecutive<B: Backend>(v: Tensor<B, 2>, walks: usize, steps: usize) -> Tensor<B, 1> {
    let width = v.dims()[1];
    let v = v.reshape([walks, steps * width]);
    let (first, last) = (v.clone().narrow(1, 0, (steps - 1) * width), v.narrow(1, width, (steps - 1) * width));
    total((last - first).powi_scalar(2))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use burn::backend::{Autodiff, Flex};
    use burn::module::{Module, ModuleVisitor, Param};
    use rand::{RngExt, SeedableRng};
    use sclsd_model::ode::OdeSpec;
    use sclsd_model::{Array, ModelSpec, tensor_name};

    use super::*;

    type B = Autodiff<Flex>;

    struct Collect<'a> {
        path: Vec<String>,
        gradients: &'a <B as burn::tensor::backend::AutodiffBackend>::Gradients,
        found: BTreeMap<String, Array>,
    }

    impl ModuleVisitor<B> for Collect<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
            if let Some(gradient) = param.val().grad(self.gradients) {
                self.found.insert(tensor_name(&self.path), Array::from_tensor(gradient));
            }
        }
    }

    /// Loss, terms and gradients of a batch that visits `cells` cells of `genes` genes; `zeros` is the fraction of
    /// zeros.
    fn evaluate(sizes: [usize; 4], zeros: f32, kernels: Kernels) -> (Vec<f64>, BTreeMap<String, Array>) {
        evaluate_far(sizes, zeros, kernels, 1.0)
    }

    /// Like [`evaluate`], with the noise of the library size multiplied by `far`.
    fn evaluate_far(sizes: [usize; 4], zeros: f32, kernels: Kernels, far: f64) -> (Vec<f64>, BTreeMap<String, Array>) {
        let [walks, steps, n_cells, genes] = sizes;
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(genes as u64);
        let spec = ModelSpec::default().check().unwrap();
        let mut model: Lsd<B> = Lsd::new(&spec, genes, &mut rng, &Default::default());
        // for large θ, the tensor code loses digits in differences of Γ functions
        model.log_inverse_dispersion = Param::from_tensor(Tensor::ones([genes], &Default::default()));
        let (mut indptr, mut indices, mut counts) = (vec![0], Vec::new(), Vec::new());
        for _ in 0..n_cells {
            // gene 0 has no counts
            for gene in (1..u32::try_from(genes).unwrap()).filter(|_| rng.random::<f32>() > zeros).collect::<Vec<_>>() {
                indices.push(gene);
                counts.push(rng.random_range(0.0_f32..40.0).floor().max(1.0));
            }
            indptr.push(indices.len());
        }
        let values: Vec<f32> = counts.iter().map(|c: &f32| c.ln_1p()).collect();
        let cells: Vec<u32> = (0_u32..).take(n_cells).collect();
        let places: Vec<u32> = (0..walks * steps).map(|_| cells[rng.random_range(0..n_cells)]).collect();
        let x =
            Expression::new(SparseRows { indptr: &indptr, indices: &indices, values: &values, rows: &cells }, genes);
        let counts = SparseRows { indptr: &indptr, indices: &indices, values: &counts, rows: &places };
        let mut draw = |width: usize| {
            let values: Vec<f32> = (0..walks * steps * width).map(|_| rng.random_range(-1.0..1.0)).collect();
            Tensor::from_data(TensorData::new(values, [walks * steps, width]), &Default::default())
        };
        let noise = Noise { z: draw(10), b: draw(2), xl: draw(1) * far };
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let coefficients = Coefficients {
            scale: 1.0 / (walks * steps * genes) as f64,
            annealing: 0.7,
            wasserstein: 0.02,
            potential: 0.5,
            library: LibrarySize { mean: 5.0, standard_deviation: 2.0 },
            ode: OdeSpec::default().check().unwrap(),
        };
        let batch = Batch { x, places: places.clone(), counts, steps, global: GlobalBatch::alone(walks * steps) };
        let elbo = Elbo::new(&model, batch, noise, &coefficients, kernels).unwrap();
        let gradients = elbo.loss().backward();
        let mut collect = Collect { path: Vec::new(), gradients: &gradients, found: BTreeMap::new() };
        model.visit(&mut collect);
        let mut found = collect.found;
        for (name, array) in model.absorb(&elbo.statistics).weights() {
            if name.contains("running") {
                found.insert(name, array);
            }
        }
        (elbo.terms().read().terms().iter().map(|(_, value)| *value).collect(), found)
    }

    /// Covers repeated cells, a gene without counts, walks of one step, batches smaller than a block or not a multiple
    /// of it, sparse and dense expression, and products large enough for AMX tiles.
    #[test]
    fn kernels_have_the_loss_gradients_and_statistics_of_the_tensor_code() {
        for (sizes, zeros) in [
            ([3, 4, 5, 12], 0.5),
            ([40, 7, 60, 33], 0.9),
            ([9, 2, 9, 20], 0.3),
            ([150, 2, 20, 40], 0.85),
            ([30, 5, 90, 150], 0.6),
        ] {
            let (found, expected) = (evaluate(sizes, zeros, Kernels::Host), evaluate(sizes, zeros, Kernels::Tensors));
            for (a, b) in found.0.iter().zip(&expected.0) {
                assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{sizes:?}: {a} {b}");
            }
            assert!(found.1.keys().eq(expected.1.keys()), "the same tensors have a gradient");
            for (name, array) in &expected.1 {
                let largest = array.values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
                for (a, b) in found.1[name].values.iter().zip(&array.values) {
                    // the gradient of a bias before a batch normalisation is rounding noise here, and 0 in the kernels
                    let silent = *a == 0.0 && b.abs() < 1e-5;
                    assert!(silent || (a - b).abs() < 2e-4 * largest + 1e-7, "{sizes:?} {name}: {a} {b} of {largest}");
                }
            }
        }
    }

    #[test]
    fn a_library_size_drawn_beyond_all_counts_leaves_loss_and_gradients_finite() {
        for kernels in [Kernels::Host, Kernels::Tensors] {
            let (terms, gradients) = evaluate_far([20, 4, 30, 25], 0.5, kernels, 1e3);
            assert!(terms.iter().all(|term| term.is_finite()), "{terms:?}");
            assert!(gradients.values().flat_map(|array| &array.values).all(|value| value.is_finite()));
        }
    }

    #[test]
    fn one_thread_and_two_give_the_same_bits() {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (terms, gradients) = pool.install(|| evaluate([60, 5, 80, 50], 0.8, Kernels::Host));
            (terms.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), gradients)
        };
        assert_eq!(on(1), on(2));
    }
}
