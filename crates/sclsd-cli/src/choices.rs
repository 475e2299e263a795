//! The library's choices as values of flags, each with what it means.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser, ValueParser};
use sclsd::analysis::Directions;
use sclsd::data::{Compression, Flavor, Topology};
use sclsd::infer::Preset;
use sclsd::spec::Choice;

/// Values and what they mean, in a biologist's words.
type Meanings<T> = &'static [(T, &'static str)];

pub(crate) const TOPOLOGIES: Meanings<Topology> = &[
    (Topology::Linear, "One path through three stages"),
    (Topology::Bifurcation, "One path that parts in two"),
    (Topology::Trifurcation, "One path that parts in three at one place; the three fates are about equally frequent"),
    (Topology::Tree, "One path that parts in two, twice: four fates"),
    (
        Topology::UnequalTree,
        "A short early branch, and two further on: about 30, 55 and 15 in 100 cells become Fate A, B and C",
    ),
    (Topology::Cycle, "A ring, which no model of this kind describes: to see what that looks like"),
];

pub(crate) const FLAVORS: Meanings<Flavor> = &[
    (Flavor::Dispersion, "Dispersion of raw counts (scanpy's filter_genes_dispersion)"),
    (Flavor::Seurat, "Dispersion of normalised counts (scanpy's highly_variable_genes)"),
    (Flavor::SeuratV3, "Standardised variance of raw counts (scanpy's highly_variable_genes)"),
];

pub(crate) const PRESETS: Meanings<Preset> = &[
    (
        Preset::Recommended,
        "Walks that end in terminal states, and a schedule that follows from cells, genes and steps to a leaf",
    ),
    (Preset::Reference, "The Python package's settings, exactly"),
];

pub(crate) const COMPRESSIONS: Meanings<Compression> =
    &[(Compression::None, "Not at all"), (Compression::Gzip, "With gzip")];

pub(crate) const DIRECTIONS: Meanings<Directions> = &[
    (Directions::Transitions, "The transition probabilities between cells"),
    (Directions::Drift, "The drift of the potential itself"),
];

/// Takes the name of a choice; `--help` lists the names with what they mean.
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
            let told: Vec<&str> = all.iter().map(|(value, _)| value.name()).collect();
            assert_eq!(told, T::ALL.iter().map(|value| value.name()).collect::<Vec<_>>(), "{}", T::WHAT);
        }
        complete(TOPOLOGIES);
        complete(FLAVORS);
        complete(PRESETS);
        complete(COMPRESSIONS);
        complete(DIRECTIONS);
    }
}
