//! The legend of groups or colour bar of numbers, always beside the frame, so that it covers no cell.

use kuva::render::render::{Primitive, Scene, TextAnchor};

use crate::color::{ColorMap, INK, Rgb, paint};
use crate::frame::{TEXT, dot, line, ring, text, text_width};
use crate::picture::group;

/// Height of a legend entry.
const ROW: f64 = 18.0;
/// Width of a colour bar.
const BAR: f64 = 14.0;
/// Distance from the frame.
const GAP: f64 = 16.0;

/// A legend or colour bar.
pub(crate) enum Key {
    /// A legend: name and colour of each group.
    Legend(Vec<(String, Rgb)>),
    /// A colour bar: the name of the quantity, its range, and one strip per color map.
    Bar { name: String, range: [f64; 2], color_maps: Vec<ColorMap> },
}

impl Key {
    /// Required width beside a frame of this height.
    pub(crate) fn width(&self, height: f64) -> f64 {
        match self {
            Self::Legend(entries) => columns(entries, height).iter().map(|c| column_width(c)).sum::<f64>() + GAP,
            Self::Bar { name, range, color_maps } => {
                let ticks = ticks(*range, 5).into_iter().map(|(_, label)| text_width(&label, TEXT - 1));
                (GAP + bar_width(color_maps.len()) + 8.0 + ticks.fold(0.0, f64::max)).max(GAP + text_width(name, TEXT))
            }
        }
    }

    /// Draws the legend or colour bar to the right of `left`, from `top` downwards.
    pub(crate) fn draw(&self, scene: &mut Scene, left: f64, top: f64, height: f64) {
        match self {
            Self::Legend(entries) => group(scene, "legend", |scene| {
                let mut x = left + GAP;
                for column in columns(entries, height) {
                    for (row, (name, color)) in (0_u32..).zip(column) {
                        let y = top + ROW * (f64::from(row) + 0.5);
                        dot(scene, (x + 5.0, y), 5.0, *color);
                        text(scene, (x + 16.0, y + 4.0), name, TEXT, TextAnchor::Start, false);
                    }
                    x += column_width(column);
                }
            }),
            Self::Bar { name, range, color_maps } => group(scene, "colorbar", |scene| {
                let (x, long) = (left + GAP, bar_length(height));
                let y = top + 24.0;
                text(scene, (x, top + 10.0), name, TEXT, TextAnchor::Start, false);
                let wide = bar_width(color_maps.len());
                #[expect(clippy::cast_precision_loss, reason = "a handful of color maps")]
                let each = wide / color_maps.len() as f64;
                for (i, color_map) in (0_u32..).zip(color_maps) {
                    strip(scene, [x + f64::from(i) * each, y, each, long], *color_map);
                }
                for (value, label) in ticks(*range, 5) {
                    let at = y + long * (1.0 - (value - range[0]) / (range[1] - range[0]));
                    line(scene, vec![(x + wide, at), (x + wide + 4.0, at)], INK, 0.8);
                    text(scene, (x + wide + 7.0, at + 4.0), &label, TEXT - 1, TextAnchor::Start, false);
                }
            }),
        }
    }
}

/// Draws a color map from its start (bottom) to its end (top).
fn strip(scene: &mut Scene, [x, y, width, long]: [f64; 4], color_map: ColorMap) {
    let steps = 100_u32;
    for step in 0..steps {
        let share = (f64::from(step) + 0.5) / f64::from(steps);
        let step_long = long / f64::from(steps);
        scene.add(Primitive::Rect {
            x,
            y: y + long - step_long * f64::from(step + 1),
            width,
            height: step_long + if step == 0 { 0.0 } else { 0.6 },
            fill: paint(color_map.at(share)),
            stroke: None,
            stroke_width: None,
            opacity: None,
        });
    }
}

/// Width of a colour bar with this number of strips.
fn bar_width(strips: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a handful of color maps")]
    let strips = strips as f64;
    if strips > 1.0 { (9.0 * strips).clamp(BAR, 54.0) } else { BAR }
}

