//! Cells through the networks, a block at a time.

use burn::tensor::{Tensor, TensorData, backend::Backend};
use sclsd_data::{Csr, Matrix};
use sclsd_model::{Device, Evaluator, Expression, Job, Kernels, Lsd, Model, SparseRows, Trainable, WeightsError};

/// Cells that are encoded by tensors, or edited, at a time.
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
    fn cell_state(&self, x: SparseRows<'_>) -> Vec<f32>;

    /// B and its scale at states, row after row each, and V.
    fn at_states(&self, z: Vec<f32>) -> [Vec<f32>; 3];
}

impl Networks for Evaluator {
    fn cell_state(&self, x: SparseRows<'_>) -> Vec<f32> {
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
    n_genes: usize,
    z_dim: usize,
}

impl<B: Backend> Networks for OnDevice<'_, B> {
    fn cell_state(&self, x: SparseRows<'_>) -> Vec<f32> {
        let block = |cells: &[u32]| {
            let x = Expression::new(SparseRows { rows: cells, ..x }, self.n_genes);
            values(self.model.encode_x(x.to_tensor(self.device)).0)
        };
        x.rows.chunks(BLOCK).flat_map(block).collect()
    }

    fn at_states(&self, z: Vec<f32>) -> [Vec<f32>; 3] {
        let mut all = [const { Vec::new() }; 3];
        for z in z.chunks(BLOCK * self.z_dim) {
            let z = rows(z.to_vec(), self.z_dim, self.device);
            let (b, scale) = self.model.encode_z(z.clone());
            let found = [values(b), values(scale), values(self.model.potential.value(z))];
            all.iter_mut().zip(found).for_each(|(all, found)| all.extend(found));
        }
        all
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
        let networks = OnDevice { model, device, n_genes: self.model.n_genes, z_dim: self.model.spec.get().z_dim };
        Ok(states(&networks, self.model, self.x))
    }
}

fn states(networks: &impl Networks, model: &Model, x: &Csr) -> States {
    let spec = model.spec.get();
    let cells: Vec<u32> = (0_u32..).take(x.n_rows()).collect();
    let (indptr, indices, values) = (x.pattern().indptr(), x.pattern().indices(), x.values());
    let z = networks.cell_state(SparseRows { indptr, indices, values, rows: &cells });
    let [b, scale, v] = networks.at_states(z.clone());
    let entropy = |row: &[f32]| row.iter().map(|s| f64::from(s.ln())).sum::<f64>();
    States {
        cell_state: Matrix::new(spec.z_dim, z),
        diff_state: Matrix::new(spec.b_dim, b),
        potential: v.into_iter().map(f64::from).collect(),
        entropy: scale.chunks_exact(spec.b_dim).map(entropy).collect(),
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
        let networks = OnDevice { model, device, n_genes: self.model.n_genes, z_dim: self.model.spec.get().z_dim };
        Ok(edited_states(&networks, self.model, self.edited))
    }
}

fn edited_states(networks: &impl Networks, model: &Model, edited: &Edited<'_>) -> Matrix {
    let all = edited.cells.chunks(BLOCK).flat_map(|cells| {
        let (indptr, indices, values) = edited.rows(cells);
        let rows: Vec<u32> = (0_u32..).take(cells.len()).collect();
        networks.cell_state(SparseRows { indptr: &indptr, indices: &indices, values: &values, rows: &rows })
    });
    Matrix::new(model.spec.get().z_dim, all.collect())
}

impl Edited<'_> {
    /// Compressed rows with the genes set, genes in ascending order in each.
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
            let dense = TensorData::new(rows, [3, genes]);
            let expected = model
                .on::<Flex>(&Default::default())
                .unwrap()
                .encode_x(Tensor::from_data(dense, &Default::default()))
                .0;
            close(found.values(), &values(expected));
            close(found.values(), encode_edited(&model, &edited, &tensors).unwrap().values());
        }
    }
}
