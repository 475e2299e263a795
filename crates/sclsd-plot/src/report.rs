//! The report: one self-contained HTML file.
//!
//! Drawn data is quantised and packed: coordinates in 16 bits over the frame, coloured values in 8 bits over their
//! range. Both are much finer than a screen. The page (`report/`) unpacks and draws the data, and loads nothing from
//! the network.

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

/// All content of a report. Elements that are empty or absent are omitted from the page.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Title of the page.
    pub title: String,
    /// Whether to believe the result.
    pub audit: Option<ReportAudit>,
    /// Facts about data, model and results: names and values.
    pub facts: Vec<(String, String)>,
    /// Warnings in complete sentences.
    pub warnings: Vec<String>,
    /// Quality measures: names, values and explanations.
    pub figures: Vec<(String, String, String)>,
    /// Configuration of the training run, as text.
    pub config: String,
    /// Cells on the embedding.
    pub cells: ReportCells,
    /// Streamlines on the embedding.
    pub streamlines: Option<PackedNumbers>,
    /// Potential over the embedding.
    pub landscape: Option<ReportLandscape>,
    /// Trajectories of cells in the potential.
    pub trajectories: Option<ReportTrajectories>,
    /// Values per training epoch, by name.
    pub history: BTreeMap<String, Vec<f64>>,
    /// Fate probabilities of the cells.
    pub fates: Option<ReportFates>,
    /// Gene expression along pseudotime.
    pub trends: Option<ReportTrends>,
}

/// The cells shown: all, or a random sample.
#[derive(Debug, Clone, Serialize)]
pub struct ReportCells {
    /// Name of the embedding.
    basis: String,
    /// Number of cells in the data.
    n: usize,
    names: Vec<String>,
    places: PackedNumbers,
    colorings: Vec<ReportColoring>,
}

#[derive(Debug, Clone, Serialize)]
struct ReportColoring {
    name: String,
    /// Category or quantised value of each cell; the largest number means missing.
    values: PackedNumbers,
    /// Names and colours of categories; empty for a numeric colouring.
    categories: Vec<(String, String)>,
}

/// The grid of a landscape.
#[derive(Debug, Clone, Serialize)]
pub struct ReportLandscape {
    columns: usize,
    rows: usize,
    /// Positions of the first and last grid point.
    corners: [[f64; 2]; 2],
    /// Heights in 255ths; the largest number where there are no cells.
    heights: PackedNumbers,
    potentials: [f64; 2],
}

/// Trajectories over time.
#[derive(Debug, Clone, Serialize)]
pub struct ReportTrajectories {
    times: Vec<f64>,
    /// Colour of each trajectory, as in the first colouring.
    colors: Vec<String>,
    places: PackedNumbers,
}

/// Mean gene expression in bins of pseudotime.
#[derive(Debug, Clone, Serialize)]
pub struct ReportTrends {
    genes: Vec<String>,
    /// Mean pseudotime of each bin.
    times: Vec<f64>,
    /// `n_genes × n_bins`, each gene in 255ths of its own range.
    values: PackedNumbers,
    /// Genes shown initially.
    first: Vec<usize>,
}

/// Maximum number of cells on a page.
pub const MAX_SHOWN: usize = 50_000;

/// Indices of up to [`MAX_SHOWN`] cells: all cells, or a fixed pseudorandom sample.
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
    /// The cells to show: positions, names and colourings. The first colouring is shown initially.
    ///
    /// # Panics
    /// If there is not exactly one name and one position per cell.
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

/// Packs streamlines.
#[must_use]
pub fn pack_streamlines(lines: &[Streamline]) -> PackedNumbers {
    PackedNumbers::places(lines.iter().map(|line| line.places.as_slice()))
}

impl From<&Landscape> for ReportLandscape {
    fn from(landscape: &Landscape) -> Self {
        // Every second grid point, so that a browser can rotate the surface in real time.
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
    /// Trajectories with one position for each of `times`, and one colour each.
    ///
    /// # Panics
    /// If a trajectory does not have exactly one position per time, or there is not exactly one colour per trajectory.
    #[must_use]
    pub fn new(times: Vec<f64>, paths: &[Vec<[f64; 2]>], colors: &[[u8; 3]]) -> Self {
        assert!(paths.iter().all(|path| path.len() == times.len()), "one place per time");
        assert_eq!(paths.len(), colors.len(), "one colour per path");
        let places = PackedNumbers::places(paths.iter().map(Vec::as_slice));
        Self { times, colors: colors.iter().copied().map(hex).collect(), places }
    }
}

impl ReportTrends {
    /// Trends of gene expression: means (`n_genes × n_bins`, row-major) at the pseudotimes of the bins. Genes in
    /// `first` are shown initially.
    ///
    /// # Panics
    /// If the number of means is not `n_genes × n_bins`.
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
    /// Renders the page as HTML.
    ///
    /// # Errors
    /// [`PictureError::Report`] if JSON cannot represent a number, which does not happen for finite numbers.
    pub fn html(&self) -> Result<String, PictureError> {
        let refused = |error: serde_json::Error| PictureError::Report { reason: error.to_string() };
        // Escaped, because a script must not contain text that looks like its end tag.
        let data = serde_json::to_string(self).map_err(refused)?.replace('<', "\\u003c");
        let gradient: Vec<String> = (0..=32_u8).map(|i| hex(ColorMap::Viridis.at(f64::from(i) / 32.0))).collect();
        let mut page = PAGE.replace("{{style}}", STYLE).replace("{{scripts}}", &SCRIPTS.join("\n"));
        page = page.replace("{{gradient}}", &serde_json::to_string(&gradient).map_err(refused)?);
        page = page.replace("{{title}}", &escaped(&self.title));
        // The data is inserted last, so that no text in it is taken for a placeholder.
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
