//! Principal components of sparse expression, from the eigenvectors of the gene covariance.
//!
//! ```text
//! C = (XᵀX − n μμᵀ) / (n − 1),   C = W Λ Wᵀ,   scores = (X − 1μᵀ) W
//! ```
//!
//! X stays sparse. Memory is genes × genes (or cells × cells if there are fewer cells) plus the scores, and never cells
//! × genes. The results equal those of `scanpy.pp.pca` up to sign. Here the largest loading of a component is positive.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

use crate::{Csr, Matrix, eigenvectors, leave_vector_code};

/// The result of [`pca`].
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    /// Coordinates of the cells, `n_cells × n_components`; stored as obsm `X_pca`.
    pub scores: Matrix,
    /// Directions W, `n_genes × n_components`; stored as varm `PCs`.
    pub loadings: Matrix,
    /// Variance along each component, in descending order.
    pub variance: Vec<f64>,
    /// Variance along each component as a fraction of the total variance of all genes.
    pub variance_ratio: Vec<f64>,
}

/// The first `n_components` principal components. There are fewer if the data has fewer genes or no more cells than
/// `n_components`.
///
/// # Panics
/// If the matrix has no columns, fewer than two rows, or values that are not finite.
#[must_use]
pub fn pca(x: &Csr, n_components: usize) -> Pca {
    let (n_cells, n_genes) = (x.n_rows(), x.n_cols());
    assert!(n_cells >= 2 && n_genes >= 1, "principal components need two cells and a gene");
    let mean = column_means(x);
    let kept = n_components.min(n_genes).min(n_cells - 1).max(1);
    let mut axes = if n_cells < n_genes { axes_by_cells(x, &mean, kept) } else { axes_by_genes(x, &mean, kept) };
    for component in 0..kept {
        let column = || (0..n_genes).map(|gene| gene * kept + component);
        let largest =
            column().fold(0.0_f64, |a, at| if axes.loadings[at].abs() > a.abs() { axes.loadings[at] } else { a });
        column().for_each(|at| axes.loadings[at] *= largest.signum());
    }
    let Axes { loadings, variance, total } = axes;
    let scores = project(x, &mean, &loadings, kept);
    #[expect(clippy::cast_possible_truncation, reason = "loadings are kept in f32")]
    let loadings = Matrix::new(kept, loadings.into_iter().map(|v| v as f32).collect());
    let variance_ratio = variance.iter().map(|v| if total > 0.0 { v / total } else { 0.0 }).collect();
    Pca { scores, loadings, variance, variance_ratio }
}

/// Directions (`n_genes × n_components`, row-major), variances along them, and the total variance of all genes.
struct Axes {
    loadings: Vec<f64>,
    variance: Vec<f64>,
    total: f64,
}

/// Axes from the eigenvectors of the gene covariance.
fn axes_by_genes(x: &Csr, mean: &[f64], kept: usize) -> Axes {
    let (products, n_genes) = (products(x, Centre::Columns(mean)), x.n_cols());
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    let n = x.n_rows() as f64;
    let covariance = Mat::from_fn(n_genes, n_genes, |i, j| products[i.min(j) * n_genes + i.max(j)] / (n - 1.0));
    let total = (0..n_genes).map(|gene| covariance[(gene, gene)]).sum();
    let (values, vectors) = eigenvectors(covariance.as_ref());
    let mut loadings = vec![0.0; n_genes * kept];
    let mut variance = Vec::with_capacity(kept);
    for component in 0..kept {
        let column = n_genes - 1 - component; // eigenvalues ascend
        variance.push(values[column].max(0.0));
        (0..n_genes).for_each(|gene| loadings[gene * kept + component] = vectors[(gene, column)]);
    }
    Axes { loadings, variance, total }
}

