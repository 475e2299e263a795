//! The solvers on Burn tensors. Gradients flow to the start and to everything that the drift depends on.

mod adaptive;
mod fixed;
mod solution;

use burn::tensor::{Tensor, backend::Backend};

pub use solution::Solution;

use crate::error::OdeError;
use crate::grid::check_grid;
use crate::spec::{CheckedOdeSpec, Method};
use crate::tableau;

/// Solves `dy/dt = f(t, y)` from `y(grid[0]) = start` and returns y at every time of the grid.
///
/// # Shapes
/// - `start`, and each state: `[rows, n]`
///
/// # Errors
/// [`OdeError`] if the grid does not increase, the state is not finite, or the steps run out.
pub fn solve<B: Backend>(
    f: impl Fn(f64, Tensor<B, 2>) -> Tensor<B, 2>,
    start: Tensor<B, 2>,
    grid: &[f64],
    spec: &CheckedOdeSpec,
) -> Result<Solution<B>, OdeError> {
    check_grid(grid)?;
    let spec = spec.get();
    match spec.method {
        Method::Dopri5 => adaptive::solve(&tableau::DOPRI5, f, start, grid, spec),
        Method::Tsit5 => adaptive::solve(&tableau::TSIT5, f, start, grid, spec),
        Method::Rk4 => fixed::solve(&tableau::RK4, f, start, grid, spec),
        Method::Euler => fixed::solve(&tableau::EULER, f, start, grid, spec),
    }
}

#[cfg(test)]
#[allow(clippy::print_stdout, reason = "slopes, for those who ask for them")]
mod tests {
    use burn::backend::flex::FlexDevice;
    use burn::backend::{Autodiff, Flex};
    use burn::tensor::{DType, TensorData};

    use super::*;
    use crate::{OdeSpec, Work, linspace};

    type B = Autodiff<Flex>;

    fn spec(method: Method) -> OdeSpec {
        OdeSpec { method, ..OdeSpec::default() }
    }

    /// A damped oscillator with a known solution: y'' = −y' − 4 y.
    fn oscillator(y: Tensor<B, 2>) -> Tensor<B, 2> {
        let matrix = Tensor::from_floats([[0.0, -4.0], [1.0, -1.0]], &Default::default());
        y.matmul(matrix)
    }

    fn oscillator_exact(t: f64) -> f64 {
        let w = 3.75_f64.sqrt();
        (-0.5 * t).exp() * ((w * t).cos() + 0.5 / w * (w * t).sin())
    }

    fn largest_error(spec: &OdeSpec, grid: &[f64]) -> (f64, Work) {
        let start = Tensor::from_floats([[1.0, 0.0]], &Default::default());
        let solution = solve(|_, y| oscillator(y), start, grid, &spec.clone().check().unwrap()).unwrap();
        let value = |y: &Tensor<B, 2>| f64::from(y.clone().into_data().to_vec::<f32>().unwrap()[0]);
        let errors = solution.states.iter().zip(grid).map(|(y, &t)| (value(y) - oscillator_exact(t)).abs());
        (errors.fold(0.0, f64::max), solution.work)
    }

    #[test]
    fn adaptive_methods_meet_their_tolerance_on_and_between_steps() {
        for method in [Method::Dopri5, Method::Tsit5] {
            for rtol in [1e-3, 1e-4, 1e-5] {
                let spec = OdeSpec { rtol, atol: rtol, ..spec(method) };
                let (error, work) = largest_error(&spec, &linspace(0.0, 5.0, 41));
                assert!(error < 5.0 * rtol, "{method:?} at {rtol}: {error}, {work:?}");
            }
        }
    }

    #[test]
    fn errors_of_fixed_steps_fall_by_the_order_of_the_method() {
        // a damped oscillator u' = v, v' = −u − v/5 in the coordinates y = (u, v + u²); in f64, because the rounding of
        // f32 hides the last halvings of a method of order 5
        let bent = |_: f64, y: Tensor<B, 2>| {
            let u = y.clone().narrow(1, 0, 1);
            let v = y.narrow(1, 1, 1) - u.clone().powi_scalar(2);
            let second = u.clone().neg() - v.clone().mul_scalar(0.2) + (u * v.clone()).mul_scalar(2);
            Tensor::cat(vec![v, second], 1)
        };
        let w = 0.99_f64.sqrt();
        let (sin, cos) = (w * 5.0).sin_cos();
        let (u, v) = ((-0.5_f64).exp() * (cos + 0.1 / w * sin), -(-0.5_f64).exp() * sin / w);
        let methods = [
            ("dopri5", &tableau::DOPRI5.tableau, 5.0, 40),
            ("tsit5", &tableau::TSIT5.tableau, 5.0, 40),
            ("rk4", &tableau::RK4, 4.0, 40),
            ("euler", &tableau::EULER, 1.0, 640),
        ];
        for (name, method, order, coarse) in methods {
            let error = |halvings: u32| {
                let spec = OdeSpec { substeps: coarse << halvings, ..OdeSpec::default() };
                let start = TensorData::new(vec![1.0_f64, 1.0], [1, 2]);
                let start = Tensor::from_data(start, (&FlexDevice, DType::F64));
                let solution = fixed::solve(method, bent, start, &[0.0, 5.0], &spec).unwrap();
                let end = solution.states[1].to_data().to_vec::<f64>().unwrap();
                (end[0] - u).hypot(end[1] - v - u * u)
            };
            let errors: Vec<f64> = (0..5).map(error).collect();
            let slope = (errors[0] / errors[4]).log2() / 4.0;
            println!("{name} on tensors: order {order}, slope {slope:.3} over four halvings, errors {errors:?}");
            assert!((slope - order).abs() < 0.1, "{name}: {slope}");
        }
    }

