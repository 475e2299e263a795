//! What several models, members of one run, say about every cell: their mean and their spread.
//!
//! ```text
//! pseudotime, entropy   mean over members; a pseudotime is scaled to 0…1 in each member, so its mean lies within
//! potential             mean over members of  (V_k − mean V_k) std V_0 / std V_k + mean V_0
//! transitions           mean over members: rows sum to one
//! z, B                  those of the first member, since latent spaces of different members are not aligned
//! arrows                mean over members, and how well they agree: |Σ_k u_k| / n for arrows of unit length u_k
//! ```
//!
//! A potential is defined up to a shift, and members differ in its scale, so each is brought to mean and standard
//! deviation, over cells, of the first member's.

use sclsd_data::{Additions, Column, Csr, Matrix};

use crate::Annotation;
use crate::spread::mean_and_std;

/// Annotations of several members, taken in one after the other. Of each it keeps three numbers per cell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EnsembleAnnotation {
    first: Option<Annotation>,
    /// Sum of the members' transitions, over the edges of the first.
    transitions: Vec<f64>,
    pseudotime: Vec<Vec<f64>>,
    potential: Vec<Vec<f64>>,
    entropy: Vec<Vec<f64>>,
}

/// Mean and spread of a run's members.
#[derive(Debug, Clone, PartialEq)]
pub struct AnnotationSpread {
    /// The mean, with states of the first member.
    pub mean: Annotation,
    /// Standard deviation of the pseudotime over members; obs `lsd_pseudotime_std`.
    pub pseudotime_std: Vec<f64>,
    /// Standard deviation of the potential over members; obs `potential_std`.
    pub potential_std: Vec<f64>,
}

impl EnsembleAnnotation {
    /// Takes in the annotation of the next member: of the same cells and the same graph.
    ///
    /// # Panics
    /// When it is of other cells or another graph than the first.
    pub fn push(&mut self, annotation: Annotation) {
        let edges = annotation.transitions.values();
        match &self.first {
            None => self.transitions = edges.to_vec(),
            Some(first) => {
                assert_eq!(
                    first.transitions.pattern(),
                    annotation.transitions.pattern(),
                    "one graph of the same cells"
                );
                self.transitions.iter_mut().zip(edges).for_each(|(sum, p)| *sum += p);
            }
        }
        self.pseudotime.push(annotation.pseudotime.clone());
        self.potential.push(annotation.potential.clone());
        self.entropy.push(annotation.entropy.clone());
        self.first.get_or_insert(annotation);
    }

    /// Mean and spread; nothing where there is no member.
    #[must_use]
    pub fn spread(self) -> Option<AnnotationSpread> {
        let first = self.first?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let n = self.pseudotime.len() as f64;
        let transitions = self.transitions.into_iter().map(|sum| sum / n).collect();
        let (pseudotime, pseudotime_std) = mean_and_std(&self.pseudotime);
        let (potential, potential_std) = mean_and_std(&on_first_scale(&self.potential));
        let transitions = Csr::over(first.transitions.pattern().clone(), transitions);
        let (entropy, _) = mean_and_std(&self.entropy);
        let mean = Annotation { potential, entropy, pseudotime, transitions, ..first };
        Some(AnnotationSpread { mean, pseudotime_std, potential_std })
    }
}

/// Potentials with mean and standard deviation over cells of the first.
fn on_first_scale(potentials: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let Some(first) = potentials.first() else { return Vec::new() };
    let (mean, std) = moments(first);
    let scaled = |values: &Vec<f64>| {
        let (own_mean, own_std) = moments(values);
        let scale = if own_std > 0.0 { std / own_std } else { 0.0 };
        values.iter().map(|v| (v - own_mean) * scale + mean).collect()
    };
    // the first is itself, to the last bit
    std::iter::once(first.clone()).chain(potentials[1..].iter().map(scaled)).collect()
}

/// Mean and standard deviation of a potential over cells.
fn moments(values: &[f64]) -> (f64, f64) {
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
}