/// Axes from the eigenvectors of the cells' Gram matrix, for fewer cells than genes. With Y = X − 1μᵀ and YYᵀu = λu, a
/// direction is Yᵀu / √λ with variance λ / (n − 1).
fn axes_by_cells(x: &Csr, mean: &[f64], kept: usize) -> Axes {
    let (n_cells, n_genes) = (x.n_rows(), x.n_cols());
    let products = products(&x.transpose(), Centre::Rows(mean));
    let centred = Mat::from_fn(n_cells, n_cells, |i, j| products[i.min(j) * n_cells + i.max(j)]);
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    let n = n_cells as f64;
    let total = (0..n_cells).map(|cell| centred[(cell, cell)]).sum::<f64>() / (n - 1.0);
    let (values, vectors) = eigenvectors(centred.as_ref());
    let mut loadings = vec![0.0; n_genes * kept];
    let mut variance = Vec::with_capacity(kept);
    for component in 0..kept {
        let column = n_cells - 1 - component;
        let value = values[column].max(0.0);
        variance.push(value / (n - 1.0));
        // Beyond the rank of the matrix, directions are zero.
        let scale = if value > 1e-12 * values[n_cells - 1] { 1.0 / value.sqrt() } else { 0.0 };
        let mut along = 0.0;
        for cell in 0..n_cells {
            let weight = vectors[(cell, column)] * scale;
            along += weight;
            let (genes, expression) = x.row(cell);
            for (&gene, &value) in genes.iter().zip(expression) {
                loadings[gene as usize * kept + component] += weight * f64::from(value);
            }
        }
        (0..n_genes).for_each(|gene| loadings[gene * kept + component] -= along * mean[gene]);
    }
    Axes { loadings, variance, total }
}

/// Scores (X − 1μᵀ) W, row by row.
fn project(x: &Csr, mean: &[f64], loadings: &[f64], kept: usize) -> Matrix {
    let offset: Vec<f64> =
        (0..kept).map(|c| mean.iter().enumerate().map(|(gene, mean)| mean * loadings[gene * kept + c]).sum()).collect();
    let mut scores = vec![0.0_f32; x.n_rows() * kept];
    scores.par_chunks_mut(kept).enumerate().for_each(|(cell, out)| {
        let mut sum: Vec<f64> = offset.iter().map(|o| -o).collect();
        let (genes, values) = x.row(cell);
        for (&gene, &value) in genes.iter().zip(values) {
            let loading = &loadings[gene as usize * kept..][..kept];
            for (s, l) in sum.iter_mut().zip(loading) {
                *s += f64::from(value) * l;
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "scores are kept in f32")]
        for (o, s) in out.iter_mut().zip(sum) {
            *o = s as f32;
        }
    });
    Matrix::new(kept, scores)
}

fn column_means(x: &Csr) -> Vec<f64> {
    let mut sums = vec![0.0; x.n_cols()];
    for (&gene, &value) in x.pattern().indices().iter().zip(x.values()) {
        sums[gene as usize] += f64::from(value);
    }
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    let n = x.n_rows() as f64;
    sums.into_iter().map(|s| s / n).collect()
}

/// The means that are subtracted from a matrix before its products are computed.
#[derive(Clone, Copy)]
enum Centre<'a> {
    /// The mean of every column, subtracted from that column.
    Columns(&'a [f64]),
    /// The mean of every row, subtracted from that row.
    Rows(&'a [f64]),
}

/// Fraction of non-zeros from which on the products are computed from dense blocks.
const DENSE: f64 = 0.15;
/// Number of products up to which the sparse computation, which is exact, is fast enough.
const FEW: f64 = 2e8;
/// Rows of XᵀX that one thread computes.
const BAND: usize = 64;
/// Rows of X that are expanded at a time for dense products.
const BLOCK: usize = 1024;

/// Upper triangle of YᵀY, row-major, with Y the centred X. Entries below the diagonal are unspecified. One thread
/// computes each band of rows and sums over the rows of X in order, so the result does not depend on the number of
/// threads.
fn products(x: &Csr, centre: Centre) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a share and an order of magnitude")]
    let (n_rows, n_cols, nnz) = (x.n_rows() as f64, x.n_cols() as f64, x.nnz() as f64);
    if nnz < DENSE * n_rows * n_cols || n_rows * n_cols * n_cols < FEW {
        sparse_products(x, centre)
    } else {
        dense_products(x, centre)
    }
}

