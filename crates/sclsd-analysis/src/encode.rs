//! Encodes cells by the networks, block by block.

use sclsd_data::{Csr, Matrix};
use sclsd_model::{Evaluator, Model, SparseRows, WeightsError};

/// Number of cells edited at a time.
const BLOCK: usize = 1024;

/// Results of the networks for every cell.
pub(crate) struct States {
    /// Cell state z, `n × z`.
    pub cell_state: Matrix,
    /// Differentiation state B, `n × B`.
    pub diff_state: Matrix,
    /// Potential V.
    pub potential: Vec<f64>,
    /// Entropy of q(B) up to a constant.
    pub entropy: Vec<f64>,
}

/// z, B, V and entropy of every cell. The columns of `x` are genes in the model's order.
pub(crate) fn encode(model: &Model, x: &Csr) -> Result<States, WeightsError> {
    let (networks, spec) = (Evaluator::new(model)?, model.spec.get());
    let cells: Vec<u32> = (0_u32..).take(x.n_rows()).collect();
    let (indptr, indices, values) = (x.pattern().indptr(), x.pattern().indices(), x.values());
    let z = networks.encode(SparseRows { indptr, indices, values, rows: &cells }).0;
    let (b, scale) = networks.encode_z(&z);
    let potential = networks.potential(&z).into_iter().map(f64::from).collect();
    let entropy = |row: &[f32]| row.iter().map(|s| f64::from(s.ln())).sum::<f64>();
    Ok(States {
        cell_state: Matrix::new(spec.z_dim, z),
        diff_state: Matrix::new(spec.b_dim, b),
        potential,
        entropy: scale.chunks_exact(spec.b_dim).map(entropy).collect(),
    })
}

/// Cells in which the expression of some genes is replaced.
pub(crate) struct Edited<'a> {
    /// Expression, with genes in the model's order.
    pub x: &'a Csr,
    /// Indices of the cells, in output order.
    pub cells: &'a [u32],
    /// Indices of the genes to replace, in the model's order.
    pub genes: &'a [usize],
    /// The new expression of these genes.
    pub level: f32,
}

/// Cell state z of edited cells.
pub(crate) fn encode_edited(model: &Model, edited: &Edited<'_>) -> Result<Matrix, WeightsError> {
    let networks = Evaluator::new(model)?;
    let all = edited.cells.chunks(BLOCK).flat_map(|cells| {
        let (indptr, indices, values) = edited.rows(cells);
        let rows: Vec<u32> = (0_u32..).take(cells.len()).collect();
        networks.encode(SparseRows { indptr: &indptr, indices: &indices, values: &values, rows: &rows }).0
    });
    Ok(Matrix::new(model.spec.get().z_dim, all.collect()))
}

impl Edited<'_> {
    /// CSR arrays of the edited cells, with genes in ascending order in each row.
    fn rows(&self, cells: &[u32]) -> (Vec<usize>, Vec<u32>, Vec<f32>) {
        let mut set: Vec<u32> = self.genes.iter().filter_map(|&gene| u32::try_from(gene).ok()).collect();
        set.sort_unstable();
        set.dedup();
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        for &cell in cells {
            let (genes, found) = self.x.row(cell as usize);
            let mut rest = 0;
            for &gene in &set {
                let at = genes.partition_point(|other| *other < gene);
                indices.extend_from_slice(&genes[rest..at]);
                values.extend_from_slice(&found[rest..at]);
                indices.push(gene);
                values.push(self.level);
                rest = at + usize::from(genes.get(at) == Some(&gene));
            }
            indices.extend_from_slice(&genes[rest..]);
            values.extend_from_slice(&found[rest..]);
            indptr.push(indices.len());
        }
        (indptr, indices, values)
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::{Tensor, TensorData};
    use rand::{RngExt, SeedableRng};
    use sclsd_model::{Lsd, ModelSpec};

    use super::*;

    fn values(tensor: Tensor<Flex, 2>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    #[test]
    fn cells_and_edited_cells_are_encoded_as_by_tensors() {
        let (cells, genes) = (70, 12);
        let spec = ModelSpec { z_dim: 3, ..ModelSpec::default() }.check().unwrap();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let weights = Lsd::<Flex>::new(&spec, genes, &mut rng, &Default::default()).weights();
        let model = Model { spec, n_genes: genes, genes: Vec::new(), weights };
        let dense: Vec<f32> = (0..cells * genes).map(|_| rng.random_range(-3.0_f32..1.0).max(0.0)).collect();
        let row = |row: &[f32]| (0_u32..).zip(row.to_vec()).filter(|(_, v)| *v != 0.0).collect();
        let x = Csr::from_rows(genes, dense.chunks_exact(genes).map(row)).unwrap();
        let close = |a: &[f32], b: &[f32]| {
            assert_eq!(a.len(), b.len());
            a.iter().zip(b).for_each(|(a, b)| assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{a} {b}"));
        };
        let tensors: Lsd<Flex> = model.on(&Default::default()).unwrap();
        let encoded = |rows: Vec<f32>| {
            let n = rows.len() / genes;
            tensors.encode_x(Tensor::from_data(TensorData::new(rows, [n, genes]), &Default::default())).0
        };
        let (found, z) = (encode(&model, &x).unwrap(), encoded(dense.clone()));
        let (b, scale) = tensors.encode_z(z.clone());
        close(found.cell_state.values(), &values(z.clone()));
        close(found.diff_state.values(), &values(b));
        let entropy = values(scale.log().sum_dim(1));
        found.entropy.iter().zip(&entropy).for_each(|(a, b)| assert!((a - f64::from(*b)).abs() < 1e-5, "{a} {b}"));
        let potential = values(tensors.potential.value(z));
        found.potential.iter().zip(&potential).for_each(|(a, b)| assert!((a - f64::from(*b)).abs() < 1e-5, "{a} {b}"));
        for level in [0.0, 1.5] {
            let edited = Edited { x: &x, cells: &[3, 1, 69], genes: &[7, 2], level };
            let mut rows: Vec<f32> =
                [3, 1, 69].iter().flat_map(|&c: &usize| dense[c * genes..(c + 1) * genes].to_vec()).collect();
            for row in rows.chunks_exact_mut(genes) {
                (row[7], row[2]) = (level, level);
            }
            close(encode_edited(&model, &edited).unwrap().values(), &values(encoded(rows)));
        }
    }
}
