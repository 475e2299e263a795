//! Figures and the report: results in, pictures out.
//!
//! A picture is made from plain arrays (places on an embedding, directions, paths, counts) and leaves as SVG or PNG.
//! What is drawn on cells shares a frame (`frame.rs`), the painting of cells (`embedding.rs`) and a key beside the
//! frame (`key.rs`).

mod calibration;
mod color;
mod embedding;
mod fate_circle;
mod fate_probabilities;
mod fates;
mod field;
mod frame;
mod key;
mod landscape;
mod paths;
mod perturb;
mod picture;
mod report;
mod series;
mod stream;
mod streamlines;
mod surface;

pub use calibration::{CalibrationCurve, calibration};
pub use color::{ColorMap, group_colors, palette};
pub use embedding::{Coloring, Places, embedding};
pub use fate_circle::fate_circle;
pub use fate_probabilities::{ColoredFates, fate_probabilities};
pub use fates::{FateCounts, fates};
pub use landscape::{Landscape, contour_map};
pub use paths::{Paths, walks};
pub use perturb::{FateChange, perturbations};
pub use picture::{Format, Picture, PictureError};
pub use report::{
    FateEstimates, MAX_SHOWN, PackedNumbers, Report, ReportAudit, ReportCells, ReportCheck, ReportFates,
    ReportLandscape, ReportTrajectories, ReportTrends, pack_streamlines, shown_cells,
};
pub use series::{Curve, Panel, panels};
pub use stream::{StreamStyle, stream, stream_lines};
pub use streamlines::Streamline;
pub use surface::{View, surface};
