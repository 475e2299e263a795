//! Checks one training-mode evaluation of the loss: every site, every gradient, and the running statistics.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, backend::AutodiffBackend};
use sclsd::infer::{Batch, Coefficients, Elbo, LibrarySize, Noise};
use sclsd::model::ode::OdeSpec;
use sclsd::model::{
    Array, Executor as _, Expression, GlobalBatch, Job, Kernels, Lsd, Precision, SparseRows, Trainable, Weights,
    tensor_name,
};
use sclsd_tests::{json, print_always, tensors};

use super::{Errors, Golden, everywhere, places, tiny, tiny_networks};

fn coefficients() -> Coefficients {
    let sizes = json("tiny.json");
    let number = |key: &str| sizes[key].as_f64().expect("a number");
    Coefficients {
        scale: number("scale_factor"),
        annealing: number("annealing_factor"),
        wasserstein: number("w_coeff"),
        potential: number("v_coeff"),
        library: LibrarySize { mean: number("xl_loc"), standard_deviation: number("xl_scale") },
        // tolerances ten times tighter than the defaults: otherwise solver errors would appear in the derivatives, more
        // so on a device, where every row takes its own steps, than in block code, where a block follows its worst row
        ode: OdeSpec { rtol: 1e-6, atol: 1e-7, ..OdeSpec::default() }.check().expect("a specification"),
    }
}

/// CSR index arrays of twenty dense rows with thirty counts each.
fn dense_rows() -> (Vec<usize>, Vec<u32>) {
    ((0..=20).map(|row| 30 * row).collect(), (0..30).cycle().take(600).collect())
}

/// The loss of visits to cells with expression `x`, row-major.
fn evaluate<B: Trainable>(model: &Lsd<B>, golden: &Golden, visits: &Visits, device: &B::Device) -> Elbo<B> {
    let noise = |name: &str, width: usize| golden[name].to_tensor::<B, 2>([20, width], device);
    let (indptr, indices) = dense_rows();
    let values = &golden["x_raw"].values;
    let counts = SparseRows { indptr: &indptr, indices: &indices, values, rows: &visits.cells };
    let x = Expression::dense(visits.x.clone(), 30);
    let batch = Batch { x, places: visits.places.clone(), counts, steps: 5, global: GlobalBatch::alone(20) };
    let noise = Noise { z: noise("noise.z", 6), b: noise("noise.B", 2), xl: noise("noise.xl", 1) };
    Elbo::new(model, batch, noise, &coefficients(), visits.kernels).expect("a loss")
}

struct Visits {
    cells: Vec<u32>,
    places: Vec<u32>,
    x: Vec<f32>,
    kernels: Kernels,
}

/// Visits every cell once.
fn golden_visits(golden: &Golden, kernels: Kernels) -> Visits {
    Visits { cells: (0..20).collect(), places: (0..20).collect(), x: golden["x"].values.clone(), kernels }
}

#[test]
fn every_site_has_the_golden_log_probability() {
    everywhere("loss", |place| place.allowed.golden, |place| place.run(Sites { kernels: place.kernels }));
}

struct Sites {
    kernels: Kernels,
}

impl Job for Sites {
    type Output = Vec<(String, f64)>;

    fn run<B: Trainable>(self, device: &B::Device) -> Self::Output {
        let golden = tensors("tiny_elbo.safetensors");
        let visits = golden_visits(&golden, self.kernels);
        let elbo = evaluate(&tiny_networks::<B>(device), &golden, &visits, device);
        let sites = [
            ("guide.z", &elbo.guide_z),
            ("guide.B", &elbo.guide_b),
            ("guide.xl", &elbo.guide_xl),
            ("guide.V_l2_reg", &elbo.potential_norm),
            ("guide.W2", &elbo.wasserstein),
            ("model.B", &elbo.model_b),
            ("model.z", &elbo.model_z),
            ("model.xl", &elbo.model_xl),
            ("model.x", &elbo.model_x),
        ];
        let mut errors = Errors::default();
        for (name, found) in sites {
            errors.compare(name, &Array::from_tensor(found.clone()), &golden[&format!("log_prob_sum.{name}")]);
        }
        errors.compare("loss", &Array::from_tensor(elbo.loss()), &golden["loss"]);
        #[expect(clippy::cast_possible_truncation, reason = "compared in f32")]
        let total = elbo.terms().read().total() as f32;
        errors.compare("sum of the named terms", &Array { shape: vec![1], values: vec![total] }, &golden["loss"]);
        errors.0
    }
}

