//! Columns of obs that name groups of cells, and the choice of the column with the clusters.

use anyhow::{Context, bail};
use sclsd::data::{Categorical, Column, Dataset, Inspection};
use sclsd::infer::TrainSpec;

/// The column of obs with the clusters: the named one (`flag`), or the first that a training recorded and the file has.
/// Every training records such a column, by default `clusters`, even if the training did not use clusters.
pub(super) fn cluster_key(
    flag: Option<&String>,
    recorded: &[Option<&TrainSpec>],
    has: &Inspection,
) -> anyhow::Result<String> {
    let mut known = recorded.iter().flatten().map(|spec| &spec.keys.clusters).filter(|key| has.has("obs", key));
    if let Some(key) = flag.or_else(|| known.next()) {
        return Ok(key.clone());
    }
    let categorical = has.entries.iter().filter(|e| e.slot == "obs" && e.form.starts_with("categorical"));
    let columns: Vec<&str> = categorical.map(|entry| entry.name.as_str()).collect();
    let columns = if columns.is_empty() { "none".to_owned() } else { columns.join(", ") };
    let expected: Vec<String> =
        recorded.iter().flatten().map(|spec| format!("obs[\"{}\"]", spec.keys.clusters)).collect();
    match expected.first() {
        Some(expected) => bail!(
            "the model was trained with clusters in {expected}, which is missing; name the column of clusters with \
             --cluster-key (categorical columns of obs: {columns})"
        ),
        None => bail!(
            "the file does not record the clusters of the training; name the column of clusters with \
             --cluster-key (categorical columns of obs: {columns})"
        ),
    }
}

/// Turns a column of integers or truth values into a column of names, as pandas prints them: `2`, `True`. Does nothing
/// if the column is missing.
pub(super) fn name(data: &mut Dataset, key: &str) -> anyhow::Result<()> {
    if data.obs.get(key).is_some() {
        let groups = of(data, key)?;
        data.obs.set(key, Column::Categorical(groups));
    }
    Ok(())
}

/// The groups of a column, named.
pub(super) fn of(data: &Dataset, key: &str) -> anyhow::Result<Categorical> {
    let column = data.obs.get(key).with_context(|| format!("obs[\"{key}\"] is missing"))?;
    of_column(column).with_context(|| {
        format!(
            "obs[\"{key}\"] is a {} column, expected names of groups; if the numbers are integers, convert the column in Python with \
             adata.obs[\"{key}\"] = adata.obs[\"{key}\"].astype(int).astype(\"category\")",
            column.kind()
        )
    })
}

/// The groups of a column of names, integers or truth values; `None` for real numbers.
pub(super) fn of_column(column: &Column) -> Option<Categorical> {
    match column {
        Column::Integer(values) => {
            let mut all: Vec<i64> = values.iter().copied().flatten().collect();
            all.sort_unstable();
            all.dedup();
            let code = |v: &Option<i64>| v.and_then(|v| u32::try_from(all.binary_search(&v).ok()?).ok());
            let codes = values.iter().map(code).collect();
            Some(Categorical::new(codes, all.iter().map(ToString::to_string).collect(), false))
        }
        Column::Boolean(values) => {
            let all: Vec<bool> = [false, true].into_iter().filter(|v| values.contains(&Some(*v))).collect();
            let code = |v: &Option<bool>| u32::try_from(all.iter().position(|a| Some(*a) == *v)?).ok();
            let names = all.iter().map(|v| if *v { "True" } else { "False" }.to_owned()).collect();
            Some(Categorical::new(values.iter().map(code).collect(), names, false))
        }
        other => other.to_categorical(),
    }
}

/// The groups of some of the cells, in the order given.
pub(super) fn some(groups: &Categorical, cells: &[usize]) -> Categorical {
    let codes = cells.iter().map(|&cell| groups.codes()[cell]).collect();
    let picked = Categorical::new(codes, groups.categories().to_vec(), groups.ordered());
    picked.with_colors(groups.colors().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_and_truth_values_are_groups_by_name_in_their_own_order() {
        let numbers = of_column(&Column::Integer(vec![Some(10), Some(-2), None, Some(10)])).unwrap();
        assert_eq!(numbers.categories(), ["-2", "10"]);
        assert_eq!(numbers.codes(), [Some(1), Some(0), None, Some(1)]);
        let truth = of_column(&Column::Boolean(vec![Some(true), None, Some(true)])).unwrap();
        assert_eq!((truth.categories(), truth.codes()), (&["True".to_owned()][..], &[Some(0), None, Some(0)][..]));
        assert!(of_column(&Column::Float(vec![1.0])).is_none());
    }
}
