//! The networks in evaluation mode, on host memory: a trained model without devices and tensors.
//!
//! In evaluation mode batch normalisation is a linear map, so it is folded into the layer before it, once. The
//! equivalent tensor code is [`Lsd`](crate::Lsd) with [`Stack::forward_eval`](crate::Stack::forward_eval).

use rayon::prelude::*;

use sclsd_kernels::stack::{self, Sizes};
use sclsd_kernels::{CountLikelihood, Downhill, PotentialWeights, SparseRows};
use sclsd_ode::{
    Brownian, CheckedOdeSpec, CheckedSdeSpec, OdeError, Sde, SdeError, follow_paths, sample_paths, solve_rows,
};
use sclsd_spec::WrongSize;

use crate::model::Model;
use crate::weights::{Array, Weights, WeightsError};

const EPSILON: f32 = 1e-5;

/// A trained model: expression to states, states to expression, and states along the dynamics.
///
/// States are `rows × z`, row-major. Results have the same bits on any number of threads.
#[derive(Debug, Clone)]
pub struct Evaluator {
    x_encoder: FoldedStack,
    z_encoder: FoldedStack,
    z_decoder: FoldedStack,
    potential: Landscape,
    likelihood: CountLikelihood,
}

/// The potential V, built in or user-defined.
#[derive(Debug, Clone)]
enum Landscape {
    Network(PotentialWeights),
    Custom(Downhill),
}

impl Landscape {
    fn drifts(&self, z: &[f32]) -> Vec<f32> {
        match self {
            Self::Network(potential) => potential.drifts(z),
            Self::Custom(potential) => potential.drifts(z),
        }
    }
}

/// Sampled paths of the dynamics.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledPaths {
    /// Number of draws from every start.
    pub draws: usize,
    /// States at every time of the grid, `starts × draws × z` each: all draws of one start before the next start.
    pub states: Vec<Vec<f32>>,
}

/// A stack with its batch normalisation folded in.
#[derive(Debug, Clone)]
struct FoldedStack {
    sizes: Sizes,
    weights: Vec<Vec<f32>>,
}

impl Evaluator {
    /// # Errors
    /// [`WeightsError`] names a tensor that is missing or of the wrong shape.
    pub fn new(model: &Model) -> Result<Self, WeightsError> {
        let spec = model.spec.get();
        let dims = &spec.layer_dims;
        let widths = |input: usize, hidden: &[usize], output: usize| -> Vec<usize> {
            [input].into_iter().chain(hidden.iter().copied()).chain([output]).collect()
        };
        let find = Find(&model.weights);
        let potential = match &model.spec.custom().potential {
            Some(potential) => {
                let n = potential.initial(spec.z_dim).len();
                let parameters = find.values("potential.custom.parameters", &[n])?.to_vec();
                Landscape::Custom(Downhill::new(potential.clone(), parameters, spec.z_dim))
            }
            None => {
                let widths = widths(spec.z_dim, &dims.potential, 1);
                let mut flat = find.plain("potential", &widths)?.concat();
                flat.extend_from_slice(find.values("potential.gate", &[1])?);
                Landscape::Network(PotentialWeights::new(&widths, &flat))
            }
        };
        Ok(Self {
            x_encoder: find.normalized("x_encoder", widths(model.n_genes, &dims.x_encoder, 2 * spec.z_dim))?,
            z_encoder: {
                let widths = widths(spec.z_dim, dims.z_encoder(), 2 * spec.b_dim);
                let weights = find.plain("z_encoder", &widths)?;
                FoldedStack { sizes: Sizes { widths, normalized: false, activated: false }, weights }
            },
            z_decoder: find.normalized("z_decoder", widths(spec.z_dim, &dims.z_decoder, 2 * model.n_genes))?,
            potential,
            likelihood: model.spec.likelihood(),
        })
    }

    /// Location and scale of q(z | x), each `cells × z`. The columns of `x` are the model's genes.
    #[must_use]
    pub fn encode(&self, x: SparseRows<'_>) -> (Vec<f32>, Vec<f32>) {
        let out = stack::forward_eval_cells(&self.x_encoder.sizes.layers(&self.x_encoder.weights), x);
        location_scale(&out, self.x_encoder.outputs())
    }