/// Products of pairs of non-zeros in every row. The means are subtracted at the end.
fn sparse_products(x: &Csr, centre: Centre) -> Vec<f64> {
    let n = x.n_cols();
    // Σ (x_i − m)(x_j − m) = Σ x_i x_j − a_i b_j − b_i a_j + c
    let (a, b, c) = match centre {
        Centre::Columns(mean) => {
            #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
            let half = x.n_rows() as f64 / 2.0;
            (mean.iter().map(|m| half * m).collect(), mean.to_vec(), 0.0)
        }
        Centre::Rows(mean) => {
            let mut along = vec![0.0; n];
            for (row, mean) in mean.iter().enumerate() {
                let (columns, values) = x.row(row);
                columns.iter().zip(values).for_each(|(&c, &v)| along[c as usize] += mean * f64::from(v));
            }
            (along, vec![1.0; n], mean.iter().map(|m| m * m).sum())
        }
    };
    let mut sums = vec![0.0; n * n];
    sums.par_chunks_mut(BAND * n).enumerate().for_each(|(band, rows)| {
        let first = band * BAND;
        for row in 0..x.n_rows() {
            let (columns, values) = x.row(row);
            let from = columns.partition_point(|&c| (c as usize) < first);
            let to = columns.partition_point(|&c| (c as usize) < first + BAND);
            for i in from..to {
                let sums = &mut rows[(columns[i] as usize - first) * n..][..n];
                let value = f64::from(values[i]);
                for (&column, &other) in columns[i..].iter().zip(&values[i..]) {
                    sums[column as usize] += value * f64::from(other);
                }
            }
        }
        for (i, sums) in (first..).zip(rows.chunks_mut(n)) {
            sums.iter_mut().enumerate().for_each(|(j, sum)| *sum += c - a[i] * b[j] - b[i] * a[j]);
        }
    });
    sums
}

