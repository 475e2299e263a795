//! The settings of a run: a preset, overridden by a configuration file, then by `--set`, then by flags such as
//! `--epochs`.

use std::path::{Path, PathBuf};

use sclsd::data::{H5ad, H5adError};
use sclsd::infer::{DataKeys, DataScale, Preset, TrainSpec};

use crate::args::TrainArgs;
use crate::config;

/// The choices of the command line, before the size of the data is known.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub preset: Preset,
    pub config: Option<PathBuf>,
    pub set: Vec<String>,
    pub time_key: Option<String>,
    pub cluster_key: Option<String>,
    pub terminal: Vec<String>,
    pub smooth_time: Option<usize>,
    pub scale_time: bool,
    pub epochs: Option<usize>,
    pub seed: Option<u64>,
    /// The graph that the file names, used unless another is chosen.
    pub graph: Option<String>,
}

/// The entry of uns that names a graph other than the default one, and that graph: scanpy's entry `neighbors`, or the
/// only entry if the default graph is missing.
pub(super) fn named_graph(file: &H5ad) -> Result<Option<(String, String)>, H5adError> {
    let usual = DataKeys::default().connectivities;
    let graphs = file.graphs()?;
    let named = match &graphs[..] {
        _ if graphs.iter().any(|(entry, _)| entry == "neighbors") => {
            graphs.into_iter().find(|(entry, _)| entry == "neighbors")
        }
        [only] if !file.keys()?.obsp.contains(&usual) => Some(only.clone()),
        _ => None,
    };
    Ok(named.filter(|(_, graph)| *graph != usual))
}

impl Settings {
    pub(super) fn new(args: &TrainArgs) -> Self {
        Self {
            preset: args.preset,
            config: args.config.clone(),
            set: args.set.clone(),
            time_key: args.time_key.clone(),
            cluster_key: args.cluster_key.clone(),
            terminal: args.terminal.clone(),
            smooth_time: args.smooth_time,
            scale_time: args.scale_time,
            epochs: args.epochs,
            seed: args.seed,
            graph: None,
        }
    }

    /// The recommended preset and nothing else.
    pub(super) fn recommended(epochs: Option<usize>, seed: u64) -> Self {
        Self {
            preset: Preset::Recommended,
            config: None,
            set: Vec::new(),
            time_key: None,
            cluster_key: None,
            terminal: Vec::new(),
            smooth_time: None,
            scale_time: false,
            epochs,
            seed: Some(seed),
            graph: None,
        }
    }

    /// The settings for a file that names its graph in `uns`: scanpy's entry `neighbors` comes first; the only other
    /// entry counts if `connectivities` is missing. Also returns a note on the graph.
    pub(super) fn of_file(mut self, input: &Path) -> Result<(Self, Option<String>), H5adError> {
        if self.set.iter().any(|set| set.starts_with("keys.connectivities")) {
            return Ok((self, None));
        }
        let Some((entry, graph)) = named_graph(&H5ad::open(input)?)? else { return Ok((self, None)) };
        let note = format!(
            "the graph is obsp[\"{graph}\"], which uns[\"{entry}\"] names; choose another with --set keys.connectivities=NAME"
        );
        self.graph = Some(graph);
        Ok((self, Some(note)))
    }

    /// The specification for data of this scale.
    pub(super) fn spec(&self, scale: &DataScale) -> anyhow::Result<TrainSpec> {
        let preset = self.preset.spec(scale);
        let mut spec = config::read(&preset, self.config.as_deref(), &self.set)?;
        if let Some(graph) = self.graph.as_ref().filter(|_| spec.keys.connectivities == preset.keys.connectivities) {
            spec.keys.connectivities.clone_from(graph);
        }
        if let Some(key) = &self.time_key {
            spec.keys.time.clone_from(key);
        }
        if let Some(key) = &self.cluster_key {
            spec.keys.clusters.clone_from(key);
        }
        if !self.terminal.is_empty() {
            spec.prior.terminal = self.terminal.as_slice().into();
        }
        if let Some(rounds) = self.smooth_time {
            spec.prior.smooth_time = rounds;
        }
        spec.prior.scale_time |= self.scale_time;
        if let Some(epochs) = self.epochs {
            spec.num_epochs = epochs;
        }
        if let Some(seed) = self.seed {
            spec.random_state = seed;
            spec.walks.random_state = seed;
        }
        Ok(spec)
    }
}
