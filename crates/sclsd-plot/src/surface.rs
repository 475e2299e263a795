//! The landscape as a shaded 3D surface, with paths of cells rolling down.

use kuva::render::render::{Scene, TextAnchor};

use crate::color::{ColorMap, INK, Rgb, mix};
use crate::embedding::range;
use crate::frame::{MARGIN, TEXT, dot, line, shape, text};
use crate::landscape::Landscape;
use crate::picture::{Picture, group};

/// Viewpoint of a surface, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Rotation about the vertical axis. Default: -60, as in matplotlib.
    pub azimuth: f64,
    /// Elevation above the horizon. Default: 42.
    pub elevation: f64,
}

impl Default for View {
    fn default() -> Self {
        Self { azimuth: -60.0, elevation: 42.0 }
    }
}

/// Height of the surface as a fraction of its longer side.
const RELIEF: f64 = 0.42;
/// Size of the drawing, in CSS pixels.
const SURFACE: f64 = 560.0;
/// Direction of the light: from the left, the front and above.
const LIGHT: [f64; 3] = [-0.35, -0.45, 0.82];

/// Projects points of the unit square with heights to the picture: x, y and depth towards the viewer.
struct Eye {
    azimuth: (f64, f64),
    elevation: (f64, f64),
}

impl Eye {
    fn new(view: View) -> Self {
        Self { azimuth: view.azimuth.to_radians().sin_cos(), elevation: view.elevation.to_radians().sin_cos() }
    }

    fn see(&self, [x, y, z]: [f64; 3]) -> ([f64; 2], f64) {
        let ((sa, ca), (se, ce)) = (self.azimuth, self.elevation);
        let across = -sa * x + ca * y;
        let towards = ca * x + sa * y;
        ([across, se * towards - ce * z], ce * towards + se * z)
    }
}

/// Parts of a surface, painted from back to front.
enum Piece {
    Tile([(f64, f64); 4], Rgb),
    Stretch(Vec<(f64, f64)>),
    End((f64, f64)),
}

/// Draws the landscape as a shaded surface, with paths of cells rolling down.
#[must_use]
pub fn surface(landscape: &Landscape, paths: &[Vec<[f64; 2]>], view: View, title: &str) -> Picture {
    let eye = Eye::new(view);
    let (low, size) = landscape.frame.extent();
    let long = size[0].max(size[1]);
    let unit = |[x, y]: [f64; 2], height: f64| {
        [(x - low[0] - size[0] / 2.0) / long, (y - low[1] - size[1] / 2.0) / long, RELIEF * (height - 0.5)]
    };
    let mut pieces: Vec<(f64, Piece)> = Vec::new();
    let mut corners: Vec<[f64; 2]> = Vec::new();
    for (column, row, heights) in landscape.squares() {
        let places = [(0, 0), (1, 0), (1, 1), (0, 1)].map(|(c, r)| landscape.field.place(column + c, row + r));
        let points: [[f64; 3]; 4] = std::array::from_fn(|i| unit(places[i], heights[i]));
        let seen = points.map(|p| eye.see(p));
        let depth = seen.iter().map(|s| s.1).sum::<f64>() / 4.0;
        corners.extend(seen.iter().map(|s| s.0));
        let tile = seen.map(|s| (s.0[0], s.0[1]));
        pieces.push((depth, Piece::Tile(tile, lit(points, heights.iter().sum::<f64>() / 4.0))));
    }
    for path in paths {
        let above = |&place: &[f64; 2]| landscape.height(place).map(|height| eye.see(unit(place, height + 0.015)));
        let seen: Vec<Option<([f64; 2], f64)>> = path.iter().map(above).collect();
        for pair in seen.windows(2) {
            if let [Some(a), Some(b)] = pair {
                let stretch = vec![(a.0[0], a.0[1]), (b.0[0], b.0[1])];
                // Slightly towards the viewer, so that the tile below does not hide the path.
                pieces.push((a.1.max(b.1) + 0.02, Piece::Stretch(stretch)));
            }
        }
        if let Some(Some((place, depth))) = seen.last() {
            pieces.push((depth + 0.03, Piece::End((place[0], place[1]))));
        }
    }
    pieces.sort_by(|a, b| a.0.total_cmp(&b.0));

    let across = range(corners.iter().map(|c| c[0]));
    let down = range(corners.iter().map(|c| c[1]));
    let scale = SURFACE / (across[1] - across[0]).max(down[1] - down[0]);
    let top = MARGIN + 30.0;
    let at = |(x, y): (f64, f64)| (MARGIN + (x - across[0]) * scale, top + (y - down[0]) * scale);
    let (width, height) = ((across[1] - across[0]) * scale, (down[1] - down[0]) * scale);
    let key = landscape.key();
    let mut scene = Scene::new(MARGIN + width + key.width(height) + MARGIN, top + height.max(160.0) + MARGIN);
    text(&mut scene, (MARGIN + width / 2.0, MARGIN + 6.0), title, TEXT + 2, TextAnchor::Middle, true);
    key.draw(&mut scene, MARGIN + width, top, height);
    group(&mut scene, "surface", |scene| {
        for (_, piece) in pieces {
            match piece {
                Piece::Tile(corners, color) => tile(scene, corners.map(at), color),
                Piece::Stretch(points) => line(scene, points.into_iter().map(at).collect(), INK, 1.4),
                Piece::End(place) => dot(scene, at(place), 3.2, INK),
            }
        }
    });
    Picture::new(scene)
}

/// Draws a tile with an edge of its own colour, so that there are no gaps between tiles.
fn tile(scene: &mut Scene, corners: [(f64, f64); 4], color: Rgb) {
    let middle = (corners.iter().map(|c| c.0).sum::<f64>() / 4.0, corners.iter().map(|c| c.1).sum::<f64>() / 4.0);
    let grown = corners.map(|(x, y)| {
        let (dx, dy) = (x - middle.0, y - middle.1);
        let more = 1.0 + 0.35 / dx.hypot(dy).max(0.35);
        (middle.0 + dx * more, middle.1 + dy * more)
    });
    shape(scene, &grown, color);
}

/// Colour of a height with shading.
fn lit(points: [[f64; 3]; 4], height: f64) -> Rgb {
    let edge = |a: usize, b: usize| -> [f64; 3] { std::array::from_fn(|i| points[b][i] - points[a][i]) };
    let ([ax, ay, az], [bx, by, bz]) = (edge(0, 2), edge(1, 3));
    let normal = [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx];
    let long = normal.iter().map(|n| n * n).sum::<f64>().sqrt().max(1e-300);
    let facing = normal.iter().zip(LIGHT).map(|(n, l)| n * l).sum::<f64>() / long;
    let color = ColorMap::Viridis.at(height);
    if facing < 0.75 {
        mix(color, [0; 3], 0.45 * (0.75 - facing).min(1.0))
    } else {
        mix(color, [255; 3], (facing - 0.75) * 0.9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surface_is_painted_from_the_back_to_the_front() {
        let eye = Eye::new(View { azimuth: 0.0, elevation: 0.0 });
        let (front, near) = eye.see([0.5, 0.0, 0.0]);
        let (back, far) = eye.see([-0.5, 0.0, 0.0]);
        assert!(near > far);
        assert!((front[0] - back[0]).abs() < 1e-12);
        let (high, _) = eye.see([0.0, 0.0, 0.3]);
        assert!(high[1] < front[1], "what is higher stands further up on paper");
    }
}
