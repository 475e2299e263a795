//! One training-mode evaluation of the loss: every site, every gradient, the running statistics.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, backend::AutodiffBackend};
use sclsd::infer::{Batch, Coefficients, Elbo, LibrarySize, Noise};
use sclsd::model::ode::OdeSpec;
use sclsd::model::{Array, Expression, Kernels, Lsd, SparseRows, tensor_name};
use sclsd_tests::{assert_close, json, tensors};

use super::{B, tiny_networks};

fn coefficients() -> Coefficients {
    let sizes = json("tiny.json");
    let number = |key: &str| sizes[key].as_f64().expect("a number");
    Coefficients {
        scale: number("scale_factor"),
        annealing: number("annealing_factor"),
        wasserstein: number("w_coeff"),
        potential: number("v_coeff"),
        library: LibrarySize { mean: number("xl_loc"), standard_deviation: number("xl_scale") },
        ode: OdeSpec::default().check().expect("a specification"),
    }
}

/// Twenty dense rows of thirty counts, as compressed rows.
fn dense_rows() -> (Vec<usize>, Vec<u32>) {
    ((0..=20).map(|row| 30 * row).collect(), (0..30).cycle().take(600).collect())
}

fn evaluate(model: &Lsd<B>, golden: &BTreeMap<String, Array>, kernels: Kernels) -> Elbo<B> {
    let device = Default::default();
    let tensor = |name: &str, width: usize| golden[name].to_tensor::<B, 2>([20, width], &device);
    let (indptr, indices) = dense_rows();
    let rows: Vec<u32> = (0..20).collect();
    let counts = SparseRows { indptr: &indptr, indices: &indices, values: &golden["x_raw"].values, rows: &rows };
    let x = Expression::dense(golden["x"].values.clone(), 30);
    let batch = Batch { x, places: rows.clone(), counts, steps: 5 };
    let noise = Noise { z: tensor("noise.z", 6), b: tensor("noise.B", 2), xl: tensor("noise.xl", 1) };
    Elbo::new(model, batch, noise, &coefficients(), kernels).expect("a loss")
}

#[test]
fn every_site_has_the_golden_log_probability() {
    for kernels in [Kernels::Tensors, Kernels::Host] {
        sites(kernels);
    }
}

fn sites(kernels: Kernels) {
    let golden = tensors("tiny_elbo.safetensors");
    let elbo = evaluate(&tiny_networks(), &golden, kernels);
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
    for (name, found) in sites {
        let expected = &golden[&format!("log_prob_sum.{name}")].values;
        assert_close(name, &Array::from_tensor(found.clone()).values, expected);
    }
    assert_close("loss", &Array::from_tensor(elbo.loss()).values, &golden["loss"].values);
    #[expect(clippy::cast_possible_truncation, reason = "compared in f32")]
    let total = elbo.terms().total() as f32;
    assert_close("sum of the named terms", &[total], &golden["loss"].values);
}

#[test]
fn every_parameter_has_the_golden_gradient() {
    for kernels in [Kernels::Tensors, Kernels::Host] {
        gradients(kernels);
    }
}

fn gradients(kernels: Kernels) {
    let golden = tensors("tiny_elbo.safetensors");
    let model = tiny_networks();
    let gradients = evaluate(&model, &golden, kernels).loss().backward();
    let mut found = Gradients { path: Vec::new(), gradients: &gradients, found: BTreeMap::new() };
    model.visit(&mut found);
    let expected: Vec<&String> = golden.keys().filter(|name| name.starts_with("grad.")).collect();
    for name in &expected {
        let name = name.strip_prefix("grad.").expect("a gradient");
        assert_close(name, &found.found[name].values, &golden[&format!("grad.{name}")].values);
    }
    assert_eq!(found.found.len(), expected.len(), "nothing else has a gradient: {:?}", found.found.keys());
}

#[test]
fn running_statistics_move_as_the_golden_ones_do() {
    for kernels in [Kernels::Tensors, Kernels::Host] {
        running_statistics(kernels);
    }
}

fn running_statistics(kernels: Kernels) {
    let golden = tensors("tiny_elbo.safetensors");
    let model = tiny_networks();
    let before = tensors("tiny_weights.safetensors");
    let elbo = evaluate(&model, &golden, kernels);
    let after = model.absorb(&elbo.statistics).weights();
    let mut compared = 0;
    for (name, expected) in &golden {
        let Some(name) = name.strip_prefix("after.") else { continue };
        assert_close(name, &after[name].values, &expected.values);
        assert_ne!(after[name].values, before[name].values, "{name} moved");
        compared += 1;
    }
    assert_eq!(compared, 27, "mean, variance and counter of nine layers");
}

struct Gradients<'a> {
    path: Vec<String>,
    gradients: &'a <B as AutodiffBackend>::Gradients,
    found: BTreeMap<String, Array>,
}

impl ModuleVisitor<B> for Gradients<'_> {
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

/// Cells that are visited more than once, given once or once per visit.
#[test]
fn a_cell_visited_often_is_encoded_once_with_the_same_loss_and_gradients() {
    let golden = tensors("tiny_elbo.safetensors");
    let (model, device) = (tiny_networks(), Default::default());
    let cells: Vec<u32> = vec![0, 3, 3, 1, 0, 2, 3, 4, 0, 1, 1, 1, 4, 2, 0, 3, 2, 2, 0, 4];
    let (indptr, indices) = dense_rows();
    let x = &golden["x"].values;
    let evaluate = |x: Vec<f32>, places: Vec<u32>| {
        let counts = SparseRows { indptr: &indptr, indices: &indices, values: &golden["x_raw"].values, rows: &cells };
        let noise = |name: &str, width| golden[name].to_tensor::<B, 2>([20, width], &device);
        let noise = Noise { z: noise("noise.z", 6), b: noise("noise.B", 2), xl: noise("noise.xl", 1) };
        let batch = Batch { x: Expression::dense(x, 30), places, counts, steps: 5 };
        Elbo::new(&model, batch, noise, &coefficients(), Kernels::Host).expect("a loss")
    };
    let expanded = cells.iter().flat_map(|&cell| x[cell as usize * 30..][..30].to_vec()).collect();
    let once = evaluate(x[..150].to_vec(), cells.clone());
    let often = evaluate(expanded, (0..20).collect());
    assert_close("loss", &Array::from_tensor(once.loss()).values, &Array::from_tensor(often.loss()).values);
    let gradients = |elbo: &Elbo<B>| {
        let gradients = elbo.loss().backward();
        let mut found = Gradients { path: Vec::new(), gradients: &gradients, found: BTreeMap::new() };
        model.visit(&mut found);
        found.found
    };
    let (once_gradients, often_gradients) = (gradients(&once), gradients(&often));
    assert_eq!(once_gradients.len(), often_gradients.len());
    for (name, found) in once_gradients {
        assert_close(&name, &found.values, &often_gradients[&name].values);
    }
    let (a, b) = (model.clone().absorb(&once.statistics).weights(), model.clone().absorb(&often.statistics).weights());
    for (name, found) in a {
        assert_close(&name, &found.values, &b[&name].values);
    }
}
