//! A requested picture: the arguments of each kind become a [`Plot`], which has the options of all kinds. Options that
//! a kind lacks have their defaults.

use std::path::PathBuf;

use super::plot::{
    Clustered, Colored, ComponentsPlot, Drawing, EmbeddingPlot, LandscapePlot, On, PlotCommand, StreamPlot, TIME_RANGE,
    To, WalksPlot,
};
use sclsd::analysis::Directions;

use super::machine::ThreadArgs;
use super::symbols::SymbolArgs;

/// The kinds of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlotKind {
    Embedding,
    Stream,
    Landscape,
    Walks,
    Components,
    Loss,
    Fates,
    FateProbabilities,
    FateCircle,
    Calibration,
    Perturb,
}

/// A requested picture of any kind.
#[derive(Debug)]
pub(crate) struct Plot {
    pub kind: PlotKind,
    pub input: PathBuf,
    pub output: PathBuf,
    pub title: Option<String>,
    pub threads: ThreadArgs,
    pub color: Option<String>,
    pub symbols: SymbolArgs,
    pub basis: Option<String>,
    pub cluster_key: Option<String>,
    pub model: Option<PathBuf>,
    pub clusters: Vec<String>,
    /// Number of cells that paths start from.
    pub paths: usize,
    /// In units of the length of a training walk.
    pub time_range: f64,
    pub velocity: Directions,
    pub density: f64,
    pub smooth: f64,
    pub color_by_speed: bool,
    pub surface: bool,
    /// In degrees, as the elevation.
    pub azimuth: f64,
    pub elevation: f64,
    pub seed: u64,
}

impl Plot {
    fn of(kind: PlotKind, Drawing { input, to }: Drawing, threads: ThreadArgs) -> Self {
        Self::from_to(kind, input, to, threads)
    }

    fn from_to(kind: PlotKind, input: PathBuf, To { output, title }: To, threads: ThreadArgs) -> Self {
        Self {
            kind,
            input,
            output,
            title,
            threads,
            color: None,
            symbols: SymbolArgs::default(),
            basis: None,
            cluster_key: None,
            model: None,
            clusters: Vec::new(),
            paths: 0,
            time_range: TIME_RANGE,
            velocity: Directions::Transitions,
            density: 1.0,
            smooth: 1.0,
            color_by_speed: false,
            surface: false,
            azimuth: 0.0,
            elevation: 0.0,
            seed: 0,
        }
    }

    fn colored(self, Colored { color, symbols }: Colored) -> Self {
        Self { color, symbols, ..self }
    }

    fn clustered(self, Clustered { cluster_key }: Clustered) -> Self {
        Self { cluster_key, ..self }
    }

    fn on(self, On { basis }: On) -> Self {
        Self { basis, ..self }
    }
}

impl From<PlotCommand> for Plot {
    fn from(command: PlotCommand) -> Self {
        match command {
            PlotCommand::Embedding(args) => args.into(),
            PlotCommand::Stream(args) => args.into(),
            PlotCommand::Landscape(args) => args.into(),
            PlotCommand::Walks(args) => args.into(),
            PlotCommand::Components(args) => args.into(),
            PlotCommand::Loss(args) => Self::of(PlotKind::Loss, args.drawing, args.threads),
            PlotCommand::Fates(args) => Self::of(PlotKind::Fates, args.drawing, args.threads).clustered(args.clustered),
            PlotCommand::FateProbabilities(args) => {
                Self::of(PlotKind::FateProbabilities, args.drawing, args.threads).on(args.on).clustered(args.clustered)
            }
            PlotCommand::FateCircle(args) => {
                Self::of(PlotKind::FateCircle, args.drawing, args.threads).clustered(args.clustered)
            }
            PlotCommand::Calibration(args) => Self::of(PlotKind::Calibration, args.drawing, args.threads),
            PlotCommand::Perturb(args) => Self::from_to(PlotKind::Perturb, args.input, args.to, args.threads),
        }
    }
}

impl From<EmbeddingPlot> for Plot {
    fn from(args: EmbeddingPlot) -> Self {
        Self::of(PlotKind::Embedding, args.drawing, args.threads)
            .on(args.on)
            .colored(args.colored)
            .clustered(args.clustered)
    }
}

impl From<StreamPlot> for Plot {
    fn from(args: StreamPlot) -> Self {
        let plot = Self::of(PlotKind::Stream, args.drawing, args.threads)
            .on(args.on)
            .colored(args.colored)
            .clustered(args.clustered);
        Self {
            velocity: args.velocity,
            density: args.density,
            smooth: args.smooth,
            color_by_speed: args.color_by_speed,
            ..plot
        }
    }
}

impl From<LandscapePlot> for Plot {
    fn from(args: LandscapePlot) -> Self {
        Self {
            surface: args.surface,
            azimuth: args.azimuth,
            elevation: args.elevation,
            model: args.model,
            clusters: args.clusters,
            paths: args.paths,
            time_range: args.time_range,
            ..Self::of(PlotKind::Landscape, args.drawing, args.threads).on(args.on).clustered(args.clustered)
        }
    }
}

impl From<WalksPlot> for Plot {
    fn from(args: WalksPlot) -> Self {
        let plot = Self::of(PlotKind::Walks, args.drawing, args.threads)
            .on(args.on)
            .colored(args.colored)
            .clustered(args.clustered);
        Self {
            model: args.model,
            clusters: args.clusters,
            paths: args.paths,
            time_range: args.time_range,
            seed: args.seed,
            ..plot
        }
    }
}

impl From<ComponentsPlot> for Plot {
    fn from(args: ComponentsPlot) -> Self {
        Self {
            model: Some(args.model),
            clusters: args.clusters,
            paths: args.paths,
            time_range: args.time_range,
            ..Self::of(PlotKind::Components, args.drawing, args.threads).clustered(args.clustered)
        }
    }
}