    /// Location and scale of q(z | x) for dense expression, `cells × genes`, row-major.
    ///
    /// # Errors
    /// [`WrongSize`] if the length of `x` is not a multiple of the number of genes.
    pub fn encode_dense(&self, x: &[f32]) -> Result<(Vec<f32>, Vec<f32>), WrongSize> {
        let n_genes = self.n_genes();
        let n_cells = x.len() / n_genes.max(1);
        let Ok(rows) = u32::try_from(n_cells).map(|n| (0..n).collect::<Vec<u32>>()) else {
            return Err(WrongSize::new("expression", format!("{n_cells} cells"), "fewer than 2^32"));
        };
        if n_genes * n_cells != x.len() {
            let found = format!("{} values", x.len());
            return Err(WrongSize::new("expression", found, format!("whole cells of {n_genes} genes")));
        }
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        for cell in x.chunks_exact(n_genes.max(1)) {
            for (gene, &value) in (0_u32..).zip(cell).filter(|entry| *entry.1 != 0.0) {
                indices.push(gene);
                values.push(value);
            }
            indptr.push(values.len());
        }
        Ok(self.encode(SparseRows { indptr: &indptr, indices: &indices, values: &values, rows: &rows }))
    }

    /// Number of genes of the model; data must have them in the model's order.
    #[must_use]
    pub fn n_genes(&self) -> usize {
        self.z_decoder.outputs() / 2
    }

    /// Location and scale of q(B | z), each `rows × B`; `z`: `rows × z`.
    #[must_use]
    pub fn encode_z(&self, z: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let out = stack::forward_eval(&self.z_encoder.sizes.layers(&self.z_encoder.weights), z);
        location_scale(&out, self.z_encoder.outputs())
    }

    /// The expected count of every gene at every state, `rows × genes`, of cells with `library_size` counts; `z` is
    /// `rows × z`. The result takes rows × genes numbers of memory: for many states, call this for parts of them.
    #[must_use]
    pub fn decode(&self, z: &[f32], library_size: f32) -> Vec<f32> {
        let decoded = stack::forward_eval(&self.z_decoder.sizes.layers(&self.z_decoder.weights), z);
        let genes = self.z_decoder.outputs() / 2;
        let row = |row: &[f32]| {
            let (gates, logits) = row.split_at(genes);
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let exponentials: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
            let scale = library_size / exponentials.iter().sum::<f32>();
            let means = exponentials.iter().zip(gates).map(|(e, gate)| self.likelihood.mean(e * scale, *gate));
            means.collect::<Vec<f32>>()
        };
        decoded.par_chunks(2 * genes.max(1)).flat_map_iter(row).collect()
    }

    /// V of every row; `z`: `rows × z`.
    #[must_use]
    pub fn potential(&self, z: &[f32]) -> Vec<f32> {
        match &self.potential {
            Landscape::Network(potential) => potential.values(z),
            Landscape::Custom(potential) => potential.values(z),
        }
    }

    /// −∇V at every row; `z`: `rows × z`.
    #[must_use]
    pub fn drift(&self, z: &[f32]) -> Vec<f32> {
        self.potential.drifts(z)
    }

    /// Follows rows down the potential, on all threads. Returns their states at every time of `grid`, each `rows × z`.
    ///
    /// # Errors
    /// As [`solve`](sclsd_ode::solve).
    pub fn follow(&self, z: &[f32], grid: &[f64], ode: &CheckedOdeSpec) -> Result<Vec<Vec<f32>>, OdeError> {
        match &self.potential {
            Landscape::Network(potential) => solve_rows(potential, z, grid, ode),
            Landscape::Custom(potential) => solve_rows(potential, z, grid, ode),
        }
    }

    /// Samples paths of dz = −∇V dt + σ dW over the times of `grid`, `draws` paths from every row of `z`, `rows × z`.
    /// The noise is a function of the seed and the number of the path, so the paths have the same bits on any number of
    /// threads.
    ///
    /// # Errors
    /// As [`sample_paths`]: the times do not increase, or a path is not finite.
    #[expect(clippy::cast_possible_truncation, reason = "states are f32")]
    pub fn sample_paths(
        &self,
        z: &[f32],
        grid: &[f64],
        sigma: f64,
        draws: usize,
        seed: u64,
    ) -> Result<SampledPaths, SdeError> {
        let width = self.z_decoder.sizes.widths[0];
        let starts: Vec<f64> = z
            .chunks_exact(width)
            .flat_map(|row| std::iter::repeat_n(row, draws).flatten())
            .map(|v| f64::from(*v))
            .collect();
        let sde = Noisy { potential: &self.potential, sigma, width };
        let paths = sample_paths(&sde, &starts, grid, &CheckedSdeSpec::default(), Brownian::new(seed))?;
        let states = paths.into_iter().map(|state| state.into_iter().map(|v| v as f32).collect()).collect();
        Ok(SampledPaths { draws, states })
    }

