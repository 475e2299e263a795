//! Figures and the HTML report.
//!
//! A picture is created from plain arrays (positions on an embedding, velocities, paths, counts) and rendered as SVG or
//! PNG. Pictures of cells share the frame (`frame.rs`), the painting of cells (`embedding.rs`), and the legend or
//! colour bar beside the frame (`key.rs`).

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
