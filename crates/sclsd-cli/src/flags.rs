//! The flag that sets the field named in an error.

use std::error::Error;

use sclsd::analysis::{FateError, FlowError, HardFateError, PerturbError};
use sclsd::data::VariableGenesError;
use sclsd::graph::{InferPhylogenyError, KnnError, PrepareError, TransitionError};
use sclsd::infer::{BootstrapError, TrainError, TrainSpecError};
use sclsd::spec::OutOfRange;

use crate::args::Command;

/// Fields of specifications and the flags that set them.
type Flags = &'static [(&'static str, &'static str)];

const SIMULATE: Flags = &[
    ("simulate.n_cells", "--cells"),
    ("simulate.n_genes", "--genes"),
    ("simulate.depth", "--depth"),
    ("simulate.prior_noise", "--prior-noise"),
];
const PREPARE: Flags = &[
    ("prepare.n_top_genes", "--n-top-genes"),
    ("prepare.target_sum", "--target-sum"),
    ("prepare.n_pcs", "--n-pcs"),
    ("prepare.n_neighbors", "--n-neighbors"),
    ("prepare.resolution", "--resolution"),
];
const TRAIN: Flags =
    &[("num_epochs", "--epochs"), ("phylogeny.ratio", "--ratio"), ("phylogeny.hot_ratio", "--hot-ratio")];
const FATES: Flags = &[
    ("fates.interval", "--interval"),
    ("fates.time_range", "--time-range"),
    ("fates.dt", "--dt"),
    ("fates.draws", "--draws"),
    ("fates.sigma", "--sigma"),
    ("prior.beta", "--beta"),
];
const PERTURB: Flags = &[
    ("perturb.level", "--level"),
    ("perturb.max_perturbations", "--rounds"),
    ("perturb.dt_pert", "--dt-pert"),
    ("perturb.t_unpert", "--time-range"),
];
const DEMO: Flags = &[("simulate.n_cells", "--cells"), ("simulate.n_genes", "--genes"), ("num_epochs", "--epochs")];

/// The flags of a command, by field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlagTable {
    flags: Flags,
    /// Whether `--set` sets all other fields.
    sets_any: bool,
}

impl FlagTable {
    pub(crate) fn of(command: &Command) -> Self {
        let (flags, sets_any) = match command {
            Command::Demo(_) => (DEMO, false),
            Command::Simulate(_) => (SIMULATE, false),
            Command::Prepare(_) => (PREPARE, false),
            Command::Train(_) => (TRAIN, true),
            Command::Fates(_) => (FATES, false),
            Command::Perturb(_) => (PERTURB, false),
            _ => (&[][..], false),
        };
        Self { flags, sets_any }
    }

    /// The end of the error sentence: the flag that sets the field, or nothing if there is no such flag.
    pub(crate) fn advice(self, error: &anyhow::Error) -> String {
        let Some(field) = error.chain().find_map(field) else { return String::new() };
        if error.chain().any(<dyn Error>::is::<BootstrapError>) {
            // an error of the small model, most of whose settings are fixed
            let known = field == "num_epochs";
            return if known { "; set it with --bootstrap-epochs".into() } else { String::new() };
        }
        match self.flags.iter().find(|(known, _)| *known == field) {
            Some((_, flag)) => format!("; set it with {flag}"),
            // the configuration has no table of preparation
            None if self.sets_any && !field.starts_with("prepare.") => format!("; set it with --set {field}=VALUE"),
            None => String::new(),
        }
    }
}

/// The field named in an error. A transparent error hides the inner error from the chain, hence the list.
fn field(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if let Some(inner) = error.downcast_ref::<OutOfRange>() {
        return Some(inner.field);
    }
    let known = error.downcast_ref().and_then(of_prepare);
    let known = known.or_else(|| error.downcast_ref().and_then(of_spec));
    let known = known.or_else(|| error.downcast_ref().and_then(of_neighbors));
    let known = known.or_else(|| error.downcast_ref().and_then(of_genes));
    let known = known.or_else(|| error.downcast_ref().and_then(of_transition));
    let known = known.or_else(|| error.downcast_ref().and_then(of_flow));
    known.or_else(|| match (error.downcast_ref(), error.downcast_ref(), error.downcast_ref()) {
        (Some(HardFateError::Flow(inner)), ..)
        | (_, Some(FateError::Flow(inner)), _)
        | (_, _, Some(PerturbError::Flow(inner))) => of_flow(inner),
        _ => of_training(error),
    })
}

