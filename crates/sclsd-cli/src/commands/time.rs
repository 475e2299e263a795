//! The prior time, which directs walks: checked for its range, and scaled and smoothed as configured.

use anyhow::bail;
use sclsd::data::{Column, Dataset};
use sclsd::graph::{pseudotime_in_range, scale_time, smooth_time};
use sclsd::infer::TrainSpec;

/// The prior time in a file, scaled and smoothed as configured.
pub(super) fn used_time(data: &Dataset, spec: &TrainSpec) -> anyhow::Result<Vec<f64>> {
    smoothed(data, spec, given_time(data, spec)?)
}

pub(super) fn smoothed(data: &Dataset, spec: &TrainSpec, time: Vec<f64>) -> anyhow::Result<Vec<f64>> {
    match spec.prior.smooth_time {
        0 => Ok(time),
        rounds => Ok(smooth_time(data.graph(&spec.keys.connectivities)?, &time, rounds)?),
    }
}

/// The time of each cell, all finite.
fn times(data: &Dataset, key: &str) -> anyhow::Result<Vec<f64>> {
    data.numbers(key).map_err(|error| {
        let values = data.obs.get(key).and_then(Column::to_floats).unwrap_or_default();
        match values.iter().filter(|time| !time.is_finite()).count() {
            0 => error.into(),
            without => anyhow::anyhow!(
                "{error}; {without} of {} cells have no finite time: sclsd prepare --drop-unreachable drops those that the \
                 graph does not connect to the root, or drop them in Python with adata[np.isfinite(adata.obs[\"{key}\"])].copy()",
                values.len()
            ),
        }
    })
}

pub(super) fn given_time(data: &Dataset, spec: &TrainSpec) -> anyhow::Result<Vec<f64>> {
    let time = times(data, &spec.keys.time)?;
    if time.windows(2).all(|pair| pair[0].total_cmp(&pair[1]).is_eq()) {
        bail!(
            "obs[\"{}\"] is {} for every cell, but the prior time must differ between cells; name another column \
             with --time-key",
            spec.keys.time,
            time.first().copied().unwrap_or_default()
        );
    }
    if spec.prior.scale_time {
        return Ok(scale_time(&time));
    }
    if !pseudotime_in_range(&time) {
        let low = time.iter().copied().fold(f64::INFINITY, f64::min);
        let high = time.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        bail!(
            "obs[\"{}\"] runs from {low} to {high}, but walks need a pseudotime of 0 to 1 (with larger times, \
             only the largest steps would be taken); give --scale-time to rescale the time",
            spec.keys.time
        );
    }
    Ok(time)
}
