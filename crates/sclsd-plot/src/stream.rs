//! Streamlines on top of cells.

use sclsd_data::Matrix;

use crate::color::{ColorMap, INK, Rgb};
use crate::embedding::{Coloring, Places, Sheet, range};
use crate::field::Field;
use crate::frame::{Frame, shape};
use crate::key::Key;
use crate::picture::{Picture, group};
use crate::streamlines::{Streamline, streamlines};

/// Number of grid points along the longer side of the frame.
const GRID: usize = 60;
/// Line widths at the lowest and the highest speed, in CSS pixels.
const WIDTHS: [f64; 2] = [0.5, 2.6];
/// Length and half width of an arrowhead.
const HEAD: [f64; 2] = [10.0, 4.8];
/// Distance between arrowheads along a line.
const BETWEEN: f64 = 130.0;

/// Settings of a streamline plot.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamStyle {
    /// Density of lines: 1 gives about 24 lines across the longer side of the picture. Above 0. Default: 1.
    pub density: f64,
    /// Radius over which velocities are averaged, in sixtieths of the longer side. Above 0. Default: 1.
    pub smooth: f64,
    /// Whether colour shows the speed in addition to line width. Default: no.
    pub color_by_speed: bool,
}

impl Default for StreamStyle {
    fn default() -> Self {
        Self { density: 1.0, smooth: 1.0, color_by_speed: false }
    }
}

/// Computes evenly spaced streamlines of `velocity`, one vector per cell on the embedding (`n_cells × 2`).
///
/// Velocities are averaged on a grid, and lines end where there are no cells, as in scvelo's
/// `velocity_embedding_stream`.
///
/// # Panics
/// If there is not exactly one vector per cell.
#[must_use]
pub fn stream_lines(places: Places<'_>, velocity: &Matrix, style: &StreamStyle) -> Vec<Streamline> {
    assert_eq!(places.points.n_rows(), velocity.n_rows(), "one direction per cell");
    let frame = Frame::around(places.all());
    let field = Field::smooth(places, &frame, GRID, style.smooth, |cell| {
        let row = velocity.row(cell);
        [f64::from(row[0]), f64::from(row[1])]
    });
    streamlines(&field, 480.0 * frame.unit() / (24.0 * style.density))
}

/// Draws streamlines on top of cells: see [`stream_lines`]. Lines are wider where cells move faster.
///
/// # Panics
/// If there is not exactly one vector per cell.
#[must_use]
pub fn stream(places: Places<'_>, velocity: &Matrix, coloring: &Coloring, style: &StreamStyle, title: &str) -> Picture {
    let lines = stream_lines(places, velocity, style);
    let fastest = range(lines.iter().flat_map(|line| line.speeds.iter().copied()))[1];
    let mut sheet = if style.color_by_speed {
        let key = Key::Bar { name: "speed".into(), range: [0.0, fastest], color_maps: vec![ColorMap::Plasma] };
        let mut sheet = Sheet::blank(Frame::around(places.all()), Some(&key), title, places.basis);
        sheet.paint_cells(places, None, false);
        sheet
    } else {
        Sheet::new(places, Some(coloring), title, true)
    };
    let frame = sheet.frame;
    group(&mut sheet.scene, "streamlines", |scene| {
        for line in &lines {
            let places: Vec<(f64, f64)> = line.places.iter().map(|&p| frame.at(p)).collect();
            let widths: Vec<f64> =
                line.speeds.iter().map(|s| WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * (s / fastest).sqrt()).collect();
            if style.color_by_speed {
                pieces(&places, &widths, &line.speeds, fastest, |points, color| shape(scene, points, color));
            } else {
                shape(scene, &ribbon(&places, &widths), INK);
            }
            for (head, at) in heads(&places) {
                let color = if style.color_by_speed { ColorMap::Plasma.at(line.speeds[at] / fastest) } else { INK };
                shape(scene, &head, color);
            }
        }
    });
    sheet.finish()
}

/// Outline of a line with varying width.
fn ribbon(places: &[(f64, f64)], widths: &[f64]) -> Vec<(f64, f64)> {
    let side = |way: f64| {
        (0..places.len()).map(move |i| {
            let (a, b) = (places[i.saturating_sub(1)], places[(i + 1).min(places.len() - 1)]);
            let (dx, dy) = (b.0 - a.0, b.1 - a.1);
            let scale = way * widths[i] / 2.0 / dx.hypot(dy).max(1e-9);
            (places[i].0 - dy * scale, places[i].1 + dx * scale)
        })
    };
    side(1.0).chain(side(-1.0).rev()).collect()
}

/// Splits a line into pieces of one colour each.
fn pieces(
    places: &[(f64, f64)],
    widths: &[f64],
    speeds: &[f64],
    fastest: f64,
    mut draw: impl FnMut(&[(f64, f64)], Rgb),
) {
    const PIECE: usize = 6;
    for start in (0..places.len() - 1).step_by(PIECE) {
        let end = (start + PIECE + 1).min(places.len());
        let color = ColorMap::Plasma.at(speeds[usize::midpoint(start, end - 1)] / fastest);
        draw(&ribbon(&places[start..end], &widths[start..end]), color);
    }
}

/// Arrowheads, evenly spaced along a line, each with the index of its point.
fn heads(places: &[(f64, f64)]) -> Vec<(Vec<(f64, f64)>, usize)> {
    let mut run = vec![0.0];
    for pair in places.windows(2) {
        run.push(run[run.len() - 1] + (pair[1].0 - pair[0].0).hypot(pair[1].1 - pair[0].1));
    }
    let whole = run[run.len() - 1];
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few arrows to a line")]
    let n = (whole / BETWEEN).round().max(1.0) as u32;
    (0..n)
        .map(|i| {
            let target = whole * (f64::from(i) + 0.5) / f64::from(n) + HEAD[0] / 2.0;
            let at = run.partition_point(|&r| r < target).clamp(1, places.len() - 1);
            let before = run.partition_point(|&r| r < target - HEAD[0]).min(at - 1);
            let (tip, tail) = (places[at], places[before]);
            let (dx, dy) = (tip.0 - tail.0, tip.1 - tail.1);
            let scale = 1.0 / dx.hypot(dy).max(1e-9);
            let (ux, uy) = (dx * scale, dy * scale);
            let base = (tip.0 - ux * HEAD[0], tip.1 - uy * HEAD[0]);
            let notch = (tip.0 - ux * HEAD[0] * 0.72, tip.1 - uy * HEAD[0] * 0.72);
            let head = vec![
                tip,
                (base.0 - uy * HEAD[1], base.1 + ux * HEAD[1]),
                notch,
                (base.0 + uy * HEAD[1], base.1 - ux * HEAD[1]),
            ];
            (head, at)
        })
        .collect()
}
