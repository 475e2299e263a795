//! What a model, or the members of a run, say about the cells of a file: elements of a result.

use std::collections::BTreeMap;

use anyhow::Context;
use sclsd::analysis::{Annotation, Directions, EnsembleAnnotation, annotate, mean_arrows};
use sclsd::data::{Additions, Column, Dataset, Matrix};
use sclsd::infer::{Checkpoint, Ensemble};

use super::basis::{Basis, suffix};
use super::velocity::velocities;
use crate::progress::Output;

/// Column of obs with how well the members' directions on the embedding agree.
pub(super) const AGREEMENT: &str = "direction_agreement";

/// Arrows on the embedding, by their key of obsm.
type Velocities = BTreeMap<String, Matrix>;

/// Elements of a result, and the pseudotime among them.
pub(super) struct Annotated {
    pub additions: Additions,
    pub pseudotime: Vec<f64>,
}

/// Annotates every cell: by one model, or by the mean of several members with their spread.
pub(super) fn annotated(
    run: &Ensemble,
    data: &Dataset,
    graph: &str,
    basis: &Basis,
    output: Output,
) -> anyhow::Result<Annotated> {
    let of = |checkpoint: &Checkpoint, output: Output| -> anyhow::Result<(Annotation, Velocities)> {
        let annotation = annotate(&checkpoint.model, data, graph)?;
        let velocities = velocities(&checkpoint.model, data, &annotation, graph, basis, output)?;
        Ok((annotation, velocities))
    };
    let mut members = run.members.values();
    let first = members.next().context("the model has no member")?;
    let (annotation, directions) = of(first, output)?;
    if run.members.len() == 1 {
        let mut additions = annotation.additions();
        additions.obsm.extend(directions);
        return Ok(Annotated { additions, pseudotime: annotation.pseudotime });
    }
    let mut spread = EnsembleAnnotation::default();
    spread.push(annotation);
    let mut all = vec![directions];
    for member in members {
        // what is to be said of the embedding was said
        let (annotation, directions) = of(member, Output { quiet: true, ..output })?;
        spread.push(annotation);
        all.push(directions);
    }
    let spread = spread.spread().context("the model has no member")?;
    let mut additions = spread.additions();
    add_directions(&mut additions, all, basis);
    Ok(Annotated { additions, pseudotime: spread.mean.pseudotime })
}

/// Mean arrows over members, and how well those by transitions agree.
fn add_directions(additions: &mut Additions, mut members: Vec<Velocities>, basis: &Basis) {
    let keys: Vec<String> = members.first().map(|first| first.keys().cloned().collect()).unwrap_or_default();
    let by_transitions = basis.key.as_deref().map(|key| Directions::Transitions.key(suffix(key)));
    for key in keys {
        let arrows: Vec<Matrix> = members.iter_mut().filter_map(|member| member.remove(&key)).collect();
        let (mean, agreement) = mean_arrows(&arrows);
        if by_transitions.as_ref() == Some(&key) {
            additions.obs.push((AGREEMENT.into(), Column::Float(agreement)));
        }
        additions.obsm.insert(key, mean);
    }
}
