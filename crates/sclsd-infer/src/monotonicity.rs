//! Whether potential and entropy fall along walks, as a cell's differentiation should have it.
//!
//! ```text
//! rise of f = (1/L) Σ_{s=1}^{L−1} mean over walks of max(0, f(s) − f(s − 1))
//! ```
//!
//! 0 where f never rises. Reference: `LSD._V` and `LSD._H`. In evaluation mode a value depends on the cell alone, so it
//! is computed once per distinct cell and not once per visit.

use burn::tensor::{Tensor, TensorData, backend::Backend};
use sclsd_data::Csr;
use sclsd_model::Lsd;

/// How much potential and entropy rise along walks, per step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Monotonicity {
    /// Of the potential, in its own units.
    pub potential_rise: f64,
    /// Of the entropy of q(B), in nats.
    pub entropy_rise: f64,
}

/// Measures some walks of `steps` cells each.
///
/// # Panics
/// When a cell is out of range or the walks are not whole.
#[must_use]
pub fn monotonicity<B: Backend>(
    model: &Lsd<B>,
    x: &Csr,
    walks: &[u32],
    steps: usize,
    device: &B::Device,
) -> Monotonicity {
    let mut cells: Vec<usize> = walks.iter().map(|&cell| cell as usize).collect();
    cells.sort_unstable();
    cells.dedup();
    let dense = TensorData::new(x.gather_dense(&cells), [cells.len(), x.n_cols()]);
    let (z, _) = model.encode_x(Tensor::from_data(dense, device));
    let (_, scale) = model.encode_z(z.clone());
    let potential: Vec<f64> = model.potential.value(z).into_data().iter::<f64>().collect();
    let entropy: Vec<f64> = scale.log().sum_dim(1).into_data().iter::<f64>().collect();
    let place = |cell: u32| cells.binary_search(&(cell as usize)).expect("a cell of these walks");
    let rise = |value: &[f64]| {
        #[expect(clippy::cast_precision_loss, reason = "numbers of visits are far below 2^52")]
        let visits = walks.len() as f64;
        let rises = walks.chunks_exact(steps).flat_map(|walk| walk.windows(2));
        rises.map(|pair| (value[place(pair[1])] - value[place(pair[0])]).max(0.0)).sum::<f64>() / visits
    };
    Monotonicity { potential_rise: rise(&potential), entropy_rise: rise(&entropy) }
}
