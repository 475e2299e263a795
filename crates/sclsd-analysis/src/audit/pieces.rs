//! A graph in pieces: cells that no path of the graph joins to a terminal state.

use sclsd_data::CsrView;
use sclsd_graph::{GraphError, Terminal, components};

/// Share of cells whose piece of the graph, taken as undirected, has no terminal cell.
///
/// # Errors
/// [`GraphError`] where the graph is not square or a weight is no number of 0 or more.
///
/// # Panics
/// When the terminal sets are of another number of cells.
pub fn without_terminal<'a>(graph: impl Into<CsrView<'a>>, terminal: &Terminal) -> Result<f64, GraphError> {
    let piece = components(graph)?;
    assert_eq!(piece.len(), terminal.n_cells(), "terminal sets of the same cells");
    let mut ends = vec![false; piece.iter().max().map_or(0, |last| last + 1)];
    for (cell, &piece) in piece.iter().enumerate() {
        ends[piece] |= terminal.of(cell).is_some();
    }
    let lost = piece.iter().filter(|&&piece| !ends[piece]).count();
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    let share = lost as f64 / piece.len().max(1) as f64;
    Ok(share)
}

#[cfg(test)]
mod tests {
    use sclsd_data::{Categorical, Csr};

    use super::*;

    #[test]
    fn cells_of_a_piece_without_a_terminal_state_are_counted() {
        let rows = vec![vec![(1, 1.0_f32)], vec![(0, 1.0)], vec![(3, 1.0)], vec![(2, 1.0)]];
        let sets = Categorical::new(vec![None, Some(0), None, None], vec!["end".into()], false);
        let terminal = Terminal::new(&sets).unwrap();
        assert!((without_terminal(&Csr::from_rows(4, rows).unwrap(), &terminal).unwrap() - 0.5).abs() < 1e-12);
    }
}