/// Products of dense blocks of rows, in f32 within a block and in f64 across blocks. If few values are 0, this takes a
/// tenth of the time of the sparse computation.
#[expect(clippy::cast_possible_truncation, reason = "the products of a block are in f32")]
fn dense_products(x: &Csr, centre: Centre) -> Vec<f64> {
    let n = x.n_cols();
    let mut sums = vec![0.0; n * n];
    let mut dense = vec![0.0_f32; BLOCK.min(x.n_rows()) * n];
    for first in (0..x.n_rows()).step_by(BLOCK) {
        let height = BLOCK.min(x.n_rows() - first);
        let block = &mut dense[..height * n];
        block.par_chunks_mut(n).zip(first..first + height).for_each(|(out, row)| {
            let mean = |column: usize| match centre {
                Centre::Columns(mean) => mean[column],
                Centre::Rows(mean) => mean[row],
            };
            out.iter_mut().enumerate().for_each(|(column, out)| *out = -mean(column) as f32);
            let (columns, values) = x.row(row);
            for (&column, &value) in columns.iter().zip(values) {
                out[column as usize] = (f64::from(value) - mean(column as usize)) as f32;
            }
        });
        let block = MatRef::from_row_major_slice(block, height, n);
        sums.par_chunks_mut(2 * BAND * n).enumerate().for_each(|(band, rows)| {
            let from = 2 * BAND * band;
            let (rows_here, width) = (rows.len() / n, n - from);
            let mut part = vec![0.0_f32; rows_here * width];
            let out = MatMut::from_row_major_slice_mut(&mut part, rows_here, width);
            let left = block.get(.., from..from + rows_here).transpose();
            matmul(out, Accum::Replace, left, block.get(.., from..), 1.0, Par::Seq);
            leave_vector_code();
            for (sums, part) in rows.chunks_mut(n).zip(part.chunks(width)) {
                sums[from..].iter_mut().zip(part).for_each(|(sum, &part)| *sum += f64::from(part));
            }
        });
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_uncorrelated_and_their_variances_fall() {
        let rows: Vec<Vec<(u32, f32)>> = (0..50_i16)
            .map(|i| {
                let t = f32::from(i) / 10.0;
                vec![(0, 3.0 * t.sin() + 4.0), (1, t.cos()), (3, 1.0 + 0.1 * (7.0 * t).sin())]
            })
            .collect();
        let x = Csr::from_rows(4, rows).unwrap();
        let found = pca(&x, 3);
        let scores = found.scores;
        assert!(
            (scores.values().iter().map(|v| f64::from(v * v)).sum::<f64>() / 49.0 - found.variance.iter().sum::<f64>())
                .abs()
                < 1e-3
        );
        assert!((found.variance_ratio.iter().sum::<f64>() - 1.0).abs() < 1e-9, "three genes that vary");
        assert_eq!((scores.n_rows(), scores.n_cols()), (50, 3));
        let dot = |a: usize, b: usize| (0..50).map(|i| scores.row(i)[a] * scores.row(i)[b]).sum::<f32>();
        assert!(dot(0, 0) > dot(1, 1) && dot(1, 1) > dot(2, 2));
        assert!(dot(0, 1).abs() < 1e-3 && dot(0, 2).abs() < 1e-3 && dot(1, 2).abs() < 1e-3);
        let mean: f32 = (0..50).map(|i| scores.row(i)[0]).sum();
        assert!(mean.abs() < 1e-3, "scores are centred");
    }

    #[test]
    fn axes_by_cells_are_those_by_genes() {
        let rows: Vec<Vec<(u32, f32)>> = (0..12_u16)
            .map(|i| {
                (0..30_u16)
                    .filter(|g| (g + i) % 3 != 0)
                    .map(|g| (u32::from(g), (f32::from(g * i) * 0.37).sin() + 2.0))
                    .collect()
            })
            .collect();
        let x = Csr::from_rows(30, rows).unwrap();
        let mean = column_means(&x);
        let (by_cells, by_genes) = (axes_by_cells(&x, &mean, 8), axes_by_genes(&x, &mean, 8));
        assert!((by_cells.total - by_genes.total).abs() < 1e-9);
        for component in 0..8 {
            assert!((by_cells.variance[component] - by_genes.variance[component]).abs() < 1e-9);
            let cosine: f64 =
                (0..30).map(|g| by_cells.loadings[g * 8 + component] * by_genes.loadings[g * 8 + component]).sum();
            assert!((cosine.abs() - 1.0).abs() < 1e-9, "component {component}: {cosine}");
        }
        assert_eq!(pca(&x, 50).variance.len(), 11, "no more than cells less one");
    }

    #[test]
    fn components_have_the_same_bits_on_any_number_of_threads() {
        let rows = (0..700_u32).map(|i| {
            let mut rng = crate::random_stream(3, crate::Purpose::Cell, u64::from(i));
            (0..300_u32).map(|g| (g, rand::RngExt::random_range(&mut rng, 0.0..1.0_f32))).collect()
        });
        let x = Csr::from_rows(300, rows.collect::<Vec<_>>()).unwrap();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| pca(&x, 20))
        };
        assert_eq!(on(1), on(3));
    }

    #[test]
    fn dense_products_sum_to_those_of_single_pairs_on_any_number_of_threads() {
        let rows = (0..600_u16).map(|i| {
            let genes = (0..150_u16).filter(|g| (g * 7 + i * 3) % 5 != 0);
            genes.map(|g| (u32::from(g), (f32::from(g) * 0.3 + f32::from(i) * 0.7).sin() + 1.5)).collect()
        });
        let x = Csr::from_rows(150, rows.collect::<Vec<_>>()).unwrap();
        let columns = column_means(&x);
        let rows: Vec<f64> = x.row_sums().iter().map(|sum| sum / 150.0).collect();
        for centre in [Centre::Columns(&columns), Centre::Rows(&rows)] {
            let on = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| dense_products(&x, centre))
            };
            let (dense, sparse) = (on(1), sparse_products(&x, centre));
            assert_eq!(dense, on(3));
            for i in 0..150 {
                for j in i..150 {
                    let scale = (sparse[i * 150 + i] * sparse[j * 150 + j]).sqrt();
                    let error = (dense[i * 150 + j] - sparse[i * 150 + j]).abs() / scale;
                    // rounding error of a sum of 600 products in f32
                    assert!(error < 600_f64.sqrt() * f64::from(f32::EPSILON), "{i}, {j}: {error}");
                }
            }
        }
    }
}
