//! Where a path that does not keep to the graph enters a terminal set: where the cell nearest to it is terminal.

use sclsd_data::Matrix;
use sclsd_graph::{Nearest, NearestError, Terminal};

/// The terminal sets as regions of z, each the points that are nearer to one of its cells than to any other cell.
pub(super) struct Entry<'a> {
    terminal: &'a Terminal,
    cells: Nearest,
    /// A tree of the terminal cells alone, and which cells they are.
    ends: Nearest,
    of_ends: Vec<usize>,
}

impl<'a> Entry<'a> {
    /// `cell_state`: `n_cells × z`, of the cells that `terminal` is of.
    ///
    /// # Errors
    /// [`NearestError`] names a coordinate that is not finite.
    pub(super) fn new(cell_state: &Matrix, terminal: &'a Terminal) -> Result<Self, NearestError> {
        let of_ends: Vec<usize> = (0..terminal.n_cells()).filter(|&cell| terminal.of(cell).is_some()).collect();
        let ends = Nearest::new(&cell_state.select_rows(&of_ends))?;
        Ok(Self { terminal, cells: Nearest::new(cell_state)?, ends, of_ends })
    }

    /// The terminal state whose set a finite point of z lies in.
    pub(super) fn of(&self, state: &[f32]) -> Option<usize> {
        self.terminal.of(self.cells.of(state)? as usize)
    }

    /// The terminal state of the terminal cell nearest to a finite point of z.
    pub(super) fn nearest(&self, state: &[f32]) -> Option<usize> {
        self.terminal.of(self.of_ends[self.ends.of(state)? as usize])
    }
}
