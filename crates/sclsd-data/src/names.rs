//! Suggestions for misspelt names, and duplicate names.

use std::collections::HashSet;

/// Upper limit on the number of suggestions.
const OFFERED: usize = 3;

/// The names most similar to `wanted`, most similar first. Similarity is the edit distance, in which case counts
/// little. Empty if no name is similar.
#[must_use]
pub fn closest_names(wanted: &str, names: &[String]) -> Vec<String> {
    let lower = wanted.to_lowercase();
    let far = (wanted.chars().count() / 2).max(1);
    let mut near: Vec<(usize, &String)> = names
        .iter()
        .map(|name| (2 * strsim::levenshtein(&lower, &name.to_lowercase()) + usize::from(name != wanted), name))
        .filter(|(distance, _)| *distance <= 2 * far + 1)
        .collect();
    near.sort();
    near.truncate(OFFERED);
    near.into_iter().map(|(_, name)| name.clone()).collect()
}

/// The suggestions as the end of a sentence: `; the closest names are a, b`, or an empty string.
#[must_use]
pub fn did_you_mean(closest: &[String]) -> String {
    if closest.is_empty() { String::new() } else { format!("; the closest names are {}", closest.join(", ")) }
}

/// The first name that appears twice in a list.
#[must_use]
pub fn repeated_name(names: &[String]) -> Option<&str> {
    let mut seen = HashSet::with_capacity(names.len());
    names.iter().map(String::as_str).find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likest_names_come_first_and_unlike_ones_not_at_all() {
        let names: Vec<String> = ["Neurog3", "Neurod1", "Ins1", "Ins2", "Pdx1"].map(String::from).into();
        assert_eq!(closest_names("neurog3", &names)[0], "Neurog3");
        assert_eq!(closest_names("Ins", &names), ["Ins1", "Ins2"]);
        assert!(closest_names("Xyzzy", &names).is_empty());
    }
    #[test]
    fn the_first_name_that_stands_twice_is_found() {
        let names = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(repeated_name(&names(&["a", "b", "c", "b", "a"])), Some("b"));
        assert_eq!(repeated_name(&names(&["a", "A"])), None);
    }
}