    /// Follows one path of dz = −∇V dt + σ dW from every row of `z`, `rows × z`, on this thread, and hands its state at
    /// every time of `grid` to `goes_on(row, time, state)`: a row is followed until that is false. Row i goes along
    /// path i of the noise; memory is O(rows).
    ///
    /// # Errors
    /// As [`follow_paths`].
    #[expect(clippy::cast_possible_truncation, reason = "states are f32")]
    pub fn follow_paths(
        &self,
        z: &[f32],
        grid: &[f64],
        sigma: f64,
        steps: &CheckedSdeSpec,
        noise: Brownian,
        mut goes_on: impl FnMut(usize, usize, &[f32]) -> bool,
    ) -> Result<(), SdeError> {
        let width = self.z_decoder.sizes.widths[0];
        let sde = Noisy { potential: &self.potential, sigma, width };
        let starts: Vec<f64> = z.iter().map(|v| f64::from(*v)).collect();
        let mut shown = vec![0.0; width];
        follow_paths(&sde, &starts, grid, steps, noise, |row, time, state| {
            shown.iter_mut().zip(state).for_each(|(shown, v)| *shown = *v as f32);
            goes_on(row, time, &shown)
        })
    }
}

/// The dynamics with the same noise everywhere.
struct Noisy<'a> {
    potential: &'a Landscape,
    sigma: f64,
    width: usize,
}

impl Sde for Noisy<'_> {
    fn width(&self) -> usize {
        self.width
    }

    fn drift(&self, t: f64, z: &[f64], out: &mut [f64]) {
        self.drift_of_rows(t, z, out);
    }

    #[expect(clippy::cast_possible_truncation, reason = "states are f32")]
    fn drift_of_rows(&self, _: f64, z: &[f64], out: &mut [f64]) {
        let z: Vec<f32> = z.iter().map(|v| *v as f32).collect();
        out.iter_mut().zip(self.potential.drifts(&z)).for_each(|(out, v)| *out = f64::from(v));
    }

    fn diffusion(&self, _: f64, _: &[f64], out: &mut [f64]) {
        out.fill(self.sigma);
    }
}

impl FoldedStack {
    fn outputs(&self) -> usize {
        self.sizes.widths[self.sizes.widths.len() - 1]
    }
}

/// Splits the output into location and scale; softplus makes the scale positive.
fn location_scale(out: &[f32], width: usize) -> (Vec<f32>, Vec<f32>) {
    let half = width / 2;
    let location = out.chunks_exact(width).flat_map(|row| row[..half].iter().copied()).collect();
    let softplus = |x: &f32| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let scale = out.chunks_exact(width).flat_map(|row| row[half..].iter().map(softplus)).collect();
    (location, scale)
}

/// Finds weights by name.
struct Find<'a>(&'a Weights);

