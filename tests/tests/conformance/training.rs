//! Checks a short training run, and the results of the trained model and of the golden model.

use std::ops::ControlFlow;

use sclsd::analysis::{HardFateSpec, annotate, hard_fates};
use sclsd::data::{Dataset, Keys, Matrix, read_h5ad};
use sclsd::graph::{Transition, WalkSpec};
use sclsd::infer::{Checkpoint, Event, TrainError, TrainSpec, Trainer, TrainingData, import_pth};
use sclsd::model::ode::{OdeError, OdeSpec};
use sclsd::model::{Array, Kernels, LayerDims, ModelSpec};
use sclsd_tests::{difference, fixture, json, print_always, tensors};

use super::{Errors, Place, everywhere, on, places};

fn prepared() -> Dataset {
    read_h5ad(&fixture("prepared.h5ad"), &Keys::default().with_obs("dpt_pseudotime")).expect("prepared.h5ad")
}

/// Trains for three epochs of four steps, with one or several peers.
fn trained(data: &Dataset, places: &[Place]) -> Checkpoint {
    trained_until(data, places, 3)
}

/// Like [`trained`], stopped after the given number of epochs.
fn trained_until(data: &Dataset, places: &[Place], epochs: usize) -> Checkpoint {
    attempt(data, places, epochs, OdeSpec::default()).expect("a model")
}

/// Like [`trained_until`], with a solver that may fail.
fn attempt(data: &Dataset, places: &[Place], epochs: usize, ode: OdeSpec) -> Result<Checkpoint, TrainError> {
    let layer_dims = LayerDims {
        b_decoder: vec![16, 24],
        z_decoder: vec![32, 48],
        x_encoder: vec![48, 32],
        potential: vec![16, 16],
        ..LayerDims::default()
    };
    let spec = TrainSpec {
        model: ModelSpec { z_dim: 6, layer_dims, ..ModelSpec::default() },
        walks: WalkSpec { path_len: 6, num_walks: 128, batch_size: 32, ..WalkSpec::default() },
        ode,
        num_epochs: 3,
        ..TrainSpec::default()
    };
    let graph = data.graph("connectivities").expect("a graph");
    let time = data.numbers("dpt_pseudotime").expect("a time");
    let walks = Transition::from_pseudotime(graph, &time, 50.0).expect("a prior");
    let walks = walks.walks(&spec.walks.clone().check().expect("walks"));
    let training = TrainingData::new(data, &spec.keys).expect("data");
    let spec = spec.check().expect("a specification");
    let observe = |event: Event<'_>| match event {
        Event::EpochDone { epoch, .. } if epoch + 1 == epochs => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    Trainer::new(spec).devices(places).observe(observe).fit(&training, &walks)
}

fn array(values: impl Iterator<Item = f64>) -> Array {
    #[expect(clippy::cast_possible_truncation, reason = "compared in f32")]
    let values: Vec<f32> = values.map(|v| v as f32).collect();
    Array { shape: vec![values.len()], values }
}

fn state(matrix: &Matrix) -> Array {
    array(matrix.values().iter().map(|&v| f64::from(v)))
}

#[test]
fn an_observer_that_stops_training_stops_all_peers() {
    let data = prepared();
    let place = places()[0];
    let fit = trained_until(&data, &[place; 3], 1);
    let alone = trained_until(&data, &[place], 1);
    assert_eq!((fit.epoch(), alone.epoch()), (1, 1));
    assert!(difference(&losses(&fit).values, &losses(&alone).values) < TOGETHER);
}

#[test]
fn a_flow_that_takes_more_steps_than_it_may_is_an_error_that_says_so_wherever_it_is_solved() {
    let data = prepared();
    for place in places() {
        let ode = OdeSpec { max_steps: 1, rtol: 1e-7, atol: 1e-9, ..OdeSpec::default() };
        let error = attempt(&data, &[place], 3, ode).expect_err("too few steps");
        let TrainError::Flow { epoch: 1, step: 1, source: OdeError::TooManySteps { steps: 1, time } } = error else {
            panic!("{}: {error}", place.name);
        };
        assert!((0.0..1.0).contains(&time), "{}: {time}", place.name);
        print_always(&format!("one step is too few, {}: {error}", place.name));
    }
}

