//! A model's file as commands read it: of one member or of several.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, bail};
use sclsd::data::Dataset;
use sclsd::infer::{Checkpoint, Ensemble};

use crate::progress::Output;

/// All members; where some are missing, it is said that the others are used.
pub(super) fn members(path: &Path, output: Output) -> anyhow::Result<Ensemble> {
    let run = Ensemble::load(path)?;
    let there = run.members.len();
    if there < run.count {
        output.note(format!("{} has {there} of {} members, and these are used", path.display(), run.count));
    }
    Ok(run)
}

/// The first member, for a command that follows one model; it is said where there are others.
pub(super) fn first(path: &Path, output: Output) -> anyhow::Result<Checkpoint> {
    let run = Ensemble::load(path)?;
    if run.members.len() > 1 {
        output.note(format!("{} has {} members: this command follows the first", path.display(), run.members.len()));
    }
    run.into_first().with_context(|| format!("{} has no member", path.display()))
}

/// Refuses a model of other genes than those of the data.
pub(super) fn check_genes(path: &Path, checkpoint: &Checkpoint, data: &Dataset) -> anyhow::Result<()> {
    let genes: HashSet<&str> = data.var.names.iter().map(String::as_str).collect();
    let known = &checkpoint.model.genes;
    let foreign = known.iter().filter(|gene| !genes.contains(gene.as_str())).count();
    if foreign > 0 {
        bail!(
            "{}: {foreign} of the model's {} genes are not in the data, so the model was trained on other data",
            path.display(),
            known.len()
        );
    }
    Ok(())
}
