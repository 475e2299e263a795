//! `sclsd train`: a prepared file in, a checkpoint and an annotated copy of the file out.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use sclsd::Device;
use sclsd::analysis::{annotate, spearman};
use sclsd::data::{Dataset, Keys, Uns, add_to_h5ad, plain_reason, read_h5ad};
use sclsd::graph::{Phylogeny, Transition, TransitionError, pseudotime_in_range, scale_time};
use sclsd::infer::{Checkpoint, EpochRecord, Event, TrainSpec, TrainingData, train};

use super::{check_writable, device};
use crate::args::TrainArgs;
use crate::config;
use crate::figures::Figures;
use crate::progress::{Output, Progress};

pub(crate) fn run(args: &TrainArgs, output: Output) -> anyhow::Result<()> {
    let mut spec = config::read(args.config.as_deref(), &args.set)?;
    if let Some(key) = &args.time_key {
        spec.keys.time.clone_from(key);
    }
    if let Some(key) = &args.cluster_key {
        spec.keys.clusters.clone_from(key);
    }
    if let Some(epochs) = args.epochs {
        spec.num_epochs = epochs;
    }
    if let Some(seed) = args.seed {
        spec.random_state = seed;
        spec.walks.random_state = seed;
    }
    spec.prior.scale_time |= args.scale_time;
    let phylogeny = args.phylogeny.as_deref().map(read_phylogeny).transpose()?;
    let job = Job {
        input: &args.input,
        output: &args.output,
        model: &args.model,
        spec,
        phylogeny,
        checkpoint_every: args.checkpoint_every as usize,
        resume: args.resume,
        device: device(&args.machine)?,
    };
    let (_, mut figures) = job.run(output)?;
    figures.text("model", args.model.display());
    figures.text("result", args.output.display());
    figures.print(output);
    Ok(())
}

/// A run of training, from file to file.
pub(super) struct Job<'a> {
    pub input: &'a Path,
    pub output: &'a Path,
    pub model: &'a Path,
    pub spec: TrainSpec,
    pub phylogeny: Option<Phylogeny>,
    pub checkpoint_every: usize,
    pub resume: bool,
    pub device: Device,
}

