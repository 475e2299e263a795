//! Circular projection of fate probabilities: fates at the corners, and each cell between the fates it may reach.
//!
//! ```text
//! corner(k) = (sin 2πk/K, cos 2πk/K)            k = 0 … K−1: the first above, the others clockwise
//! place(cell) = Σ_k p(cell, k) corner(k) / Σ_k p(cell, k)
//! ```
//!
//! The circular projection of Velten et al. (2017, STEMNET), as in CellRank's `circular_projection`. With three fates a
//! position determines all three probabilities. With more, different probabilities may share a position. Two fates are
//! drawn on a line, the first at the left end. The vertical position of a cell then only shows the density of cells:
//! see [`fate_circle`].

use kuva::render::render::{Scene, TextAnchor};

use crate::color::{INK, MISSING, Rgb};
use crate::embedding::{Coloring, mixed, radius, shuffled};
use crate::fate_probabilities::ColoredFates;
use crate::frame::{MARGIN, SIDE, TEXT, dashes, dot, line, ring, text, text_width};
use crate::key::{Key, ticks};
use crate::picture::{Picture, group, paper};

/// Distance of a corner from the center.
const RADIUS: f64 = 0.42 * SIDE;
/// Maximum distance of a cell from the line between two fates.
const SPREAD: f64 = 62.0;
/// Distance of a name from its corner.
const BEYOND: f64 = 16.0;
const FAINT: Rgb = [205; 3];

/// Draws cells between their fates, colored by `coloring`, or by their most likely fate if there is none. Cells that
/// reach no terminal state have no position; their number is printed below the picture.
///
/// Two fates are drawn on a line. Cells are scattered above and below the line by pseudorandom distances, with mean
/// zero and the same for the same data. The maximum distance grows with the square root of the local density of cells.
///
/// # Panics
/// If there are fewer than two fates, or the numbers of rows of probabilities and of cells in the coloring differ.
#[must_use]
pub fn fate_circle(fates: &ColoredFates, coloring: Option<&Coloring>, title: &str) -> Picture {
    let (n_cells, n_fates) = (fates.n_cells(), fates.names.len());
    assert!(n_fates >= 2, "a circle has two fates or more");
    let (colors, order, key) = match coloring {
        Some(coloring) => {
            let (colors, key) = coloring.colors();
            (colors, coloring.order(), Some(key))
        }
        None => {
            let of = |cell| fates.likeliest(cell).map(|fate| fates.colors[fate]);
            ((0..n_cells).map(of).collect(), shuffled(n_cells), None)
        }
    };
    assert_eq!(colors.len(), n_cells, "one color per row of probabilities");
    let places = places(fates);
    let plan = Plan::new(fates, title, key.as_ref(), places.iter().any(Option::is_none));
    let mut scene = paper(plan.width, plan.height);
    plan.draw(&mut scene, fates, title);
    if let Some(key) = &key {
        key.draw(&mut scene, plan.right, plan.top, plan.bottom - plan.top);
    }
    let missing = places.iter().filter(|place| place.is_none()).count();
    if missing > 0 {
        let message = format!("not shown: {missing} of {n_cells} cells, which reach no terminal state");
        text(&mut scene, (plan.center.0, plan.bottom + 18.0), &message, TEXT - 1, TextAnchor::Middle, false);
    }
    let paint = |scene: &mut Scene| {
        group(scene, "cells", |scene| {
            for &cell in &order {
                if let Some(place) = places[cell] {
                    dot(scene, plan.at(place), radius(n_cells) * 0.8, colors[cell].unwrap_or(MISSING));
                }
            }
        });
    };
    if n_cells > Picture::MAX_MARKS {
        let mut cells = Scene::with_capacity(scene.width, scene.height, n_cells).with_background(None);
        paint(&mut cells);
        return Picture::over(scene, cells);
    }
    paint(&mut scene);
    Picture::new(scene)
}

/// Position of a fate's corner on the unit circle.
fn corner(fate: usize, n_fates: usize) -> [f64; 2] {
    #[expect(clippy::cast_precision_loss, reason = "a few fates")]
    let (fate, n) = (fate as f64, n_fates as f64);
    if n_fates == 2 {
        return [2.0 * fate - 1.0, 0.0];
    }
    let (sin, cos) = (std::f64::consts::TAU * fate / n).sin_cos();
    [sin, cos]
}

