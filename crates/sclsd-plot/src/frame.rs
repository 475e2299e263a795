//! The frame of a picture on an embedding: maps positions of cells to the picture, and draws title and axis labels.

use kuva::render::render::{PathData, Primitive, Scene, TextAnchor};

use crate::color::{INK, Rgb, paint};
use crate::picture::group;

/// Length of the longer side, in CSS pixels.
pub(crate) const SIDE: f64 = 480.0;
/// Space around the outermost cells.
const PADDING: f64 = 14.0;
/// Space around the picture.
pub(crate) const MARGIN: f64 = 22.0;
/// Size of text, in CSS pixels.
pub(crate) const TEXT: u32 = 12;

/// A rectangle in the picture that holds the embedding, with the same scale on both axes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
    /// Position in the embedding of the center of the frame.
    center: [f64; 2],
    scale: f64,
}

impl Frame {
    /// A frame around all finite points.
    pub(crate) fn around(points: impl Iterator<Item = [f64; 2]>) -> Self {
        Self::sized(points, SIDE)
    }

    /// A frame around all finite points with the given length of the longer side.
    pub(crate) fn sized(points: impl Iterator<Item = [f64; 2]>, side: f64) -> Self {
        let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        for point in points.filter(|p| p[0].is_finite() && p[1].is_finite()) {
            for axis in 0..2 {
                low[axis] = low[axis].min(point[axis]);
                high[axis] = high[axis].max(point[axis]);
            }
        }
        if low[0] > high[0] {
            (low, high) = ([0.0; 2], [1.0; 2]);
        }
        let range = [0, 1].map(|axis| (high[axis] - low[axis]).max(f64::MIN_POSITIVE));
        let space = side - 2.0 * PADDING;
        let scale = (space / range[0].max(range[1])).min(1e30);
        let [width, height] = range.map(|r| (r * scale + 2.0 * PADDING).max(0.6 * side));
        let center = [0, 1].map(|axis| f64::midpoint(low[axis], high[axis]));
        Self { left: MARGIN, top: MARGIN + 18.0, width, height, center, scale }
    }

    /// The same frame at another position in the picture.
    pub(crate) fn moved(self, left: f64, top: f64) -> Self {
        Self { left, top, ..self }
    }

    /// Position in the picture of a point of the embedding.
    pub(crate) fn at(&self, [x, y]: [f64; 2]) -> (f64, f64) {
        (
            self.left + self.width / 2.0 + (x - self.center[0]) * self.scale,
            self.top + self.height / 2.0 - (y - self.center[1]) * self.scale,
        )
    }

    /// The lowest corner and the extent of the frame, in units of the embedding.
    pub(crate) fn extent(&self) -> ([f64; 2], [f64; 2]) {
        let size = [self.width / self.scale, self.height / self.scale];
        ([self.center[0] - size[0] / 2.0, self.center[1] - size[1] / 2.0], size)
    }

    /// Units of the embedding per CSS pixel.
    pub(crate) fn unit(&self) -> f64 {
        1.0 / self.scale
    }

    pub(crate) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// Draws the title, the axis labels and the outline.
    pub(crate) fn draw(&self, scene: &mut Scene, title: &str, basis: &str) {
        self.outline(scene);
        let middle = self.left + self.width / 2.0;
        text(scene, (middle, self.top - 9.0), title, TEXT + 2, TextAnchor::Middle, true);
        self.axes(scene, basis);
    }

    /// Draws the outline.
    pub(crate) fn outline(&self, scene: &mut Scene) {
        group(scene, "frame", |scene| {
            scene.add(Primitive::Rect {
                x: self.left,
                y: self.top,
                width: self.width,
                height: self.height,
                fill: kuva::render::color::Color::None,
                stroke: Some(paint([150; 3])),
                stroke_width: Some(0.8),
                opacity: None,
            });
        });
    }

    /// Draws the axis labels at the lower left corner.
    pub(crate) fn axes(&self, scene: &mut Scene, basis: &str) {
        let name = basis.strip_prefix("X_").unwrap_or(basis).to_uppercase();
        text(scene, (self.left, self.bottom() + 15.0), &format!("{name} 1"), TEXT - 2, TextAnchor::Start, false);
        upwards(scene, (self.left - 7.0, self.bottom()), &format!("{name} 2"), TEXT - 2, TextAnchor::Start);
    }
}

pub(crate) fn text(scene: &mut Scene, (x, y): (f64, f64), content: &str, size: u32, anchor: TextAnchor, bold: bool) {
    scene.add(Primitive::Text {
        x,
        y,
        content: content.to_owned(),
        size,
        anchor,
        rotate: None,
        bold,
        color: Some(paint(INK)),
    });
}

/// Text rotated to run upwards.
pub(crate) fn upwards(scene: &mut Scene, (x, y): (f64, f64), content: &str, size: u32, anchor: TextAnchor) {
    scene.add(Primitive::Text {
        x,
        y,
        content: content.to_owned(),
        size,
        anchor,
        rotate: Some(-90.0),
        bold: false,
        color: Some(paint(INK)),
    });
}

/// Approximate width of a text, in CSS pixels, rounded up rather than down.
pub(crate) fn text_width(content: &str, size: u32) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | '\'' | '|' | ' ' => 0.36,
        'f' | 't' | 'r' | '(' | ')' | '-' | '/' => 0.44,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 1.0,
        c if c.is_uppercase() => 0.76,
        c if c.is_ascii() => 0.65,
        _ => 0.9,
    };
    f64::from(size) * content.chars().map(em).sum::<f64>()
}

/// A filled polygon.
pub(crate) fn shape(scene: &mut Scene, points: &[(f64, f64)], fill: Rgb) {
    let mut d = kuva::render::render::build_path(points);
    d.push('Z');
    scene.add(Primitive::Path(Box::new(PathData {
        d,
        fill: Some(paint(fill)),
        stroke: kuva::render::color::Color::None,
        stroke_width: 0.0,
        opacity: None,
        stroke_dasharray: None,
    })));
}

pub(crate) fn line(scene: &mut Scene, points: Vec<(f64, f64)>, color: Rgb, width: f64) {
    scene.add(Primitive::PolyLine { points, stroke: paint(color), stroke_width: width, stroke_dasharray: None });
}

pub(crate) fn dot(scene: &mut Scene, (cx, cy): (f64, f64), r: f64, fill: Rgb) {
    scene.add(Primitive::Circle { cx, cy, r, fill: paint(fill), fill_opacity: None, stroke: None, stroke_width: None });
}

/// A dashed line, for reference curves.
pub(crate) fn dashes(scene: &mut Scene, points: Vec<(f64, f64)>, color: Rgb, width: f64) {
    let stroke_dasharray = Some("5 4".to_owned());
    scene.add(Primitive::PolyLine { points, stroke: paint(color), stroke_width: width, stroke_dasharray });
}

/// An unfilled circle.
pub(crate) fn ring(scene: &mut Scene, (cx, cy): (f64, f64), r: f64, color: Rgb, width: f64) {
    let (stroke, stroke_width) = (Some(paint(color)), Some(width));
    let fill = kuva::render::color::Color::None;
    scene.add(Primitive::Circle { cx, cy, r, fill, fill_opacity: None, stroke, stroke_width });
}
