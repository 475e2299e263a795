//! Whether a value goes with the graph: Moran's I (Moran, 1950) of its ranks.
//!
//! ```text
//! I = (n / Σ w_ij) Σ w_ij (r_i − r̄)(r_j − r̄) / Σ (r_i − r̄)²
//! ```
//!
//! 1 where neighbors are alike, about −1/(n − 1) where values are scattered among cells by chance.

use sclsd_data::CsrView;
use sclsd_graph::{GraphError, check_graph, neighbors_of};

use crate::correlation::ranks;

/// Moran's I of the ranks of some values; nothing where they do not vary or the graph has no edge.
///
/// # Errors
/// [`GraphError`] where the graph is not one of as many cells.
pub fn moran<'a>(graph: impl Into<CsrView<'a>>, values: &[f64]) -> Result<Option<f64>, GraphError> {
    let graph = graph.into();
    check_graph(graph, values.len())?;
    let ranks = ranks(values);
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    let n = values.len() as f64;
    let mean = f64::midpoint(n, 1.0);
    let (mut across, mut weight) = (0.0, 0.0);
    for cell in 0..values.len() {
        for (other, w) in neighbors_of(graph, cell) {
            across += f64::from(w) * (ranks[cell] - mean) * (ranks[other as usize] - mean);
            weight += f64::from(w);
        }
    }
    let spread: f64 = ranks.iter().map(|r| (r - mean).powi(2)).sum();
    Ok((spread > 0.0 && weight > 0.0).then(|| n / weight * across / spread))
}

#[cfg(test)]
mod tests {
    use sclsd_data::Csr;

    use super::*;

    #[test]
    fn a_time_along_the_graph_is_smooth_and_one_that_alternates_is_not() {
        let n = 60_u32;
        let rows = (0..n).map(|a| (0..n).filter(|b| a.abs_diff(*b) == 1).map(|b| (b, 1.0_f32)).collect());
        let path = Csr::from_rows(n as usize, rows.collect::<Vec<_>>()).unwrap();
        let of = |f: &dyn Fn(u32) -> f64| moran(&path, &(0..n).map(f).collect::<Vec<_>>()).unwrap();
        assert!(of(&f64::from).unwrap() > 0.9);
        assert!(of(&|cell| f64::from(cell % 2)).unwrap() < -0.9);
        assert!(of(&|cell| f64::from(cell * 13 % 60)).unwrap().abs() < 0.4);
        assert_eq!(of(&|_| 1.0), None);
        assert!(moran(&path, &[0.0; 3]).is_err());
    }
}
