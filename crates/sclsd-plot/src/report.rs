//! The report: one HTML file that opens from disk, with everything it shows inside it.
//!
//! What is drawn is packed: coordinates in 16 bits of the frame, colours' numbers in 8 bits of their range, both far
//! finer than a screen. The page (`report/`) unpacks and draws; it loads nothing from anywhere.

use std::collections::BTreeMap;

use sclsd_data::Categorical;
use serde::Serialize;

use crate::color::{ColorMap, group_colors, hex};
use crate::embedding::{Coloring, mixed, range};
use crate::landscape::Landscape;
use crate::picture::PictureError;
use crate::streamlines::Streamline;

mod audit;
mod fates;
mod packed;

use packed::byte;

pub use audit::{ReportAudit, ReportCheck};
pub use fates::{FateEstimates, ReportFates};
pub use packed::PackedNumbers;

const PAGE: &str = include_str!("report/page.html");
const STYLE: &str = include_str!("report/style.css");
const SCRIPTS: [&str; 7] = [
    include_str!("report/unpack.js"),
    include_str!("report/audit.js"),
    include_str!("report/cells.js"),
    include_str!("report/landscape.js"),
    include_str!("report/fates.js"),
    include_str!("report/charts.js"),
    include_str!("report/main.js"),
];

/// Everything a report shows. What is empty or absent is left out of the page.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Title of the page.
    pub title: String,
    /// Whether to believe it.
    pub audit: Option<ReportAudit>,
    /// What data, what model, what came out: names and values.
    pub facts: Vec<(String, String)>,
    /// Sentences that a reader must not miss.
    pub warnings: Vec<String>,
    /// How good it is: names, values, and what they mean.
    pub figures: Vec<(String, String, String)>,
    /// Configuration of the run, as text.
    pub config: String,
    /// Cells on the embedding.
    pub cells: ReportCells,
    /// Streamlines over them.
    pub streamlines: Option<PackedNumbers>,
    /// Heights over the embedding.
    pub landscape: Option<ReportLandscape>,
    /// Paths of cells rolling down.
    pub trajectories: Option<ReportTrajectories>,
    /// Values by epoch.
    pub history: BTreeMap<String, Vec<f64>>,
    /// How likely cells are to end where.
    pub fates: Option<ReportFates>,
    /// Expression along pseudotime.
    pub trends: Option<ReportTrends>,
}

/// Cells that are shown: all, or an even sample.
#[derive(Debug, Clone, Serialize)]
pub struct ReportCells {
    /// Name of the embedding.
    basis: String,
    /// Cells there are.
    n: usize,
    names: Vec<String>,
    places: PackedNumbers,
    colorings: Vec<ReportColoring>,
}

#[derive(Debug, Clone, Serialize)]
struct ReportColoring {
    name: String,
    /// A category or a share of the range of each cell; the greatest number for none.
    values: PackedNumbers,
    /// Names and colours of categories; empty for numbers.
    categories: Vec<(String, String)>,
}

/// A landscape's grid.
#[derive(Debug, Clone, Serialize)]
pub struct ReportLandscape {
    columns: usize,
    rows: usize,
    /// Places of the first and the last point.
    corners: [[f64; 2]; 2],
    /// Heights in 255ths, the greatest number where there are no cells.
    heights: PackedNumbers,
    potentials: [f64; 2],
}

/// Paths over time.
#[derive(Debug, Clone, Serialize)]
pub struct ReportTrajectories {
    times: Vec<f64>,
    /// Colour of each path, as in the first colouring.
    colors: Vec<String>,
    places: PackedNumbers,
}

/// Mean expression in bins of pseudotime.
#[derive(Debug, Clone, Serialize)]
pub struct ReportTrends {
    genes: Vec<String>,
    /// Mean pseudotime of each bin.
    times: Vec<f64>,
    /// Genes × bins, each gene in 255ths of its own range.
    values: PackedNumbers,
    /// Genes that are shown at first.
    first: Vec<usize>,
}

/// Cells that a page shows at most.
pub const MAX_SHOWN: usize = 50_000;

/// Up to [`MAX_SHOWN`] cells: all, or as many drawn evenly and always the same.
#[must_use]
pub fn shown_cells(n_cells: usize) -> Vec<usize> {
    let mut cells: Vec<usize> = (0..n_cells).collect();
    if n_cells > MAX_SHOWN {
        cells.sort_by_key(|&cell| mixed(cell as u64));
        cells.truncate(MAX_SHOWN);
        cells.sort_unstable();
    }
    cells
}

impl ReportCells {
    /// Cells at their places with their names and what colours them, the first colouring being shown first.
    ///
    /// # Panics
    /// When there is not one name and one place per cell.
    #[must_use]
    pub fn new(
        basis: &str,
        n: usize,
        names: Vec<String>,
        places: &[[f64; 2]],
        colorings: &[(String, Coloring)],
    ) -> Self {
        assert_eq!(names.len(), places.len(), "one place per name");
        let colorings = colorings.iter().map(|(name, coloring)| ReportColoring::new(name, coloring)).collect();
        Self { basis: basis.to_owned(), n, names, places: PackedNumbers::places(std::iter::once(places)), colorings }
    }
}

impl ReportColoring {
    fn new(name: &str, coloring: &Coloring) -> Self {
        match coloring {
            Coloring::Groups(groups) => Self::groups(name, groups),
            Coloring::Numbers { values, .. } => {
                let range = range(values.iter().copied());
                let bytes =
                    values.iter().map(|v| if v.is_finite() { byte(*v, range) } else { 255 }).collect::<Vec<u8>>();
                let values = PackedNumbers::new(bytes, vec![range]);
                Self { name: name.to_owned(), values, categories: Vec::new() }
            }
        }
    }