impl<'a> Find<'a> {
    fn values(&self, name: &str, shape: &[usize]) -> Result<&'a [f32], WeightsError> {
        let Array { shape: found, values } =
            self.0.get(name).ok_or_else(|| WeightsError::Missing { count: 1, first: name.to_owned() })?;
        let scalar = found.is_empty() && shape.iter().product::<usize>() == 1;
        if found != shape && !scalar {
            let (found, expected) = (found.clone(), shape.to_vec());
            return Err(WeightsError::Shape { name: name.to_owned(), found, expected });
        }
        match values.iter().find(|v| !v.is_finite()) {
            Some(&value) => Err(WeightsError::NotFinite { name: name.to_owned(), value }),
            None => Ok(values),
        }
    }

    /// Matrices and biases of a stack without batch normalisation.
    fn plain(&self, network: &str, widths: &[usize]) -> Result<Vec<Vec<f32>>, WeightsError> {
        let mut weights = Vec::new();
        for (depth, pair) in widths.windows(2).enumerate() {
            weights.push(self.values(&format!("{network}.fc.{}.weight", 2 * depth), &[pair[1], pair[0]])?.to_vec());
            weights.push(self.values(&format!("{network}.fc.{}.bias", 2 * depth), &[pair[1]])?.to_vec());
        }
        Ok(weights)
    }

    /// A stack with batch normalisation, whose running averages are folded in: `W γ/sd` and `(b − mean) γ/sd + β`.
    fn normalized(&self, network: &str, widths: Vec<usize>) -> Result<FoldedStack, WeightsError> {
        let mut weights = Vec::new();
        for (depth, pair) in widths.windows(2).enumerate() {
            let (inputs, outputs) = (pair[0], pair[1]);
            let linear =
                |part: &str, shape: &[usize]| self.values(&format!("{network}.fc.{}.{part}", 3 * depth), shape);
            let norm = |part: &str| self.values(&format!("{network}.fc.{}.{part}", 3 * depth + 1), &[outputs]);
            let (weight, bias) = (linear("weight", &[outputs, inputs])?, linear("bias", &[outputs])?);
            let (gamma, beta) = (norm("weight")?, norm("bias")?);
            let (mean, variance) = (norm("running_mean")?, norm("running_var")?);
            let scale: Vec<f32> = gamma.iter().zip(variance).map(|(gamma, v)| gamma / (v + EPSILON).sqrt()).collect();
            let mut folded = weight.to_vec();
            folded.par_chunks_mut(inputs).zip(&scale).for_each(|(row, scale)| row.iter_mut().for_each(|w| *w *= scale));
            weights.push(folded);
            weights.push((0..outputs).map(|j| (bias[j] - mean[j]) * scale[j] + beta[j]).collect());
        }
        Ok(FoldedStack { sizes: Sizes { widths, normalized: false, activated: false }, weights })
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::{Tensor, TensorData};
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::{Lsd, ModelSpec};

    #[test]
    fn the_networks_are_those_of_the_tensor_code() {
        let (cells, genes) = (150, 30);
        let spec = ModelSpec { z_dim: 4, ..ModelSpec::default() }.check().unwrap();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        let fresh: Lsd<Flex> = Lsd::new(&spec, genes, &mut rng, &Default::default());
        let mut weights = fresh.weights();
        for (name, array) in &mut weights {
            if name.contains("running") {
                array.values.iter_mut().for_each(|v| *v += rng.random_range(0.0..1.0));
            }
        }
        let model = Model { spec, n_genes: genes, genes: Vec::new(), weights };
        let tensors: Lsd<Flex> = model.on(&Default::default()).unwrap();
        let host = Evaluator::new(&model).unwrap();
        for threshold in [0.0, 1.0] {
            let x: Vec<f32> =
                (0..cells * genes).map(|_| rng.random_range(-9.0..2.0_f32).max(threshold) - threshold).collect();
            let close = |found: &[f32], expected: Tensor<Flex, 2>| {
                let expected: Vec<f32> = expected.into_data().into_vec().unwrap();
                assert_eq!(found.len(), expected.len());
                for (a, b) in found.iter().zip(&expected) {
                    assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{a} {b}");
                }
            };
            let tensor = Tensor::from_data(TensorData::new(x.clone(), [cells, genes]), &Default::default());
            let (indptr, indices): (Vec<usize>, Vec<u32>) =
                ((0..=cells).map(|cell| cell * genes).collect(), (0..30).cycle().take(cells * genes).collect());
            let rows: Vec<u32> = (0..150).collect();
            let rows = SparseRows { indptr: &indptr, indices: &indices, values: &x, rows: &rows };
            let (loc, scale) = host.encode(rows);
            let expected = tensors.encode_x(tensor);
            close(&loc, expected.0.clone());
            close(&scale, expected.1);
            let z = expected.0;
            let (b, b_scale) = host.encode_z(&loc);
            let expected = tensors.encode_z(z.clone());
            close(&b, expected.0);
            close(&b_scale, expected.1);
            close(&host.potential(&loc), tensors.potential.value(z.clone()));
            close(&host.drift(&loc), tensors.potential.drift(z));
        }
    }

    fn fresh(genes: usize, seed: u64) -> Model {
        let spec = ModelSpec { z_dim: 4, ..ModelSpec::default() }.check().unwrap();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let weights = Lsd::<Flex>::new(&spec, genes, &mut rng, &Default::default()).weights();
        Model { spec, n_genes: genes, genes: Vec::new(), weights }
    }

    #[test]
    fn dense_expression_is_encoded_as_sparse_rows_are() {
        let host = Evaluator::new(&fresh(3, 1)).unwrap();
        assert_eq!(host.n_genes(), 3);
        let x = [0.0, 1.5, 0.0, 2.0, 0.0, 0.5];
        let (indptr, indices, values) = ([0, 1, 3], [1, 0, 2], [1.5, 2.0, 0.5]);
        let rows = SparseRows { indptr: &indptr, indices: &indices, values: &values, rows: &[0, 1] };
        assert_eq!(host.encode_dense(&x).unwrap(), host.encode(rows));
        let error = host.encode_dense(&x[..4]).unwrap_err();
        assert_eq!(error.to_string(), "expression is of 4 values, expected whole cells of 3 genes");
    }

    #[test]
    fn what_is_decoded_is_the_mean_of_the_likelihood_by_the_tensor_code() {
        let model = fresh(30, 5);
        let (host, z) = (Evaluator::new(&model).unwrap(), vec![0.3_f32; 7 * 4]);
        let tensors: Lsd<Flex> = model.on(&Default::default()).unwrap();
        let rows = Tensor::from_data(TensorData::new(z.clone(), [7, 4]), &Default::default());
        let (gate, share) = Lsd::<Flex>::gate_and_rate(tensors.z_decoder.forward_eval(rows));
        let expected = share * 500.0 * burn::tensor::activation::sigmoid(gate.neg());
        let expected: Vec<f32> = expected.into_data().into_vec().unwrap();
        let found = host.decode(&z, 500.0);
        assert_eq!(found.len(), 7 * 30);
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()), "{a} {b}");
        }
        // without dropout gates the expected counts of a cell sum to its library size
        let nb = ModelSpec { gene_likelihood: sclsd_kernels::GeneLikelihood::Nb, ..model.spec.get().clone() };
        let host = Evaluator::new(&Model { spec: nb.check().unwrap(), ..model }).unwrap();
        let total: f32 = host.decode(&z, 500.0)[..30].iter().sum();
        assert!((total - 500.0).abs() < 1e-2, "{total}");
    }

    #[test]
    fn paths_without_noise_are_those_of_the_flow_and_with_it_spread_by_its_size() {
        let host = Evaluator::new(&fresh(10, 6)).unwrap();
        let (z, grid) = ([0.5_f32, -0.2, 0.1, 0.9, 0.0, 0.3, -0.7, 0.2], [0.0, 0.05, 0.1]);
        let still = host.sample_paths(&z, &grid, 0.0, 2, 1).unwrap();
        let ode = sclsd_ode::OdeSpec::default().check().unwrap();
        let flow = host.follow(&z, &grid, &ode).unwrap();
        for (states, exact) in still.states.iter().zip(&flow) {
            for (draw, row) in states.chunks_exact(4).zip(exact.chunks_exact(4).flat_map(|row| [row, row])) {
                assert!(draw.iter().zip(row).all(|(a, b)| (a - b).abs() < 1e-2), "{draw:?} {row:?}");
            }
        }
        let (steps, mut seen) = (CheckedSdeSpec::default(), 0);
        let check = |row: usize, time: usize, state: &[f32]| {
            seen += 1;
            assert_eq!(state, &still.states[time][2 * row * 4..][..4], "the first draw from every row");
            true
        };
        host.follow_paths(&z, &grid, 0.0, &steps, Brownian::new(1), check).unwrap();
        assert_eq!(seen, 2 * 3);
        let noisy = host.sample_paths(&z, &grid, 0.5, 4000, 1).unwrap();
        assert_eq!(noisy, host.sample_paths(&z, &grid, 0.5, 4000, 1).unwrap(), "the same seed, the same bits");
        let last = &noisy.states[2][..4000 * 4]; // of the first start
        let spread = |i: usize| {
            let of = last.iter().skip(i).step_by(4).map(|v| f64::from(*v));
            let mean = of.clone().sum::<f64>() / 4000.0;
            of.map(|v| (v - mean).powi(2)).sum::<f64>() / 4000.0
        };
        for i in 0..4 {
            // σ² t; the drift hardly changes the variance within so short a time
            assert!((spread(i) - 0.025).abs() < 0.003, "{}", spread(i));
        }
    }

    #[test]
    fn a_tensor_that_is_missing_or_of_the_wrong_shape_is_named() {
        let spec = ModelSpec::default().check().unwrap();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        let weights = Lsd::<Flex>::new(&spec, 5, &mut rng, &Default::default()).weights();
        let mut model = Model { spec, n_genes: 6, genes: Vec::new(), weights };
        let error = Evaluator::new(&model).unwrap_err().to_string();
        assert!(error.contains("x_encoder.fc.0.weight"), "{error}");
        model.n_genes = 5;
        model.weights.remove("potential.gate");
        let error = Evaluator::new(&model).unwrap_err().to_string();
        assert!(error.contains("potential.gate"), "{error}");
    }
}
