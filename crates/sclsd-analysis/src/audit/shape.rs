//! Which way a tree of clusters opens: by the number of its ends, with time as it is and with time turned round.
//!
//! ```text
//! ends(τ)  = leaves of the clusters by τ      starts(τ) = leaves of the clusters by −τ
//! ```
//!
//! Differentiation begins in one place and parts: a fork has two ends and one start. Read backwards it has one end and
//! two starts. A single path has one of each, and its shape does not tell which way it goes. [`Leaves`] has the rule of
//! a leaf, which does not mind that mature branches touch (connected components of the latest cells do: on simulated
//! forks there is one, since noise joins the tips).

use sclsd_data::{Categorical, CsrView};
use sclsd_graph::{Leaves, TerminalError};

/// Ends of a tree of clusters, both ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// Clusters from which no later one descends.
    pub ends: Vec<String>,
    /// Clusters from which no earlier one descends, with time turned round.
    pub starts: Vec<String>,
}

/// Ends and starts; a list is empty where no cluster is clearly later, or earlier, than its neighbors.
///
/// # Errors
/// [`TerminalError`] where sizes disagree or a weight is no number of 0 or more.
pub fn ends<'a>(graph: impl Into<CsrView<'a>>, clusters: &Categorical, time: &[f64]) -> Result<Ends, TerminalError> {
    let graph = graph.into();
    let leaves = |time: &[f64]| match Leaves::find(graph, clusters, time) {
        Ok(leaves) => Ok(leaves.names()),
        Err(TerminalError::NoStates) => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let turned: Vec<f64> = time.iter().map(|t| -t).collect();
    Ok(Ends { ends: leaves(time)?, starts: leaves(&turned)? })
}

#[cfg(test)]
mod tests {
    use sclsd_data::Csr;

    use super::*;

    /// A fork of chains of 12 cells each: stem, then a and b; or the stem and a alone.
    fn fork(branches: u32) -> (Csr, Categorical, Vec<f64>) {
        let n = 12 * (1 + branches);
        let parent = |cell: u32| match cell {
            0 => None,
            cell if cell >= 12 && cell % 12 == 0 => Some(11),
            cell => Some(cell - 1),
        };
        let joined = |a: u32, b: u32| parent(a) == Some(b) || parent(b) == Some(a);
        let rows = (0..n).map(|a| (0..n).filter(|&b| joined(a, b)).map(|b| (b, 1.0_f32)).collect());
        let graph = Csr::from_rows(n as usize, rows.collect::<Vec<_>>()).unwrap();
        let names: Vec<&str> = (0..n as usize).map(|cell| ["stem", "a", "b"][cell / 12]).collect();
        let time = (0..n).map(|cell| f64::from(cell % 12 + if cell < 12 { 0 } else { 12 })).collect();
        (graph, Categorical::from_names(names), time)
    }

    #[test]
    fn a_fork_has_more_ends_than_starts_and_read_backwards_fewer() {
        let (graph, clusters, time) = fork(2);
        let found = ends(&graph, &clusters, &time).unwrap();
        assert_eq!((found.ends.len(), found.starts), (2, vec!["stem".to_owned()]));
        let turned: Vec<f64> = time.iter().map(|t| 1.0 - t).collect();
        let back = ends(&graph, &clusters, &turned).unwrap();
        assert_eq!((back.ends, back.starts.len()), (vec!["stem".to_owned()], 2));
    }

    #[test]
    fn a_path_has_one_of_each_and_a_time_without_order_has_none() {
        let (graph, clusters, time) = fork(1);
        let found = ends(&graph, &clusters, &time).unwrap();
        assert_eq!((found.ends, found.starts), (vec!["a".to_owned()], vec!["stem".to_owned()]));
        let scattered: Vec<f64> = (0..24_u8).map(|cell| f64::from(cell * 7 % 12)).collect();
        assert_eq!(ends(&graph, &clusters, &scattered).unwrap(), Ends { ends: vec![], starts: vec![] });
    }
}
