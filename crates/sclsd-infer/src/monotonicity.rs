//! How much potential and entropy rise along walks; along differentiation both should fall.
//!
//! ```text
//! rise of f = (1/L) Σ_{s=1}^{L−1} mean over walks of max(0, f(s) − f(s − 1))        L cells per walk
//! ```
//!
//! The rise is 0 if f never rises. Reference: `LSD._V` and `LSD._H`, which encode every batch again after its step. In
//! evaluation mode the values depend on the cell only, so here they are computed once per cell, at the end of an epoch.

use std::collections::BTreeMap;

use sclsd_data::CsrView;
use sclsd_model::{Evaluator, Model, SparseRows, WeightsError};

use crate::data::sparse_rows;

/// The rise of potential and entropy along walks, per step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Monotonicity {
    /// Rise of the potential, in units of V.
    pub potential_rise: f64,
    /// Rise of the entropy of q(B), in nats.
    pub entropy_rise: f64,
}

/// Measures the rises along walks of `steps` cells each.
///
/// # Errors
/// [`WeightsError`] if the weights do not match the model.
///
/// # Panics
/// If a cell is out of range or `steps` is 0.
pub fn monotonicity<'a>(
    model: &Model,
    x: impl Into<CsrView<'a>>,
    walks: &[u32],
    steps: usize,
) -> Result<Monotonicity, WeightsError> {
    let x = x.into();
    let mut cells = walks.to_vec();
    cells.sort_unstable();
    cells.dedup();
    let (potential, entropy) = values(&Evaluator::new(model)?, sparse_rows(x, &cells));
    let place: BTreeMap<u32, usize> = cells.into_iter().zip(0..).collect();
    let rise = |value: &[f64]| {
        #[expect(clippy::cast_precision_loss, reason = "numbers of visits are far below 2^52")]
        let visits = walks.len() as f64;
        let rises = walks.chunks_exact(steps).flat_map(|walk| walk.windows(2));
        rises.map(|pair| (value[place[&pair[1]]] - value[place[&pair[0]]]).max(0.0)).sum::<f64>() / visits
    };
    Ok(Monotonicity { potential_rise: rise(&potential), entropy_rise: rise(&entropy) })
}

/// V and the entropy of q(B), up to a constant, of some cells.
fn values(networks: &Evaluator, x: SparseRows<'_>) -> (Vec<f64>, Vec<f64>) {
    let (z, _) = networks.encode(x);
    let (_, scale) = networks.encode_z(&z);
    let potential: Vec<f64> = networks.potential(&z).into_iter().map(f64::from).collect();
    let b_dim = scale.len() / potential.len().max(1);
    let entropy = scale.chunks_exact(b_dim.max(1)).map(|row| row.iter().map(|s| f64::from(s.ln())).sum()).collect();
    (potential, entropy)
}
