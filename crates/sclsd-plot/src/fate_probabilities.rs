//! Fate probabilities on an embedding, one panel per fate with the same scale.
//!
//! ```text
//! color(cell, fate) = grey + p(cell, fate) · (color(fate) − grey),   0 ≤ p ≤ 1
//! ```
//!
//! The scale is always 0 to 1, so that panels, and pictures of the model and of the prior, can be compared. A cell that
//! reaches no terminal state has a row of zeros. It is drawn as a ring, because it would otherwise look like a cell
//! that certainly reaches another fate.

use kuva::render::render::{Scene, TextAnchor};

use crate::color::{ColorMap, MISSING, Rgb};
use crate::embedding::{Places, radius, shuffled};
use crate::frame::{Frame, MARGIN, SIDE, TEXT, dot, ring, text, text_width};
use crate::key::{Key, bar_length};
use crate::picture::{Picture, group, paper};

/// Distance between panels.
const GAP: f64 = 16.0;
/// Height of a panel's title, and of the space below a panel.
const HEAD: f64 = 30.0;
/// Legend of a ring.
const UNREACHED: [&str; 2] = ["reaches no", "terminal state"];

/// Fate probabilities of all or some cells, from the model, the prior or the neighbors.
#[derive(Debug, Clone, PartialEq)]
pub struct ColoredFates {
    /// Names of the fates.
    pub names: Vec<String>,
    /// One color per fate.
    pub colors: Vec<[u8; 3]>,
    /// Probabilities, `n_cells × n_fates`, row-major. A row sums to one, or is zero for a cell that reaches no terminal
    /// state.
    pub values: Vec<f64>,
}

impl ColoredFates {
    /// Number of cells.
    ///
    /// # Panics
    /// If there is not exactly one color per fate, or the number of values is not `n_cells × n_fates`.
    #[must_use]
    pub fn n_cells(&self) -> usize {
        let n = self.names.len();
        assert_eq!(self.colors.len(), n, "one color per fate");
        assert!(self.values.len().is_multiple_of(n.max(1)) && (n > 0 || self.values.is_empty()), "cells × fates");
        self.values.len() / n.max(1)
    }

    /// Probabilities of a cell, one per fate.
    pub(crate) fn of(&self, cell: usize) -> &[f64] {
        let n = self.names.len();
        &self.values[cell * n..(cell + 1) * n]
    }

    /// Whether a cell reaches a terminal state.
    pub(crate) fn reaches(&self, cell: usize) -> bool {
        reaches(self.of(cell))
    }

    /// The most likely fate of a cell, with ties to the first; `None` for a cell that reaches no terminal state.
    pub(crate) fn likeliest(&self, cell: usize) -> Option<usize> {
        let row = self.of(cell);
        (0..row.len()).filter(|_| reaches(row)).reduce(|best, fate| if row[fate] > row[best] { fate } else { best })
    }
}

/// Whether a row holds probabilities: all finite, and not all zero.
pub(crate) fn reaches(row: &[f64]) -> bool {
    let sum: f64 = row.iter().sum();
    sum.is_finite() && sum > 0.0
}

