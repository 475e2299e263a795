//! Expression of some cells, and its products with the weights of a first layer.
//!
//! Products with sparse expression visit the stored values only. The weights are packed into panels of a few outputs
//! that stay in the L1 cache; every value adds its multiple of one row of a panel. If at least a quarter of the values
//! are not 0, dense products are faster and are used instead.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::products::{self, PackedFactor, Rows, Terms};
use crate::rows::{BLOCK, filled_rows};
use crate::simd::arch;

/// Fraction of non-zero values from which dense products are faster.
const DENSE: f64 = 0.25;
/// Genes of one output that are copied to or from a panel before the next output, so that the panel's rows stay in the
/// cache.
const RUN: usize = 64;
/// SIMD vectors of outputs in a panel: their accumulators stay in registers.
const SIDE: usize = 4;

/// Some rows of a matrix in compressed sparse row (CSR) format.
#[derive(Debug, Clone, Copy)]
pub struct SparseRows<'a> {
    /// Row pointer.
    pub indptr: &'a [usize],
    /// Column of every entry.
    pub indices: &'a [u32],
    /// Value of every entry.
    pub values: &'a [f32],
    /// Indices of the selected rows, in order; an index may occur more than once.
    pub rows: &'a [u32],
}

impl<'a> SparseRows<'a> {
    /// Columns and values of the selected row at position `at`.
    #[inline(always)]
    #[must_use]
    pub fn row(&self, at: usize) -> (&'a [u32], &'a [f32]) {
        let row = self.rows[at] as usize;
        let span = self.indptr[row]..self.indptr[row + 1];
        (&self.indices[span.clone()], &self.values[span])
    }

    /// A range of the selected rows.
    #[must_use]
    pub fn some(&self, rows: Range<usize>) -> Self {
        Self { rows: &self.rows[rows], ..*self }
    }

    /// Whether the rows have so many non-zero values that dense products are faster.
    fn are_dense(&self, columns: usize) -> bool {
        let stored: usize = (0..self.rows.len()).map(|at| self.row(at).0.len()).sum();
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = stored as f64 / (self.rows.len() * columns).max(1) as f64;
        share >= DENSE
    }

    /// The dense matrix, `rows × columns`, row-major.
    #[must_use]
    pub fn dense(&self, columns: usize) -> Vec<f32> {
        filled_rows(self.rows.len(), columns, BLOCK, |first, out| {
            self.some(first..first + out.len() / columns).fill(out, columns);
        })
    }

    /// Writes the stored values to rows of `columns`, which hold zeros.
    fn fill(&self, out: &mut [f32], columns: usize) {
        for (at, out) in out.chunks_exact_mut(columns).enumerate() {
            let (columns, values) = self.row(at);
            columns.iter().zip(values).for_each(|(&column, &value)| out[column as usize] = value);
        }
    }
}

/// Expression of some cells, `cells × genes`, stored dense or sparse, whichever makes its products faster.
#[derive(Debug, Clone)]
pub struct Expression {
    cells: usize,
    genes: usize,
    storage: Storage,
}

#[derive(Debug, Clone)]
enum Storage {
    Dense(Vec<f32>),
    Sparse { indptr: Vec<usize>, indices: Vec<u32>, values: Vec<f32>, rows: Vec<u32> },
}

impl Expression {
    /// Copies some rows of a sparse matrix of `genes` columns.
    #[must_use]
    pub fn new(rows: SparseRows<'_>, genes: usize) -> Self {
        if rows.are_dense(genes) {
            return Self::dense(rows.dense(genes), genes);
        }
        let cells = rows.rows.len();
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        let mut indptr = vec![0];
        for cell in 0..cells {
            let (at, found) = rows.row(cell);
            indices.extend_from_slice(at);
            values.extend_from_slice(found);
            indptr.push(indices.len());
        }
        Self {
            cells,
            genes,
            storage: Storage::Sparse { indptr, indices, values, rows: (0_u32..).take(cells).collect() },
        }
    }

    /// Dense values of `genes` columns, row-major.
    #[must_use]
    pub fn dense(values: Vec<f32>, genes: usize) -> Self {
        Self { cells: values.len() / genes.max(1), genes, storage: Storage::Dense(values) }
    }

    /// Number of cells.
    #[must_use]
    pub fn n_cells(&self) -> usize {
        self.cells
    }

    /// Number of genes.
    #[must_use]
    pub fn n_genes(&self) -> usize {
        self.genes
    }

