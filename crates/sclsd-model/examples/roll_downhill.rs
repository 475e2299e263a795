//! The solver alone, on a hand-written landscape: V(z) = (z₁² − 1)² + z₂², with two valleys at (±1, 0).

use burn::backend::Flex;
use burn::tensor::Tensor;
use sclsd_model::ode::{OdeSpec, linspace, solve};

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let drift = |_: f64, z: Tensor<Flex, 2>| {
        let (x, y) = (z.clone().narrow(1, 0, 1), z.narrow(1, 1, 1)); // [balls, 1] each
        let along_x = (x.clone().powi_scalar(2) - 1.0) * x * -4.0;
        Tensor::cat(vec![along_x, y * -2.0], 1) // −∇V, [balls, 2]
    };
    let start = Tensor::from_floats([[0.1, 1.0], [-0.1, 1.0], [2.0, -0.5]], &Default::default());
    let solution = solve(drift, start, &linspace(0.0, 5.0, 6), &OdeSpec::default().check()?)?;
    for (time, state) in linspace(0.0, 5.0, 6).iter().zip(&solution.states) {
        let places: Vec<f32> = state.to_data().iter::<f32>().collect();
        println!("t = {time}: {places:.3?}");
    }
    println!("{} steps, {} evaluations", solution.work.steps, solution.work.evaluations);
    Ok(())
}
