//! `sclsd train`: a prepared file in, a checkpoint and an annotated copy of the file out.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use sclsd::Device;
use sclsd::analysis::{annotate, spearman};
use sclsd::data::{Column, Dataset, Keys, add_to_h5ad, read_h5ad};
use sclsd::infer::{Checkpoint, Event, TrainSpec, TrainingData, train};

use super::prior::PriorChoice;
use super::record;
use super::velocity::{present, velocities};
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
    let prior = PriorChoice::new(args, &spec)?;
    let job = Job {
        input: &args.input,
        output: &args.output,
        model: &args.model,
        spec,
        prior,
        basis: &args.basis,
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
    pub prior: PriorChoice,
    pub basis: &'a str,
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
        let prior = self.prior.make(&data, spec.get(), self.device, output).with_context(input)?;
        let dropped = prior.transition.dropped().len();
        if dropped > 0 {
            output.note(format!(
                "{dropped} of {} cells have no neighbour that the phylogeny lets them go to; walks leave them out",
                data.n_cells()
            ));
        }
        let walks = prior.transition.walks(&spec.get().walks.clone().check()?);
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
        let graph = &spec.get().keys.connectivities;
        additions.obsm.extend(velocities(&fit.model, &data, &annotation, graph, self.basis, self.device)?);
        if let (true, Some(time)) = (prior.bootstrapped, &prior.time) {
            additions.obs.push(("prior_pseudotime".into(), Column::Float(time.clone())));
        }
        additions.uns.insert(record::KEY.into(), record::write(&fit, prior.phylogeny.as_ref())?);
        add_to_h5ad(self.input, self.output, &additions)?;

        let mut figures = Figures::default();
        figures.count("cells", data.n_cells());
        figures.count("genes", data.n_genes());
        figures.count("walks", walks.len());
        figures.count("dropped cells", dropped);
        figures.count("epochs", fit.epoch());
        if let Some(last) = fit.history.last() {
            figures.number("loss", last.loss.total(), 4);
            for (name, value) in last.loss.terms() {
                figures.number(name, value, 4);
            }
            figures.number("potential rise", last.potential_rise, 4);
            figures.number("entropy rise", last.entropy_rise, 4);
        }
        if let Some(time) = &prior.time {
            let correlation = spearman(&annotation.pseudotime, time);
            if correlation < 0.0 {
                output.note(
                    "warning: the pseudotime runs against the prior time; short training does not settle which way the \
                     potential falls: give more epochs, longer walks or another seed",
                );
            }
            figures.number("spearman with prior time", correlation, 4);
        }
        figures.number("seconds", began.elapsed().as_secs_f64(), 1);
        Ok((annotation.pseudotime, figures))
    }

    fn read(&self) -> anyhow::Result<Dataset> {
        let keys = &self.spec.keys;
        let mut obs = vec![keys.library_size.clone()];
        obs.extend(self.prior.columns(&self.spec));
        let wanted = Keys {
            x: true,
            layers: vec![keys.counts.clone()],
            obs,
            obsm: present(self.input, self.basis)?,
            obsp: vec![keys.connectivities.clone()],
            ..Keys::none()
        };
        Ok(read_h5ad(self.input, &wanted)?)
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
