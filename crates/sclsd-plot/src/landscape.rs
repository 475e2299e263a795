//! Waddington landscape: the potential over an embedding, and its contour map.

use contour::ContourBuilder;
use kuva::render::render::Primitive;

use crate::color::{ColorMap, INK, mix, paint};
use crate::embedding::{Places, Sheet, range};
use crate::field::Field;
use crate::frame::{Frame, dot, line};
use crate::key::Key;
use crate::picture::{Picture, group};

/// Number of grid points along the longer side.
const GRID: usize = 160;
/// Radius over which potentials are averaged, in grid steps.
const SMOOTH: f64 = 3.0;
/// Number of contour levels between the lowest and the highest point.
const LEVELS: u32 = 16;

/// The potential on a regular grid over an embedding, where there are cells.
#[derive(Debug, Clone)]
pub struct Landscape {
    basis: String,
    pub(crate) frame: Frame,
    pub(crate) field: Field<1>,
    range: [f64; 2],
}

impl Landscape {
    /// Averages `potential`, one value per cell, on a grid over the embedding.
    ///
    /// # Panics
    /// If there is not exactly one potential per cell.
    #[must_use]
    pub fn new(places: Places<'_>, potential: &[f64]) -> Self {
        assert_eq!(places.points.n_rows(), potential.len(), "one potential per cell");
        let frame = Frame::around(places.all());
        let field = Field::smooth(places, &frame, GRID, SMOOTH, |cell| [potential[cell]]);
        let points = (0..field.rows).flat_map(|row| (0..field.columns).map(move |column| (column, row)));
        let heights = points.filter_map(|(column, row)| match field.point(column, row) {
            ([height], true) => Some(height),
            _ => None,
        });
        let range = range(heights);
        Self { basis: places.basis.to_owned(), frame, field, range }
    }

    /// Height at a position, from 0 (lowest) to 1; `None` where there are no cells.
    #[must_use]
    pub fn height(&self, place: [f64; 2]) -> Option<f64> {
        self.field.at(place).map(|[height]| self.share(height))
    }

    /// Number of columns and rows of the grid.
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        [self.field.columns, self.field.rows]
    }

    /// Position of a grid point, and its height from 0 to 1 if there are cells.
    ///
    /// # Panics
    /// If the point is not on the grid.
    #[must_use]
    pub fn point(&self, column: usize, row: usize) -> ([f64; 2], Option<f64>) {
        let ([height], there) = self.field.point(column, row);
        (self.field.place(column, row), there.then(|| self.share(height)))
    }

    /// Minimum and maximum potential on the grid.
    #[must_use]
    pub fn potentials(&self) -> [f64; 2] {
        self.range
    }

    fn share(&self, height: f64) -> f64 {
        ((height - self.range[0]) / (self.range[1] - self.range[0])).clamp(0.0, 1.0)
    }

    pub(crate) fn key(&self) -> Key {
        Key::Bar { name: "potential V".into(), range: self.range, color_maps: vec![ColorMap::Viridis] }
    }

    /// Grid squares with cells at all four corners: column, row and heights.
    pub(crate) fn squares(&self) -> Vec<(usize, usize, [f64; 4])> {
        let mut squares = Vec::new();
        for row in 0..self.field.rows - 1 {
            for column in 0..self.field.columns - 1 {
                let corners = [(0, 0), (1, 0), (1, 1), (0, 1)].map(|(c, r)| self.point(column + c, row + r).1);
                if let [Some(a), Some(b), Some(c), Some(d)] = corners {
                    squares.push((column, row, [a, b, c, d]));
                }
            }
        }
        squares
    }

    /// Contours: line segments at each level, in picture coordinates.
    fn contours(&self) -> Vec<(f64, Vec<(f64, f64)>)> {
        let mut heights = Vec::with_capacity(self.field.columns * self.field.rows);
        for row in 0..self.field.rows {
            heights.extend((0..self.field.columns).map(|column| self.share(self.field.point(column, row).0[0])));
        }
        let levels: Vec<f64> = (1..LEVELS).map(|i| f64::from(i) / f64::from(LEVELS)).collect();
        let [x, y] = self.field.place(0, 0);
        // The contour crate places points at the center of squares, which is half a step from the grid points here.
        let half = self.field.step() / 2.0;
        let lines = ContourBuilder::new(self.field.columns, self.field.rows, true)
            .x_origin(x - half)
            .y_origin(y - half)
            .x_step(self.field.step())
            .y_step(self.field.step())
            .lines(&heights, &levels)
            .unwrap_or_default();
        let mut pieces = Vec::new();
        for level in &lines {
            for ring in &level.geometry().0 {
                let places = ring.0.iter().map(|c| [c.x, c.y]);
                let mut piece = Vec::new();
                for place in places {
                    if self.field.at(place).is_some() {
                        piece.push(self.frame.at(place));
                    } else if !piece.is_empty() {
                        pieces.push((level.threshold(), std::mem::take(&mut piece)));
                    }
                }
                pieces.push((level.threshold(), piece));
            }
        }
        pieces.retain(|(_, piece)| piece.len() > 2);
        pieces
    }
}

