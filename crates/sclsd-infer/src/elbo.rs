//! The negative evidence lower bound of one batch.
//!
//! N = walks × steps visits, G genes, one Monte-Carlo sample, reparametrised:
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
//! The penalties count once per visit. The prior of the library size takes mean and standard deviation of the sizes
//! themselves, not of their logarithms: so does the Python package (see `docs/deviations.md`).
//!
//! Reference: `LSDModel.model` and `LSDModel.guide`, Poursina et al. 2026.

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use serde::{Deserialize, Serialize};

use sclsd_model::density::{log_normal, normal};
use sclsd_model::ode::{CheckedOdeSpec, OdeError, Work, linspace, solve};
use sclsd_model::{CountRows, Kernels, Lsd, Shares, Statistics};

/// Standard deviation of p(B).
const B_PRIOR_SCALE: f64 = 10.0;

/// Mean and standard deviation of the cells' library sizes, in counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LibrarySize {
    /// Mean.
    pub mean: f64,
    /// Unbiased standard deviation.
    pub standard_deviation: f64,
}

/// The visits of some walks, walk after walk. A cell that is visited often is encoded once.
#[derive(Debug, Clone)]
pub struct Batch<'a, B: Backend> {
    /// Normalised expression of the distinct cells, `[cells, genes]`.
    pub x: Tensor<B, 2>,
    /// Row of `x` for every visit.
    pub places: Vec<u32>,
    /// Counts, one row per visit.
    pub counts: CountRows<'a>,
    /// Cells per walk.
    pub steps: usize,
}

/// Standard normal noise of one evaluation.
#[derive(Debug, Clone)]
pub struct Noise<B: Backend> {
    /// Of z, `[visits, z]`.
    pub z: Tensor<B, 2>,
    /// Of B, `[visits, B]`.
    pub b: Tensor<B, 2>,
    /// Of the library size, `[visits, 1]`.
    pub xl: Tensor<B, 2>,
}

/// What weighs the terms.
#[derive(Debug, Clone, PartialEq)]
pub struct Coefficients {
    /// s: 1 / (visits of a full batch × genes).
    pub scale: f64,
    /// a: weight of the terms of B.
    pub annealing: f64,
    /// Weight of W2.
    pub wasserstein: f64,
    /// Weight of the largest squared potential.
    pub potential: f64,
    /// Prior of the library size.
    pub library: LibrarySize,
    /// How the flow is solved.
    pub ode: CheckedOdeSpec,
}

/// Every term of the loss, scaled and summed over visits; each `[1]`.
#[derive(Debug, Clone)]
pub struct Elbo<B: Backend> {
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
    /// Batch statistics, for the running averages.
    pub statistics: Statistics<B>,
    /// What solving the flow took.
    pub work: Work,
}

/// The loss of one batch, or its mean over an epoch, term by term, in nats per visit and gene.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// −ln p(x): how well counts are explained.
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
    /// The loss itself: the sum of its terms.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.terms().iter().map(|(_, value)| value).sum()
    }

    /// Terms by name.
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

    /// The mean of several losses.
    #[must_use]
    pub fn mean(losses: &[Self]) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "steps of an epoch are far below 2^52")]
        let mean = |term: fn(&Self) -> f64| losses.iter().map(term).sum::<f64>() / losses.len() as f64;
        Self {
            reconstruction: mean(|l| l.reconstruction),
            cell_state: mean(|l| l.cell_state),
            diff_state: mean(|l| l.diff_state),
            library_size: mean(|l| l.library_size),
            potential_norm: mean(|l| l.potential_norm),
            wasserstein: mean(|l| l.wasserstein),
        }
    }
}