    #[test]
    fn gradients_are_those_of_the_exact_solution() {
        // y = y0 e^(a t): dy/dy0 = e^(a t), dy/da = t y
        for method in [Method::Dopri5, Method::Tsit5, Method::Rk4] {
            let device = Default::default();
            let start = Tensor::<B, 2>::from_floats([[1.5]], &device).require_grad();
            let a = Tensor::<B, 2>::from_floats([[-0.7]], &device).require_grad();
            let spec = OdeSpec { substeps: 20, ..spec(method) }.check().unwrap();
            let solution = solve(|_, y| y * a.clone(), start.clone(), &[0.0, 0.4, 2.0], &spec).unwrap();
            let grads = solution.states[1].clone().sum().add(solution.states[2].clone().sum()).backward();
            let value = |t: &Tensor<B, 2>| f64::from(t.grad(&grads).unwrap().into_scalar());
            let (e1, e2) = ((-0.28_f64).exp(), (-1.4_f64).exp());
            assert!((value(&start) - (e1 + e2)).abs() < 1e-4, "{method:?}");
            assert!((value(&a) - 1.5 * (0.4 * e1 + 2.0 * e2)).abs() < 1e-4, "{method:?}");
        }
    }

    #[test]
    fn a_solution_that_is_not_finite_is_named_by_its_row_and_the_last_time_at_which_it_was() {
        // y' = y² from y0 is y0 / (1 − y0 t), which diverges at t = 1 / y0: within the grid for the third row only
        let start = Tensor::<B, 2>::from_floats([[0.1], [-1.0], [1.0], [0.2]], &Default::default());
        for (method, grid) in [(Method::Rk4, &linspace(0.0, 4.0, 9)[..]), (Method::Euler, &linspace(0.0, 4.0, 17))] {
            let spec = OdeSpec { substeps: 40, ..spec(method) }.check().unwrap();
            let error = solve(|_, y| y.powi_scalar(2), start.clone(), grid, &spec).unwrap_err();
            let OdeError::NotFinite { row, time } = error else { panic!("{error}") };
            assert!(row == 2 && (1.0..2.0).contains(&time), "{method:?}: row {row} at {time}");
        }
        let start = Tensor::<B, 2>::from_floats([[0.1], [f32::NAN]], &Default::default());
        for method in [Method::Rk4, Method::Dopri5] {
            let error = solve(|_, y| y, start.clone(), &[0.5, 1.0], &spec(method).check().unwrap()).unwrap_err();
            assert!(matches!(error, OdeError::NotFinite { row: 1, time: 0.5 }), "{method:?}: {error}");
        }
        let far = OdeError::NotFinite { row: 1, time: 0.5 }.at_row(16).to_string();
        assert_eq!(far, "the solution from row 17 (counted from 0) is not finite after time 0.5");
    }

    #[test]
    fn a_blow_up_and_a_bad_grid_are_errors() {
        let start = || Tensor::<B, 2>::from_floats([[1.0]], &Default::default());
        let solver = spec(Method::Dopri5).check().unwrap();
        let error = solve(|_, y| y.powi_scalar(2), start(), &[0.0, 2.0], &solver).unwrap_err();
        assert!(matches!(error, OdeError::NotFinite { .. } | OdeError::TooManySteps { .. }), "{error}");
        let error = solve(|_, y| y, start(), &[0.0, 0.0], &solver).unwrap_err();
        assert_eq!(error.to_string(), "time 1 of the grid is 0, expected finite times that rise strictly");
        let error = OdeSpec { rtol: 1e-9, ..OdeSpec::default() }.check().unwrap_err();
        assert_eq!(error.to_string(), "ode.rtol is 0.000000001, expected a number from 1e-7 to 1");
    }
}
