//! Cells through the networks, a block at a time.

use burn::tensor::{Tensor, TensorData, backend::Backend};
use sclsd_data::{Csr, Matrix};
use sclsd_model::{Device, Evaluator, Expression, Job, Kernels, Lsd, Model, SparseRows, Trainable, WeightsError};

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

/// Networks that encode cells, wherever they run.
trait Networks {
    /// z of some cells, row after row.
    fn cell_state(&self, x: &Expression) -> Vec<f32>;

    /// B and its scale at states, row after row each, and V.
    fn at_states(&self, z: Vec<f32>) -> [Vec<f32>; 3];
}

impl Networks for Evaluator {
    fn cell_state(&self, x: &Expression) -> Vec<f32> {
        self.encode_x(x).0
    }

    fn at_states(&self, z: Vec<f32>) -> [Vec<f32>; 3] {
        let (b, scale) = self.encode_z(&z);
        [b, scale, self.potential(&z)]
    }
}

/// Networks on a device.
struct OnDevice<'a, B: Backend> {
    model: Lsd<B>,
    device: &'a B::Device,
    z_dim: usize,
}

impl<B: Backend> Networks for OnDevice<'_, B> {
    fn cell_state(&self, x: &Expression) -> Vec<f32> {
        values(self.model.encode_x(x.to_tensor(self.device)).0)
    }

    fn at_states(&self, z: Vec<f32>) -> [Vec<f32>; 3] {
        let z = rows(z, self.z_dim, self.device);
        let (b, scale) = self.model.encode_z(z.clone());
        [values(b), values(scale), values(self.model.potential.value(z))]
    }
}

fn values<B: Backend>(tensor: Tensor<B, 2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Rows of `width` numbers as a tensor.
pub(crate) fn rows<B: Backend>(values: Vec<f32>, width: usize, device: &B::Device) -> Tensor<B, 2> {
    let n = values.len() / width;
    Tensor::from_data(TensorData::new(values, [n, width]), device)
}

/// z, B, V and entropy of every cell; `x`: genes in the model's order.
pub(crate) fn encode(model: &Model, x: &Csr, device: &impl Device) -> Result<States, WeightsError> {
    match device.kernels() {
        Kernels::Host | Kernels::Device(_) => Ok(states(&Evaluator::new(model)?, model, x)),
        Kernels::Tensors => device.run(Encode { model, x }),
    }
}

struct Encode<'a> {
    model: &'a Model,
    x: &'a Csr,
}

impl Job for Encode<'_> {
    type Output = Result<States, WeightsError>;

    fn run<B: Trainable>(self, device: &B::Device) -> Self::Output {
        let model: Lsd<B::InnerBackend> = self.model.on(device)?;
        let networks = OnDevice { model, device, z_dim: self.model.spec.get().z_dim };
        Ok(states(&networks, self.model, self.x))
    }
}

fn states(networks: &impl Networks, model: &Model, x: &Csr) -> States {
    let spec = model.spec.get();
    let (mut z_all, mut b_all, mut potential, mut entropy) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let cells: Vec<u32> = (0_u32..).take(x.n_rows()).collect();
    for rows in cells.chunks(BLOCK) {
        let (indptr, indices, values) = (x.pattern().indptr(), x.pattern().indices(), x.values());
        let z = networks.cell_state(&Expression::new(SparseRows { indptr, indices, values, rows }, x.n_cols()));
        z_all.extend_from_slice(&z);
        let [b, scale, v] = networks.at_states(z);
        b_all.extend(b);
        potential.extend(v.into_iter().map(f64::from));
        entropy.extend(scale.chunks_exact(spec.b_dim).map(|row| row.iter().map(|s| f64::from(s.ln())).sum::<f64>()));
    }
    States {
        cell_state: Matrix::new(spec.z_dim, z_all),
        diff_state: Matrix::new(spec.b_dim, b_all),
        potential,
        entropy,
    }
}

/// Some cells after the expression of some genes has been set.
pub(crate) struct Edited<'a> {
    /// Expression, genes in the model's order.
    pub x: &'a Csr,
    /// Cells, in this order.
    pub cells: &'a [u32],
    /// Genes to set, in the model's order.
    pub genes: &'a [usize],
    /// What to set them to.
    pub level: f32,
}

/// z of edited cells.
pub(crate) fn encode_edited(model: &Model, edited: &Edited<'_>, device: &impl Device) -> Result<Matrix, WeightsError> {
    match device.kernels() {
        Kernels::Host | Kernels::Device(_) => Ok(edited_states(&Evaluator::new(model)?, model, edited)),
        Kernels::Tensors => device.run(EncodeEdited { model, edited }),
    }
}

