//! Cells through the networks, a block at a time.

use burn::tensor::{Tensor, TensorData, backend::AutodiffBackend};
use sclsd_data::{Csr, Matrix};
use sclsd_model::{Job, Lsd, Model, WeightsError};

/// Cells encoded at a time.
const BLOCK: usize = 1024;

/// What the networks make of every cell.
pub(crate) struct States {
    /// z, `n × z`.
    pub cell_state: Matrix,
    /// B, `n × B`.
    pub diff_state: Matrix,
    /// V.
    pub potential: Vec<f64>,
    /// Entropy of q(B) up to a constant.
    pub entropy: Vec<f64>,
}

/// z, B, V and entropy of every cell.
pub(crate) struct Encode<'a> {
    pub model: &'a Model,
    /// Expression, genes in the model's order.
    pub x: &'a Csr,
}

impl Job for Encode<'_> {
    type Output = Result<States, WeightsError>;

    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Self::Output {
        let model: Lsd<B::InnerBackend> = self.model.on(device)?;
        let n_cells = self.x.n_rows();
        let (mut z_all, mut b_all, mut potential, mut entropy) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for first in (0..n_cells).step_by(BLOCK) {
            let rows: Vec<usize> = (first..n_cells.min(first + BLOCK)).collect();
            let dense = TensorData::new(self.x.gather_dense(&rows), [rows.len(), self.x.n_cols()]);
            let (z, _) = model.encode_x(Tensor::from_data(dense, device));
            let (b, b_scale) = model.encode_z(z.clone());
            potential.extend(model.potential.value(z.clone()).into_data().iter::<f64>());
            entropy.extend(b_scale.log().sum_dim(1).into_data().iter::<f64>());
            z_all.extend(z.into_data().iter::<f32>());
            b_all.extend(b.into_data().iter::<f32>());
        }
        let spec = self.model.spec.get();
        Ok(States {
            cell_state: Matrix::new(spec.z_dim, z_all),
            diff_state: Matrix::new(spec.b_dim, b_all),
            potential,
            entropy,
        })
    }
}

/// z of some cells after the expression of some genes has been set.
pub(crate) struct EncodeEdited<'a> {
    pub model: &'a Model,
    /// Expression, genes in the model's order.
    pub x: &'a Csr,
    /// Cells to encode, in this order.
    pub cells: &'a [u32],
    /// Genes to set, in the model's order.
    pub genes: &'a [usize],
    /// What to set them to.
    pub level: f32,
}

impl Job for EncodeEdited<'_> {
    type Output = Result<Matrix, WeightsError>;

    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Self::Output {
        let model: Lsd<B::InnerBackend> = self.model.on(device)?;
        let n_genes = self.x.n_cols();
        let mut all = Vec::with_capacity(self.cells.len() * self.model.spec.get().z_dim);
        for cells in self.cells.chunks(BLOCK) {
            let rows: Vec<usize> = cells.iter().map(|&cell| cell as usize).collect();
            let mut dense = self.x.gather_dense(&rows);
            for row in dense.chunks_exact_mut(n_genes) {
                self.genes.iter().for_each(|&gene| row[gene] = self.level);
            }
            let x = Tensor::from_data(TensorData::new(dense, [rows.len(), n_genes]), device);
            all.extend(model.encode_x(x).0.into_data().iter::<f32>());
        }
        Ok(Matrix::new(self.model.spec.get().z_dim, all))
    }
}
