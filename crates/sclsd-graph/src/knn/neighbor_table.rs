//! A table of the nearest neighbours of every cell, with distances.

use sclsd_data::Csr;

/// Neighbours of one cell with their distances, the cell itself first.
pub(super) type Row = Vec<(u32, f64)>;

/// The nearest neighbours of every cell, the cell itself first.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    n_neighbors: usize,
    indices: Vec<u32>,
    distances: Vec<f64>,
}

impl Neighbors {
    pub(super) fn from_rows(n_neighbors: usize, rows: &[Row]) -> Self {
        let indices = rows.iter().flatten().map(|entry| entry.0).collect();
        let distances = rows.iter().flatten().map(|entry| entry.1).collect();
        Self { n_neighbors, indices, distances }
    }

    /// Number of neighbours per cell, including the cell itself.
    #[must_use]
    pub fn n_neighbors(&self) -> usize {
        self.n_neighbors
    }

    /// Number of cells.
    #[must_use]
    pub fn n_cells(&self) -> usize {
        self.indices.len() / self.n_neighbors
    }

    /// Neighbours of a cell and their distances, nearest first; the first is the cell itself, at distance 0.
    #[must_use]
    pub fn of(&self, cell: usize) -> (&[u32], &[f64]) {
        let span = cell * self.n_neighbors..(cell + 1) * self.n_neighbors;
        (&self.indices[span.clone()], &self.distances[span])
    }

    /// Distances as a sparse matrix, one row per cell, without the cell itself; scanpy's obsp `distances`.
    ///
    /// # Panics
    /// Never, because neighbours are distinct cells.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "distances are kept in f32 in files")]
    pub fn to_csr(&self) -> Csr {
        let rows = (0..self.n_cells()).map(|cell| {
            let (others, distances) = self.of(cell);
            let mut row: Vec<(u32, f32)> =
                others.iter().copied().zip(distances.iter().map(|&d| d as f32)).skip(1).collect();
            row.sort_unstable_by_key(|entry| entry.0);
            row
        });
        Csr::from_rows(self.n_cells(), rows).expect("neighbours are distinct cells")
    }
}