    /// The sparse rows, or `None` if the expression is stored dense.
    #[must_use]
    pub fn sparse(&self) -> Option<SparseRows<'_>> {
        match &self.storage {
            Storage::Dense(_) => None,
            Storage::Sparse { indptr, indices, values, rows } => Some(SparseRows { indptr, indices, values, rows }),
        }
    }

    /// The dense matrix, `cells × genes`, row-major.
    #[must_use]
    pub fn to_dense(&self) -> Vec<f32> {
        match &self.storage {
            Storage::Dense(values) => values.clone(),
            Storage::Sparse { indptr, indices, values, rows } => {
                SparseRows { indptr, indices, values, rows }.dense(self.genes)
            }
        }
    }

    /// `X Wᵀ`, `cells × outputs`; `weight` is `outputs × genes`.
    pub(crate) fn times_transposed(&self, weight: &[f32], outputs: usize) -> Vec<f32> {
        match &self.storage {
            Storage::Dense(values) => products::product_of_rows(
                Rows::new(values, self.genes),
                &PackedFactor::transposed(weight, self.genes, Terms::Three),
            ),
            Storage::Sparse { indptr, indices, values, rows } => {
                let rows = SparseRows { indptr, indices, values, rows };
                let weight = FirstLayer::new(weight, outputs, rows, self.genes);
                filled_rows(self.cells, outputs, BLOCK, |first, out| {
                    weight.times(out, rows.some(first..first + out.len() / outputs));
                })
            }
        }
    }

    /// `gradᵀ X`, `outputs × genes`; `grad` is `cells × outputs`. This is the gradient with respect to the weights of
    /// [`times_transposed`](Self::times_transposed).
    pub(crate) fn weight_grad(&self, grad: &[f32], outputs: usize) -> Vec<f32> {
        match &self.storage {
            Storage::Dense(values) => {
                let (grad, x) = (Rows::new(grad, outputs), Rows::new(values, self.genes));
                products::sum_of_products((grad, outputs), (x, self.genes), Terms::Two)
            }
            Storage::Sparse { indptr, indices, values, rows } => {
                let rows = SparseRows { indptr, indices, values, rows };
                let side = arch().dispatch(PanelWidth);
                filled_rows(outputs, self.genes, side, |first, sum| {
                    let mut panel = vec![0.0; side * self.genes];
                    arch().dispatch(Scatter { panel: &mut panel, grad, first, outputs, rows });
                    from_panel(&panel, side, sum, self.genes);
                })
            }
        }
    }
}

/// The weights of a first layer, packed for products with expression.
pub(crate) struct FirstLayer {
    genes: usize,
    outputs: usize,
    order: Order,
}

enum Order {
    Dense(PackedFactor),
    Sparse(Vec<Vec<f32>>),
}

impl FirstLayer {
    /// Packs `weight`, `outputs × genes`, for products with such rows.
    pub(crate) fn new(weight: &[f32], outputs: usize, rows: SparseRows<'_>, genes: usize) -> Self {
        let order = if rows.are_dense(genes) {
            Order::Dense(PackedFactor::transposed(weight, genes, Terms::Three))
        } else {
            let side = arch().dispatch(PanelWidth);
            let firsts = (0..outputs).into_par_iter().step_by(side);
            let of = |first: usize| panel(weight, first..outputs.min(first + side), side, genes);
            Order::Sparse(firsts.map(of).collect())
        };
        Self { genes, outputs, order }
    }

    /// `X Wᵀ`, `rows × outputs`, on the calling thread.
    pub(crate) fn times(&self, out: &mut [f32], rows: SparseRows<'_>) {
        let outputs = self.outputs;
        match &self.order {
            Order::Dense(weight) => {
                let mut x = vec![0.0; rows.rows.len() * self.genes];
                rows.fill(&mut x, self.genes);
                products::times(out, outputs, Rows::new(&x, self.genes), weight);
            }
            Order::Sparse(panels) => arch().dispatch(Gather { out, outputs, panels, rows }),
        }
    }
}

/// Packs the weights of a few outputs into a panel, `genes × side`.
fn panel(weight: &[f32], outputs: Range<usize>, side: usize, genes: usize) -> Vec<f32> {
    let mut panel = vec![0.0; genes * side];
    for first in (0..genes).step_by(RUN) {
        for (lane, output) in outputs.clone().enumerate() {
            let row = &weight[output * genes..(output + 1) * genes][first..genes.min(first + RUN)];
            panel[first * side..].iter_mut().skip(lane).step_by(side).zip(row).for_each(|(panel, w)| *panel = *w);
        }
    }
    panel
}