    fn groups(name: &str, groups: &Categorical) -> Self {
        let code = |code: &Option<u32>| code.and_then(|c| u16::try_from(c).ok()).unwrap_or(u16::MAX).to_le_bytes();
        let bytes: Vec<u8> = groups.codes().iter().flat_map(code).collect();
        let values = PackedNumbers::new(bytes, Vec::new());
        let colors = group_colors(groups).into_iter().map(hex);
        Self { name: name.to_owned(), values, categories: groups.categories().iter().cloned().zip(colors).collect() }
    }
}

/// Streamlines, packed.
#[must_use]
pub fn pack_streamlines(lines: &[Streamline]) -> PackedNumbers {
    PackedNumbers::places(lines.iter().map(|line| line.places.as_slice()))
}

impl From<&Landscape> for ReportLandscape {
    fn from(landscape: &Landscape) -> Self {
        // Every second point of the grid: a screen turns it in real time.
        let size = landscape.size().map(|n| n.div_ceil(2));
        let point = |column: usize, row: usize| landscape.point(2 * column, 2 * row);
        let mut bytes = Vec::with_capacity(size[0] * size[1]);
        for row in 0..size[1] {
            bytes
                .extend((0..size[0]).map(|column| point(column, row).1.map_or(255, |height| byte(height, [0.0, 1.0]))));
        }
        Self {
            columns: size[0],
            rows: size[1],
            corners: [point(0, 0).0, point(size[0] - 1, size[1] - 1).0],
            heights: PackedNumbers::new(bytes, vec![[0.0, 1.0]]),
            potentials: landscape.potentials(),
        }
    }
}

impl ReportTrajectories {
    /// Paths, a place at each of `times`, each with a colour.
    ///
    /// # Panics
    /// When a path has not one place for each time, or there is not one colour per path.
    #[must_use]
    pub fn new(times: Vec<f64>, paths: &[Vec<[f64; 2]>], colors: &[[u8; 3]]) -> Self {
        assert!(paths.iter().all(|path| path.len() == times.len()), "one place per time");
        assert_eq!(paths.len(), colors.len(), "one colour per path");
        let places = PackedNumbers::places(paths.iter().map(Vec::as_slice));
        Self { times, colors: colors.iter().copied().map(hex).collect(), places }
    }
}

impl ReportTrends {
    /// Means of every gene (`genes × bins`, row by row) at the bins' pseudotimes; those in `first` are shown at first.
    ///
    /// # Panics
    /// When the means are not genes × bins.
    #[must_use]
    pub fn new(genes: Vec<String>, times: Vec<f64>, means: &[f64], first: Vec<usize>) -> Self {
        assert_eq!(means.len(), genes.len() * times.len(), "genes × bins");
        let rows = || means.chunks(times.len().max(1));
        let ranges: Vec<[f64; 2]> = rows().map(|row| range(row.iter().copied())).collect();
        let bytes: Vec<u8> =
            rows().zip(&ranges).flat_map(|(row, range)| row.iter().map(|v| byte(*v, *range))).collect();
        let values = PackedNumbers::new(bytes, ranges);
        Self { genes, times, values, first }
    }
}

impl Report {
    /// The page.
    ///
    /// # Errors
    /// [`PictureError::Report`], never but for a number that JSON cannot hold.
    pub fn html(&self) -> Result<String, PictureError> {
        let refused = |error: serde_json::Error| PictureError::Report { reason: error.to_string() };
        // Nothing within a script may look like its end.
        let data = serde_json::to_string(self).map_err(refused)?.replace('<', "\\u003c");
        let gradient: Vec<String> = (0..=32_u8).map(|i| hex(ColorMap::Viridis.at(f64::from(i) / 32.0))).collect();
        let mut page = PAGE.replace("{{style}}", STYLE).replace("{{scripts}}", &SCRIPTS.join("\n"));
        page = page.replace("{{gradient}}", &serde_json::to_string(&gradient).map_err(refused)?);
        page = page.replace("{{title}}", &escaped(&self.title));
        // Last, so that nothing in the data is taken for a place to fill.
        Ok(page.replacen("{{data}}", &data, 1))
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('{', "&#123;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_cells_are_shown_up_to_a_limit_and_an_even_sample_beyond() {
        assert_eq!(shown_cells(3), [0, 1, 2]);
        let shown = shown_cells(400_000);
        assert_eq!(shown.len(), MAX_SHOWN);
        assert_eq!(shown, shown_cells(400_000));
        let early = shown.iter().filter(|&&cell| cell < 200_000).count();
        assert!((24_000..26_000).contains(&early), "{early} of the first half");
    }

    #[test]
    fn nothing_in_the_data_ends_the_script_or_fills_a_place() {
        let cells = ReportCells::new("X_umap", 1, vec!["</script>{{style}}".into()], &[[0.0, 1.0]], &[]);
        let report = Report {
            title: "a < b {{data}}".into(),
            audit: None,
            facts: vec![("</script>".into(), "{{scripts}}".into())],
            warnings: Vec::new(),
            figures: Vec::new(),
            config: String::new(),
            cells,
            streamlines: None,
            landscape: None,
            trajectories: None,
            history: BTreeMap::new(),
            fates: None,
            trends: None,
        };
        let html = report.html().unwrap();
        assert_eq!(html.matches("</script>").count(), PAGE.matches("</script>").count());
        assert!(html.contains("a &lt; b"));
        assert!(
            !html.contains("http://") || html.matches("http://").count() == html.matches("http://www.w3.org").count()
        );
        assert!(!html.contains("https://"), "nothing is loaded from anywhere");
    }
}