/// Draws one panel per fate on the embedding, from light grey (0) to the fate's color (1). Cells that reach no terminal
/// state are drawn as rings.
///
/// All panels paint the cells in the same pseudorandom order, so the visible probabilities of a cell add up to one. (If
/// the most likely cells were on top, as in scanpy's plots of numbers, every panel would exaggerate its fate.)
///
/// # Panics
/// If there is not exactly one row of probabilities per position, or one color per fate.
#[must_use]
pub fn fate_probabilities(places: Places<'_>, fates: &ColoredFates, title: &str) -> Picture {
    let (n_cells, n_fates) = (fates.n_cells(), fates.names.len());
    assert!(n_fates == 0 || n_cells == places.points.n_rows(), "one row of probabilities per place");
    let columns = columns(n_fates);
    let side = [320.0, 320.0, 270.0, 240.0][columns - 1];
    let first = Frame::sized(places.all(), side);
    let top = MARGIN + if title.is_empty() { 18.0 } else { 42.0 };
    #[expect(clippy::cast_precision_loss, reason = "a few fates")]
    let panel = |fate: usize| {
        let (column, row) = ((fate % columns) as f64, (fate / columns) as f64);
        first.moved(MARGIN + column * (first.width + GAP), top + row * (first.height + HEAD))
    };
    let last = panel(n_fates.div_ceil(columns).max(1) * columns - 1);
    let unreached = (0..n_cells).any(|cell| !fates.reaches(cell));
    let color_maps = fates.colors.iter().map(|&color| ColorMap::Toward(color)).collect();
    let key = Key::Bar { name: "probability".into(), range: [0.0, 1.0], color_maps };
    let message = UNREACHED.map(|line| text_width(line, TEXT - 1)).into_iter().fold(0.0, f64::max) + 32.0;
    let beside = if unreached { key.width(first.height).max(message) } else { key.width(first.height) };
    let mut scene = paper(last.right() + beside + MARGIN, last.bottom() + MARGIN + 4.0);
    if !title.is_empty() {
        let middle = f64::midpoint(MARGIN, last.right());
        text(&mut scene, (middle, MARGIN + 10.0), title, TEXT + 2, TextAnchor::Middle, true);
    }
    for (fate, name) in fates.names.iter().enumerate() {
        let frame = panel(fate);
        frame.outline(&mut scene);
        let middle = frame.left + frame.width / 2.0;
        text(&mut scene, (middle, frame.top - 8.0), name, TEXT, TextAnchor::Middle, true);
    }
    panel(n_fates.saturating_sub(1) / columns * columns).axes(&mut scene, places.basis);
    if n_fates > 0 {
        key.draw(&mut scene, last.right(), top, first.height);
    }
    if unreached {
        explain_ring(&mut scene, last.right() + 16.0, top + bar_length(first.height) + 46.0);
    }
    let r = (radius(n_cells) * (side / SIDE).sqrt()).max(0.45);
    let paint = |scene: &mut Scene| {
        for fate in 0..n_fates {
            panel_of_cells(scene, panel(fate), places, fates, fate, r);
        }
    };
    if n_cells * n_fates > Picture::MAX_MARKS {
        let mut cells = Scene::with_capacity(scene.width, scene.height, n_cells * n_fates).with_background(None);
        paint(&mut cells);
        Picture::over(scene, cells)
    } else {
        paint(&mut scene);
        Picture::new(scene)
    }
}

fn panel_of_cells(scene: &mut Scene, frame: Frame, places: Places<'_>, fates: &ColoredFates, fate: usize, r: f64) {
    let color_map = ColorMap::Toward(fates.colors[fate]);
    group(scene, "cells", |scene| {
        for cell in shuffled(fates.n_cells()) {
            let place = places.of(cell);
            if !(place[0].is_finite() && place[1].is_finite()) {
                continue;
            }
            if fates.reaches(cell) {
                dot(scene, frame.at(place), r, color_map.at(fates.of(cell)[fate]));
            } else {
                ring(scene, frame.at(place), r * 0.8, RING, r * 0.4);
            }
        }
    });
}

/// Color of a ring.
const RING: Rgb = [MISSING[0] - 40; 3];

fn explain_ring(scene: &mut Scene, x: f64, y: f64) {
    group(scene, "unreached", |scene| {
        ring(scene, (x + 5.0, y), 3.2, RING, 1.4);
        for (line, message) in (0_u32..).zip(UNREACHED) {
            text(scene, (x + 16.0, y + 4.0 + 14.0 * f64::from(line)), message, TEXT - 1, TextAnchor::Start, false);
        }
    });
}

/// Number of panels per row: a nearly square grid, at most four per row.
fn columns(panels: usize) -> usize {
    if panels <= 3 { panels.max(1) } else { (2..4).find(|c| c * c >= panels).unwrap_or(4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_reaches_nothing_has_no_likeliest_fate_and_of_equals_it_is_the_first() {
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        let values = vec![0.2, 0.5, 0.3, 0.0, 0.0, 0.0, 0.25, 0.25, 0.5, 0.5, 0.5, 0.0];
        let fates = ColoredFates { names, colors: vec![[0; 3]; 3], values };
        let found: Vec<Option<usize>> = (0..fates.n_cells()).map(|cell| fates.likeliest(cell)).collect();
        assert_eq!(found, [Some(1), None, Some(2), Some(0)]);
    }

    #[test]
    fn panels_fill_rows_of_four_at_most() {
        assert_eq!([0, 1, 2, 3, 4, 5, 9, 10, 20].map(columns), [1, 1, 2, 3, 2, 3, 3, 4, 4]);
    }
}
