//! The time that directs walks: in range, and stretched and smoothed where that was asked for.

use anyhow::bail;
use sclsd::data::{Column, Dataset};
use sclsd::graph::{pseudotime_in_range, scale_time, smooth_time};
use sclsd::infer::TrainSpec;

/// The time of a file as it directs walks: stretched and smoothed, where that was asked for.
pub(super) fn used_time(data: &Dataset, spec: &TrainSpec) -> anyhow::Result<Vec<f64>> {
    smoothed(data, spec, given_time(data, spec)?)
}

pub(super) fn smoothed(data: &Dataset, spec: &TrainSpec, time: Vec<f64>) -> anyhow::Result<Vec<f64>> {
    match spec.prior.smooth_time {
        0 => Ok(time),
        rounds => Ok(smooth_time(data.graph(&spec.keys.connectivities)?, &time, rounds)?),
    }
}

/// A finite time of every cell.
fn times(data: &Dataset, key: &str) -> anyhow::Result<Vec<f64>> {
    data.numbers(key).map_err(|error| {
        let values = data.obs.get(key).and_then(Column::to_floats).unwrap_or_default();
        match values.iter().filter(|time| !time.is_finite()).count() {
            0 => error.into(),
            without => anyhow::anyhow!(
                "{error}; {without} of {} cells have no finite time: sclsd prepare --drop-unreachable leaves out those that the \
                 graph does not join to the root, or leave them out with adata[np.isfinite(adata.obs[\"{key}\"])].copy()",
                values.len()
            ),
        }
    })
}

pub(super) fn given_time(data: &Dataset, spec: &TrainSpec) -> anyhow::Result<Vec<f64>> {
    let time = times(data, &spec.keys.time)?;
    if time.windows(2).all(|pair| pair[0].total_cmp(&pair[1]).is_eq()) {
        bail!(
            "obs[\"{}\"] is {} for every cell, but a time that directs walks differs between cells; name another column \
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
            "obs[\"{}\"] runs from {low} to {high}, but walks need a pseudotime of 0 to 1 (with others they are \
             blind to all but the largest step); give --scale-time to stretch it",
            spec.keys.time
        );
    }
    Ok(time)
}
