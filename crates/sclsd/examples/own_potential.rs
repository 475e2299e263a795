//! Trains a model with a user-defined potential: a tilted double well along every axis of z.
//!
//! ```text
//! V(z) = Σ_i exp(a_i) (z_i² − 1)² + c_i z_i        parameters a, c
//! ```

use sclsd::model::{Custom, Potential};
use sclsd::{Device, analysis, data, graph, infer};

#[derive(Debug)]
struct DoubleWells;

impl Potential for DoubleWells {
    fn name(&self) -> &'static str {
        "double_wells"
    }

    fn initial(&self, z_dim: usize) -> Vec<f32> {
        [vec![-3.0; z_dim], vec![0.0; z_dim]].concat()
    }

    fn value(&self, p: &[f32], z: &[f32]) -> f32 {
        let (a, c) = p.split_at(z.len());
        (0..z.len()).map(|i| a[i].exp() * (z[i] * z[i] - 1.0).powi(2) + c[i] * z[i]).sum()
    }

    fn value_vjp(&self, p: &[f32], z: &[f32], grad: f32, grad_p: &mut [f32]) {
        for i in 0..z.len() {
            grad_p[i] += grad * p[i].exp() * (z[i] * z[i] - 1.0).powi(2);
            grad_p[z.len() + i] += grad * z[i];
        }
    }

    fn drift(&self, p: &[f32], z: &[f32], out: &mut [f32]) {
        for i in 0..z.len() {
            out[i] = -4.0 * p[i].exp() * z[i] * (z[i] * z[i] - 1.0) - p[z.len() + i];
        }
    }

    fn drift_vjp(&self, p: &[f32], z: &[f32], grad: &[f32], grad_z: &mut [f32], grad_p: &mut [f32]) {
        for i in 0..z.len() {
            grad_z[i] = -4.0 * p[i].exp() * (3.0 * z[i] * z[i] - 1.0) * grad[i];
            grad_p[i] -= 4.0 * p[i].exp() * z[i] * (z[i] * z[i] - 1.0) * grad[i];
            grad_p[z.len() + i] -= grad[i];
        }
    }
}

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn main() -> Result<(), sclsd::Error> {
    let spec = data::SimulateSpec { n_cells: 300, n_genes: 60, ..Default::default() };
    let mut cells = data::simulate(&spec.check()?);
    let neighbors = graph::nearest_neighbors(&data::pca(cells.expression()?, 10).scores, 8)?;
    cells.obsp.insert("connectivities".into(), graph::connectivities(&neighbors));

    let scale = infer::DataScale { n_cells: 300, n_genes: 60, ..infer::DataScale::unknown() };
    let spec = infer::TrainSpec { num_epochs: 40, ..infer::TrainSpec::recommended(&scale) };
    let time = cells.numbers("prior_time")?;
    let walks = graph::Transition::from_pseudotime(cells.graph("connectivities")?, &time, 50.0)?;
    let walks = walks.walks(&spec.walks.clone().check()?);
    let custom = Custom::default().potential(DoubleWells);
    let (training, spec) = (infer::TrainingData::new(&cells, &spec.keys)?, spec.check()?.with(custom.clone()));
    let fit = infer::Trainer::new(spec).device("cpu".parse::<Device>()?).fit(&training, &walks)?;

    let losses: Vec<f64> = fit.history.iter().map(|epoch| epoch.loss.total()).collect();
    println!("loss {:.4} -> {:.4}", losses[0], losses[losses.len() - 1]);
    let path = std::env::temp_dir().join("own_potential.safetensors");
    fit.save(&path)?;
    let model = infer::Checkpoint::load_with(&path, &custom)?.model;
    std::fs::remove_file(&path)?;
    println!("parameters a, c: {:.2?}", model.weights["potential.custom.parameters"].values);
    let message = analysis::annotate(&model, &cells, "connectivities")?;
    let time = analysis::spearman(&message.pseudotime, &cells.numbers("true_time")?);
    println!("Spearman of its pseudotime with the true time: {:.2}", time.unwrap_or(f64::NAN));
    Ok(())
}
