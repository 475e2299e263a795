//! Paths on an embedding: random walks of the prior, and trajectories of the model.

use kuva::render::render::{Primitive, TextAnchor};

use crate::color::{INK, Rgb, paint};
use crate::embedding::{Coloring, Places, Sheet};
use crate::frame::{TEXT, dot, line, text};
use crate::picture::{Picture, group};

/// A group of paths: positions on the embedding from start to end.
#[derive(Debug, Clone, PartialEq)]
pub struct Paths {
    /// Name of the group, such as "prior walks".
    pub name: String,
    /// Positions of each path.
    pub places: Vec<Vec<[f64; 2]>>,
}

/// Colours of the groups of paths.
const KINDS: [Rgb; 3] = [INK, [202, 40, 40], [20, 90, 180]];

/// Draws paths on top of cells, with a ring at each start and a disc at each end.
///
/// # Panics
/// If there is not exactly one colour per cell.
#[must_use]
pub fn walks(places: Places<'_>, coloring: &Coloring, kinds: &[Paths], title: &str) -> Picture {
    let mut sheet = Sheet::new(places, Some(coloring), title, true);
    let frame = sheet.frame;
    for (kind, color) in kinds.iter().zip(KINDS.iter().cycle()) {
        let paths: Vec<Vec<(f64, f64)>> =
            kind.places.iter().map(|path| path.iter().map(|&p| frame.at(p)).collect()).collect();
        group(&mut sheet.scene, "paths", |scene| {
            for path in paths.iter().filter(|path| path.len() > 1) {
                line(scene, path.clone(), [255; 3], 2.2);
                line(scene, path.clone(), *color, 1.1);
            }
        });
        group(&mut sheet.scene, "ends", |scene| {
            for path in paths.iter().filter(|path| !path.is_empty()) {
                ring(scene, path[0], *color);
                dot(scene, path[path.len() - 1], 3.6, *color);
            }
        });
    }
    group(&mut sheet.scene, "kinds", |scene| {
        let mut x = frame.left + 110.0;
        let y = frame.bottom() + 13.0;
        for (kind, color) in kinds.iter().zip(KINDS.iter().cycle()) {
            line(scene, vec![(x, y), (x + 24.0, y)], *color, 1.4);
            ring(scene, (x, y), *color);
            dot(scene, (x + 24.0, y), 3.6, *color);
            let name = format!("{} (ring: start, disc: end)", kind.name);
            text(scene, (x + 34.0, y + 4.0), &name, TEXT - 2, TextAnchor::Start, false);
            x += 50.0 + crate::frame::text_width(&name, TEXT - 2);
        }
        scene.width = scene.width.max(x + 8.0);
    });
    sheet.finish()
}

fn ring(scene: &mut kuva::render::render::Scene, (cx, cy): (f64, f64), color: Rgb) {
    scene.add(Primitive::Circle {
        cx,
        cy,
        r: 3.2,
        fill: paint([255; 3]),
        fill_opacity: None,
        stroke: Some(paint(color)),
        stroke_width: Some(1.3),
    });
}
