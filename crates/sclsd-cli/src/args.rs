//! The command line.

mod arguments;
mod audit;
mod evaluate;
mod examples;
mod fates;
mod headings;
mod machine;
mod model;
mod parse;
mod perturb;
mod picture;
mod plot;
mod prepare;
mod report;
mod shell;
mod simulation;
mod symbols;
mod train;
mod version;
mod write;

pub(crate) use arguments::{Arguments, Command};
pub(crate) use audit::AuditArgs;
pub(crate) use evaluate::EvaluateArgs;
pub(crate) use fates::{FATE_BETA, FateMethodArg, FatesArgs};
pub(crate) use machine::{MachineArgs, ThreadArgs};
pub(crate) use model::{AnnotateArgs, ConvertArgs, InspectArgs};
pub(crate) use parse::{command, parse};
pub(crate) use perturb::PerturbArgs;
pub(crate) use picture::{Plot, PlotKind};
pub(crate) use prepare::PrepareArgs;
pub(crate) use report::ReportArgs;
pub(crate) use shell::{CompletionsArgs, ManArgs};
pub(crate) use simulation::{DemoArgs, SimulateArgs};
pub(crate) use train::TrainArgs;
