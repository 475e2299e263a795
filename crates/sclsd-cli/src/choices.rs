//! The library's choices as values of flags, each with its meaning.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser, ValueParser};
use sclsd::analysis::Directions;
use sclsd::data::{Compression, Flavor, Topology};
use sclsd::infer::Preset;
use sclsd::spec::Choice;

/// Values and their meanings, in a biologist's words.
type Meanings<T> = &'static [(T, &'static str)];

pub(crate) const TOPOLOGIES: Meanings<Topology> = &[
    (Topology::Linear, "One path through three stages: one fate"),
    (Topology::Bifurcation, "One path that forks into two fates"),
    (Topology::Trifurcation, "One path that forks into three fates at one place, about equally frequent"),
    (Topology::Tree, "One path that forks twice: four fates"),
    (
        Topology::UnequalTree,
        "A short early branch and two later ones: about 30, 55 and 15 of 100 cells become Fate A, B and C",
    ),
    (Topology::Cycle, "A cycle, which the model cannot describe. Use it to see how such a result looks"),
];

pub(crate) const FLAVORS: Meanings<Flavor> = &[
    (Flavor::Dispersion, "Dispersion of raw counts (scanpy's filter_genes_dispersion)"),
    (Flavor::Seurat, "Dispersion of normalized counts (scanpy's highly_variable_genes)"),
    (Flavor::SeuratV3, "Standardized variance of raw counts (scanpy's highly_variable_genes)"),
];

pub(crate) const PRESETS: Meanings<Preset> = &[
    (
        Preset::Recommended,
        "Chosen from the data: walks that end in terminal states, and epochs and a learning rate to match",
    ),
    (Preset::Reference, "The settings of the Python package, exactly"),
];

pub(crate) const COMPRESSIONS: Meanings<Compression> =
    &[(Compression::None, "No compression"), (Compression::Gzip, "With gzip")];

pub(crate) const DIRECTIONS: Meanings<Directions> = &[
    (Directions::Transitions, "The transition probabilities between cells"),
    (Directions::Drift, "The drift of the potential, −∇V"),
];

/// A parser of the names of a choice; `--help` lists the names with their meanings.
pub(crate) fn choices<T: Choice + Send + Sync>(all: Meanings<T>) -> ValueParser {
    let values = all.iter().map(|(value, meaning)| PossibleValue::new(value.name()).help(*meaning));
    PossibleValuesParser::new(values).try_map(|name| T::named(&name)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_choice_can_be_asked_for() {
        fn complete<T: Choice>(all: Meanings<T>) {
            let listed: Vec<&str> = all.iter().map(|(value, _)| value.name()).collect();
            assert_eq!(listed, T::ALL.iter().map(|value| value.name()).collect::<Vec<_>>(), "{}", T::WHAT);
        }
        complete(TOPOLOGIES);
        complete(FLAVORS);
        complete(PRESETS);
        complete(COMPRESSIONS);
        complete(DIRECTIONS);
    }
}