#[test]
fn every_parameter_has_the_golden_gradient() {
    everywhere("gradients", |place| place.allowed.grads, |place| place.run(LossGradients { kernels: place.kernels }));
}

struct LossGradients {
    kernels: Kernels,
}

impl Job for LossGradients {
    type Output = Vec<(String, f64)>;

    fn run<B: Trainable>(self, device: &B::Device) -> Self::Output {
        let golden = tensors("tiny_elbo.safetensors");
        let model = tiny_networks::<B>(device);
        let elbo = evaluate(&model, &golden, &golden_visits(&golden, self.kernels), device);
        let found = gradients(&model, &elbo);
        let mut errors = Errors::default();
        for (name, expected) in &golden {
            let Some(name) = name.strip_prefix("grad.") else { continue };
            errors.compare_gradients(name, &found[name], expected);
        }
        assert_eq!(found.len(), errors.0.len(), "nothing else has a gradient: {:?}", found.keys());
        errors.0
    }
}

/// Relative tolerance of the directional derivative from two loss evaluations, which `f32` resolves to about one
/// hundredth: the losses are near 10 with an error of 1e-6, and differ by a step of 1e-3 times a gradient of order 1.
const GRADIENT_BY_DIFFERENCES: f64 = 0.02;

#[test]
fn the_gradient_is_that_of_the_loss_by_differences() {
    everywhere(
        "gradient by differences",
        |_| GRADIENT_BY_DIFFERENCES,
        |place| place.run(Check { kernels: place.kernels }),
    );
}

struct Check {
    kernels: Kernels,
}

impl Job for Check {
    type Output = Vec<(String, f64)>;

    /// Tests the derivative along the gradient, for the potential and for the other networks.
    fn run<B: Trainable>(self, device: &B::Device) -> Self::Output {
        let golden = tensors("tiny_elbo.safetensors");
        let visits = golden_visits(&golden, self.kernels);
        let loss = |weights: &Weights| {
            let model: Lsd<B> = tiny_networks::<B>(device).with_weights(weights).expect("weights");
            evaluate(&model, &golden, &visits, device).terms().read().total()
        };
        let model = tiny_networks::<B>(device);
        let (grads, weights) = (gradients(&model, &evaluate(&model, &golden, &visits, device)), tiny().weights);
        // not the recurrent prior: its contribution to the loss is too small, and its kinks are too close
        let parts: [&[&str]; 2] = [&["potential"], &["x_encoder", "xl_encoder", "z_encoder", "B_decoder", "z_decoder"]];
        let check = |part: &&[&str]| {
            let of = |name: &&String| part.iter().any(|network| name.starts_with(network));
            let length = grads.iter().filter(|(name, _)| of(name)).flat_map(|(_, grad)| &grad.values);
            let length = length.map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            assert!(length > 0.0, "{part:?} have a gradient");
            // a step that changes the loss by about one thousandth
            let step = 1e-3 / length;
            let moved = |sign: f64| {
                let mut weights = weights.clone();
                for (name, grad) in grads.iter().filter(|(name, _)| of(name)) {
                    let moved = weights.get_mut(name).expect("a weight").values.iter_mut().zip(&grad.values);
                    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
                    moved.for_each(|(w, g)| *w += (sign * step * f64::from(*g) / length) as f32);
                }
                loss(&weights)
            };
            (part.join(", "), ((moved(1.0) - moved(-1.0)) / (2.0 * step * length) - 1.0).abs())
        };
        parts.iter().map(check).collect()
    }
}

#[test]
fn running_statistics_move_as_the_golden_ones_do() {
    everywhere(
        "running statistics",
        |place| place.allowed.golden,
        |place| place.run(Running { kernels: place.kernels }),
    );
}

struct Running {
    kernels: Kernels,
}

impl Job for Running {
    type Output = Vec<(String, f64)>;

