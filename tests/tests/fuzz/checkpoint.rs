//! Fuzzes model files: damaged bytes, and headers with invalid values.

use rand::{Rng, RngExt};
use sclsd::data::{SimulateSpec, simulate};
use sclsd::graph::{Transition, WalkSpec, connectivities, nearest_neighbors};
use sclsd::infer::{Checkpoint, Ensemble, PartialEpoch, TrainSpec, Trainer, TrainingData};
use serde_json::Value;

use super::{damage, every_case, random};

/// A small model, and a shard of several, as files have them.
fn models() -> [Vec<u8>; 2] {
    let cells =
        simulate(&SimulateSpec { n_cells: 30, n_genes: 12, ..SimulateSpec::default() }.check().expect("a spec"));
    let mut spec = TrainSpec { num_epochs: 1, ..TrainSpec::reference() };
    spec.walks = WalkSpec { num_walks: 4, batch_size: 4, path_len: 3, ..WalkSpec::default() };
    let points = sclsd::data::pca(cells.expression().expect("X"), 3).scores;
    let graph = connectivities(&nearest_neighbors(&points, 5).expect("neighbors"));
    let times = cells.numbers("true_time").expect("a time");
    let walks = Transition::from_pseudotime(&graph, &times, 5.0)
        .expect("a prior")
        .walks(&spec.walks.clone().check().expect("walks"));
    let data = TrainingData::new(&cells, &spec.keys).expect("data");
    let device: sclsd::Device = sclsd::Device::DEFAULT.parse().expect("a device");
    let checked = spec.check().expect("a spec");
    let fit = Trainer::new(checked).device(device).fit(&data, &walks).expect("a model");
    let partial = PartialEpoch { step: 3, loss: fit.history[0].loss, solver_steps: 5, solver_evaluations: 32 };
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("m.safetensors");
    let fit = Checkpoint { partial: Some(partial), ..fit };
    let mut several = Ensemble::new(3, true, Some("1/2".parse().expect("a shard")));
    several.members.extend([(0, fit.clone()), (2, fit.clone())]);
    [Ensemble::single(fit), several].map(|run| {
        run.save(&path).expect("a file");
        std::fs::read(&path).expect("bytes")
    })
}

/// Changes one value somewhere below `value`.
fn change(value: &mut Value, rng: &mut impl Rng) {
    match value {
        Value::Object(map) if !map.is_empty() && rng.random_bool(0.9) => {
            let at = rng.random_range(0..map.len());
            if let Some((_, inner)) = map.iter_mut().nth(at) {
                change(inner, rng);
            }
        }
        Value::Array(items) if !items.is_empty() && rng.random_bool(0.8) => {
            let at = rng.random_range(0..items.len());
            change(&mut items[at], rng);
        }
        // values of the header are JSON text inside strings
        Value::String(text) if rng.random_bool(0.9) => {
            if let Ok(mut inner) = serde_json::from_str::<Value>(text) {
                change(&mut inner, rng);
                *text = inner.to_string();
            } else {
                text.push('x');
            }
        }
        other => {
            *other = match rng.random_range(0..8) {
                0 => Value::Null,
                1 => Value::from(-1),
                2 => Value::from(u64::MAX),
                3 => Value::from(1_u64 << rng.random_range(0..63)),
                4 => Value::from(1e300),
                5 => Value::from("text"),
                6 => Value::Array(Vec::new()),
                _ => Value::from(0),
            };
        }
    }
}

#[test]
fn damaged_models_are_errors_or_are_read_but_never_panic() {
    let models = models().map(|whole| {
        let length = usize::try_from(u64::from_le_bytes(whole[..8].try_into().expect("a length"))).expect("a length");
        let header: Value = serde_json::from_slice(&whole[8..8 + length]).expect("a header");
        (whole, length, header)
    });
    let directory = tempfile::tempdir().expect("a directory");
    every_case(random, |rng, number| {
        let (whole, length, header) = &models[usize::from(rng.random_bool(0.5))];
        let bytes = if rng.random_bool(0.3) {
            let mut bytes = whole.clone();
            damage(&mut bytes, rng);
            bytes
        } else {
            let mut header = header.clone();
            for _ in 0..rng.random_range(1..4) {
                change(&mut header, rng);
            }
            let text = header.to_string();
            let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
            bytes.extend(text.bytes());
            bytes.extend(&whole[8 + *length..]);
            bytes
        };
        let path = directory.path().join(format!("{number}.safetensors"));
        std::fs::write(&path, &bytes).expect("a file");
        let _ = Checkpoint::load(&path);
        let _ = Ensemble::load(&path).map(|run| sclsd::infer::combine(vec![("a part".into(), run)]));
        let _ = std::fs::remove_file(path);
    });
}
