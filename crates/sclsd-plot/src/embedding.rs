//! Scatter plot of cells on an embedding, coloured by a group or a number.

use kuva::render::render::Scene;
use sclsd_data::{Categorical, Matrix};

use crate::color::{ColorMap, MISSING, Rgb, group_colors, pale};
use crate::frame::{Frame, MARGIN, dot};
use crate::key::Key;
use crate::picture::{Picture, group, paper};

/// Positions of cells: the first two columns of an embedding.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// Name of the embedding, such as `X_umap`.
    pub basis: &'a str,
    /// Coordinates, `n_cells × 2` or more.
    pub points: &'a Matrix,
}

impl Places<'_> {
    /// Position of a cell.
    pub(crate) fn of(&self, cell: usize) -> [f64; 2] {
        let row = self.points.row(cell);
        [f64::from(row[0]), f64::from(row[1])]
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = [f64; 2]> {
        (0..self.points.n_rows()).map(|cell| self.of(cell))
    }
}

/// How cells are coloured.
#[derive(Debug, Clone)]
pub enum Coloring {
    /// By group, with the file's colours if it has them.
    Groups(Categorical),
    /// By number, with one value per cell. Cells with a value that is not finite are grey.
    Numbers {
        /// Name of the quantity.
        name: String,
        /// One value per cell.
        values: Vec<f64>,
        /// Color map from the minimum to the maximum value.
        color_map: ColorMap,
    },
}

impl Coloring {
    /// Colour of every cell, and the legend or colour bar.
    pub(crate) fn colors(&self) -> (Vec<Option<Rgb>>, Key) {
        match self {
            Self::Groups(groups) => {
                let colors = group_colors(groups);
                let of = groups.codes().iter().map(|code| code.map(|c| colors[c as usize])).collect();
                (of, Key::Legend(groups.categories().iter().cloned().zip(colors).collect()))
            }
            Self::Numbers { name, values, color_map } => {
                let range = range(values.iter().copied());
                let share = |v: f64| (v - range[0]) / (range[1] - range[0]);
                let of = values.iter().map(|v| v.is_finite().then(|| color_map.at(share(*v)))).collect();
                (of, Key::Bar { name: name.clone(), range, color_maps: vec![*color_map] })
            }
        }
    }

    /// Painting order: cells without a value first, then numbers in ascending order, as in scanpy. Groups are mixed, so
    /// that none covers the others.
    pub(crate) fn order(&self) -> Vec<usize> {
        match self {
            Self::Numbers { values, .. } => {
                let mut order: Vec<usize> = (0..values.len()).collect();
                let rank = |cell: &usize| if values[*cell].is_finite() { values[*cell] } else { f64::NEG_INFINITY };
                order.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
                order
            }
            Self::Groups(groups) => {
                let mut order = shuffled(groups.codes().len());
                order.sort_by_key(|&cell| groups.codes()[cell].is_some());
                order
            }
        }
    }
}

/// A fixed pseudorandom order of the cells.
pub(crate) fn shuffled(n_cells: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n_cells).collect();
    order.sort_by_key(|&cell| mixed(cell as u64));
    order
}

/// The minimum and maximum finite value, as a non-empty range.
pub(crate) fn range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let (low, high) =
        values.filter(|v| v.is_finite()).fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    match high - low {
        span if span > 0.0 => [low, high],
        _ if low.is_finite() => [low, low + 1.0],
        _ => [0.0, 1.0],
    }
}

/// A pseudorandom number from `n`: the finaliser of SplitMix64.
pub(crate) fn mixed(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Radius of a cell's mark, in CSS pixels. The area per mark is an equal fraction of the picture, limited to visible
/// sizes.
#[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
pub(crate) fn radius(n_cells: usize) -> f64 {
    (26_000.0 / n_cells.max(1) as f64).sqrt().clamp(0.45, 4.2)
}

/// A picture on an embedding under construction: its frame and the cells to be painted.
pub(crate) struct Sheet {
    pub frame: Frame,
    pub scene: Scene,
    cells: Option<Scene>,
}

impl Sheet {
    /// Creates a picture with title, axes, cells, and legend or colour bar. Cells are paler if `faint`, for lines on
    /// top.
    pub(crate) fn new(places: Places<'_>, coloring: Option<&Coloring>, title: &str, faint: bool) -> Self {
        let key = coloring.map(|coloring| coloring.colors().1);
        let mut sheet = Self::blank(Frame::around(places.all()), key.as_ref(), title, places.basis);
        sheet.paint_cells(places, coloring, faint);
        sheet
    }

    /// Paints the cells: as marks, or as an image if there are too many. Cells are grey without a colouring.
    pub(crate) fn paint_cells(&mut self, places: Places<'_>, coloring: Option<&Coloring>, faint: bool) {
        let n = places.points.n_rows();
        let colors = coloring.map_or_else(|| vec![None; n], |coloring| coloring.colors().0);
        assert_eq!(colors.len(), n, "one colour per cell");
        let order = coloring.map_or_else(|| (0..n).collect(), Coloring::order);
        let shade = |color: Rgb| if faint { pale(color) } else { color };
        let frame = self.frame;
        let paint = |scene: &mut Scene| {
            group(scene, "cells", |scene| {
                for &cell in &order {
                    let place = places.of(cell);
                    if place[0].is_finite() && place[1].is_finite() {
                        dot(scene, frame.at(place), radius(n), colors[cell].map_or(MISSING, shade));
                    }
                }
            });
        };
        if n > Picture::MAX_MARKS {
            let mut cells = Scene::with_capacity(self.scene.width, self.scene.height, n).with_background(None);
            paint(&mut cells);
            self.cells = Some(cells);
        } else {
            paint(&mut self.scene);
        }
    }

    /// Creates a picture with frame, title, and legend or colour bar.
    pub(crate) fn blank(frame: Frame, key: Option<&Key>, title: &str, basis: &str) -> Self {
        let beside = key.map_or(0.0, |key| key.width(frame.height));
        let mut scene = paper(frame.right() + beside + MARGIN, frame.bottom() + MARGIN + 4.0);
        frame.draw(&mut scene, title, basis);
        if let Some(key) = key {
            key.draw(&mut scene, frame.right(), frame.top, frame.height);
        }
        Self { frame, scene, cells: None }
    }

    pub(crate) fn finish(self) -> Picture {
        match self.cells {
            Some(cells) => Picture::over(self.scene, cells),
            None => Picture::new(self.scene),
        }
    }
}

/// Draws cells on an embedding.
///
/// # Panics
/// If there is not exactly one colour per cell, or the embedding has fewer than two columns.
#[must_use]
pub fn embedding(places: Places<'_>, coloring: &Coloring, title: &str) -> Picture {
    Sheet::new(places, Some(coloring), title, false).finish()
}