    fn run<B: Trainable>(self, device: &B::Device) -> Self::Output {
        let golden = tensors("tiny_elbo.safetensors");
        let model = tiny_networks::<B>(device);
        let before = tensors("tiny_weights.safetensors");
        let elbo = evaluate(&model, &golden, &golden_visits(&golden, self.kernels), device);
        let after = model.absorb(&elbo.statistics).weights();
        let mut errors = Errors::default();
        for (name, expected) in &golden {
            let Some(name) = name.strip_prefix("after.") else { continue };
            errors.compare(name, &after[name], expected);
            assert_ne!(after[name].values, before[name].values, "{name} moved");
        }
        assert_eq!(errors.0.len(), 27, "mean, variance and counter of nine layers");
        errors.0
    }
}

fn gradients<B: Trainable>(model: &Lsd<B>, elbo: &Elbo<B>) -> Weights {
    let gradients = elbo.loss().backward();
    let mut found = Gradients::<B> { path: Vec::new(), gradients: &gradients, found: BTreeMap::new() };
    model.visit(&mut found);
    found.found
}

struct Gradients<'a, B: AutodiffBackend> {
    path: Vec<String>,
    gradients: &'a B::Gradients,
    found: Weights,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Gradients<'_, B> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            self.found.insert(tensor_name(&self.path), Array::from_tensor(gradient));
        }
    }
}

/// The loss, with products in the kernels' reduced precision.
struct Total(Kernels);

impl Job for Total {
    type Output = f64;

    fn run<B: Trainable>(self, device: &B::Device) -> f64 {
        let golden = tensors("tiny_elbo.safetensors");
        let visits = golden_visits(&golden, self.0);
        evaluate(&tiny_networks::<B>(device), &golden, &visits, device).terms().read().total()
    }
}

#[test]
fn short_factors_move_the_loss_and_by_no_more_than_their_rounding() {
    assert!(Kernels::Host.with(Precision::Bf16).is_none(), "a CPU has no choice");
    for place in places().into_iter().filter(|place| matches!(place.kernels, Kernels::Device(_))) {
        let total = |precision| place.run(Total(place.kernels.with(precision).expect("a choice")));
        let exact = total(Precision::F32);
        // both factors of a product are rounded by at most half a unit in the last bit
        for (precision, bits) in [(Precision::Tf32, 11), (Precision::Bf16, 8)] {
            let off = ((total(precision) - exact) / exact).abs();
            print_always(&format!("loss with {precision}, {} | {off:.1e}", place.name));
            assert!(off > 0.0 && off < 2.0_f64.powi(1 - bits), "{precision} on {}: {off:.1e}", place.name);
        }
    }
}

/// Repeated visits of a cell, stored once per cell or once per visit, give the same loss.
#[test]
fn a_cell_visited_often_is_encoded_once_with_the_same_loss_and_gradients() {
    everywhere("repeated cells", |place| place.allowed.grads, |place| place.run(Often { kernels: place.kernels }));
}

struct Often {
    kernels: Kernels,
}

impl Job for Often {
    type Output = Vec<(String, f64)>;

    fn run<B: Trainable>(self, device: &B::Device) -> Self::Output {
        let golden = tensors("tiny_elbo.safetensors");
        let model = tiny_networks::<B>(device);
        let cells: Vec<u32> = vec![0, 3, 3, 1, 0, 2, 3, 4, 0, 1, 1, 1, 4, 2, 0, 3, 2, 2, 0, 4];
        let x = &golden["x"].values;
        let evaluate = |x: Vec<f32>, places: Vec<u32>| {
            let visits = Visits { cells: cells.clone(), places, x, kernels: self.kernels };
            evaluate(&model, &golden, &visits, device)
        };
        let expanded = cells.iter().flat_map(|&cell| x[cell as usize * 30..][..30].to_vec()).collect();
        let (once, often) = (evaluate(x[..150].to_vec(), cells.clone()), evaluate(expanded, (0..20).collect()));
        let mut errors = Errors::default();
        errors.compare("loss", &Array::from_tensor(once.loss()), &Array::from_tensor(often.loss()));
        let (found, expected) = (gradients(&model, &once), gradients(&model, &often));
        assert!(found.keys().eq(expected.keys()));
        found.iter().for_each(|(name, found)| errors.compare_gradients(name, found, &expected[name]));
        let running = |elbo: &Elbo<B>| model.clone().absorb(&elbo.statistics).weights();
        let (found, expected) = (running(&once), running(&often));
        found.iter().for_each(|(name, found)| errors.compare(name, found, &expected[name]));
        errors.0
    }
}