impl Job<'_> {
    /// Trains, annotates and writes; returns the pseudotime of every cell and figures about the run.
    pub(super) fn run(self, output: Output) -> anyhow::Result<(Vec<f64>, Figures)> {
        let began = Instant::now();
        let spec = self.spec.clone().check()?;
        check_writable(self.model)?;
        check_writable(self.output)?;
        let data = self.read()?;
        let input = || self.input.display().to_string();
        let training = TrainingData::new(&data, &spec.get().keys).with_context(input)?;
        let (prior, times) = self.prior(&data).with_context(input)?;
        if !prior.dropped().is_empty() {
            output.note(format!(
                "{} of {} cells have no neighbour that the phylogeny lets them go to; walks leave them out",
                prior.dropped().len(),
                data.n_cells()
            ));
        }
        let walks = prior.walks(&spec.get().walks.clone().check()?);
        let from = self.from(output)?;
        let done = from.as_ref().map_or(0, Checkpoint::epoch);

        let progress = Progress::new(output, done, spec.get().num_epochs);
        let mut failed = None;
        let mut observe = |event: Event<'_>| {
            progress.show(&event);
            if let Event::EpochDone { epoch, checkpoint, .. } = event
                && (epoch + 1).is_multiple_of(self.checkpoint_every)
                && let Err(error) = checkpoint().save(self.model)
            {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let fit = train(&training, &walks, &spec, from, &self.device, &mut observe);
        progress.finish();
        if let Some(error) = failed {
            return Err(error.into());
        }
        let fit = fit.with_context(|| match done {
            0 => input(),
            _ => format!("{} cannot go on from {}", self.input.display(), self.model.display()),
        })?;
        fit.save(self.model)?;

        let annotation = annotate(&fit.model, &data, &spec.get().keys.connectivities, &self.device)?;
        let mut additions = annotation.additions();
        additions.uns.insert("sclsd".into(), record(&fit)?);
        add_to_h5ad(self.input, self.output, &additions)?;

        let mut figures = Figures::default();
        figures.count("cells", data.n_cells());
        figures.count("genes", data.n_genes());
        figures.count("walks", walks.len());
        figures.count("dropped cells", prior.dropped().len());
        figures.count("epochs", fit.epoch());
        if let Some(last) = fit.history.last() {
            figures.number("loss", last.loss.total(), 4);
            for (name, value) in last.loss.terms() {
                figures.number(name, value, 4);
            }
            figures.number("potential rise", last.potential_rise, 4);
            figures.number("entropy rise", last.entropy_rise, 4);
        }
        figures.number("spearman with prior time", spearman(&annotation.pseudotime, &times), 4);
        figures.number("seconds", began.elapsed().as_secs_f64(), 1);
        Ok((annotation.pseudotime, figures))
    }

    fn read(&self) -> anyhow::Result<Dataset> {
        let keys = &self.spec.keys;
        let mut obs = vec![keys.library_size.clone(), keys.time.clone()];
        if self.phylogeny.is_some() {
            obs.push(keys.clusters.clone());
        }
        let wanted = Keys {
            x: true,
            layers: vec![keys.counts.clone()],
            obs,
            obsp: vec![keys.connectivities.clone()],
            ..Keys::none()
        };
        Ok(read_h5ad(self.input, &wanted)?)
    }

    fn prior(&self, data: &Dataset) -> anyhow::Result<(Transition, Vec<f64>)> {
        let (keys, choice) = (&self.spec.keys, &self.spec.prior);
        let graph = data.graph(&keys.connectivities)?;
        let mut times = data.numbers(&keys.time)?;
        if choice.scale_time {
            times = scale_time(&times);
        } else if !pseudotime_in_range(&times) {
            let low = times.iter().copied().fold(f64::INFINITY, f64::min);
            let high = times.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            bail!(
                "obs[\"{}\"] runs from {low} to {high}, but walks need a pseudotime of 0 to 1 (with others they are \
                 blind to all but the largest step); give --scale-time to stretch it",
                keys.time
            );
        }
        let prior = match &self.phylogeny {
            None => Transition::from_pseudotime(graph, &times, choice.beta),
            Some(phylogeny) => {
                let clusters = data.groups(&keys.clusters)?;
                Transition::from_phylogeny(graph, &times, choice.beta, phylogeny, &clusters, choice.descent)
            }
        };
        let prior = prior.map_err(|error| match error {
            TransitionError::Isolated { cell, isolated } => anyhow::anyhow!(
                "obsp[\"{}\"]: cell {} has no neighbour ({isolated} such cells in all); remove them or rebuild the graph",
                keys.connectivities,
                data.obs.names[cell]
            ),
            other => anyhow::Error::new(other).context(format!("obsp[\"{}\"]", keys.connectivities)),
        })?;
        if choice.require_all_cells && !prior.dropped().is_empty() {
            bail!(
                "{} cells have no neighbour that the phylogeny lets them go to, the first is {}",
                prior.dropped().len(),
                data.obs.names[prior.dropped()[0]]
            );
        }
        Ok((prior, times))
    }

    fn from(&self, output: Output) -> anyhow::Result<Option<Checkpoint>> {
        if !self.resume {
            return Ok(None);
        }
        if !self.model.exists() {
            output.note(format!("{} does not exist yet: training from the beginning", self.model.display()));
            return Ok(None);
        }
        let from = Checkpoint::load(self.model)?;
        output.note(format!("going on from epoch {} of {}", from.epoch(), self.model.display()));
        Ok(Some(from))
    }
}

fn read_phylogeny(path: &Path) -> anyhow::Result<Phylogeny> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| anyhow::anyhow!("{shown} cannot be read: {}", plain_reason(&error)))?;
    let children: BTreeMap<String, Vec<String>> = serde_json::from_str(&text)
        .map_err(|error| anyhow::anyhow!("{shown} is not JSON of the form {{\"parent\": [\"child\"]}}: {error}"))?;
    Phylogeny::new(children).with_context(|| shown.to_string())
}

/// What is kept of the run in `uns["sclsd"]`: version, configuration and history.
fn record(fit: &Checkpoint) -> anyhow::Result<Uns> {
    let epochs = fit.history.len();
    let curve = |f: &dyn Fn(&EpochRecord) -> f64| Uns::Floats(vec![epochs], fit.history.iter().map(f).collect());
    let mut history = BTreeMap::from([
        ("loss".to_owned(), curve(&|r| r.loss.total())),
        ("potential_rise".to_owned(), curve(&|r| r.potential_rise)),
        ("entropy_rise".to_owned(), curve(&|r| r.entropy_rise)),
        ("learning_rate".to_owned(), curve(&|r| r.learning_rate)),
    ]);
    for (i, (name, _)) in sclsd::infer::Loss::default().terms().into_iter().enumerate() {
        history.insert(format!("loss_{name}"), curve(&|r| r.loss.terms()[i].1));
    }
    Ok(Uns::Map(BTreeMap::from([
        ("version".to_owned(), Uns::Text(env!("CARGO_PKG_VERSION").to_owned())),
        ("config".to_owned(), Uns::Text(serde_json::to_string(&fit.spec)?)),
        ("history".to_owned(), Uns::Map(history)),
    ])))
}