/// Copies a panel back into rows of `genes`.
fn from_panel(panel: &[f32], side: usize, rows: &mut [f32], genes: usize) {
    for first in (0..genes).step_by(RUN) {
        for (lane, row) in rows.chunks_exact_mut(genes).enumerate() {
            let row = &mut row[first..genes.min(first + RUN)];
            row.iter_mut().zip(panel[first * side..].iter().skip(lane).step_by(side)).for_each(|(to, v)| *to = *v);
        }
    }
}

/// Outputs in a panel, at the SIMD width in use.
struct PanelWidth;

impl WithSimd for PanelWidth {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        SIDE * S::F32_LANES
    }
}

/// The forward product: every cell's values times the rows of the panels.
struct Gather<'a> {
    out: &'a mut [f32],
    outputs: usize,
    panels: &'a [Vec<f32>],
    rows: SparseRows<'a>,
}

impl WithSimd for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let side = SIDE * S::F32_LANES;
        for (panel, first) in self.panels.iter().zip((0..).step_by(side)) {
            let panel = S::as_simd_f32s(panel).0;
            let end = self.outputs.min(first + side);
            for (cell, out) in self.out.chunks_exact_mut(self.outputs).enumerate() {
                let mut sums = [simd.splat_f32s(0.0); SIDE];
                let (genes, values) = self.rows.row(cell);
                for i in 0..genes.len() {
                    let (gene, x) = (genes[i] as usize, simd.splat_f32s(values[i]));
                    let row = &panel[gene * SIDE..(gene + 1) * SIDE];
                    for s in 0..SIDE {
                        sums[s] = simd.mul_add_f32s(x, row[s], sums[s]);
                    }
                }
                for (out, sum) in out[first..end].chunks_mut(S::F32_LANES).zip(sums) {
                    simd.partial_store_f32s(out, sum);
                }
            }
        }
    }
}

/// The backward pass: every value times its cell's gradients, added to the rows of a panel.
struct Scatter<'a> {
    panel: &'a mut [f32],
    grad: &'a [f32],
    first: usize,
    outputs: usize,
    rows: SparseRows<'a>,
}

impl WithSimd for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let end = self.outputs.min(self.first + SIDE * S::F32_LANES);
        let panel = S::as_mut_simd_f32s(self.panel).0;
        for (cell, grad) in self.grad.chunks_exact(self.outputs).enumerate() {
            let mut grads = [simd.splat_f32s(0.0); SIDE];
            for (lanes, grad) in grads.iter_mut().zip(grad[self.first..end].chunks(S::F32_LANES)) {
                *lanes = simd.partial_load_f32s(grad);
            }
            let (genes, values) = self.rows.row(cell);
            for i in 0..genes.len() {
                let (gene, x) = (genes[i] as usize, simd.splat_f32s(values[i]));
                let row = &mut panel[gene * SIDE..(gene + 1) * SIDE];
                for s in 0..SIDE {
                    row[s] = simd.mul_add_f32s(x, grads[s], row[s]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn sparse_and_dense_products_are_those_of_the_definition() {
        for (cells, genes, outputs, zeros) in
            [(5, 7, 3, 0.9_f32), (300, 40, 33, 0.9), (300, 40, 64, 0.3), (1, 9, 2, 1.0)]
        {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(genes as u64);
            let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
            let (keep, mut x) = (draw(cells * genes), draw(cells * genes));
            x.iter_mut().zip(keep).filter(|(_, keep)| keep.abs() < zeros).for_each(|(x, _)| *x = 0.0);
            let (weight, grad) = (draw(outputs * genes), draw(cells * outputs));
            let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
            for row in x.chunks_exact(genes) {
                for (gene, &v) in (0_u32..).zip(row).filter(|(_, v)| **v != 0.0) {
                    indices.push(gene);
                    values.push(v);
                }
                indptr.push(indices.len());
            }
            let rows: Vec<u32> = (0_u32..).take(cells).collect();
            let found =
                Expression::new(SparseRows { indptr: &indptr, indices: &indices, values: &values, rows: &rows }, genes);
            assert_eq!(matches!(found.storage, Storage::Sparse { .. }), zeros > 0.5);
            let product = found.times_transposed(&weight, outputs);
            for (at, v) in product.iter().enumerate() {
                let (cell, output) = (at / outputs, at % outputs);
                let exact: f32 = (0..genes).map(|g| x[cell * genes + g] * weight[output * genes + g]).sum();
                assert!((v - exact).abs() < 1e-4, "{v} {exact}");
            }
            for (at, v) in found.weight_grad(&grad, outputs).iter().enumerate() {
                let (output, gene) = (at / genes, at % genes);
                let exact: f32 = (0..cells).map(|c| grad[c * outputs + output] * x[c * genes + gene]).sum();
                assert!((v - exact).abs() < 1e-4, "{v} {exact}");
            }
        }
    }
}
