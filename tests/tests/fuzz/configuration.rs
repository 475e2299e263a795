//! Fuzzes settings: any value at any key.

use rand::{Rng, RngExt};
use sclsd::infer::TrainSpec;
use serde_json::Value;

use super::{every_case, random};

fn any(rng: &mut impl Rng) -> Value {
    match rng.random_range(0..10) {
        0 => Value::Null,
        1 => Value::from(-1),
        2 => Value::from(u64::MAX),
        3 => Value::from(1_u64 << rng.random_range(0..64)),
        4 => Value::from(1e308),
        5 => Value::from(1e-308),
        6 => Value::from("cosine"),
        7 => Value::from(vec![0_u64; rng.random_range(0..5)]),
        8 => Value::from(rng.random_bool(0.5)),
        _ => Value::from(rng.random_range(0..100_u32)),
    }
}

/// Sets some values anywhere in a table.
fn set(value: &mut Value, rng: &mut impl Rng) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let at = rng.random_range(0..map.len());
            if let Some((_, inner)) = map.iter_mut().nth(at) {
                set(inner, rng);
            }
        }
        Value::Array(items) if !items.is_empty() && rng.random_bool(0.7) => {
            let at = rng.random_range(0..items.len());
            items[at] = any(rng);
        }
        other => *other = any(rng),
    }
}

#[test]
fn any_settings_are_errors_or_are_taken_but_never_panic() {
    let reference = serde_json::to_value(TrainSpec::reference()).expect("settings");
    every_case(random, |rng, _| {
        let mut settings = reference.clone();
        for _ in 0..rng.random_range(1..5) {
            set(&mut settings, rng);
        }
        if let Ok(spec) = serde_json::from_value::<TrainSpec>(settings) {
            let _ = spec.walks.clone().check();
            let _ = spec.check();
        }
    });
}