impl<B: Backend> Elbo<B> {
    /// Evaluates the loss of a batch in training mode.
    ///
    /// # Errors
    /// [`OdeError`] where the flow cannot be solved.
    pub fn new(
        model: &Lsd<B>,
        batch: Batch<'_, B>,
        noise: Noise<B>,
        coefficients: &Coefficients,
        kernels: Kernels,
    ) -> Result<Self, OdeError> {
        let Batch { x, places, counts, steps } = batch;
        let visits = places.len();
        let shares = shares(&places, x.dims()[0], &x.device());
        let places = Tensor::<B, 1, Int>::from_data(TensorData::new(places, [visits]), &x.device());
        let at_visits = |cells: Tensor<B, 2>| cells.select(0, places.clone()); // [cells, n] → [visits, n]
        let walks = visits / steps;
        let times = linspace(0.0, 1.0, steps);
        let spread = time_spread(&times, walks, &x.device()); // eᵗ, [visits, 1]
        let c = coefficients;

        // guide
        let (encoded, x_encoder) = model.x_encoder.train(x.clone(), Some(&shares), kernels);
        let (z_loc, z_scale) = Lsd::location_scale(encoded); // [cells, z] each
        let z_dim = z_loc.dims()[1];
        let largest = model.potential.value(z_loc.clone()).powi_scalar(2).max();
        let (z_loc, z_scale) = (at_visits(z_loc), at_visits(z_scale));
        let start = z_loc.clone().reshape([walks, steps * z_dim]).narrow(1, 0, z_dim); // first visit of each walk
        let flow = solve(|_, z| model.potential.drift(z), start, &times, &c.ode)?;
        let z_hat = Tensor::stack::<3>(flow.states, 1).reshape([visits, z_dim]);
        let z = z_hat.clone() + z_scale.clone() * noise.z;
        let guide_z = total(normal(z.clone(), z_hat, z_scale.clone()));

        let (b_loc, b_scale) = Lsd::location_scale(model.z_encoder.train(z.clone(), None, kernels).0);
        let b_scale = b_scale * spread.clone();
        let b = b_loc.clone() + b_scale.clone() * noise.b;
        let guide_b = total(normal(b.clone(), b_loc, b_scale));

        let (library, xl_encoder) = model.xl_encoder.train(x.clone(), Some(&shares), kernels);
        let (l_loc, l_scale) = Lsd::location_scale(at_visits(library));
        let l = l_loc.clone() + l_scale.clone() * noise.xl; // ln xl, [visits, 1]
        let guide_xl = total(log_normal(l.clone(), l_loc, l_scale));
        let distance = consecutive(z_loc, walks, steps) + consecutive(z_scale, walks, steps);

        // model
        let b_prior = model.rnn.forward(at_visits(model.rnn.project(x)), &model.h_0.val(), steps);
        let model_b = total(normal(b.clone(), b_prior.clone(), b_prior.full_like(B_PRIOR_SCALE)));
        let (z_prior, z_prior_scale) = Lsd::location_scale(model.b_decoder.train(b, None, kernels).0);
        let model_z = total(normal(z.clone(), z_prior, z_prior_scale * spread));
        let library = |value: f64| l.full_like(value);
        let prior = (library(c.library.mean), library(c.library.standard_deviation));
        let model_xl = total(log_normal(l.clone(), prior.0, prior.1));
        let (model_x, z_decoder) = model.reconstruct(z, l, counts, kernels);

        #[expect(clippy::cast_precision_loss, reason = "visits of a batch are far below 2^52")]
        let all = c.scale * visits as f64;
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
        })
    }

    /// The loss, `[1]`.
    #[must_use]
    pub fn loss(&self) -> Tensor<B, 1> {
        let guide = self.guide_z.clone() + self.guide_b.clone() + self.guide_xl.clone();
        let penalties = self.potential_norm.clone() + self.wasserstein.clone();
        let model = self.model_b.clone() + self.model_z.clone() + self.model_xl.clone() + self.model_x.clone();
        guide + penalties - model
    }

    /// The terms on the host, brought over at once.
    ///
    /// # Panics
    /// When the backend does not hand out floats.
    #[must_use]
    pub fn terms(&self) -> Loss {
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
        let data = Tensor::cat(all.map(|t| t.clone().detach()).to_vec(), 0).into_data();
        let v: Vec<f64> = data.iter::<f64>().collect();
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

/// How often every cell is visited, as a share of all visits.
fn shares<B: Backend>(places: &[u32], cells: usize, device: &B::Device) -> Shares<B> {
    let mut counts = vec![0.0_f32; cells];
    places.iter().for_each(|&place| counts[place as usize] += 1.0);
    #[expect(clippy::cast_precision_loss, reason = "visits of a batch are far below 2^24")]
    let all = places.len() as f32;
    counts.iter_mut().for_each(|count| *count /= all);
    Shares { shares: Tensor::from_data(TensorData::new(counts, [cells, 1]), device), visits: places.len() }
}

/// Sum of all elements, row by row first: the order of summation does not depend on threads.
pub(crate) fn total<B: Backend>(values: Tensor<B, 2>) -> Tensor<B, 1> {
    values.sum_dim(1).sum()
}

/// `eᵗ` of every visit, `[visits, 1]`.
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