/// Positions of the cells in the unit circle; `None` for cells that reach no fate.
fn places(fates: &ColoredFates) -> Vec<Option<[f64; 2]>> {
    let n = fates.names.len();
    let corners: Vec<[f64; 2]> = (0..n).map(|fate| corner(fate, n)).collect();
    let mean = |cell: usize| {
        let row = fates.of(cell);
        let sum: f64 = row.iter().sum();
        let along = |axis: usize| row.iter().zip(&corners).map(|(p, corner)| p * corner[axis]).sum::<f64>() / sum;
        fates.reaches(cell).then(|| [along(0), along(1)])
    };
    let mut places: Vec<Option<[f64; 2]>> = (0..fates.n_cells()).map(mean).collect();
    if n == 2 {
        spread(&mut places);
    }
    places
}

/// Scatters cells off the line from −1 to 1 by pseudorandom distances with mean zero, further where cells are denser.
fn spread(places: &mut [Option<[f64; 2]>]) {
    const BINS: usize = 40;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a bin's number, held within 0…39"
    )]
    let bin = |x: f64| ((f64::midpoint(x, 1.0) * BINS as f64).max(0.0) as usize).min(BINS - 1);
    let mut counts = [0.0_f64; BINS];
    for [x, _] in places.iter().flatten() {
        counts[bin(*x)] += 1.0;
    }
    // average with the neighboring bins, so that the outline is smooth
    let smooth: Vec<f64> = (0..BINS)
        .map(|i| (counts[i.saturating_sub(1)] + 2.0 * counts[i] + counts[(i + 1).min(BINS - 1)]) / 4.0)
        .collect();
    let most = smooth.iter().copied().fold(1.0, f64::max);
    let (mut sum, mut n) = (0.0, 0_u32);
    for (cell, place) in (1_u64..).zip(places.iter_mut()) {
        if let Some([x, y]) = place {
            #[expect(clippy::cast_precision_loss, reason = "a draw between −1 and 1")]
            let chance = mixed(cell) as f64 / u64::MAX as f64 * 2.0 - 1.0;
            *y = chance * (smooth[bin(*x)] / most).sqrt() * SPREAD / RADIUS;
            sum += *y;
            n += 1;
        }
    }
    for [_, y] in places.iter_mut().flatten() {
        *y -= sum / f64::from(n);
    }
}

/// Layout of the picture.
struct Plan {
    width: f64,
    height: f64,
    center: (f64, f64),
    top: f64,
    right: f64,
    bottom: f64,
}

impl Plan {
    fn new(fates: &ColoredFates, title: &str, key: Option<&Key>, note: bool) -> Self {
        let n = fates.names.len();
        let head = if title.is_empty() { 0.0 } else { 24.0 };
        // Extent of the names to the left and right of the center.
        let mut reach = [RADIUS + 8.0; 2];
        for (fate, name) in fates.names.iter().enumerate() {
            let (wide, x) = (text_width(name, TEXT + 1), corner(fate, n)[0] * (RADIUS + BEYOND));
            let [before, after] = match anchor(fate, n) {
                TextAnchor::Start => [0.0, wide],
                TextAnchor::End => [wide, 0.0],
                TextAnchor::Middle => [wide / 2.0; 2],
            };
            reach = [reach[0].max(before - x), reach[1].max(after + x)];
        }
        let half = text_width(title, TEXT + 2) / 2.0;
        let center_x = MARGIN + reach[0].max(half);
        let right = center_x + reach[1].max(half);
        let (above, below) = if n == 2 { (SPREAD + 16.0, SPREAD + 60.0) } else { (RADIUS + 30.0, RADIUS + 30.0) };
        let top = MARGIN + head;
        let bottom = top + above + below;
        let beside = key.map_or(0.0, |key| key.width(bottom - top));
        let height = bottom + if note { 24.0 } else { 0.0 } + MARGIN;
        Self { width: right + beside + MARGIN, height, center: (center_x, top + above), top, right, bottom }
    }

    fn at(&self, [x, y]: [f64; 2]) -> (f64, f64) {
        (self.center.0 + x * RADIUS, self.center.1 - y * RADIUS)
    }

