//! Connectivities of a neighbour graph: UMAP's fuzzy simplicial set, as `scanpy.pp.neighbors` computes them.
//!
//! ```text
//! A(i, j) = exp(−max(0, d(i, j) − ρ_i) / σ_i),   ρ_i = nearest positive distance,   σ_i: Σ_j A(i, j) = log₂ k
//! C = A + Aᵀ − A ∘ Aᵀ
//! ```
//!
//! Source: McInnes, Healy and Melville, "UMAP", 2018, algorithms 2 and 3, with umap-learn's bounds on σ.

use rayon::prelude::*;
use sclsd_data::Csr;

use crate::Neighbors;

/// Number of bisection steps in the search for σ.
const BISECTIONS: usize = 64;
/// Tolerance of the sum, compared with log₂ k.
const TOLERANCE: f64 = 1e-5;
/// Lower limit of σ, relative to the mean distance.
const LEAST_SCALE: f64 = 1e-3;

/// Symmetric connectivities in 0…1 without a diagonal, `n_cells × n_cells`, columns sorted within rows.
///
/// # Panics
/// Never, because neighbours are distinct and in range.
#[must_use]
pub fn connectivities(neighbors: &Neighbors) -> Csr {
    let n_cells = neighbors.n_cells();
    let everywhere = mean((0..n_cells).flat_map(|cell| neighbors.of(cell).1.iter().copied()));
    let directed: Vec<Vec<(u32, f64)>> = (0..n_cells)
        .into_par_iter()
        .map(|cell| {
            let (others, distances) = neighbors.of(cell);
            let nearest = distances.iter().copied().find(|&d| d > 0.0).unwrap_or(0.0);
            let scale = scale(distances, nearest, everywhere);
            let mut row: Vec<(u32, f64)> = others
                .iter()
                .zip(distances)
                .filter(|(other, _)| **other as usize != cell)
                .map(|(&other, &d)| (other, membership(d, nearest, scale)))
                .collect();
            row.sort_unstable_by_key(|entry| entry.0);
            row
        })
        .collect();
    let a = Csr::from_rows(n_cells, directed).expect("neighbours are distinct cells");
    let back = a.transpose();
    let rows: Vec<Vec<(u32, f32)>> =
        (0..n_cells).into_par_iter().map(|cell| union(a.row(cell), back.row(cell))).collect();
    Csr::from_rows(n_cells, rows).expect("a union of sorted rows is sorted")
}

fn membership(distance: f64, nearest: f64, scale: f64) -> f64 {
    if distance <= nearest || scale == 0.0 { 1.0 } else { (-(distance - nearest) / scale).exp() }
}

/// σ by bisection. The first distance, from the cell to itself, is ignored.
fn scale(distances: &[f64], nearest: f64, everywhere: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a number of neighbours")]
    let target = (distances.len() as f64).log2();
    let (mut low, mut high, mut scale) = (0.0, f64::INFINITY, 1.0);
    for _ in 0..BISECTIONS {
        let sum: f64 =
            distances[1..].iter().map(|&d| if d > nearest { (-(d - nearest) / scale).exp() } else { 1.0 }).sum();
        if (sum - target).abs() < TOLERANCE {
            break;
        }
        if sum > target {
            high = scale;
            scale = f64::midpoint(low, high);
        } else {
            low = scale;
            scale = if high.is_finite() { f64::midpoint(low, high) } else { 2.0 * scale };
        }
    }
    let typical = if nearest > 0.0 { mean(distances.iter().copied()) } else { everywhere };
    scale.max(LEAST_SCALE * typical)
}

/// Merges two sorted rows by the probabilistic or, a + b − ab. Values that underflow in `f32` are dropped.
fn union(a: (&[u32], &[f64]), b: (&[u32], &[f64])) -> Vec<(u32, f32)> {
    let (mut i, mut j) = (0, 0);
    let mut row = Vec::with_capacity(a.0.len() + b.0.len());
    while i < a.0.len() || j < b.0.len() {
        let (left, right) = (a.0.get(i).copied().unwrap_or(u32::MAX), b.0.get(j).copied().unwrap_or(u32::MAX));
        let column = left.min(right);
        let (mut x, mut y) = (0.0, 0.0);
        if left == column {
            x = a.1[i];
            i += 1;
        }
        if right == column {
            y = b.1[j];
            j += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "connectivities are kept in f32")]
        let value = (x + y - x * y) as f32;
        if value > 0.0 {
            row.push((column, value));
        }
    }
    row
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
    if n > 0.0 { sum / n } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use sclsd_data::Matrix;

    use super::*;
    use crate::nearest_neighbors;

    #[test]
    fn connectivities_are_symmetric_and_the_nearest_neighbour_has_one() {
        let points =
            Matrix::new(2, (0..40_u8).flat_map(|i| [f32::from(i).sqrt(), (f32::from(i) * 0.7).sin()]).collect());
        let neighbors = nearest_neighbors(&points, 6).unwrap();
        let graph = connectivities(&neighbors);
        assert_eq!(graph, graph.transpose());
        for cell in 0..40 {
            let (columns, values) = graph.row(cell);
            let nearest = neighbors.of(cell).0[1];
            let at = columns.binary_search(&nearest).unwrap();
            assert!((values[at] - 1.0).abs() < 1e-6);
            assert!(values.iter().all(|v| (0.0..=1.0).contains(v)));
        }
    }
}
