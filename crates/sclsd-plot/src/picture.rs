//! A picture is a scene of marks that is rendered as SVG or PNG.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kuva::backend::png::PngBackend;
use kuva::backend::svg::SvgBackend;
use kuva::render::render::{Primitive, Scene};
use sclsd_spec::{Choice, UnknownName};

use crate::color::INK;

/// Font families, starting with the one in which text widths were measured.
pub(crate) const FONTS: &str = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";

/// Pixels of a PNG per unit of the picture.
const DOTS: f32 = 2.0;
/// Pixels per unit of the image of cells in an SVG, if there are too many cells for individual marks.
const CELL_DOTS: f32 = 3.0;

/// A finished picture.
///
/// Up to [`Picture::MAX_MARKS`] cells are drawn as individual marks. More cells are drawn as one image below text and
/// lines, which remain vector graphics.
pub struct Picture {
    scene: Scene,
    /// Marks that become an image in the SVG, in the same coordinates, without a background.
    image: Option<Scene>,
}

/// The reason why a picture cannot be rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The file name ends in neither `.svg` nor `.png`.
    #[error("{name} is neither .svg nor .png, so it is unknown what to draw")]
    Format {
        /// The file name.
        name: String,
    },
    /// The image library failed.
    #[error("the picture cannot be painted: {reason}")]
    Paint {
        /// Error message of the library.
        reason: String,
    },
    /// The report cannot be written as JSON.
    #[error("the report cannot be written: {reason}")]
    Report {
        /// Error message of the JSON serialiser.
        reason: String,
    },
}

/// File format of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Scalable vector graphics.
    Svg,
    /// Pixel image, two pixels per unit.
    Png,
}

impl Choice for Format {
    const WHAT: &'static str = "format";
    const ALL: &'static [Self] = &[Self::Svg, Self::Png];

    fn name(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Png => "png",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::named(name)
    }
}

impl Format {
    /// The format for the extension of a file name.
    ///
    /// # Errors
    /// [`PictureError::Format`] if the extension is neither `.svg` nor `.png`.
    pub fn of(path: &Path) -> Result<Self, PictureError> {
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => Err(PictureError::Format { name: path.display().to_string() }),
        }
    }
}

impl Picture {
    /// Number of cells up to which an SVG holds one mark per cell. More cells are drawn as an image.
    pub const MAX_MARKS: usize = 20_000;

    pub(crate) fn new(mut scene: Scene) -> Self {
        scene.font_family = Some(FONTS.into());
        for element in &mut scene.elements {
            if let Primitive::Text { content, .. } = element {
                printable(content);
            }
        }
        Self { scene, image: None }
    }

    /// Creates a picture with `marks` as an image between the background and the other marks.
    pub(crate) fn over(scene: Scene, marks: Scene) -> Self {
        Self { image: Some(marks), ..Self::new(scene) }
    }

    /// Width and height, in CSS pixels.
    #[must_use]
    pub fn size(&self) -> (f64, f64) {
        (self.scene.width, self.scene.height)
    }

    /// Renders the picture as a file of the given format.
    ///
    /// # Errors
    /// [`PictureError::Paint`] if the pixel image cannot be rendered.
    pub fn render(&self, format: Format) -> Result<Vec<u8>, PictureError> {
        match format {
            Format::Svg => Ok(self.svg()?.into_bytes()),
            Format::Png => self.png(),
        }
    }

    fn svg(&self) -> Result<String, PictureError> {
        let text = SvgBackend::new().render_scene(&self.scene);
        let Some(image) = &self.image else { return Ok(text) };
        let dots = STANDARD.encode(paint(image, CELL_DOTS)?);
        let (width, height) = self.size();
        let image = format!(
            "<image class=\"cells\" width=\"{width}\" height=\"{height}\" href=\"data:image/png;base64,{dots}\"/>"
        );
        // Directly after the background's rectangle, which is the first mark.
        let background = text.find("<rect width=\"100%\"").and_then(|at| text[at..].find("/>").map(|end| at + end + 2));
        let at = background.ok_or_else(|| PictureError::Paint { reason: "the picture has no background".into() })?;
        Ok([&text[..at], &image, &text[at..]].concat())
    }

    fn png(&self) -> Result<Vec<u8>, PictureError> {
        let Some(image) = &self.image else { return paint(&self.scene, DOTS) };
        let mut whole = Scene { elements: image.elements.clone(), ..empty(&self.scene) };
        whole.elements.extend(self.scene.elements.iter().cloned());
        paint(&whole, DOTS)
    }
}

/// Replaces invisible characters and characters that are not allowed in SVG by the replacement character.
fn printable(text: &mut String) {
    if text.contains(unprintable) {
        *text = text.chars().map(|c| if unprintable(c) { char::REPLACEMENT_CHARACTER } else { c }).collect();
    }
}

/// Control characters, most of which XML forbids, other characters that XML forbids, and characters that change the
/// text direction.
fn unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A white scene of this size with dark text.
pub(crate) fn paper(width: f64, height: f64) -> Scene {
    let mut scene = Scene::new(width, height);
    scene.text_color = Some(format!("#{0:02x}{0:02x}{0:02x}", INK[0]));
    scene
}

/// An empty scene with the size and style of another.
pub(crate) fn empty(like: &Scene) -> Scene {
    let mut scene = Scene::new(like.width, like.height);
    scene.background_color.clone_from(&like.background_color);
    scene.text_color.clone_from(&like.text_color);
    scene.font_family.clone_from(&like.font_family);
    scene
}

fn paint(scene: &Scene, dots: f32) -> Result<Vec<u8>, PictureError> {
    PngBackend::new().with_scale(dots).render_scene(scene).map_err(|reason| PictureError::Paint { reason })
}

/// Draws a group of marks with a class name, for tests and style sheets.
pub(crate) fn group(scene: &mut Scene, class: &str, draw: impl FnOnce(&mut Scene)) {
    scene.add(Primitive::GroupStart { transform: None, title: None, extra_attrs: Some(format!("class=\"{class}\"")) });
    draw(scene);
    scene.add(Primitive::GroupEnd);
}