/// Length of a colour bar beside a frame of this height. It starts 24 below the top.
pub(crate) fn bar_length(height: f64) -> f64 {
    (height * 0.6).min(260.0)
}

/// Draws a size legend: three rings, the largest for `most`, from `x` to the right and vertically centered at `y`.
pub(crate) fn sizes(scene: &mut Scene, name: &str, most: usize, radius: impl Fn(usize) -> f64, (x, y): (f64, f64)) {
    group(scene, "sizes", |scene| {
        let greatest = radius(most);
        text(scene, (x, y - greatest - 7.0), name, TEXT, TextAnchor::Start, false);
        let mut x = x + greatest;
        let mut shown = [most.div_ceil(10), most.div_ceil(3), most].to_vec();
        shown.dedup();
        for number in shown {
            ring(scene, (x, y), radius(number).max(1.0), [110; 3], 0.9);
            text(scene, (x, y + greatest + 14.0), &number.to_string(), TEXT - 1, TextAnchor::Middle, false);
            x += (2.0 * greatest + 16.0).max(text_width(&most.to_string(), TEXT - 1) + 8.0);
        }
    });
}

fn columns(entries: &[(String, Rgb)], height: f64) -> Vec<&[(String, Rgb)]> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few dozen")]
    let rows = (height / ROW).max(1.0) as usize;
    entries.chunks(rows).collect()
}

fn column_width(entries: &[(String, Rgb)]) -> f64 {
    26.0 + entries.iter().map(|(name, _)| text_width(name, TEXT)).fold(0.0, f64::max)
}

/// About `n` tick values within a range, with their labels.
pub(crate) fn ticks([low, high]: [f64; 2], n: u32) -> Vec<(f64, String)> {
    let span = high - low;
    if !(span > 0.0 && span.is_finite()) {
        return vec![(low, written(low, 2))];
    }
    let rough = span / f64::from(n.max(1));
    let power = 10.0_f64.powf(rough.log10().floor());
    let step = power * [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * power >= rough * 0.999).unwrap_or(10.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a handful of digits")]
    let digits = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
    let first = (low / step - 1e-9).ceil();
    (0..=2 * n)
        .map(|i| (first + f64::from(i)) * step)
        .take_while(|&value| value <= high + 1e-9 * span)
        .map(|value| (value, written(value, digits)))
        .collect()
}

/// Formats a number with at most four digits, without trailing zeros.
pub(crate) fn brief(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e5).contains(&size) {
        return format!("{value:.1e}").replace(".0e", "e");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 6")]
    let digits = if size == 0.0 { 0 } else { (3.0 - size.log10().floor()).clamp(0.0, 6.0) as usize };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn written(value: f64, digits: usize) -> String {
    let value = if value == 0.0 { 0.0 } else { value };
    if value.abs() >= 1e6 || (value != 0.0 && value.abs() < 1e-4) {
        return format!("{value:.1e}");
    }
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(range: [f64; 2]) -> Vec<String> {
        ticks(range, 5).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_within_the_range() {
        assert_eq!(labels([0.0, 1.0]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels([-3.2, 7.9]), ["0", "5"]);
        assert_eq!(labels([0.0, 100.0]), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels([2.0, 2.0]), ["2.00"]);
        for (value, _) in ticks([0.0003, 0.00091], 5) {
            assert!((0.0003..=0.00091).contains(&value));
        }
    }

    #[test]
    fn a_brief_number_has_the_digits_that_tell_it_from_its_neighbours() {
        let all = [0.0, 0.0101, 0.0103, 1.5e-7, 12.25, -3.0, 100_000.0].map(brief);
        assert_eq!(all, ["0", "0.0101", "0.0103", "1.5e-7", "12.25", "-3", "1e5"]);
    }

    #[test]
    fn a_legend_too_long_for_the_frame_goes_on_in_a_second_column() {
        let legend = |n: usize| Key::Legend(vec![("abc".to_owned(), INK); n]);
        assert!(legend(30).width(300.0) > 1.5 * legend(10).width(300.0));
    }
}