    /// Draws the title, the circle or line, the corners and their names.
    fn draw(&self, scene: &mut Scene, fates: &ColoredFates, title: &str) {
        let n = fates.names.len();
        if !title.is_empty() {
            text(scene, (self.center.0, MARGIN + 10.0), title, TEXT + 2, TextAnchor::Middle, true);
        }
        let corners: Vec<[f64; 2]> = (0..n).map(|fate| corner(fate, n)).collect();
        group(scene, "circle", |scene| {
            if n == 2 {
                self.scale(scene, &fates.names[1]);
            } else {
                ring(scene, self.center, RADIUS, FAINT, 1.0);
                line(scene, corners.iter().chain(&corners[..1]).map(|&c| self.at(c)).collect(), FAINT, 1.0);
                for &corner in &corners {
                    dashes(scene, vec![self.center, self.at(corner)], FAINT, 0.8);
                }
            }
        });
        group(scene, "corners", |scene| {
            for (fate, &corner) in corners.iter().enumerate() {
                let ((x, y), color) = (self.at(corner), fates.colors[fate]);
                if n == 2 {
                    let x = x + corner[0] * BEYOND / 2.0;
                    line(scene, vec![(x, y - SPREAD), (x, y + SPREAD)], color, 4.0);
                } else {
                    ring(scene, (x, y), 8.0, color, 3.0);
                }
                let (x, y) = self.at(corner.map(|c| c * (RADIUS + BEYOND) / RADIUS));
                // Below a corner at the bottom, above one at the top, level with those at the sides.
                let y = y + 4.5 - 4.5 * corner[1];
                text(scene, (x, y), &fates.names[fate], TEXT + 1, anchor(fate, n), true);
            }
        });
    }

    /// Draws the line between two fates, its midpoint, and the scale of the second fate's probability.
    fn scale(&self, scene: &mut Scene, second: &str) {
        line(scene, vec![self.at([-1.0, 0.0]), self.at([1.0, 0.0])], FAINT, 1.0);
        let foot = self.center.1 + SPREAD + 16.0;
        dashes(scene, vec![(self.center.0, self.center.1 - SPREAD - 6.0), (self.center.0, foot)], FAINT, 0.8);
        line(scene, vec![(self.center.0 - RADIUS, foot), (self.center.0 + RADIUS, foot)], INK, 0.8);
        for (value, label) in ticks([0.0, 1.0], 5) {
            let x = self.center.0 + (2.0 * value - 1.0) * RADIUS;
            line(scene, vec![(x, foot), (x, foot + 4.0)], INK, 0.8);
            text(scene, (x, foot + 16.0), &label, TEXT - 1, TextAnchor::Middle, false);
        }
        let name = format!("probability of {second}");
        text(scene, (self.center.0, foot + 34.0), &name, TEXT, TextAnchor::Middle, false);
    }
}

/// Text anchor that places a name outside the circle.
fn anchor(fate: usize, n_fates: usize) -> TextAnchor {
    match corner(fate, n_fates)[0] {
        x if x > 0.2 => TextAnchor::Start,
        x if x < -0.2 => TextAnchor::End,
        _ => TextAnchor::Middle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(n: usize, values: Vec<f64>) -> ColoredFates {
        ColoredFates { names: vec!["fate".into(); n], colors: vec![[0; 3]; n], values }
    }

    #[test]
    fn a_sure_cell_stands_at_its_corner_and_an_undecided_one_in_the_middle() {
        for n in 3..7_u32 {
            let size = n as usize;
            let mut values = vec![0.0; size * size];
            for fate in 0..size {
                values[fate * size + fate] = 1.0;
            }
            values.extend(vec![1.0 / f64::from(n); size]);
            values.extend(vec![0.0; size]);
            let found = places(&fates(size, values));
            for (fate, place) in found.iter().take(size).enumerate() {
                let place = place.expect("a sure cell has a place");
                let expected = corner(fate, size);
                assert!((place[0] - expected[0]).abs() < 1e-12 && (place[1] - expected[1]).abs() < 1e-12);
                assert!((place[0].hypot(place[1]) - 1.0).abs() < 1e-12, "corners are on the circle");
            }
            let [x, y] = found[size].expect("an undecided cell has a place");
            assert!(x.hypot(y) < 1e-12, "{x} {y}");
            assert_eq!(found[size + 1], None, "a cell without a fate has none");
        }
    }

    #[test]
    fn with_two_fates_the_way_along_the_line_is_the_probability_and_the_height_is_zero_in_the_mean() {
        let shares: Vec<f64> = (0..200_u32).map(|i| f64::from(i * i % 200) / 199.0).collect();
        let values: Vec<f64> = shares.iter().flat_map(|p| [1.0 - p, *p]).collect();
        let found = places(&fates(2, values.clone()));
        assert_eq!(found, places(&fates(2, values)), "the same data, the same places");
        let mut sum = 0.0;
        for (place, share) in found.iter().zip(&shares) {
            let [x, y] = place.expect("a place");
            assert!((x - (2.0 * share - 1.0)).abs() < 1e-12);
            assert!(y.abs() < 1.2 * SPREAD / RADIUS, "{y}");
            sum += y;
        }
        assert!(sum.abs() < 1e-10, "{sum}");
    }
}
