//! Whether cells close a ring. No potential drives cells round one.
//!
//! On a closed curve the first two diffusion components after the stationary state are a cosine and a sine of the
//! position along it, on a path the second is a polynomial of the first (Coifman and Lafon, 2006). About the middle of
//! these two, each scaled to one standard deviation, the cells of a ring stand at all angles and at one distance:
//!
//! ```text
//! gap  = largest angle between one cell and the next
//! hole = distance of the nearest cells (2nd percentile) / median distance
//! ```
//!
//! A ring that is a small part of the data, such as cell cycle among progenitors, is not in the first two components,
//! and is not found.

use sclsd_graph::DiffusionMap;

/// How cells stand around their middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ring {
    /// Largest angle without a cell, in degrees.
    pub gap: f64,
    /// Distance from the middle of the cells nearest to it, in median distances.
    pub hole: f64,
}

/// Share of cells that may stand in the hole: those that noise puts there.
const NEAREST: usize = 50; // one in fifty
/// A hole narrower than this is none, so there is no ring, whatever the gap.
const HOLE: f64 = 0.2;

impl Ring {
    /// The gap; a full turn where the middle is not empty, since that is no ring.
    #[must_use]
    pub fn opening(&self) -> f64 {
        if self.hole < HOLE { 360.0 } else { self.gap }
    }
}

/// How cells stand around their middle in components 1 and 2 of a map (0 is the stationary state); nothing where it has
/// fewer, or they do not vary.
#[must_use]
pub fn ring(map: &DiffusionMap) -> Option<Ring> {
    let (rows, columns) = (map.components.n_rows(), map.components.n_cols());
    if columns < 3 || rows < 3 {
        return None;
    }
    let component = |j: usize| -> Option<Vec<f64>> {
        // ψ_j / ψ_0: the eigenvectors of the walk, which do not know how many neighbors a cell has
        let values = (0..rows).map(|cell| {
            let row = map.components.row(cell);
            f64::from(row[j]) / f64::from(row[0])
        });
        standardized(values.collect())
    };
    let (x, y) = (component(1)?, component(2)?);
    let mut angles: Vec<f64> = x.iter().zip(&y).map(|(x, y)| y.atan2(*x).to_degrees()).collect();
    angles.sort_by(f64::total_cmp);
    let first = angles[0] + 360.0;
    let next = angles[1..].iter().chain([&first]);
    let gap = angles.iter().zip(next).map(|(a, b)| b - a).fold(0.0, f64::max);
    let mut distances: Vec<f64> = x.iter().zip(&y).map(|(x, y)| x.hypot(*y)).collect();
    distances.sort_by(f64::total_cmp);
    Some(Ring { gap, hole: distances[rows / NEAREST] / distances[rows / 2] })
}

/// Values about their mean, in standard deviations.
fn standardized(values: Vec<f64>) -> Option<Vec<f64>> {
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let spread = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    (spread.is_finite() && spread > 0.0).then(|| values.into_iter().map(|v| (v - mean) / spread).collect())
}

#[cfg(test)]
mod tests {
    use sclsd_data::Csr;
    use sclsd_graph::diffusion_map;

    use super::*;

    /// Cells in a row, each joined to its next two on either side; the ends too where the row is closed.
    fn row(n: u32, closed: bool) -> Csr {
        let joined = |a: u32, b: u32| {
            let apart = a.abs_diff(b);
            a != b && (apart <= 2 || (closed && n - apart <= 2))
        };
        Csr::from_rows(n as usize, (0..n).map(|a| (0..n).filter(|&b| joined(a, b)).map(|b| (b, 1.0_f32)).collect()))
            .unwrap()
    }

    #[test]
    fn a_closed_row_of_cells_is_a_ring_and_an_open_one_is_not() {
        let found = |closed| ring(&diffusion_map(&row(120, closed), 3).unwrap()).unwrap();
        let (closed, open) = (found(true), found(false));
        assert!(closed.opening() < 10.0 && closed.hole > 0.9, "{closed:?}");
        assert!(open.opening() > 60.0, "{open:?}");
    }

    #[test]
    fn too_few_components_say_nothing() {
        assert_eq!(ring(&diffusion_map(&row(20, true), 2).unwrap()), None);
    }
}
