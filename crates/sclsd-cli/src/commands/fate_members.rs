//! Fates by the members of a run: each member's own, their mean, their spread and an interval.

use anyhow::Context;
use sclsd::analysis::{FateInterval, FateSpread, annotate, fate_interval, fate_spread};
use sclsd::data::{Additions, Column, Dataset, Inspection, Matrix, Uns};
use sclsd::graph::Terminal;
use sclsd::infer::Ensemble;

use super::fate_estimates::{Estimate, FateEstimator, PROBABILITIES};
use super::record::Record;
use crate::args::FatesArgs;
use crate::progress::Output;

/// Standard deviation over members.
const STD: &str = "fate_probabilities_std";
/// Lower and upper ends of the interval.
const LOW: &str = "fate_probabilities_low";
const HIGH: &str = "fate_probabilities_high";

/// Level of the interval, unless another is asked for.
const LEVEL: f64 = 0.9;

/// Spread of the fates of several members.
pub(super) struct MemberSpread {
    pub members: usize,
    level: f64,
    std: Vec<f64>,
    interval: FateInterval,
}

/// Fates by each member, whose mean is the estimate. Pseudotime and states of a member are computed from its model and
/// put into `data`, which has those of the last member afterwards. The numbers that the estimate depends on are those
/// of the first member.
pub(super) fn estimate(
    run: &Ensemble,
    data: &mut Dataset,
    record: Option<&Record>,
    args: &FatesArgs,
    terminal: &Terminal,
    output: Output,
) -> anyhow::Result<(Estimate, MemberSpread)> {
    let (mut found, mut about) = (Vec::new(), Vec::new());
    for (nth, checkpoint) in run.members.values().enumerate() {
        let annotation = annotate(&checkpoint.model, data, &checkpoint.spec.keys.connectivities)?;
        data.obs.set("lsd_pseudotime", Column::Float(annotation.pseudotime));
        data.obsm.insert("X_cell_state".into(), annotation.cell_state);
        let estimator = FateEstimator {
            data,
            record,
            checkpoint: Some(checkpoint),
            beta: args.beta,
            prior_weight: args.prior_weight,
            output: Output { quiet: output.quiet || nth > 0, ..output },
        };
        let estimate = estimator.estimate(args.method, terminal, args.time_range, &args.sde)?;
        found.push(estimate.found);
        if nth == 0 {
            about = estimate.about;
        }
    }
    let level = args.interval.unwrap_or(LEVEL);
    let interval = fate_interval(&found, level)?;
    let members = found.len();
    let FateSpread { mean, std } = fate_spread(&found);
    Ok((Estimate { found: mean, about }, MemberSpread { members, level, std, interval }))
}

impl MemberSpread {
    /// Mean width of the interval.
    pub(super) fn width(&self) -> f64 {
        let FateInterval { low, high } = &self.interval;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let n = low.len().max(1) as f64;
        low.iter().zip(high).map(|(low, high)| high - low).sum::<f64>() / n
    }

    /// Adds the spread to the fates of a result.
    pub(super) fn add_to(&self, additions: &mut Additions) -> anyhow::Result<()> {
        let Some(Uns::Map(about)) = additions.uns.get_mut(PROBABILITIES) else {
            return Err(anyhow::anyhow!("the fates have no record")); // they always do
        };
        let Some(Uns::Texts(_, names)) = about.get("names") else {
            return Err(anyhow::anyhow!("the fates have no names"));
        };
        let n_fates = names.len();
        let members = i64::try_from(self.members).context("members")?;
        about.insert("members".into(), Uns::Integers(Vec::new(), vec![members]));
        about.insert("interval".into(), Uns::Floats(Vec::new(), vec![self.level]));
        for (key, values) in [(STD, &self.std), (LOW, &self.interval.low), (HIGH, &self.interval.high)] {
            #[expect(clippy::cast_possible_truncation, reason = "obsm is kept in f32")]
            let values = values.iter().map(|&v| v as f32).collect();
            additions.obsm.insert(key.into(), Matrix::new(n_fates, values));
        }
        Ok(())
    }
}

/// Why fates have no interval, where one was asked for, and that one of earlier fates stays.
pub(super) fn say_none(run: &Ensemble, args: &FatesArgs, has: &Inspection, output: Output) {
    if args.interval.is_some() {
        output.note(if run.members.len() == 1 {
            "no interval is written: the model has one member; train it with --members N".to_owned()
        } else {
            format!("no interval is written: fates by --method {} are the same for all members", args.method.name())
        });
    }
    if has.has("obsm", STD) {
        output.note(format!(
            "obsm[\"{STD}\"], [\"{LOW}\"] and [\"{HIGH}\"] are of the fates that were there before, and stay so"
        ));
    }
}
