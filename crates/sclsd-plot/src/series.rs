//! Line plots in panels: training curves, and latent components over time.

use std::sync::Arc;

use kuva::plot::line::LinePlot;
use kuva::render::figure::Figure;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;

use crate::color::{INK, hex};
use crate::key::brief;
use crate::picture::Picture;

/// A curve with one value per point of its panel.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Name in the legend.
    pub name: String,
    /// Colour.
    pub color: [u8; 3],
    /// Values at the points of the panel.
    pub values: Vec<f64>,
    /// Lower and upper limits of a band around the curve, if one is drawn.
    pub band: Option<(Vec<f64>, Vec<f64>)>,
}

/// A panel of curves over the same points.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Title of the panel: what the values are.
    pub title: String,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// Draws panels of curves over the points `x`, four per row.
///
/// # Panics
/// If a curve does not have exactly one value per point.
#[must_use]
pub fn panels(x_label: &str, x: &[f64], panels: &[Panel], title: &str) -> Picture {
    let columns = panels.len().clamp(1, 4);
    let rows = panels.len().div_ceil(columns).max(1);
    let mut plots = Vec::new();
    let mut layouts = Vec::new();
    for panel in panels {
        let curves: Vec<Plot> = panel.curves.iter().map(|curve| drawn(x, curve, panel.curves.len() > 1)).collect();
        let layout = Layout::auto_from_plots(&curves)
            .with_title(&panel.title)
            .with_x_label(x_label)
            .with_title_size(14)
            .with_label_size(12)
            .with_tick_size(10)
            .with_y_tick_format(TickFormat::Custom(Arc::new(brief)))
            .with_show_grid(false);
        layouts.push(if wide(panel) { layout.with_log_y() } else { layout });
        plots.push(curves);
    }
    let several = panels.iter().any(|panel| panel.curves.len() > 1);
    let mut figure = Figure::new(rows, columns)
        .with_title(title)
        .with_title_size(15)
        .with_plots(plots)
        .with_layouts(layouts)
        .with_cell_size(270.0, 220.0)
        .with_spacing(14.0);
    if several {
        figure = figure.with_shared_legend();
    }
    let mut scene = figure.render();
    scene.text_color = Some(hex(INK));
    Picture::new(scene)
}

/// Whether all values are positive and span more than two powers of ten, which requires a logarithmic axis.
fn wide(panel: &Panel) -> bool {
    let values = || panel.curves.iter().flat_map(|curve| curve.values.iter().copied().filter(|v| v.is_finite()));
    let (low, high) = values().fold((f64::INFINITY, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
    low > 0.0 && high > 100.0 * low
}

/// Draws a curve, on top of its band if it has one.
fn drawn(x: &[f64], curve: &Curve, named: bool) -> Plot {
    assert_eq!(curve.values.len(), x.len(), "one value per point");
    let finite = |values: &[f64]| -> Vec<(f64, f64)> {
        x.iter().copied().zip(values.iter().copied()).filter(|(_, v)| v.is_finite()).collect()
    };
    let mut plot = LinePlot::new().with_data(finite(&curve.values)).with_color(hex(curve.color)).with_stroke_width(1.8);
    if named {
        plot = plot.with_legend(&curve.name);
    }
    if let Some((low, high)) = &curve.band {
        plot = plot.with_band(low.iter().copied(), high.iter().copied());
    }
    Plot::Line(plot)
}
