//! Where a path that does not keep to the graph enters a terminal set: where the cell nearest to it is terminal.

use sclsd_data::Matrix;
use sclsd_graph::{Nearest, NearestError, Terminal};

/// The terminal sets as regions of z, each the points that are nearer to one of its cells than to any other cell.
pub(super) struct Entry<'a> {
    terminal: &'a Terminal,
    cell_state: &'a Matrix,
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
    pub(super) fn new(cell_state: &'a Matrix, terminal: &'a Terminal) -> Result<Self, NearestError> {
        let cells = Nearest::new(cell_state)?;
        let of_ends: Vec<usize> = (0..terminal.n_cells()).filter(|&cell| terminal.of(cell).is_some()).collect();
        let ends = Nearest::new(&cell_state.select_rows(&of_ends))?;
        Ok(Self { terminal, cell_state, cells, ends, of_ends })
    }

    /// The terminal state whose set a finite point of z lies in. `outside` is any cell that is not terminal: while it
    /// is nearer than all terminal cells, which are few, no other cell need be looked at. It becomes the nearest cell
    /// where all had to be.
    pub(super) fn of(&self, state: &[f32], outside: &mut usize) -> Option<usize> {
        let end = self.of_ends[self.ends.of(state)? as usize];
        if self.distance(state, *outside) < self.distance(state, end) {
            return None;
        }
        let nearest = self.cells.of(state)? as usize;
        let entered = self.terminal.of(nearest);
        if entered.is_none() {
            *outside = nearest;
        }
        entered
    }

    /// The terminal state of the terminal cell nearest to a finite point of z.
    pub(super) fn nearest(&self, state: &[f32]) -> Option<usize> {
        self.terminal.of(self.of_ends[self.ends.of(state)? as usize])
    }

    /// The squared distance of a cell from a point.
    fn distance(&self, state: &[f32], cell: usize) -> f32 {
        self.cell_state.row(cell).iter().zip(state).map(|(a, b)| (a - b) * (a - b)).sum()
    }
}
