//! Batch normalisation over rows.
//!
//! ```text
//! y = γ (x − mean) / √(var + 1e-5) + β
//! ```
//!
//! In training, mean and (biased) variance are those of the batch. In evaluation they are running averages, with the
//! unbiased variance, as in PyTorch. A training pass does not change the layer: it returns the
//! [statistics](BatchStatistics) of the batch, which [`BatchNorm::absorb`] adds to the averages.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};

use sclsd_kernels::GlobalBatch;
use sclsd_kernels::stack::{BatchMoments, RowWeights};

use super::linear::Linear;
use super::parameters::buffer;
use crate::accelerated::{exact_product, product};
use crate::derivative::{Trainable, total_of_peers};
use crate::executor::Kernels;

const EPSILON: f64 = 1e-5;
/// Weight of a new batch in the running averages.
const MOMENTUM: f64 = 0.1;

/// Batch normalisation over rows. Reference: `torch.nn.BatchNorm1d`.
#[derive(Module, Debug)]
pub struct BatchNorm<B: Backend> {
    /// γ, `[features]`.
    pub weight: Param<Tensor<B, 1>>,
    /// β, `[features]`.
    pub bias: Param<Tensor<B, 1>>,
    /// Running mean, `[features]`.
    pub running_mean: Param<Tensor<B, 1>>,
    /// Running unbiased variance, `[features]`.
    pub running_var: Param<Tensor<B, 1>>,
    /// Number of batches in the running averages, `[1]`.
    pub num_batches_tracked: Param<Tensor<B, 1>>,
}

/// Mean and unbiased variance of one batch, each `[1, features]`, detached from the gradient.
#[derive(Debug, Clone)]
pub struct BatchStatistics<B: Backend> {
    mean: Tensor<B, 2>,
    variance: Tensor<B, 2>,
}

/// The weight of every row in the batch statistics: a cell that is visited often is one row with a large weight.
#[derive(Debug, Clone)]
pub struct RowShares<B: Backend> {
    /// Visits of each row as a fraction of all visits, `[rows, 1]`; the fractions of all peers sum to one. `None` if
    /// each row is a visit.
    pub shares: Option<Tensor<B, 2>>,
    /// The global batch that the rows belong to.
    pub global: GlobalBatch,
}

impl<B: Backend> RowShares<B> {
    pub(super) fn new(weights: &RowWeights, device: &B::Device) -> Self {
        let data = TensorData::new(weights.rows.clone(), [weights.rows.len(), 1]);
        Self { shares: Some(Tensor::from_data(data, device)), global: weights.global.clone() }
    }

    /// Every row is one visit.
    pub(super) fn equal(global: &GlobalBatch) -> Self {
        Self { shares: None, global: global.clone() }
    }
}

impl<B: Backend> BatchStatistics<B> {
    pub(super) fn new(moments: BatchMoments, device: &B::Device) -> Self {
        let row = |values: Vec<f32>| {
            let n = values.len();
            Tensor::from_data(TensorData::new(values, [1, n]), device)
        };
        Self { mean: row(moments.mean), variance: row(moments.variance) }
    }
}

impl<B: Backend> BatchNorm<B> {
    /// γ = 1, β = 0, mean 0, variance 1.
    #[must_use]
    pub fn new(features: usize, device: &B::Device) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::ones([features], device)),
            bias: Param::from_tensor(Tensor::zeros([features], device)),
            running_mean: buffer(Tensor::zeros([features], device)),
            running_var: buffer(Tensor::ones([features], device)),
            num_batches_tracked: buffer(Tensor::zeros([1], device)),
        }
    }

    /// Normalises with the running averages.
    ///
    /// # Shapes
    /// - `x`: `[rows, features]` → `[rows, features]`
    #[must_use]
    pub fn forward_eval(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let scale = self.running_var.val().add_scalar(EPSILON).sqrt().recip() * self.weight.val(); // [features]
        (x - self.running_mean.val().unsqueeze()) * scale.unsqueeze() + self.bias.val().unsqueeze()
    }

    /// Adds a batch to the running averages.
    #[must_use]
    pub fn absorb(mut self, batch: &BatchStatistics<B>) -> Self {
        let toward = |old: Tensor<B, 1>, new: &Tensor<B, 2>| {
            old.mul_scalar(1.0 - MOMENTUM) + new.clone().squeeze_dim(0).mul_scalar(MOMENTUM)
        };
        self.running_mean = self.running_mean.map(|old| toward(old, &batch.mean).set_require_grad(false));
        self.running_var = self.running_var.map(|old| toward(old, &batch.variance).set_require_grad(false));
        self.num_batches_tracked = self.num_batches_tracked.map(|n| n.add_scalar(1.0).set_require_grad(false));
        self
    }
}