struct EncodeEdited<'a> {
    model: &'a Model,
    edited: &'a Edited<'a>,
}

impl Job for EncodeEdited<'_> {
    type Output = Result<Matrix, WeightsError>;

    fn run<B: Trainable>(self, device: &B::Device) -> Self::Output {
        let model: Lsd<B::InnerBackend> = self.model.on(device)?;
        let networks = OnDevice { model, device, z_dim: self.model.spec.get().z_dim };
        Ok(edited_states(&networks, self.model, self.edited))
    }
}

fn edited_states(networks: &impl Networks, model: &Model, edited: &Edited<'_>) -> Matrix {
    let all = edited.cells.chunks(BLOCK).flat_map(|cells| networks.cell_state(&edited.expression(cells)));
    Matrix::new(model.spec.get().z_dim, all.collect())
}

impl Edited<'_> {
    /// Rows with the genes set, genes in ascending order in each.
    fn expression(&self, cells: &[u32]) -> Expression {
        let mut set: Vec<u32> = self.genes.iter().filter_map(|&gene| u32::try_from(gene).ok()).collect();
        set.sort_unstable();
        set.dedup();
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        for &cell in cells {
            let (genes, found) = self.x.row(cell as usize);
            let kept = genes.iter().zip(found).filter(|(gene, _)| set.binary_search(gene).is_err());
            let added = set.iter().map(|gene| (gene, &self.level));
            let mut row: Vec<(u32, f32)> = kept.chain(added).map(|(gene, value)| (*gene, *value)).collect();
            row.sort_unstable_by_key(|(gene, _)| *gene);
            indices.extend(row.iter().map(|(gene, _)| gene));
            values.extend(row.iter().map(|(_, value)| value));
            indptr.push(indices.len());
        }
        let rows: Vec<u32> = (0_u32..).take(cells.len()).collect();
        let rows = SparseRows { indptr: &indptr, indices: &indices, values: &values, rows: &rows };
        Expression::new(rows, self.x.n_cols())
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, Flex};
    use rand::{RngExt, SeedableRng};
    use sclsd_model::{ModelSpec, OnBackend};

    use super::*;

    /// The CPU with the loops for host memory.
    struct OnHost(OnBackend<Autodiff<Flex>>);

    impl Device for OnHost {
        fn run<J: Job>(&self, job: J) -> J::Output {
            self.0.run(job)
        }

        fn kernels(&self) -> Kernels {
            Kernels::Host
        }
    }

    #[test]
    fn cells_and_edited_cells_are_encoded_alike_by_kernels_and_by_tensors() {
        let (cells, genes) = (70, 12);
        let spec = ModelSpec { z_dim: 3, ..ModelSpec::default() }.check().unwrap();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let weights = Lsd::<Flex>::new(&spec, genes, &mut rng, &Default::default()).weights();
        let model = Model { spec, n_genes: genes, genes: Vec::new(), weights };
        let dense: Vec<f32> = (0..cells * genes).map(|_| rng.random_range(-3.0_f32..1.0).max(0.0)).collect();
        let row = |row: &[f32]| (0_u32..).zip(row.to_vec()).filter(|(_, v)| *v != 0.0).collect();
        let x = Csr::from_rows(genes, dense.chunks_exact(genes).map(row)).unwrap();
        let (tensors, host) = (OnBackend::<Autodiff<Flex>>::default(), OnHost(OnBackend::default()));
        let close = |a: &[f32], b: &[f32]| {
            assert_eq!(a.len(), b.len());
            a.iter().zip(b).for_each(|(a, b)| assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{a} {b}"));
        };
        let (a, b) = (encode(&model, &x, &host).unwrap(), encode(&model, &x, &tensors).unwrap());
        close(a.cell_state.values(), b.cell_state.values());
        close(a.diff_state.values(), b.diff_state.values());
        a.entropy.iter().zip(&b.entropy).for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{a} {b}"));
        for level in [0.0, 1.5] {
            let edited = Edited { x: &x, cells: &[3, 1, 69], genes: &[7, 2], level };
            let found = encode_edited(&model, &edited, &host).unwrap();
            let mut rows: Vec<f32> =
                [3, 1, 69].iter().flat_map(|&c: &usize| dense[c * genes..(c + 1) * genes].to_vec()).collect();
            for row in rows.chunks_exact_mut(genes) {
                (row[7], row[2]) = (level, level);
            }
            let expected = Evaluator::new(&model).unwrap().encode_x(&Expression::dense(rows, genes)).0;
            close(found.values(), &expected);
            close(found.values(), encode_edited(&model, &edited, &tensors).unwrap().values());
        }
    }
}
