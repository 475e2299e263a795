//! A table of fate probabilities.

use sclsd_data::{Categorical, Matrix};
use sclsd_spec::WrongSize;

/// Fate probabilities, one row per cell and one column per terminal state.
///
/// Invariants, checked on construction: a row is finite and not negative, and sums to one to within rounding or is all
/// zero. A row of zeros is a cell that reaches no terminal state.
#[derive(Debug, Clone, PartialEq)]
pub struct FateProbabilities {
    names: Vec<String>,
    values: Vec<f64>,
}

impl FateProbabilities {
    /// Creates probabilities from rows that need not be normalised. A row of zeros remains zero.
    ///
    /// # Errors
    /// [`WrongSize`] if the number of values is not a multiple of the number of fates.
    pub fn from_rows(names: Vec<String>, values: Vec<f64>) -> Result<Self, WrongSize> {
        if names.is_empty() || !values.len().is_multiple_of(names.len()) {
            let expected = format!("whole rows of {} fates", names.len());
            return Err(WrongSize::new("a table of fate probabilities", format!("{} values", values.len()), expected));
        }
        Ok(Self::of_whole_rows(names, values))
    }

    /// Like [`from_rows`](Self::from_rows), for values that are known to fill complete rows.
    pub(crate) fn of_whole_rows(names: Vec<String>, mut values: Vec<f64>) -> Self {
        assert!(!names.is_empty() && values.len().is_multiple_of(names.len()), "whole rows");
        for row in values.chunks_exact_mut(names.len()) {
            let total: f64 = row.iter().sum();
            if total > 0.0 {
                row.iter_mut().for_each(|p| *p /= total);
            }
        }
        Self { names, values }
    }

    /// Names of the fates.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of cells.
    #[must_use]
    pub fn n_cells(&self) -> usize {
        self.values.len() / self.names.len()
    }

    /// All probabilities, `n_cells × n_fates`, row-major.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Probabilities of one cell.
    #[must_use]
    pub fn row(&self, cell: usize) -> &[f64] {
        &self.values[cell * self.names.len()..(cell + 1) * self.names.len()]
    }

    /// The most likely fate of a cell, with ties to the first; `None` if the cell reaches no terminal state.
    #[must_use]
    pub fn likeliest(&self, cell: usize) -> Option<usize> {
        let row = self.row(cell);
        let best = (0..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
        (row[best] > 0.0).then_some(best)
    }

    /// Number of cells that reach no terminal state.
    #[must_use]
    pub fn unreachable(&self) -> usize {
        (0..self.n_cells()).filter(|&cell| self.likeliest(cell).is_none()).count()
    }

    /// Entropy −Σ p ln p of every cell, in nats: 0 for a certain fate, ln(number of fates) if all fates are equally
    /// likely, `NaN` if no terminal state is reached.
    #[must_use]
    pub fn entropy(&self) -> Vec<f64> {
        let term = |p: &f64| if *p > 0.0 { -p * p.ln() } else { 0.0 };
        let entropy = |cell: usize| match self.likeliest(cell) {
            Some(_) => self.row(cell).iter().map(term).sum::<f64>().max(0.0),
            None => f64::NAN,
        };
        (0..self.n_cells()).map(entropy).collect()
    }

    /// The most likely fate as a column of obs; missing for cells that reach no terminal state.
    #[must_use]
    pub fn column(&self) -> Categorical {
        let code = |cell| self.likeliest(cell).and_then(|k| u32::try_from(k).ok());
        Categorical::new((0..self.n_cells()).map(code).collect(), self.names.clone(), false)
    }

    /// The probabilities as an element of obsm.
    #[must_use]
    pub fn matrix(&self) -> Matrix {
        #[expect(clippy::cast_possible_truncation, reason = "obsm is kept in f32")]
        let values = self.values.iter().map(|&p| p as f32).collect();
        Matrix::new(self.names.len(), values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_sum_to_one_and_a_cell_that_reaches_nothing_has_no_fate() {
        let names = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(
            FateProbabilities::from_rows(names.clone(), vec![1.0; 3]).unwrap_err().to_string(),
            "a table of fate probabilities is of 3 values, expected whole rows of 2 fates"
        );
        let fates = FateProbabilities::from_rows(names, vec![1.0, 3.0, 0.0, 0.0, 2.0, 0.0]).unwrap();
        assert_eq!(fates.row(0), [0.25, 0.75]);
        assert_eq!((fates.likeliest(0), fates.likeliest(1), fates.likeliest(2)), (Some(1), None, Some(0)));
        assert_eq!((fates.unreachable(), fates.column().name(0), fates.column().name(1)), (1, Some("b"), None));
        let entropy = fates.entropy();
        assert!((entropy[0] - 0.562_335_144_618_808_3).abs() < 1e-12, "scipy.stats.entropy([0.25, 0.75])");
        assert!(entropy[1].is_nan());
        assert!(entropy[2].abs() < 1e-15);
    }
}