fn of_prepare(error: &PrepareError) -> Option<&'static str> {
    match error {
        PrepareError::OutOfRange(inner) => Some(inner.field),
        PrepareError::VariableGenes(inner) => of_genes(inner),
        PrepareError::Neighbors(inner) => of_neighbors(inner),
        _ => None,
    }
}

fn of_genes(error: &VariableGenesError) -> Option<&'static str> {
    match error {
        VariableGenesError::OutOfRange(inner) => Some(inner.field),
        VariableGenesError::TooFew { .. } => Some("prepare.n_top_genes"),
        _ => None,
    }
}

fn of_neighbors(error: &KnnError) -> Option<&'static str> {
    match error {
        KnnError::OutOfRange(inner) => Some(inner.field),
        KnnError::TooFewCells { .. } => Some("prepare.n_neighbors"),
        _ => None,
    }
}

fn of_transition(error: &TransitionError) -> Option<&'static str> {
    if let TransitionError::OutOfRange(inner) = error { Some(inner.field) } else { None }
}

fn of_flow(error: &FlowError) -> Option<&'static str> {
    match error {
        FlowError::OutOfRange(inner) => Some(inner.field),
        FlowError::Memory { .. } => Some("fates.dt"),
        _ => None,
    }
}

fn of_spec(error: &TrainSpecError) -> Option<&'static str> {
    match error {
        TrainSpecError::OutOfRange(inner) => Some(inner.field),
        TrainSpecError::Memory { field, .. } => Some(*field),
        _ => None,
    }
}

fn of_training(error: &(dyn Error + 'static)) -> Option<&'static str> {
    match (error.downcast_ref(), error.downcast_ref(), error.downcast_ref()) {
        (Some(TrainError::Spec(inner)), ..) | (_, Some(BootstrapError::Spec(inner)), _) => of_spec(inner),
        // the sentence says to try a smaller one
        (
            Some(
                TrainError::Loss { .. }
                | TrainError::Gradient { .. }
                | TrainError::Diverged { .. }
                | TrainError::NotFinite { .. },
            ),
            ..,
        ) => Some("optimizer.adam.lr"),
        (_, _, Some(InferPhylogenyError::OutOfRange(inner))) => Some(inner.field),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use sclsd::infer::TrainSpec;

    use super::*;

    #[test]
    fn the_flag_of_a_field_is_found_through_every_error_that_passes_it_on() {
        let train = FlagTable { flags: TRAIN, sets_any: true };
        let spec = TrainSpec { num_epochs: 0, ..TrainSpec::default() };
        let error = anyhow::Error::from(spec.check().unwrap_err()).context("in.h5ad");
        assert_eq!(train.advice(&error), "; set it with --epochs");
        let bare = || OutOfRange::new("ode.rtol", 0.0, "a number from 1e-7 to 1");
        assert_eq!(train.advice(&bare().into()), "; set it with --set ode.rtol=VALUE");
        assert_eq!(train.advice(&TrainError::Spec(bare().into()).into()), "; set it with --set ode.rtol=VALUE");

        let diverged = TrainError::NotFinite { epoch: 1, what: "h_0".into(), value: f64::NAN };
        assert_eq!(train.advice(&diverged.into()), "; set it with --set optimizer.adam.lr=VALUE");

        let small = |num_epochs: usize, path_len: usize| {
            let mut spec = TrainSpec { num_epochs, ..TrainSpec::default() };
            spec.walks.path_len = path_len;
            anyhow::Error::from(BootstrapError::from(spec.check().unwrap_err()))
        };
        assert_eq!(train.advice(&small(0, 10)), "; set it with --bootstrap-epochs");
        assert_eq!(train.advice(&small(5, 0)), "", "fixed for the small model");
        let neighbors = KnnError::from(OutOfRange::new("prepare.n_neighbors", 1, "at least 2"));
        assert_eq!(train.advice(&neighbors.into()), "", "train computes no graph");

        let perturb = FlagTable { flags: PERTURB, sets_any: false };
        assert_eq!(perturb.advice(&bare().into()), "", "no flag sets it");
        let level = || OutOfRange::new("perturb.level", -1.0, "a finite number of 0 or more");
        assert_eq!(perturb.advice(&PerturbError::from(level()).into()), "; set it with --level");
        let prepare = FlagTable { flags: PREPARE, sets_any: false };
        let genes = VariableGenesError::TooFew { wanted: 3, varying: 2, n_genes: 2 };
        let error = Err::<(), _>(PrepareError::from(genes)).context("in.h5ad").unwrap_err();
        assert_eq!(prepare.advice(&error), "; set it with --n-top-genes");
    }
}