/// Draws the landscape from above: colours, contours, and paths of cells rolling down.
#[must_use]
pub fn contour_map(landscape: &Landscape, paths: &[Vec<[f64; 2]>], title: &str) -> Picture {
    let mut sheet = Sheet::blank(landscape.frame, Some(&landscape.key()), title, &landscape.basis);
    let frame = landscape.frame;
    let step = landscape.field.step() / frame.unit();
    group(&mut sheet.scene, "heights", |scene| {
        let (mut x, mut y, mut fills) = (Vec::new(), Vec::new(), Vec::new());
        for (column, row, corners) in landscape.squares() {
            let (left, low) = frame.at(landscape.field.place(column, row));
            x.push(left);
            y.push(low - step);
            fills.push(paint(ColorMap::Viridis.at(corners.iter().sum::<f64>() / 4.0)));
        }
        let side = vec![step + 0.4; x.len()];
        scene.add(Primitive::RectBatch { x, y, w: side.clone(), h: side, fills });
    });
    group(&mut sheet.scene, "contours", |scene| {
        for (level, piece) in landscape.contours() {
            let color = mix(ColorMap::Viridis.at(level), if level > 0.6 { [0; 3] } else { [255; 3] }, 0.45);
            line(scene, piece, color, 0.7);
        }
    });
    group(&mut sheet.scene, "paths", |scene| {
        for path in paths {
            // Split a path where it crosses areas without cells, where the landscape is undefined.
            for stretch in path.split(|&place| landscape.height(place).is_none()).filter(|stretch| stretch.len() > 1) {
                let points: Vec<(f64, f64)> = stretch.iter().map(|&p| frame.at(p)).collect();
                line(scene, points.clone(), [255; 3], 2.0);
                line(scene, points, INK, 1.0);
            }
            if let Some(&end) = path.last().filter(|&&end| landscape.height(end).is_some()) {
                dot(scene, frame.at(end), 3.0, INK);
            }
        }
    });
    sheet.finish()
}

#[cfg(test)]
mod tests {
    use sclsd_data::Matrix;

    use super::*;

    fn bowl() -> (Matrix, Vec<f64>) {
        let points: Vec<[f64; 2]> =
            (0..1600_u16).map(|i| [f64::from(i % 40) / 10.0 - 2.0, f64::from(i / 40) / 10.0 - 2.0]).collect();
        let potential = points.iter().map(|[x, y]| x * x + y * y).collect();
        #[expect(clippy::cast_possible_truncation, reason = "small decimals")]
        let flat = points.iter().flatten().map(|&v| v as f32).collect();
        (Matrix::new(2, flat), potential)
    }

    #[test]
    fn a_bowl_is_deepest_in_the_middle_and_contours_go_round_it() {
        let (points, potential) = bowl();
        let landscape = Landscape::new(Places { basis: "X_umap", points: &points }, &potential);
        let middle = landscape.height([0.0, 0.0]).expect("cells stand here");
        let edge = landscape.height([1.5, 0.0]).expect("cells stand here");
        assert!(middle < 0.05 && edge > 0.2, "{middle} {edge}");
        let contours = landscape.contours();
        assert!(contours.len() >= LEVELS as usize / 2);
        let (x, y) = landscape.frame.at([0.0, 0.0]);
        let (_, first) = &contours[0];
        let radii: Vec<f64> = first.iter().map(|p| (p.0 - x).hypot(p.1 - y)).collect();
        let widest = radii.iter().copied().fold(0.0, f64::max);
        assert!(radii.iter().all(|r| *r > 0.8 * widest), "a ring around the middle");
    }
}