impl<B: Trainable> BatchNorm<B> {
    /// A linear layer, normalised with the statistics of the global batch. Also returns these statistics.
    ///
    /// # Shapes
    /// - `x`: `[rows, in]` → `[rows, features]`; the global batch has at least 2 visits
    #[must_use]
    pub fn train(
        &self,
        linear: &Linear<B>,
        x: Tensor<B, 2>,
        shares: &RowShares<B>,
        kernels: Kernels,
    ) -> (Tensor<B, 2>, BatchStatistics<B>) {
        #[expect(clippy::cast_precision_loss, reason = "visits of a batch are far below 2^52")]
        let visits = shares.global.visits as f64;
        let average = |x: Tensor<B, 2>| {
            let part = match &shares.shares {
                Some(shares) => exact_product(kernels, shares.clone().transpose(), x),
                None => x.sum_dim(0).div_scalar(visits),
            };
            total_of_peers(&shares.global.peers, part)
        };
        let x = product(kernels, x, linear.weight.val().transpose());
        let b: Tensor<B, 2> = linear.bias.val().unsqueeze();
        let mean = average(x.clone()); // [1, features]
        let centered = x - mean.clone();
        let variance = average(centered.clone().powi_scalar(2)); // [1, features]
        let statistics = BatchStatistics {
            mean: mean.detach() + b.clone().detach(),
            variance: variance.clone().detach().mul_scalar(visits / (visits - 1.0)),
        };
        let scale = variance.add_scalar(EPSILON).sqrt().recip() * self.weight.val().unsqueeze();
        // b has no effect, but needs a gradient, which is 0
        (centered * scale + (self.bias.val().unsqueeze() + b.mul_scalar(0.0)), statistics)
    }

    /// Folds a linear layer and this normalisation into one linear layer, using the covariance of the inputs:
    ///
    /// ```text
    /// mean(W h + b) = W mean(h) + b,   var(W h + b) = diag(W Cov(h) Wᵀ)
    /// ```
    ///
    /// # Shapes
    /// - `h`: `[rows, in]`, each row a visit; out: `[out, in]`, `[out]`
    #[must_use]
    pub(crate) fn fold(
        &self,
        linear: &Linear<B>,
        h: &Tensor<B, 2>,
        global: &GlobalBatch,
        kernels: Kernels,
    ) -> (Tensor<B, 2>, Tensor<B, 1>, BatchStatistics<B>) {
        #[expect(clippy::cast_precision_loss, reason = "visits of a batch are far below 2^52")]
        let visits = global.visits as f64;
        let (w, b) = (linear.weight.val(), linear.bias.val());
        let outputs = w.dims()[0];
        let mean = total_of_peers(&global.peers, h.clone().sum_dim(0).div_scalar(visits)); // [1, in]
        let centered = h.clone() - mean.clone();
        let covariance = exact_product(kernels, centered.clone().transpose(), centered).div_scalar(visits);
        let covariance = total_of_peers(&global.peers, covariance);
        let level = (w.clone() * mean).sum_dim(1); // [out, 1]
        let variance = (exact_product(kernels, w.clone(), covariance) * w.clone()).sum_dim(1); // [out, 1]
        let row = |column: Tensor<B, 2>| column.detach().reshape([1, outputs]);
        let statistics = BatchStatistics {
            mean: row(level.clone()) + b.clone().detach().unsqueeze(),
            variance: row(variance.clone()).mul_scalar(visits / (visits - 1.0)),
        };
        let scale = variance.add_scalar(EPSILON).sqrt().recip() * self.weight.val().reshape([outputs, 1]);
        // b has no effect, but needs a gradient, which is 0
        let bias = self.bias.val() - (level * scale.clone()).reshape([outputs]) + b.mul_scalar(0.0);
        (w * scale, bias, statistics)
    }
}
