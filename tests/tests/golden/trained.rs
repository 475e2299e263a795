//! A model that the Python package trained: its import, what is read off it, and training our own to the same loss.

use std::ops::ControlFlow;

use sclsd::Device;
use sclsd::analysis::annotate;
use sclsd::data::{Dataset, Keys, read_h5ad};
use sclsd::graph::{Transition, WalkSpec};
use sclsd::infer::{Event, TrainSpec, TrainingData, import_pth, train};
use sclsd::model::{LayerDims, ModelSpec};
use sclsd_tests::{assert_close, fixture, tensors};

fn prepared() -> Dataset {
    read_h5ad(&fixture("prepared.h5ad"), &Keys::default().with_obs("dpt_pseudotime")).expect("prepared.h5ad")
}

#[test]
fn an_imported_checkpoint_has_the_golden_weights() {
    let model = import_pth(&fixture("trained.pth"), prepared().var.names).expect("a model");
    let golden = tensors("trained_weights.safetensors");
    let mut compared = 0;
    for (name, array) in &model.weights {
        if let Some(expected) = golden.get(&format!("model.{name}")) {
            assert_eq!(array.values, expected.values, "{name}");
            compared += 1;
        }
    }
    assert_eq!(compared, 93, "every tensor but the doubled potential");
    assert_eq!((model.n_genes, model.spec.get().z_dim, model.spec.get().b_dim), (160, 6, 2));
    let theta: Vec<f32> = model.weights["log_inverse_dispersion"].values.iter().map(|v| v.exp()).collect();
    assert_close("inverse_dispersion", &theta, &golden["inverse_dispersion"].values);
}

#[test]
#[expect(clippy::cast_possible_truncation, reason = "compared in f32")]
fn annotation_by_an_imported_model_is_the_golden_one() {
    let data = prepared();
    let model = import_pth(&fixture("trained.pth"), data.var.names.clone()).expect("a model");
    let found = annotate(&model, &data, "connectivities", &Device::Cpu).expect("an annotation");
    let golden = tensors("analysis.safetensors");
    let close = |name: &str, values: &[f64]| {
        assert_close(name, &values.iter().map(|&v| v as f32).collect::<Vec<_>>(), &golden[name].values);
    };
    assert_close("X_cell_state", found.cell_state.values(), &golden["X_cell_state"].values);
    assert_close("X_diff_state", found.diff_state.values(), &golden["X_diff_state"].values);
    close("entropy", &found.entropy);
    close("potential", &found.potential);
    close("lsd_pseudotime", &found.pseudotime);
    let dense = found.transitions.map(|v| v as f32).gather_dense(&(0..data.n_cells()).collect::<Vec<_>>());
    assert_close("transitions", &dense, &golden["transitions"].values);
}

/// Noise differs between implementations, so curves are compared as curves. Over seeds 0 to 10 this run ends at
/// 5.75 ± 0.07 (mean and standard deviation), the Python package over four seeds at 5.78 ± 0.04.
/// One of those eleven, seed 0, ends 3.02 % below the golden loss; so what is asked is that no seed ends more than this
/// above it, and that the mean of three is within this of it on either side.
const CURVE_TOLERANCE: f64 = 0.03;

#[test]
fn training_reaches_the_golden_loss_from_three_seeds() {
    let golden = tensors("trained_weights.safetensors");
    let losses = &golden["step_losses"].values;
    let expected = losses[losses.len() - 8..].iter().map(|&v| f64::from(v)).sum::<f64>() / 8.0;
    let data = prepared();
    let spec = TrainSpec {
        model: ModelSpec {
            z_dim: 6,
            layer_dims: LayerDims {
                b_decoder: vec![16, 24],
                z_decoder: vec![32, 48],
                x_encoder: vec![48, 32],
                potential: vec![16, 16],
                ..LayerDims::default()
            },
            ..ModelSpec::default()
        },
        num_epochs: 30,
        ..TrainSpec::default()
    };
    let times = data.numbers("dpt_pseudotime").expect("a pseudotime");
    let prior = Transition::from_pseudotime(data.graph("connectivities").expect("a graph"), &times, 50.0).unwrap();
    let mut reached = Vec::new();
    for seed in [0, 1, 2] {
        let walks = WalkSpec { path_len: 8, num_walks: 256, batch_size: 64, random_state: seed };
        let spec = TrainSpec { walks: walks.clone(), random_state: seed, ..spec.clone() }.check().expect("a spec");
        let walks = prior.walks(&walks.check().expect("walks"));
        let mut losses = Vec::new();
        let training = TrainingData::new(&data, &spec.get().keys).expect("data");
        let fit = train(&training, &walks, &spec, None, &Device::Cpu, &mut |event| {
            if let Event::StepDone { loss, .. } = event {
                losses.push(loss.total());
            }
            ControlFlow::Continue(())
        })
        .expect("a model");
        assert_eq!((fit.epoch(), losses.len()), (30, 120));
        let found = losses[112..].iter().sum::<f64>() / 8.0;
        assert!(found / expected - 1.0 < CURVE_TOLERANCE, "seed {seed}: {found}, golden {expected}");
        reached.push(found);
    }
    let mean = reached.iter().sum::<f64>() / 3.0;
    assert!((mean / expected - 1.0).abs() < CURVE_TOLERANCE, "mean {mean} of {reached:?}, golden {expected}");
}