impl AnnotationSpread {
    /// Mean and spread under the names they have in a file.
    #[must_use]
    pub fn additions(&self) -> Additions {
        let mut additions = self.mean.additions();
        additions.obs.extend([
            ("lsd_pseudotime_std".into(), Column::Float(self.pseudotime_std.clone())),
            ("potential_std".into(), Column::Float(self.potential_std.clone())),
        ]);
        additions
    }
}

/// The mean arrow of every cell over members, and the mean resultant length of its arrows: 1 where all point one way,
/// near 0 where they cancel. An arrow of length 0 points nowhere and counts as 0.
///
/// # Panics
/// When there is no member, or they are of different shapes.
#[must_use]
pub fn mean_arrows(members: &[Matrix]) -> (Matrix, Vec<f64>) {
    let first = members.first().expect("at least one member");
    let (rows, columns) = (first.n_rows(), first.n_cols());
    assert!(members.iter().all(|m| (m.n_rows(), m.n_cols()) == (rows, columns)), "arrows of one shape");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let n = members.len() as f64;
    let length = |arrow: &[f64]| arrow.iter().map(|v| v * v).sum::<f64>().sqrt();
    let (mut values, mut agreement) = (Vec::with_capacity(rows * columns), Vec::with_capacity(rows));
    for row in 0..rows {
        let (mut sum, mut directions) = (vec![0.0; columns], vec![0.0; columns]);
        for member in members {
            let arrow: Vec<f64> = member.row(row).iter().copied().map(f64::from).collect();
            let norm = length(&arrow);
            for ((sum, direction), v) in sum.iter_mut().zip(&mut directions).zip(arrow) {
                *sum += v;
                *direction += if norm > 0.0 { v / norm } else { 0.0 };
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "arrows are kept in f32")]
        values.extend(sum.into_iter().map(|v| (v / n) as f32));
        agreement.push((length(&directions) / n).min(1.0));
    }
    (Matrix::new(columns, values), agreement)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotation(potential: &[f64]) -> Annotation {
        let rows = (0..3_u32).map(|cell| vec![((cell + 1) % 3, 1.0)]);
        Annotation {
            cell_state: Matrix::new(1, vec![0.0, 1.0, 2.0]),
            diff_state: Matrix::new(1, vec![3.0, 4.0, 5.0]),
            potential: potential.to_vec(),
            entropy: potential.iter().map(|v| v / 2.0).collect(),
            pseudotime: potential.iter().map(|v| 1.0 - v / 4.0).collect(),
            transitions: Csr::from_rows(3, rows).unwrap(),
        }
    }

    #[test]
    fn potentials_of_members_that_differ_in_scale_and_shift_alone_agree() {
        let mut all = EnsembleAnnotation::default();
        all.push(annotation(&[4.0, 2.0, 0.0]));
        all.push(annotation(&[103.0, 102.0, 101.0]));
        let found = all.spread().unwrap();
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(close(&found.mean.potential, &[4.0, 2.0, 0.0]), "{:?}", found.mean.potential);
        assert!(close(&found.potential_std, &[0.0; 3]));
        assert!(close(&found.mean.entropy, &[26.75, 26.0, 25.25]));
        assert_eq!(found.mean.cell_state, annotation(&[0.0; 3]).cell_state);
        assert_eq!(found.mean.transitions.values(), [1.0; 3]);
    }

    #[test]
    fn one_member_is_itself_without_spread() {
        let mut all = EnsembleAnnotation::default();
        all.push(annotation(&[3.0, 1.0, 0.1]));
        let found = all.spread().unwrap();
        assert_eq!((found.mean, found.pseudotime_std), (annotation(&[3.0, 1.0, 0.1]), vec![0.0; 3]));
        assert_eq!(EnsembleAnnotation::default().spread(), None);
    }

    #[test]
    fn arrows_that_point_one_way_agree_and_opposite_ones_cancel() {
        let arrows =
            [Matrix::new(2, vec![3.0, 0.0, 1.0, 0.0, 0.0, 0.0]), Matrix::new(2, vec![1.0, 0.0, -2.0, 0.0, 0.0, 1.0])];
        let (mean, agreement) = mean_arrows(&arrows);
        assert_eq!(mean.values(), [2.0, 0.0, -0.5, 0.0, 0.0, 0.5]);
        assert_eq!(agreement, [1.0, 0.0, 0.5]);
    }
}
