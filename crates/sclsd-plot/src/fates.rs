//! Alluvial diagram from clusters to fates: how many cells of each cluster end in each fate. Cells with uncertain fates
//! count fractionally.

use kuva::plot::sankey::SankeyPlot;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use kuva::render::render::render_multiple;

use crate::color::{INK, hex};
use crate::picture::Picture;

/// Numbers of cells by cluster of origin and final cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct FateCounts {
    /// Names of the clusters.
    pub clusters: Vec<String>,
    /// One colour per cluster.
    pub colors: Vec<[u8; 3]>,
    /// Numbers of cells, or sums of their probabilities, `n_clusters × n_clusters`, row-major: rows are clusters of
    /// origin, columns are final clusters.
    pub cells: Vec<f64>,
}

impl FateCounts {
    fn count(&self, from: usize, to: usize) -> f64 {
        self.cells[from * self.clusters.len() + to]
    }
}

/// Draws flows from clusters (left) to fates (right) with widths proportional to numbers of cells. Fates are labelled
/// with their fraction of all cells.
///
/// # Panics
/// If the number of counts is not the square of the number of clusters.
#[must_use]
pub fn fates(counts: &FateCounts, title: &str) -> Picture {
    let n = counts.clusters.len();
    assert_eq!(counts.cells.len(), n * n, "clusters × clusters");
    let all: f64 = counts.cells.iter().sum();
    let from = |c: usize| (0..n).map(|to| counts.count(c, to)).sum::<f64>();
    let into = |c: usize| (0..n).map(|from| counts.count(from, c)).sum::<f64>();
    let start = |c: usize| format!("{} ({:.0})", counts.clusters[c], from(c));
    // Fates and clusters must have different labels, because flows are connected by label.
    let end = |c: usize| format!("{}: {:.1} %", counts.clusters[c], 100.0 * into(c) / all.max(f64::MIN_POSITIVE));
    let color = |c: usize| hex(counts.colors[c]);
    let mut plot = SankeyPlot::new().with_node_width(16.0).with_node_gap(10.0).with_link_opacity(0.45);
    for c in (0..n).filter(|&c| from(c) > 0.0) {
        plot = plot.with_node(start(c)).with_node_color(start(c), color(c)).with_node_column(start(c), 0);
    }
    for c in (0..n).filter(|&c| into(c) > 0.0) {
        plot = plot.with_node(end(c)).with_node_color(end(c), color(c)).with_node_column(end(c), 1);
    }
    for a in 0..n {
        for b in (0..n).filter(|&b| counts.count(a, b) > 0.0) {
            plot = plot.with_link_colored(start(a), end(b), counts.count(a, b), color(a));
        }
    }
    let plots = vec![Plot::Sankey(plot)];
    let layout = Layout::auto_from_plots(&plots).with_title(title).with_title_size(15).with_width(640.0).with_height(
        #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
        (n as f64 * 46.0).clamp(320.0, 1200.0),
    );
    let mut scene = render_multiple(plots, layout);
    scene.text_color = Some(format!("#{0:02x}{0:02x}{0:02x}", INK[0]));
    Picture::new(scene)
}
