//! Columns of obs that name groups of cells, of whatever kind they are.

use anyhow::Context;
use sclsd::data::{Categorical, Column, Dataset};

/// Makes a column of whole numbers or truth values one of names, as pandas prints them: `2`, `True`. A column that is not
/// there is left to whoever needs it.
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
            "obs[\"{key}\"] is a {} column, expected names of groups; if its numbers are whole, convert it in Python with \
             adata.obs[\"{key}\"] = adata.obs[\"{key}\"].astype(int).astype(\"category\")",
            column.kind()
        )
    })
}

/// The groups of a column of names, whole numbers or truth values; none for real numbers.
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
