//! Trains a model with a user-defined likelihood: zero-inflated Poisson counts.
//!
//! ```text
//! p(0) = σ(γ) + σ(−γ) exp(−r),   p(x) = σ(−γ) exp(−r) rˣ / x!        r the rate, γ the gate
//! ```

use sclsd::model::{CountGradients, CountRow, Custom, Evaluator, Likelihood};
use sclsd::{Device, data, graph, infer};

#[derive(Debug)]
struct ZeroInflatedPoisson;

impl Likelihood for ZeroInflatedPoisson {
    fn name(&self) -> &'static str {
        "zip"
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a count is a small whole number"
    )]
    fn log_density(&self, row: CountRow<'_>, grads: CountGradients<'_>) -> f64 {
        let mut sum = 0.0;
        for gene in 0..row.counts.len() {
            let (x, r, gate) = (row.counts[gene], row.rates[gene] + 1e-3, row.gates[gene]);
            let open = 1.0 / (1.0 + (-gate).exp()); // σ(γ)
            if x == 0.0 {
                let p = open + (1.0 - open) * (-r).exp();
                sum += f64::from(p.ln());
                grads.gates[gene] = open * (1.0 - open) * (1.0 - (-r).exp()) / p;
                grads.log_rates[gene] = -(1.0 - open) * (-r).exp() * row.rates[gene] / p;
            } else {
                let ln_factorial: f32 = (1..=x as u32).map(|k| (k as f32).ln()).sum();
                sum += f64::from((1.0 - open).max(1e-30).ln() - r + x * r.ln() - ln_factorial);
                grads.gates[gene] = -open;
                grads.log_rates[gene] = (x / r - 1.0) * row.rates[gene];
            }
        }
        sum
    }

    fn mean(&self, rate: f32, gate: f32) -> f32 {
        rate / (1.0 + gate.exp())
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
    let training = infer::TrainingData::new(&cells, &spec.keys)?;
    let spec = spec.check()?.with(Custom::default().likelihood(ZeroInflatedPoisson));
    let fit = infer::Trainer::new(spec).device("cpu".parse::<Device>()?).fit(&training, &walks)?;
    let losses: Vec<f64> = fit.history.iter().map(|epoch| epoch.loss.total()).collect();
    println!("loss {:.4} -> {:.4}", losses[0], losses[losses.len() - 1]);

    // the expected counts of a cell with 1000 counts in the state z = 0
    let networks = Evaluator::new(&fit.model)?;
    let expected = networks.decode(&vec![0.0; fit.model.spec.get().z_dim], 1000.0);
    println!("expected counts of the first genes at z = 0: {:.1?}", &expected[..5]);
    Ok(())
}
