//! Imports a model trained by the Python package, compares its results, and trains our own to the same loss.

use std::ops::ControlFlow;

use sclsd::Device;
use sclsd::analysis::annotate;
use sclsd::data::{Dataset, Keys, read_h5ad};
use sclsd::graph::{WalkSpec, Walks};
use sclsd::infer::{Event, TrainSpec, Trainer, TrainingData, import_pth};
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
    assert_eq!((model.n_genes, model.spec.get().z_dim, model.spec.get().b_dim), (prepared().n_genes(), 6, 2));
    let theta: Vec<f32> = model.weights["log_inverse_dispersion"].values.iter().map(|v| v.exp()).collect();
    assert_close("inverse_dispersion", &theta, &golden["inverse_dispersion"].values);
}

#[test]
#[expect(clippy::cast_possible_truncation, reason = "compared in f32")]
fn annotation_by_an_imported_model_is_the_golden_one() {
    let data = prepared();
    let model = import_pth(&fixture("trained.pth"), data.var.names.clone()).expect("a model");
    let found = annotate(&model, &data, "connectivities").expect("an annotation");
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

/// Noise differs between implementations, so loss curves are compared by the mean of the last 8 steps. The walks are
/// those of the golden run, because the choice of the 256 walks affects the loss most. With these walks, seeds 0 to 7
/// end within 0.5 % of the golden loss; with our own walks, within 4 %.
const CURVE_TOLERANCE: f64 = 0.03;

#[test]
fn training_reaches_the_golden_loss_from_three_seeds() {
    let golden = tensors("trained_weights.safetensors");
    let losses = &golden["step_losses"].values;
    let expected = losses[losses.len() - 8..].iter().map(|&v| f64::from(v)).sum::<f64>() / 8.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small whole numbers")]
    let walks = Walks::new(8, golden["walks"].values.iter().map(|&cell| cell as u32).collect()).expect("walks");
    assert_eq!(walks.len(), 256);
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
        walks: WalkSpec { path_len: 8, num_walks: 256, batch_size: 64, ..WalkSpec::default() },
        num_epochs: 30,
        ..TrainSpec::default()
    };
    let training = TrainingData::new(&data, &spec.keys).expect("data");
    for seed in [0, 1, 2] {
        let spec = TrainSpec { random_state: seed, ..spec.clone() }.check().expect("a spec");
        let mut losses = Vec::new();
        let observe = |event: Event<'_>| {
            if let Event::StepDone { loss, .. } = event {
                losses.push(loss.total());
            }
            ControlFlow::Continue(())
        };
        let fit = Trainer::new(spec).device(Device::Cpu).observe(observe).fit(&training, &walks).expect("a model");
        assert_eq!((fit.epoch(), losses.len()), (30, 120));
        let found = losses[112..].iter().sum::<f64>() / 8.0;
        assert!((found / expected - 1.0).abs() < CURVE_TOLERANCE, "seed {seed}: {found}, golden {expected}");
    }
}