/// The terms of the loss, epoch by epoch.
fn losses(fit: &Checkpoint) -> Array {
    array(fit.history.iter().flat_map(|e| e.loss.terms()).map(|(_, value)| value))
}

#[test]
fn training_runs_as_it_does_on_the_cpu_and_the_model_says_the_same() {
    let data = prepared();
    let train = |place: &Place| (*place, trained(&data, &[*place]));
    let all: Vec<(Place, Checkpoint)> = places().iter().map(train).collect();
    let of = |wanted: &Place| &all.iter().find(|(place, _)| place.name == wanted.name).expect("a model").1;
    let on_cpu = &all[0].1;
    let check = |place: &Place| {
        let mut errors = Errors::default();
        errors.compare("loss", &losses(of(place)), &losses(on_cpu));
        errors.0
    };
    everywhere("training", |place| place.allowed.training, check);

    let expected = annotate(&on_cpu.model, &data, "connectivities").expect("an annotation");
    let check = |place: &Place| {
        let message = annotate(&of(place).model, &data, "connectivities").expect("an annotation");
        let mut errors = Errors::default();
        errors.compare("cell state", &state(&message.cell_state), &state(&expected.cell_state));
        errors.compare("potential", &array(message.potential.into_iter()), &array(expected.potential.iter().copied()));
        errors.0
    };
    everywhere("trained model", |place| place.allowed.training, check);
}

/// Tolerance between one peer and several: sums over visits are in another order, so only rounding differs. Adam
/// amplifies that in twelve steps of 0.001 to far less than one step.
const TOGETHER: f64 = 1e-4;

#[test]
fn peers_train_the_model_that_one_trains_alone() {
    let data = prepared();
    let apart = |place: &Place| place.name.starts_with("cpu") || matches!(place.kernels, Kernels::Device(_));
    for place in places().into_iter().filter(apart) {
        let alone = trained(&data, &[place]);
        for count in [2, 3] {
            let together = trained(&data, &vec![place; count]);
            let loss = difference(&losses(&together).values, &losses(&alone).values);
            // in tensor code ln Γ near θ = 100 has a gradient that is only rounding error, and Adam takes the sign of
            // it
            let rounding = |name: &str| place.kernels == Kernels::Tensors && name.ends_with("inverse_dispersion");
            let (weights, name) = together
                .model
                .weights
                .iter()
                .filter(|(name, _)| !rounding(name))
                .map(|(name, array)| (difference(&array.values, &alone.model.weights[name].values), name))
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .expect("weights");
            print_always(&format!(
                "{count} peers against one, {} | loss {loss:.1e} | weights {weights:.1e} ({name})",
                place.name
            ));
            assert!(loss < TOGETHER && weights < TOGETHER, "{count} on {}: {loss}, {name} {weights}", place.name);
        }
    }
}

#[test]
fn the_golden_model_says_the_golden_things_about_cells() {
    let data = prepared();
    let model = import_pth(&fixture("trained.pth"), data.var.names.clone()).expect("a model");
    let (settings, golden) = (json("analysis.json"), tensors("analysis.safetensors"));
    let number = |key: &str| settings[key].as_f64().expect("a number");
    let spec = HardFateSpec { time_range: number("time_range"), dt: number("dt"), ..HardFateSpec::default() };
    let check = |_: &Place| {
        let message = annotate(&model, &data, "connectivities").expect("an annotation");
        let ends = hard_fates(&model, &message.cell_state, &spec).expect("fates").states;
        let mut errors = Errors::default();
        errors.compare("X_cell_state", &state(&message.cell_state), &golden["X_cell_state"]);
        errors.compare("X_diff_state", &state(&message.diff_state), &golden["X_diff_state"]);
        errors.compare("entropy", &array(message.entropy.into_iter()), &golden["entropy"]);
        errors.compare("potential", &array(message.potential.into_iter()), &golden["potential"]);
        errors.compare("lsd_pseudotime", &array(message.pseudotime.into_iter()), &golden["lsd_pseudotime"]);
        errors.compare("fates", &state(&ends), &golden["fate_trajectory_last"]);
        errors.0
    };
    // a model is evaluated on the host, wherever it was trained
    on(&places()[..1], "analysis", |place| place.allowed.golden, check);
}
