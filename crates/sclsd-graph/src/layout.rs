//! A two-dimensional layout of a graph of cells, by UMAP (McInnes, Healy and Melville, 2018, algorithm 5).
//!
//! Cells start at two diffusion components. Along every edge, as often as its weight says, two cells attract each other,
//! and each draws five others at random and is pushed away from them:
//!
//! ```text
//! attraction  −2ab d^(2(b−1)) / (1 + a d^(2b)) · (y_i − y_j)
//! repulsion    2b / ((0.001 + d²)(1 + a d^(2b))) · (y_i − y_j)
//! ```
//!
//! with a and b of scanpy's `min_dist = 0.5`, `spread = 1`. One edge after another on one thread, so that the same seed gives the
//! same picture. (The crate for this draws from the system's generator.)

use rand::{Rng, RngExt};
use sclsd_data::{Csr, Matrix, Purpose, stream};

/// The curve 1 / (1 + a d^(2b)) fitted to `min_dist = 0.5`, `spread = 1`.
const A: f64 = 0.583_030_020_344_714_2;
/// See [`A`].
const B: f64 = 1.334_166_992_455_226_8;
/// Cells that push for every cell that pulls.
const REPULSIONS: usize = 5;
/// Longest step along one coordinate.
const LONGEST: f64 = 4.0;

/// Coordinates, `n_cells × 2`; obsm `X_umap`. `diffusion` are the components of a
/// [`DiffusionMap`](crate::DiffusionMap), the stationary state first.
///
/// # Panics
/// When the graph and the diffusion map are of different cells.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "numbers of epochs are far below 2^52")]
pub fn layout(connectivities: &Csr, diffusion: &Matrix, seed: u64) -> Matrix {
    let n = connectivities.n_rows();
    assert_eq!(n, diffusion.n_rows(), "one row per cell");
    let epochs: usize = if n <= 10_000 { 500 } else { 200 };
    let mut y = start(diffusion, seed);
    let strongest = connectivities.values().iter().copied().fold(0.0_f32, f32::max);
    if strongest <= 0.0 {
        return matrix(&y);
    }
    // an edge is due every `strongest / weight` epochs; one that is not due once is left out
    let mut edges = Vec::new();
    for cell in 0..n {
        let (others, weights) = connectivities.row(cell);
        for (&other, &weight) in others.iter().zip(weights) {
            let period = f64::from(strongest) / f64::from(weight);
            if weight > 0.0 && period <= epochs as f64 {
                edges.push(Edge { from: cell, to: other as usize, period, due: period });
            }
        }
    }
    for epoch in 0..epochs {
        let rate = 1.0 - epoch as f64 / epochs as f64;
        let mut rng = stream(seed, Purpose::Layout, epoch as u64 + 1);
        for edge in &mut edges {
            if edge.due <= epoch as f64 {
                edge.due += edge.period;
                step(&mut y, edge, rate, &mut rng);
            }
        }
    }
    matrix(&y)
}

struct Edge {
    from: usize,
    to: usize,
    period: f64,
    due: f64,
}

fn step(y: &mut [[f64; 2]], edge: &Edge, rate: f64, rng: &mut impl Rng) {
    let d2 = squared(y[edge.from], y[edge.to]);
    if d2 > 0.0 {
        let pull = -2.0 * A * B * d2.powf(B - 1.0) / (A * d2.powf(B) + 1.0);
        let moves = [0, 1].map(|axis| limited(pull * (y[edge.from][axis] - y[edge.to][axis])) * rate);
        add(&mut y[edge.from], moves);
        add(&mut y[edge.to], moves.map(|m| -m));
    }
    for _ in 0..REPULSIONS {
        let other = rng.random_range(0..y.len());
        let d2 = squared(y[edge.from], y[other]);
        if d2 > 0.0 {
            let push = 2.0 * B / ((0.001 + d2) * (A * d2.powf(B) + 1.0));
            let moves = [0, 1].map(|axis| limited(push * (y[edge.from][axis] - y[other][axis])) * rate);
            add(&mut y[edge.from], moves);
        }
    }
}

fn limited(step: f64) -> f64 {
    step.clamp(-LONGEST, LONGEST)
}

fn add(place: &mut [f64; 2], moves: [f64; 2]) {
    place.iter_mut().zip(moves).for_each(|(p, m)| *p += m);
}

fn squared(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)
}

/// Two diffusion components stretched to −10…10, with a little noise so that no two cells coincide.
fn start(diffusion: &Matrix, seed: u64) -> Vec<[f64; 2]> {
    let mut rng = stream(seed, Purpose::Layout, 0);
    let n = diffusion.n_rows();
    let largest = |axis: usize| {
        let column = (0..n).filter_map(|cell| diffusion.row(cell).get(axis + 1));
        f64::from(column.fold(0.0_f32, |a, b| a.max(b.abs()))).max(f64::MIN_POSITIVE)
    };
    let scale = [10.0 / largest(0), 10.0 / largest(1)];
    (0..n)
        .map(|cell| {
            [0, 1].map(|axis| {
                let at = diffusion.row(cell).get(axis + 1).copied().unwrap_or(0.0);
                f64::from(at) * scale[axis] + 1e-3 * (rng.random::<f64>() - 0.5)
            })
        })
        .collect()
}

#[expect(clippy::cast_possible_truncation, reason = "coordinates are kept in f32")]
fn matrix(y: &[[f64; 2]]) -> Matrix {
    Matrix::new(2, y.iter().flatten().map(|&v| v as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion_map;

    #[test]
    fn neighbours_lie_nearer_than_others_and_the_seed_fixes_the_picture() {
        let n = 80_u32;
        let rows = (0..n).map(|i| {
            let near = |j: &u32| *j != i && i.abs_diff(*j) <= 3;
            (0..n).filter(near).map(|j| (j, 1.0 / f32::from(u8::try_from(i.abs_diff(j)).unwrap()))).collect()
        });
        let graph = Csr::from_rows(80, rows.collect::<Vec<_>>()).unwrap();
        let map = diffusion_map(&graph, 5).unwrap();
        let y = layout(&graph, &map.components, 0);
        let distance = |a: usize, b: usize| (y.row(a)[0] - y.row(b)[0]).hypot(y.row(a)[1] - y.row(b)[1]);
        let near: f32 = (0..79).map(|i| distance(i, i + 1)).sum::<f32>() / 79.0;
        let far: f32 = (0..40).map(|i| distance(i, i + 40)).sum::<f32>() / 40.0;
        assert!(far > 5.0 * near, "{near} {far}");
        assert_eq!(y, layout(&graph, &map.components, 0));
        assert_ne!(y, layout(&graph, &map.components, 1));
    }
}
