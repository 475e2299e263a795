//! Highly variable genes, as scanpy selects them.
//!
//! | flavour | input | score | reference |
//! | --- | --- | --- | --- |
//! | [`Flavor::Dispersion`] | counts | ln(variance / mean), standardised among genes of like mean | `scanpy.pp.filter_genes_dispersion(flavor="seurat")` |
//! | [`Flavor::Seurat`] | log1p of normalised counts | the same, of expm1 of the input | `scanpy.pp.highly_variable_genes(flavor="seurat")` |
//! | [`Flavor::SeuratV3`] | counts | variance of counts standardised by the variance expected at their mean | `scanpy.pp.highly_variable_genes(flavor="seurat_v3")` |
//!
//! The first flavour, on raw counts, is the default, as in the Python package `sclsd`.

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

use sclsd_spec::{Choice, OutOfRange, UnknownName, in_range};
use serde::{Deserialize, Serialize};

use crate::H5adError;
use crate::loess::loess;
use crate::windows::Windows;

/// Number of bins of the mean in which dispersions are standardised.
const BINS: usize = 20;
/// Fraction of the genes in each local regression of the variance.
const SPAN: f64 = 0.3;

/// The measure of variability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Flavor {
    /// Dispersion of raw counts.
    #[default]
    Dispersion,
    /// Dispersion of normalised counts.
    Seurat,
    /// Standardised variance of raw counts.
    SeuratV3,
}

impl Choice for Flavor {
    const WHAT: &'static str = "flavor";
    const ALL: &'static [Self] = &[Self::Dispersion, Self::Seurat, Self::SeuratV3];

    fn name(self) -> &'static str {
        match self {
            Self::Dispersion => "dispersion",
            Self::Seurat => "seurat",
            Self::SeuratV3 => "seurat_v3",
        }
    }
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Flavor {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::named(name)
    }
}

/// Score of every gene, and the selected genes.
#[derive(Debug, Clone, PartialEq)]
pub struct VariableGenes {
    /// Mean; ln(1 + mean) for the dispersion flavours. Stored as var `means`.
    pub means: Vec<f64>,
    /// Dispersion ln(variance / mean), or the variance for `seurat_v3`. Stored as var `dispersions` or `variances`.
    pub dispersions: Vec<f64>,
    /// Score; `NaN` for a gene that does not vary. Stored as var `dispersions_norm` or `variances_norm`.
    pub normalized: Vec<f64>,
    /// Whether the gene is selected.
    pub selected: Vec<bool>,
}

/// The reason why genes cannot be selected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VariableGenesError {
    /// Fewer genes vary than were requested.
    #[error("{wanted} genes are asked for, but only {varying} of {n_genes} vary between cells")]
    TooFew {
        /// Requested number of genes.
        wanted: usize,
        /// Genes with a score.
        varying: usize,
        /// Number of all genes.
        n_genes: usize,
    },
    /// Zero genes were requested.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// The matrix cannot be read.
    #[error(transparent)]
    Read(#[from] H5adError),
}

/// Selects the `n_top_genes` most variable genes of `x`. The flavour determines what `x` must hold (see [`Flavor`]).
///
/// Genes that tie with the last selected gene are selected too. As in scanpy, the cut-off of [`Flavor::Dispersion`] is
/// rounded to single precision, which can exclude the last gene.
///
/// # Errors
/// [`VariableGenesError`] if fewer genes vary than requested, or the matrix cannot be read.
pub fn variable_genes(
    x: &dyn Windows,
    n_top_genes: usize,
    flavor: Flavor,
) -> Result<VariableGenes, VariableGenesError> {
    variable_genes_among(x, x.shape().0, n_top_genes, flavor)
}

/// Like [`variable_genes`] among `n_cells` cells, where the other rows of `x` are empty.
///
/// # Errors
/// Under the same conditions as [`variable_genes`].
pub fn variable_genes_among(
    x: &dyn Windows,
    n_cells: usize,
    n_top_genes: usize,
    flavor: Flavor,
) -> Result<VariableGenes, VariableGenesError> {
    let genes = match flavor {
        Flavor::Dispersion => dispersions(x, n_cells, f64::from)?,
        Flavor::Seurat => dispersions(x, n_cells, |v| f64::from(v.exp_m1()))?,
        Flavor::SeuratV3 => standardized_variances(x, n_cells)?,
    };
    let mut scores: Vec<f64> = genes.normalized.iter().copied().filter(|v| !v.is_nan()).collect();
    let (n_genes, varying) = (x.shape().1, scores.len());
    in_range("prepare.n_top_genes", n_top_genes, n_top_genes >= 1, "at least 1")?;
    if n_top_genes > varying {
        return Err(VariableGenesError::TooFew { wanted: n_top_genes, varying, n_genes });
    }
    scores.sort_by(|a, b| b.total_cmp(a));
    let last = scores[n_top_genes - 1];
    #[expect(clippy::cast_possible_truncation, reason = "as scanpy rounds it")]
    let cutoff = if flavor == Flavor::Dispersion { f64::from(last as f32) } else { last };
    let selected = genes.normalized.iter().map(|&v| v >= cutoff).collect();
    Ok(VariableGenes { selected, ..genes })
}

/// Sum and sum of squares of `f(gene, value)` for every gene.
fn sums(x: &dyn Windows, f: impl Fn(usize, f32) -> f64) -> Result<(Vec<f64>, Vec<f64>), H5adError> {
    let n_genes = x.shape().1;
    let (mut sum, mut squares) = (vec![0.0; n_genes], vec![0.0; n_genes]);
    x.visit(&mut |window| {
        window.for_each(|_, gene, value| {
            let v = f(gene, value);
            sum[gene] += v;
            squares[gene] += v * v;
        });
        ControlFlow::Continue(())
    })?;
    Ok((sum, squares))
}

