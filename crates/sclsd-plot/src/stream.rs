//! The picture of streamlines over cells.

use sclsd_data::Matrix;

use crate::color::{ColorMap, INK, Rgb};
use crate::embedding::{Coloring, Places, Sheet, range};
use crate::field::Field;
use crate::frame::{Frame, shape};
use crate::key::Key;
use crate::picture::{Picture, group};
use crate::streamlines::{Streamline, streamlines};

/// Points of the grid along the frame's longer side.
const GRID: usize = 60;
/// Widths of a line from where cells hardly move to where they move most, in CSS pixels.
const WIDTHS: [f64; 2] = [0.5, 2.6];
/// Length and half width of an arrow's head.
const HEAD: [f64; 2] = [10.0, 4.8];
/// Distance between arrows on a line.
const BETWEEN: f64 = 130.0;

/// How streamlines are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamStyle {
    /// Lines across the longer side of the picture, about 24 for 1. Above 0. Default: 1.
    pub density: f64,
    /// Radius over which directions are averaged, in sixtieths of the longer side. Above 0. Default: 1.
    pub smooth: f64,
    /// Whether colour says how fast cells move, rather than width alone. Default: no.
    pub color_by_speed: bool,
}

impl Default for StreamStyle {
    fn default() -> Self {
        Self { density: 1.0, smooth: 1.0, color_by_speed: false }
    }
}

/// Streamlines of `velocity`, a direction per cell on the embedding (`n_cells × 2`), evenly spaced.
///
/// Cells are averaged over a grid, and lines end where there are none, as in scvelo's `velocity_embedding_stream`.
///
/// # Panics
/// When there is not one direction per cell.
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

/// Streamlines over cells: see [`stream_lines`]. A line is wide where cells move fast.
///
/// # Panics
/// When there is not one direction per cell.
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

/// The outline of a line whose width varies.
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

/// A line in pieces of one colour each.
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

/// Heads of arrows, spread evenly along a line, and the point of the line each is at.
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
