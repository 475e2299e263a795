//! Values of cells, smoothed on a grid over the embedding.
//!
//! ```text
//! f(g) = Σ_c w(g, c) f_c / Σ_c w(g, c),   w(g, c) = exp(−‖x_g − x_c‖² / 2σ²)
//! ```
//!
//! The sum is over cells within 3 σ. Grid points with a negligible sum of weights have no cells nearby and are not
//! drawn. Time and memory are O(cells + grid).

use crate::embedding::Places;
use crate::frame::Frame;

/// Radius of a cell's influence, in σ.
const REACH: f64 = 3.0;
/// Fraction of the typical cell's weight below which a grid point counts as empty.
const EMPTY: f64 = 0.15;

/// `D` values at every point of a regular grid over the frame.
#[derive(Debug, Clone)]
pub(crate) struct Field<const D: usize> {
    /// Position in the embedding of the lowest corner, and the distance between grid points.
    origin: [f64; 2],
    step: f64,
    pub columns: usize,
    pub rows: usize,
    values: Vec<[f64; D]>,
    weights: Vec<f64>,
    /// Weight below which a grid point counts as empty.
    empty: f64,
}

impl<const D: usize> Field<D> {
    /// Smooths `value` of every cell on a grid with `columns` points along the longer side of the frame. `sigma` is in
    /// grid steps.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positions on a grid of hundreds")]
    #[expect(clippy::cast_precision_loss, reason = "positions on a grid of hundreds")]
    pub(crate) fn smooth(
        places: Places<'_>,
        frame: &Frame,
        points: usize,
        sigma: f64,
        value: impl Fn(usize) -> [f64; D],
    ) -> Self {
        let (origin, size) = frame.extent();
        let step = size[0].max(size[1]) / (points - 1) as f64;
        let [columns, rows] = size.map(|s| (s / step).round() as usize + 1);
        let mut sums = vec![[0.0; D]; columns * rows];
        let mut weights = vec![0.0; columns * rows];
        let reach = (REACH * sigma).ceil() as isize;
        for (cell, place) in places.all().enumerate() {
            let value = value(cell);
            if !(place[0].is_finite() && place[1].is_finite() && value.iter().all(|v| v.is_finite())) {
                continue;
            }
            let at = [0, 1].map(|axis| (place[axis] - origin[axis]) / step);
            // clamp: a distant cell reaches no grid point
            let near = at.map(|a| a.round().clamp(-1e9, 1e9) as isize);
            for row in (near[1] - reach).max(0)..=(near[1] + reach).min(rows.cast_signed() - 1) {
                for column in (near[0] - reach).max(0)..=(near[0] + reach).min(columns.cast_signed() - 1) {
                    let apart = (column as f64 - at[0]).powi(2) + (row as f64 - at[1]).powi(2);
                    let weight = (-apart / (2.0 * sigma * sigma)).exp();
                    let point = row as usize * columns + column as usize;
                    weights[point] += weight;
                    (0..D).for_each(|d| sums[point][d] += weight * value[d]);
                }
            }
        }
        let values =
            sums.iter().zip(&weights).map(|(sum, &w)| sum.map(|s| if w > 0.0 { s / w } else { 0.0 })).collect();
        let mut field = Self { origin, step, columns, rows, values, weights, empty: 0.0 };
        field.empty = EMPTY * field.typical(places);
        field
    }

    /// The median over the cells of the weight at their positions.
    fn typical(&self, places: Places<'_>) -> f64 {
        let mut at: Vec<f64> =
            places.all().filter_map(|place| self.blend(place, |i| [self.weights[i]])).map(|[w]| w).collect();
        if at.is_empty() {
            return 0.0;
        }
        let middle = at.len() / 2;
        *at.select_nth_unstable_by(middle, f64::total_cmp).1
    }

    /// Position of a grid point in the embedding.
    #[expect(clippy::cast_precision_loss, reason = "positions on a grid of hundreds")]
    pub(crate) fn place(&self, column: usize, row: usize) -> [f64; 2] {
        [self.origin[0] + self.step * column as f64, self.origin[1] + self.step * row as f64]
    }

    /// Distance between adjacent grid points, in units of the embedding.
    pub(crate) fn step(&self) -> f64 {
        self.step
    }

    /// Values at a grid point, and whether there are cells.
    pub(crate) fn point(&self, column: usize, row: usize) -> ([f64; D], bool) {
        let at = row * self.columns + column;
        (self.values[at], self.weights[at] > self.empty)
    }

    /// Values at any position by bilinear interpolation; `None` where there are no cells.
    pub(crate) fn at(&self, place: [f64; 2]) -> Option<[f64; D]> {
        let [weight] = self.blend(place, |i| [self.weights[i]])?;
        if weight <= self.empty {
            return None;
        }
        self.blend(place, |i| self.values[i])
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the grid")]
    fn blend<const E: usize>(&self, place: [f64; 2], of: impl Fn(usize) -> [f64; E]) -> Option<[f64; E]> {
        let [x, y] = [0, 1].map(|axis| (place[axis] - self.origin[axis]) / self.step);
        let (column, row) = (x.floor(), y.floor());
        #[expect(clippy::cast_precision_loss, reason = "positions on a grid of hundreds")]
        let within = |at: f64, points: usize| at >= 0.0 && at + 1.0 < points as f64;
        if !(within(column, self.columns) && within(row, self.rows)) {
            return None;
        }
        let (u, v, at) = (x - column, y - row, row as usize * self.columns + column as usize);
        let [a, b, c, d] = [of(at), of(at + 1), of(at + self.columns), of(at + self.columns + 1)];
        Some(std::array::from_fn(|i| (a[i] * (1.0 - u) + b[i] * u) * (1.0 - v) + (c[i] * (1.0 - u) + d[i] * u) * v))
    }
}

#[cfg(test)]
mod tests {
    use sclsd_data::Matrix;

    use super::*;

    #[test]
    fn cells_without_a_place_are_nowhere_in_a_field() {
        let points = Matrix::new(2, (0..400_u16).flat_map(|i| [f32::from(i % 20), f32::from(i / 20)]).collect());
        let finite = Places { basis: "X_umap", points: &points };
        let frame = Frame::around(finite.all());
        for odd in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX] {
            let mut values = points.values().to_vec();
            values[0] = odd;
            let points = Matrix::new(2, values);
            let places = Places { basis: "X_umap", points: &points };
            let field = Field::smooth(places, &frame, 60, 1.0, |_| [1.0]);
            assert!(field.values.iter().flatten().all(|v| v.is_finite()), "{odd}");
            // a frame around cells, some of which are at infinity
            let _ = Field::smooth(places, &Frame::around(places.all()), 60, 1.0, |_| [1.0]);
        }
    }

    #[test]
    fn a_field_that_is_the_same_everywhere_stays_so_and_empty_places_have_none() {
        let points = Matrix::new(2, (0..400_u16).flat_map(|i| [f32::from(i % 20), f32::from(i / 20)]).collect());
        let mut values = points.values().to_vec();
        values.extend([100.0, 100.0]);
        let points = Matrix::new(2, values);
        let places = Places { basis: "X_umap", points: &points };
        let frame = Frame::around(places.all());
        let field = Field::smooth(places, &frame, 60, 1.0, |_| [2.0, -1.0]);
        let value = field.at([10.0, 10.0]).expect("cells stand here");
        assert!((value[0] - 2.0).abs() < 1e-12 && (value[1] + 1.0).abs() < 1e-12);
        assert!(field.at([60.0, 60.0]).is_none(), "no cell stands here");
        assert!(field.at([1e9, 0.0]).is_none(), "outside of the frame");
    }
}
