//! Batch normalisation over rows.
//!
//! ```text
//! y = γ (x − mean) / √(var + 1e-5) + β
//! ```
//!
//! In training mean and (biased) variance are the batch's; in evaluation they are running averages, of which the
//! variance is the unbiased one, as PyTorch keeps it. A training pass does not change the layer: it returns the batch's
//! [statistics](BatchStatistics), which [`BatchNorm::absorb`] adds to the averages.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, backend::Backend};

use super::{Linear, buffer};

const EPSILON: f64 = 1e-5;
/// Weight of a new batch in the running averages.
const MOMENTUM: f64 = 0.1;

/// Reference: `torch.nn.BatchNorm1d`.
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
    /// Number of batches absorbed, `[1]`.
    pub num_batches_tracked: Param<Tensor<B, 1>>,
}

/// Mean and unbiased variance of one batch, each `[1, features]`, without a gradient.
#[derive(Debug, Clone)]
pub struct BatchStatistics<B: Backend> {
    mean: Tensor<B, 2>,
    variance: Tensor<B, 2>,
}

/// How often each row counts in a batch: a cell that walks visit often is one row with a large share.
#[derive(Debug, Clone)]
pub struct Shares<B: Backend> {
    /// Visits of each row as a share of all, `[rows, 1]`; they sum to one.
    pub shares: Tensor<B, 2>,
    /// All visits.
    pub visits: usize,
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

    /// Normalises by the batch's own statistics and returns them; rows count once each, or by their shares.
    ///
    /// # Shapes
    /// - `x`: `[rows, features]` → `[rows, features]`, at least 2 visits
    #[must_use]
    pub fn train(&self, x: Tensor<B, 2>, shares: Option<&Shares<B>>) -> (Tensor<B, 2>, BatchStatistics<B>) {
        let visits = shares.map_or(x.dims()[0], |s| s.visits);
        #[expect(clippy::cast_precision_loss, reason = "rows of a batch are far below 2^52")]
        let rows = visits as f64;
        let average = |x: Tensor<B, 2>| match shares {
            Some(s) => s.shares.clone().transpose().matmul(x),
            None => x.mean_dim(0),
        };
        let mean = average(x.clone()); // [1, features]
        let centered = x - mean.clone();
        let variance = average(centered.clone().powi_scalar(2)); // [1, features]
        let statistics = BatchStatistics {
            mean: mean.detach(),
            variance: variance.clone().detach().mul_scalar(rows / (rows - 1.0)),
        };
        let scale = variance.add_scalar(EPSILON).sqrt().recip() * self.weight.val().unsqueeze();
        (centered * scale + self.bias.val().unsqueeze(), statistics)
    }

    /// The weights and biases of a linear layer followed by this normalisation in training mode, and the statistics that
    /// its outputs would have: these follow from mean and covariance of its input, without a pass over the outputs.
    ///
    /// ```text
    /// mean = W mean(h) + b,   var_j = w_jᵀ Cov(h) w_j,   W' = W γ / √(var + 1e-5),   b' = β − W' mean(h)
    /// ```
    ///
    /// # Shapes
    /// - `h`: `[rows, in]` → weight `[out, in]`, bias `[1, out]`
    #[must_use]
    pub fn fold(&self, linear: &Linear<B>, h: &Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>, BatchStatistics<B>) {
        #[expect(clippy::cast_precision_loss, reason = "rows of a batch are far below 2^52")]
        let rows = h.dims()[0] as f64;
        let weight = linear.weight.val(); // [out, in]
        let mean = h.clone().mean_dim(0); // [1, in]
        let centered = h.clone() - mean.clone();
        let covariance = centered.clone().transpose().matmul(centered).div_scalar(rows); // [in, in]
        let variance = (weight.clone().matmul(covariance) * weight.clone()).sum_dim(1); // [out, 1]
        let scale = variance.clone().add_scalar(EPSILON).sqrt().recip() * self.weight.val().unsqueeze_dim(1); // [out, 1]
        let level = mean.matmul(weight.clone().transpose()); // [1, out], without b, which the normalisation takes out
        // b itself makes no difference: its derivative is 0, and is said to be
        let nothing = linear.bias.val().mul_scalar(0.0).unsqueeze();
        let bias = self.bias.val().unsqueeze() - level.clone() * scale.clone().transpose() + nothing; // [1, out]
        let statistics = BatchStatistics {
            mean: (level + linear.bias.val().unsqueeze()).detach(),
            variance: variance.detach().transpose().mul_scalar(rows / (rows - 1.0)),
        };
        (weight * scale, bias, statistics)
    }

    /// Normalises by the running averages.
    ///
    /// # Shapes
    /// - `x`: `[rows, features]` → `[rows, features]`
    #[must_use]
    pub fn evaluate(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
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
