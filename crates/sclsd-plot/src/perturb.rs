//! Effects of gene perturbations on fates: log2 fold changes, and the numbers of cells they are based on.

use kuva::render::render::{Primitive, Scene, TextAnchor};

use crate::color::{ColorMap, INK, paint};
use crate::frame::{MARGIN, TEXT, line, text, text_width};
use crate::key::{Key, sizes};
use crate::picture::{Picture, group};

/// Distance between genes and between fates, in CSS pixels.
const CELL: f64 = 44.0;
/// Maximum radius of a mark, in CSS pixels.
const RADIUS: f64 = 17.0;

/// Effect of a gene perturbation on one fate.
#[derive(Debug, Clone, PartialEq)]
pub struct FateChange {
    /// Name of the gene or genes.
    pub gene: String,
    /// Name of the fate.
    pub fate: String,
    /// log2 of the ratio of the numbers of cells with that fate. Infinite if the fate appears or disappears.
    pub log2_fold_change: f64,
    /// Number of cells with that fate before or after the perturbation, whichever is larger.
    pub cells: usize,
}

/// Draws a grid of genes (rows) and fates (columns). Colour is the log2 fold change, area the number of cells.
#[must_use]
pub fn perturbations(changes: &[FateChange], title: &str) -> Picture {
    let genes = distinct(changes.iter().map(|c| c.gene.as_str()));
    let fates = distinct(changes.iter().map(|c| c.fate.as_str()));
    let most = changes.iter().map(|c| c.cells).max().unwrap_or(1).max(1);
    let finite = changes.iter().map(|c| c.log2_fold_change.abs()).filter(|v| v.is_finite());
    let limit = finite.fold(0.5, f64::max);
    let key =
        Key::Bar { name: "log2 fold change".into(), range: [-limit, limit], color_maps: vec![ColorMap::Diverging] };

    let widest = |names: &[String]| names.iter().map(|n| text_width(n, TEXT)).fold(0.0, f64::max);
    let (left, top) = (MARGIN + widest(&genes) + 14.0, MARGIN + 34.0);
    #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
    let (width, height) = (CELL * fates.len() as f64, CELL * genes.len() as f64);
    let names = widest(&fates) * 0.75 + 22.0;
    let tall = height.max(220.0);
    let mut scene = Scene::new(
        (left + width + key.width(tall) + MARGIN).max(left + width + 190.0),
        top + tall.max(height + names) + MARGIN,
    );
    text(&mut scene, (left + width / 2.0, MARGIN + 8.0), title, TEXT + 2, TextAnchor::Middle, true);
    let place = |i: usize| {
        #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
        let at = CELL * (i as f64 + 0.5);
        at
    };
    group(&mut scene, "grid", |scene| {
        for (i, gene) in genes.iter().enumerate() {
            let y = top + place(i);
            line(scene, vec![(left, y), (left + width, y)], [228; 3], 0.8);
            text(scene, (left - 8.0, y + 4.0), gene, TEXT, TextAnchor::End, false);
        }
        for (i, fate) in fates.iter().enumerate() {
            let x = left + place(i);
            line(scene, vec![(x, top), (x, top + height)], [228; 3], 0.8);
            scene.add(Primitive::Text {
                x: x + 4.0,
                y: top + height + 12.0,
                content: fate.clone(),
                size: TEXT,
                anchor: TextAnchor::End,
                rotate: Some(-45.0),
                bold: false,
                color: Some(paint(INK)),
            });
        }
    });
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    let radius = |cells: usize| RADIUS * (cells as f64 / most as f64).sqrt();
    group(&mut scene, "changes", |scene| {
        for change in changes {
            let find = |names: &[String], name: &str| names.iter().position(|n| n == name);
            let (Some(row), Some(column)) = (find(&genes, &change.gene), find(&fates, &change.fate)) else { continue };
            let share = f64::midpoint(change.log2_fold_change.clamp(-limit, limit) / limit, 1.0);
            scene.add(Primitive::Circle {
                cx: left + place(column),
                cy: top + place(row),
                r: radius(change.cells).max(1.0),
                fill: paint(ColorMap::Diverging.at(share)),
                fill_opacity: None,
                stroke: Some(paint([110; 3])),
                stroke_width: Some(0.7),
            });
        }
    });
    key.draw(&mut scene, left + width, top, tall);
    sizes(&mut scene, "cells", most, radius, (left + width + 16.0, top + tall * 0.6 + 62.0));
    Picture::new(scene)
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for name in names {
        if !seen.iter().any(|s| s == name) {
            seen.push(name.to_owned());
        }
    }
    seen
}