/// Mean and unbiased variance of `f(value)` for every gene. `f` must map zero to zero.
fn moments(x: &dyn Windows, n_cells: usize, f: impl Fn(f32) -> f64) -> Result<(Vec<f64>, Vec<f64>), H5adError> {
    let (sum, squares) = sums(x, |_, value| f(value))?;
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    let n = n_cells as f64;
    let mean: Vec<f64> = sum.iter().map(|s| s / n).collect();
    let variance = squares.iter().zip(&mean).map(|(s, m)| (s / n - m * m).max(0.0) * n / (n - 1.0)).collect();
    Ok((mean, variance))
}

fn dispersions(x: &dyn Windows, n_cells: usize, f: impl Fn(f32) -> f64) -> Result<VariableGenes, H5adError> {
    let (mean, variance) = moments(x, n_cells, f)?;
    // a gene without counts has neither mean nor dispersion
    let mean: Vec<f64> = mean.into_iter().map(|m| if m == 0.0 { 1e-12 } else { m }).collect();
    let ratio = |(v, m): (&f64, &f64)| if *v == 0.0 { f64::NAN } else { (v / m).ln() };
    let dispersions: Vec<f64> = variance.iter().zip(&mean).map(ratio).collect();
    let means: Vec<f64> = mean.iter().map(|m| m.ln_1p()).collect();
    let bins = bins_of_equal_width(&means);
    let mut groups: Vec<Vec<f64>> = vec![Vec::new(); BINS];
    for (&bin, &d) in bins.iter().zip(&dispersions) {
        if !d.is_nan() {
            groups[bin].push(d);
        }
    }
    let scales: Vec<(f64, f64)> = groups.iter().map(|group| center_and_scale(group)).collect();
    let normalized = bins.iter().zip(&dispersions).map(|(&bin, d)| (d - scales[bin].0) / scales[bin].1).collect();
    Ok(VariableGenes { means, dispersions, normalized, selected: Vec::new() })
}

/// Mean and standard deviation of a bin. A gene that is alone in its bin gets a score of 1.
fn center_and_scale(values: &[f64]) -> (f64, f64) {
    #[expect(clippy::cast_precision_loss, reason = "numbers of genes are far below 2^52")]
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if values.len() == 1 {
        return (0.0, mean);
    }
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt())
}

/// Bin of every value between the minimum and maximum. Bins are open below and closed above, as in `pandas.cut`.
fn bins_of_equal_width(values: &[f64]) -> Vec<usize> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "a small number of bins")]
    let edges: Vec<f64> = (1..BINS).map(|i| low + (high - low) / BINS as f64 * i as f64).collect();
    values.iter().map(|v| edges.partition_point(|edge| edge < v)).collect()
}

fn standardized_variances(counts: &dyn Windows, n_cells: usize) -> Result<VariableGenes, H5adError> {
    let (mean, variance) = moments(counts, n_cells, f64::from)?;
    let varying: Vec<usize> = (0..mean.len()).filter(|&gene| variance[gene] > 0.0).collect();
    let log_mean: Vec<f64> = varying.iter().map(|&gene| mean[gene].log10()).collect();
    let log_variance: Vec<f64> = varying.iter().map(|&gene| variance[gene].log10()).collect();
    let mut expected = vec![1.0; mean.len()]; // standard deviation expected at the gene's mean
    for (&gene, fitted) in varying.iter().zip(loess(&log_mean, &log_variance, SPAN)) {
        expected[gene] = 10.0_f64.powf(fitted).sqrt();
    }
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    let n = n_cells as f64;
    let clipped = |gene: usize, value: f32| f64::from(value).min(expected[gene] * n.sqrt() + mean[gene]);
    let (sum, squares) = sums(counts, clipped)?;
    let score = |gene: usize| {
        if variance[gene] == 0.0 {
            return f64::NAN;
        }
        let spread = n * mean[gene].powi(2) + squares[gene] - 2.0 * sum[gene] * mean[gene];
        spread / ((n - 1.0) * expected[gene].powi(2))
    };
    let normalized = (0..mean.len()).map(score).collect();
    Ok(VariableGenes { means: mean, dispersions: variance, normalized, selected: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Csr;

    /// Gene `g` has `g` counts in one cell of five. Gene 0 has no counts.
    fn counts() -> Csr {
        let rows = (0..50_u32).map(|cell| {
            (1..12_u8)
                .filter(|g| (cell * 7 + u32::from(*g)) % 5 == 0)
                .map(|g| (u32::from(g), 1.0 + 0.5 * f32::from(g)))
                .collect()
        });
        Csr::from_rows(12, rows.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn as_many_genes_are_kept_as_asked_for_and_silent_ones_never() {
        for flavor in [Flavor::Dispersion, Flavor::Seurat, Flavor::SeuratV3] {
            let found = variable_genes(&counts(), 5, flavor).unwrap();
            assert!(found.selected.iter().filter(|s| **s).count() >= 4, "{flavor:?}");
            assert!(!found.selected[0] && found.normalized[0].is_nan(), "{flavor:?}");
        }
    }

    #[test]
    fn more_genes_than_vary_is_an_error_with_both_numbers() {
        let error = variable_genes(&counts(), 12, Flavor::SeuratV3).unwrap_err();
        assert_eq!(error.to_string(), "12 genes are asked for, but only 11 of 12 vary between cells");
    }

    #[test]
    fn bins_are_closed_above() {
        let bins = bins_of_equal_width(&[0.0, 0.5, 0.500_001, 10.0, 9.5]);
        assert_eq!(bins, [0, 0, 1, 19, 18]);
    }
}
