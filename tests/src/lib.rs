//! Shared code of the end-to-end tests: golden files and tolerances.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors};
use sclsd::model::Array;

/// The code of `docs/cookbook.md`, compiled and run as doctests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/cookbook.md")]
mod cookbook {}

/// The code of the README, compiled as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

/// Absolute and relative tolerance for golden values. It covers single-precision rounding (sums over hundreds of terms
/// in another order) and an ODE solution with another tolerance.
pub const TOLERANCE: f64 = 1e-4;

/// Path of a golden file. `SCLSD_TEST_GOLDEN` names another directory with golden files.
#[must_use]
pub fn fixture(name: &str) -> PathBuf {
    let other = std::env::var_os("SCLSD_TEST_GOLDEN").map(|directory| Path::new(&directory).join(name));
    other
        .filter(|path| path.exists())
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name))
}

/// Path of a file of real data, which is not part of the repository. If the file is missing, prints a line and returns
/// `None`.
#[must_use]
pub fn real_data(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    print_always(&format!("SKIPPED: {name} is not beside the checkout (looked for {})", path.display()));
    None
}

/// Prints a line that is shown even if the test passes.
pub fn print_always(line: &str) {
    // if standard error is closed, nobody reads the line
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Every tensor of a golden file, as `f32`.
///
/// # Panics
/// If the file is not a valid file of tensors.
#[must_use]
pub fn tensors(name: &str) -> BTreeMap<String, Array> {
    let bytes = std::fs::read(fixture(name)).expect("a golden file");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    file.iter()
        .map(|(name, view)| {
            let data = view.data();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                reason = "golden values fit in f32"
            )]
            let values = match view.dtype() {
                Dtype::F32 => data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
                Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
                Dtype::I64 => data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f32).collect(),
                other => panic!("{name} is of type {other:?}"),
            };
            (name.to_owned(), Array { shape: view.shape().to_vec(), values })
        })
        .collect()
}

/// A golden JSON file.
///
/// # Panics
/// If the file is missing or is not valid JSON.
#[must_use]
pub fn json(name: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(fixture(name)).expect("a golden file");
    serde_json::from_str(&text).expect("JSON")
}

/// Asserts `|a − b| ≤ TOLERANCE (1 + |b|)` for every value, and names the worst violation.
///
/// # Panics
/// If a value is too far off.
pub fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_within(TOLERANCE, what, found, expected);
}

/// Like [`assert_close`], with a given tolerance.
///
/// # Panics
/// If a value is too far off.
pub fn assert_within(tolerance: f64, what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    let excess = |i: usize| {
        let (a, b) = (f64::from(found[i]), f64::from(expected[i]));
        let excess = (a - b).abs() / (tolerance * (1.0 + b.abs()));
        if excess.is_nan() { f64::INFINITY } else { excess }
    };
    let worst = (0..found.len()).max_by(|&i, &j| excess(i).total_cmp(&excess(j)));
    if let Some(i) = worst {
        assert!(
            excess(i) <= 1.0,
            "{what}[{i}] is {}, expected {} ({:.1} tolerances)",
            found[i],
            expected[i],
            excess(i)
        );
    }
}

/// The largest |a − b| / (1 + |b|); infinite if a value is not a number.
///
/// # Panics
/// If the lengths differ.
#[must_use]
pub fn difference(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len(), "number of values");
    let pairs = found.iter().zip(expected).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let each = pairs.map(|(a, b)| (a - b).abs() / (1.0 + b.abs()));
    each.fold(0.0, |worst, d| if d.is_nan() { f64::INFINITY } else { worst.max(d) })
}

/// Asserts that at least 99 % are equal. Used for indices of nearest cells, where rounding decides near boundaries.
///
/// # Panics
/// If fewer are equal.
pub fn assert_nearly_all_equal(what: &str, found: &[u32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small whole numbers")]
    let equal = found.iter().zip(expected).filter(|(a, b)| **a == **b as u32).count();
    assert!(100 * equal >= 99 * found.len(), "{what}: {equal} of {} are equal", found.len());
}
