//! The largest eigenvalues of a symmetric operator, by Lanczos iteration with thick restarts (Wu and Simon, 2000).
//!
//! The basis of the Krylov space grows by one product with the operator at a time, and each vector is orthogonalised
//! twice against the entire basis. When the basis is full, it is restarted from the best Ritz vectors and the last
//! residual. Sums have a fixed order, so the result does not depend on the number of threads.

use faer::Mat;
use rayon::prelude::*;
use sclsd_data::eigenvectors;

/// Number of rows per chunk.
const CHUNK: usize = 4096;

/// Eigenvalues in descending order, with their orthonormal eigenvectors.
pub(crate) struct Eigenpairs {
    pub values: Vec<f64>,
    pub vectors: Vec<Vec<f64>>,
}

/// The `wanted` largest eigenvalues of the operator `apply` on vectors of the length of `start`, to a residual of
/// `tolerance`. Fails with the number of eigenvalues found if `most` products do not suffice. The orthonormal
/// eigenvectors in `known` are excluded: from one start vector the iteration finds only one eigenvector of a multiple
/// eigenvalue.
pub(crate) fn largest(
    apply: impl Fn(&[f64]) -> Vec<f64>,
    mut start: Vec<f64>,
    known: &[Vec<f64>],
    wanted: usize,
    tolerance: f64,
    most: usize,
) -> Result<Eigenpairs, usize> {
    let n = start.len();
    let full = (2 * wanted + 80).min(n - known.len());
    let kept = (wanted + 25).min(full - 1);
    orthogonalize(&mut start, known);
    let mut basis = vec![normalized(start)];
    let mut projected = Mat::<f64>::zeros(full, full); // Vᵀ A V
    for product in 1.. {
        let last = basis.len() - 1;
        let mut next = apply(&basis[last]);
        orthogonalize(&mut next, known);
        let column = orthogonalize(&mut next, &basis);
        for (row, value) in column.into_iter().enumerate() {
            projected[(row, last)] = value;
            projected[(last, row)] = value;
        }
        let beta = norm(&next);
        let size = basis.len();
        if size < full {
            // if the Krylov space is exhausted before the basis is full, continue from another vector
            let used_up = beta < 1e-12;
            basis.push(if used_up { elsewhere(n, known, &basis) } else { scaled(next, 1.0 / beta) });
            continue;
        }
        let (ritz, vectors) = eigenvectors(projected.submatrix(0, 0, size, size));
        let coefficient = |rank: usize, row: usize| vectors[(row, size - 1 - rank)]; // eigenvalues ascend
        let residual = |rank: usize| beta * coefficient(rank, size - 1).abs();
        let found = (0..wanted).take_while(|&rank| residual(rank) <= tolerance).count();
        let keep = if found == wanted { wanted } else { kept };
        let combined: Vec<Vec<f64>> =
            (0..keep).into_par_iter().map(|rank| combination(&basis, |row| coefficient(rank, row))).collect();
        let values: Vec<f64> = (0..keep).map(|rank| ritz[size - 1 - rank]).collect();
        if found == wanted {
            return Ok(Eigenpairs { values, vectors: combined });
        }
        if product >= most {
            return Err(found);
        }
        projected.fill(0.0);
        for (rank, &value) in values.iter().enumerate() {
            projected[(rank, rank)] = value;
        }
        basis = combined;
        basis.push(scaled(next, 1.0 / beta));
    }
    unreachable!("the loop ends by returning")
}

/// A unit vector orthogonal to `known` and `basis`, which together do not span the space.
fn elsewhere(n: usize, known: &[Vec<f64>], basis: &[Vec<f64>]) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "any scattered numbers will do")]
    let mut vector: Vec<f64> =
        (0..n).map(|i| (std::f64::consts::E * (i * (basis.len() + 1)) as f64).fract() - 0.5).collect();
    orthogonalize(&mut vector, known);
    orthogonalize(&mut vector, basis);
    normalized(vector)
}

/// Removes the components of `vector` along the basis, in two passes for accuracy. Returns the components.
fn orthogonalize(vector: &mut [f64], basis: &[Vec<f64>]) -> Vec<f64> {
    let mut parts = vec![0.0; basis.len()];
    for _ in 0..2 {
        let again: Vec<f64> = basis.par_iter().map(|b| dot(b, vector)).collect();
        vector.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, out)| {
            let first = chunk * CHUNK;
            for (b, part) in basis.iter().zip(&again) {
                out.iter_mut().zip(&b[first..]).for_each(|(o, b)| *o -= part * b);
            }
        });
        parts.iter_mut().zip(again).for_each(|(sum, part)| *sum += part);
    }
    parts
}

fn combination(basis: &[Vec<f64>], coefficient: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut out = vec![0.0; basis[0].len()];
    for (row, b) in basis.iter().enumerate() {
        let c = coefficient(row);
        out.iter_mut().zip(b).for_each(|(o, b)| *o += c * b);
    }
    out
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // eight partial sums, which the compiler keeps in one register
    let mut sums = [0.0; 8];
    let (heads, tails) = (a.chunks_exact(8).zip(b.chunks_exact(8)), a.len() / 8 * 8);
    for (x, y) in heads {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f64>() + a[tails..].iter().zip(&b[tails..]).map(|(x, y)| x * y).sum::<f64>()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn normalized(a: Vec<f64>) -> Vec<f64> {
    let length = norm(&a);
    scaled(a, 1.0 / length)
}

fn scaled(mut a: Vec<f64>, by: f64) -> Vec<f64> {
    a.iter_mut().for_each(|v| *v *= by);
    a
}
