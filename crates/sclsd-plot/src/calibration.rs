//! Calibration of probabilities: predicted probabilities against observed frequencies, in bins.
//!
//! ```text
//! x(bin) = mean of the probabilities within the bin,   y(bin) = fraction of them that came true
//! ```
//!
//! A reliability diagram (DeGroot and Fienberg, 1983). On the diagonal, three in ten of the cells with a predicted
//! probability of 0.3 reach that fate. Below the diagonal a method is overconfident, above it underconfident.

use kuva::render::render::{Primitive, Scene, TextAnchor};

use crate::color::{INK, Rgb, paint, palette};
use crate::frame::{MARGIN, TEXT, dashes, line, text, text_width, upwards};
use crate::key::{Key, sizes, ticks};
use crate::picture::{Picture, group, paper};

/// Length of a side, in CSS pixels.
const SIDE: f64 = 380.0;
/// Maximum radius of a bin's mark, in CSS pixels.
const RADIUS: f64 = 11.0;

/// Predicted probabilities and observed frequencies of one method, in bins.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationCurve {
    /// Name of the method.
    pub name: String,
    /// Mean predicted probability of each bin.
    pub predicted: Vec<f64>,
    /// Observed frequency in each bin.
    pub observed: Vec<f64>,
    /// Number of predictions in each bin. Empty bins are not drawn.
    pub counts: Vec<usize>,
}

/// Draws one line per method through its bins, marks with an area proportional to the number of predictions, and the
/// diagonal.
///
/// # Panics
/// If the arrays of a curve differ in length.
#[must_use]
pub fn calibration(curves: &[CalibrationCurve], title: &str) -> Picture {
    for curve in curves {
        let n = curve.predicted.len();
        assert!(curve.observed.len() == n && curve.counts.len() == n, "{}: one number per bin", curve.name);
    }
    let colors = palette(curves.len());
    let most = curves.iter().flat_map(|curve| curve.counts.iter().copied()).max().unwrap_or(1).max(1);
    #[expect(clippy::cast_precision_loss, reason = "numbers of predictions are far below 2^52")]
    let radius = |count: usize| (RADIUS * (count as f64 / most as f64).sqrt()).max(1.8);

    let key = Key::Legend(curves.iter().map(|curve| curve.name.clone()).zip(colors.iter().copied()).collect());
    let (left, top) = (MARGIN + 44.0, MARGIN + if title.is_empty() { 6.0 } else { 28.0 });
    let size_key = 3.0 * (2.0 * RADIUS + 16.0).max(text_width(&most.to_string(), TEXT - 1) + 8.0) + 16.0;
    let beside = key.width(SIDE * 0.7).max(size_key).max(text_width("predictions in the bin", TEXT) + 16.0);
    let mut scene = paper(left + SIDE + beside + MARGIN, top + SIDE + 40.0 + MARGIN);
    text(&mut scene, (left + SIDE / 2.0, MARGIN + 10.0), title, TEXT + 2, TextAnchor::Middle, true);
    axes(&mut scene, left, top);
    let at = |x: f64, y: f64| (left + SIDE * x, top + SIDE * (1.0 - y));
    group(&mut scene, "diagonal", |scene| {
        dashes(scene, vec![at(0.0, 0.0), at(1.0, 1.0)], [130; 3], 1.0);
    });
    let bins: Vec<Vec<(usize, (f64, f64))>> = curves.iter().map(|curve| bins(curve, at)).collect();
    group(&mut scene, "curves", |scene| {
        for (bins, &color) in bins.iter().zip(&colors).filter(|(bins, _)| bins.len() > 1) {
            line(scene, bins.iter().map(|bin| bin.1).collect(), color, 1.8);
        }
    });
    group(&mut scene, "bins", |scene| {
        // Large marks first, so that they do not hide small ones.
        let mut marks: Vec<_> =
            bins.iter().zip(&colors).flat_map(|(bins, color)| bins.iter().map(move |bin| (*bin, *color))).collect();
        marks.sort_by_key(|((count, _), _)| std::cmp::Reverse(*count));
        for ((count, place), color) in marks {
            mark(scene, place, radius(count), color);
        }
    });
    key.draw(&mut scene, left + SIDE, top, SIDE * 0.7);
    sizes(&mut scene, "predictions in the bin", most, radius, (left + SIDE + 16.0, top + SIDE - RADIUS - 18.0));
    Picture::new(scene)
}

/// Non-empty bins in order of the prediction, with their number of predictions and position.
fn bins(curve: &CalibrationCurve, at: impl Fn(f64, f64) -> (f64, f64)) -> Vec<(usize, (f64, f64))> {
    let shown =
        |&bin: &usize| curve.counts[bin] > 0 && curve.predicted[bin].is_finite() && curve.observed[bin].is_finite();
    let mut order: Vec<usize> = (0..curve.counts.len()).filter(shown).collect();
    order.sort_by(|&a, &b| curve.predicted[a].total_cmp(&curve.predicted[b]));
    let place = |bin: usize| at(curve.predicted[bin].clamp(0.0, 1.0), curve.observed[bin].clamp(0.0, 1.0));
    order.into_iter().map(|bin| (curve.counts[bin], place(bin))).collect()
}

fn mark(scene: &mut Scene, (cx, cy): (f64, f64), r: f64, color: Rgb) {
    scene.add(Primitive::Circle {
        cx,
        cy,
        r,
        fill: paint(color),
        fill_opacity: None,
        stroke: Some(paint([255; 3])),
        stroke_width: Some(0.9),
    });
}

/// Draws the square from 0 to 1 on both axes, with ticks and axis labels.
fn axes(scene: &mut Scene, left: f64, top: f64) {
    let (right, bottom) = (left + SIDE, top + SIDE);
    group(scene, "frame", |scene| {
        scene.add(Primitive::Rect {
            x: left,
            y: top,
            width: SIDE,
            height: SIDE,
            fill: kuva::render::color::Color::None,
            stroke: Some(paint([150; 3])),
            stroke_width: Some(0.8),
            opacity: None,
        });
        for (value, label) in ticks([0.0, 1.0], 5) {
            let (x, y) = (left + SIDE * value, bottom - SIDE * value);
            line(scene, vec![(x, bottom), (x, bottom + 4.0)], INK, 0.8);
            line(scene, vec![(left - 4.0, y), (left, y)], INK, 0.8);
            text(scene, (x, bottom + 16.0), &label, TEXT - 1, TextAnchor::Middle, false);
            text(scene, (left - 8.0, y + 4.0), &label, TEXT - 1, TextAnchor::End, false);
        }
    });
    let middle = f64::midpoint(left, right);
    text(scene, (middle, bottom + 36.0), "predicted probability", TEXT, TextAnchor::Middle, false);
    upwards(scene, (left - 38.0, f64::midpoint(top, bottom)), "observed frequency", TEXT, TextAnchor::Middle);
}
