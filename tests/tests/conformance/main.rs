//! One suite for all compiled backends: golden values of the Python package, gradients and training.
//!
//! A test runs on every [`Place`], prints the largest error of each, and fails if an error exceeds the
//! [limit](Allowed). Devices that are compiled in but missing on this machine are skipped with a printed line.

mod flow;
mod loss;
mod networks;
mod training;

use std::collections::BTreeMap;

use sclsd::model::{Array, Executor as _, Job, Kernels, Lsd, Model, Trainable};
use sclsd::{Device, DeviceError};
use sclsd_tests::{TOLERANCE, difference, print_always, tensors};

/// A device and the kernels it runs with.
#[derive(Debug, Clone, Copy)]
struct Place {
    name: &'static str,
    device: Device,
    kernels: Kernels,
    allowed: Allowed,
}

/// Limits of the largest differences.
#[derive(Debug, Clone, Copy)]
struct Allowed {
    /// Limit for golden values: |a − b| / (1 + |b|).
    golden: f64,
    /// Limit for golden derivatives: |a − b| as a fraction of the largest value in the tensor.
    grads: f64,
    /// Limit for the loss, its terms and the results of the trained model, compared with those on the CPU.
    training: f64,
}

/// CPUs round every operation correctly. Only the order of sums over hundreds of terms differs.
const EXACT: Allowed = Allowed { golden: TOLERANCE, grads: 2e-4, training: 1e-4 };

/// Graphics APIs allow errors of several units in the last place for exp and ln (WGSL: 3 + 2 |x|), and so does CUDA's
/// fast math. That is still far below the effect of the order of a sum.
const GRAPHICS: Allowed = Allowed { golden: TOLERANCE, grads: 2e-4, training: 1e-4 };

impl sclsd::model::Executor for Place {
    fn run<J: Job>(&self, job: J) -> J::Output {
        self.device.run(job)
    }

    fn kernels(&self) -> Kernels {
        self.kernels
    }
}

/// All places that the build supports and this machine has.
fn places() -> Vec<Place> {
    let all = [
        ("cpu", "cpu", None, EXACT),
        ("cpu, tensor code", "cpu", Some(Kernels::Tensors), EXACT),
        ("ndarray", "ndarray", None, EXACT),
        ("ndarray, tensor code", "ndarray", Some(Kernels::Tensors), EXACT),
        ("cuda:0", "cuda:0", None, GRAPHICS),
        ("cuda:0, tensor code", "cuda:0", Some(Kernels::Tensors), GRAPHICS),
        ("wgpu:0", "wgpu:0", None, GRAPHICS),
        ("wgpu:0, tensor code", "wgpu:0", Some(Kernels::Tensors), GRAPHICS),
    ];
    let found = |(name, device, kernels, allowed): (_, &str, Option<Kernels>, _)| match device.parse::<Device>() {
        Ok(device) => Some(Place { name, device, kernels: kernels.unwrap_or(device.kernels()), allowed }),
        Err(DeviceError::NotCompiled { .. }) => None,
        Err(error) => {
            print_always(&format!("SKIPPED: {error}"));
            None
        }
    };
    all.into_iter().filter_map(found).collect()
}

/// Runs a check on all places, prints the largest errors and asserts that they are within the limit. A check returns
/// the names of what it compared, with their errors.
fn everywhere(what: &str, allowed: impl Fn(&Place) -> f64, check: impl Fn(&Place) -> Vec<(String, f64)>) {
    let places = places();
    assert!(places.iter().any(|place| place.name == "cpu"), "the CPU is always there");
    on(&places, what, allowed, check);
}

/// Like [`everywhere`], on the given places.
fn on(places: &[Place], what: &str, allowed: impl Fn(&Place) -> f64, check: impl Fn(&Place) -> Vec<(String, f64)>) {
    let mut message = Vec::new();
    let mut beyond = Vec::new();
    for place in places {
        let errors = check(place);
        assert!(!errors.is_empty(), "{what} on {}: nothing was compared", place.name);
        let worst = errors.iter().max_by(|a, b| a.1.total_cmp(&b.1)).expect("an error");
        message.push(format!("{} {:.1e}", place.name, worst.1));
        // NaN must fail too
        let off = errors.iter().filter(|(_, error)| error.is_nan() || *error > allowed(place));
        let off: Vec<String> = off.map(|(name, error)| format!("{name} by {error:.1e}")).collect();
        if !off.is_empty() {
            beyond.push(format!("{}: off are {}, allowed {:.0e}", place.name, off.join(", "), allowed(place)));
        }
    }
    print_always(&format!("{what} | {}", message.join(" | ")));
    assert!(beyond.is_empty(), "{what}: {}", beyond.join("; "));
}

/// θ in the golden loss. The derivative with respect to ln θ is θ times a difference of Γ functions, so in `f32` its
/// error is θ times larger than that of other derivatives.
const THETA: f64 = 100.0;

/// Differences from golden values, by name.
#[derive(Default)]
struct Errors(Vec<(String, f64)>);

impl Errors {
    fn compare(&mut self, name: &str, found: &Array, expected: &Array) {
        self.0.push((name.to_owned(), difference(&found.values, &expected.values)));
    }

    /// Relative to the largest value in the tensor, because derivatives differ in magnitude. The derivative of a bias
    /// before a normalisation is zero: the values are rounding errors, and only have to be equally small.
    fn compare_gradients(&mut self, name: &str, found: &Array, expected: &Array) {
        const ROUNDING: f64 = 1e-6;
        assert_eq!(found.values.len(), expected.values.len(), "{name}: number of values");
        let largest = |values: &[f32]| values.iter().fold(0.0, |m: f64, v| m.max(f64::from(v.abs())));
        let pairs = found.values.iter().zip(&expected.values);
        let apart = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).abs();
        let off = pairs.map(apart).fold(0.0, |m: f64, d| if d.is_nan() { f64::INFINITY } else { m.max(d) });
        let size = largest(&expected.values);
        let silent = size < ROUNDING && largest(&found.values) < ROUNDING && off.is_finite();
        let known = if name == "log_inverse_dispersion" { THETA } else { 1.0 };
        self.0.push((name.to_owned(), if silent { 0.0 } else { off / (size * known) }));
    }
}

/// The tiny model with θ of the golden loss.
fn tiny() -> Model {
    let mut weights = tensors("tiny_weights.safetensors");
    weights.insert("inverse_dispersion".into(), tensors("tiny_elbo.safetensors")["inverse_dispersion"].clone());
    Model::from_weights(weights, Vec::new()).expect("a model")
}

fn tiny_networks<B: Trainable>(device: &B::Device) -> Lsd<B> {
    tiny().on(device).expect("networks")
}

type Golden = BTreeMap<String, Array>;

#[test]
fn what_the_suite_allows_passes_neither_a_wrong_gradient_nor_one_that_is_no_number() {
    let expected = tensors("tiny_elbo.safetensors")["grad.rnn.weight_hh_l0"].clone();
    let error = |change: fn(f32) -> f32| {
        let found = Array { values: expected.values.iter().map(|v| change(*v)).collect(), ..expected.clone() };
        let mut errors = Errors::default();
        errors.compare_gradients("rnn", &found, &expected);
        errors.0[0].1
    };
    assert!(error(|v| v) <= EXACT.grads);
    assert!(error(|v| 1.001 * v) > EXACT.grads);
    assert!(error(|_| f32::NAN).is_infinite());
}
