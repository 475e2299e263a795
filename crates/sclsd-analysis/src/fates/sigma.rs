//! How much noise the walks of training have in z: their quadratic variation.

use sclsd_data::Matrix;
use sclsd_graph::Walks;

/// σ of dz = −∇V dt + σ dW by the quadratic variation of walks, in units of z over the square root of a walk's length:
///
/// ```text
/// σ² = mean over all steps of |z(s+1) − z(s) + ∇V(z(s)) Δt|² / (d Δt),   Δt = 1 / (cells of a walk − 1)
/// ```
///
/// `drift`: −∇V at every cell, `cell_state`: z of every cell, both `n_cells × d`. Time runs from 0 to 1 along a walk,
/// as in training. 0 where there are no walks.
///
/// # Panics
/// When drift and states are of different sizes, or a walk is of other cells.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "numbers of cells and steps are far below 2^52")]
pub fn sigma_of_walks(drift: &Matrix, cell_state: &Matrix, walks: &Walks) -> f64 {
    let (size, of_drift) = (cell_state.n_rows(), drift.n_rows());
    assert_eq!((of_drift, drift.n_cols()), (size, cell_state.n_cols()), "a drift at every state");
    let dt = 1.0 / (walks.path_len() - 1) as f64;
    let squares = |from: u32, to: u32| -> f64 {
        let (here, there) = (cell_state.row(from as usize), cell_state.row(to as usize));
        let rest = |((here, there), drift): ((&f32, &f32), &f32)| {
            (f64::from(*there) - f64::from(*here) - f64::from(*drift) * dt).powi(2)
        };
        here.iter().zip(there).zip(drift.row(from as usize)).map(rest).sum()
    };
    let of_walk = |walk: usize| walks.walk(walk).windows(2).map(|step| squares(step[0], step[1])).sum::<f64>();
    let steps = walks.len() * (walks.path_len() - 1);
    let total: f64 = (0..walks.len()).map(of_walk).sum();
    (total / (steps.max(1) * cell_state.n_cols().max(1)) as f64 / dt).sqrt()
}

#[cfg(test)]
mod tests {
    use sclsd_model::ode::Brownian;

    use super::*;

    #[test]
    fn the_noise_of_walks_that_drift_is_found() {
        // walks in two dimensions, every place a cell of its own
        let (n, path_len, sigma, drift) = (2000_u32, 11, 0.4, [1.0_f32, -2.0]);
        let mut z = Vec::new();
        for walk in 0..u64::from(n) {
            let mut at = [0.0_f64, 5.0];
            for step in 0..path_len as u64 {
                #[expect(clippy::cast_possible_truncation, reason = "states are f32")]
                z.extend(at.map(|v| v as f32));
                let rises = Brownian::new(4).increments(walk, step, 0.1, 0, 2);
                for i in 0..2 {
                    at[i] += f64::from(drift[i]) * 0.1 + sigma * rises[i];
                }
            }
        }
        let cells: Vec<u32> = (0..).take(z.len() / 2).collect();
        let drifts = Matrix::new(2, drift.repeat(cells.len()));
        let walks = Walks::new(path_len, cells).unwrap();
        let found = sigma_of_walks(&drifts, &Matrix::new(2, z), &walks);
        // four standard errors of the root of a mean of n · 10 · 2 squares
        assert!((found / sigma - 1.0).abs() < 4.0 * (0.5 / 40_000_f64).sqrt(), "{found}");
    }
}
