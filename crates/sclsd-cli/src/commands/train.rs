//! `sclsd train`: a prepared file in, a checkpoint and an annotated copy of the file out.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sclsd::Device;
use sclsd::analysis::{annotate, spearman};
use sclsd::data::{Column, Dataset, Keys, add_to_h5ad, read_h5ad};
use sclsd::infer::{Checkpoint, Event, Network, TrainError, TrainSpec, TrainingData, train_on, train_with_peers};
use sclsd::model::Peers;

use super::prior::PriorChoice;
use super::record;
use super::velocity::{present, velocities};
use super::{check_writable, devices};
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
        devices: devices(&args.machine)?,
        peers: peers(args, output)?,
    };
    let rank = job.peers.rank();
    let (_, mut figures) = job.run(output)?;
    if rank == 0 {
        figures.text("model", args.model.display());
        figures.text("result", args.output.display());
    } else {
        figures.text("written by", &args.peers[0]);
    }
    figures.print(output);
    Ok(())
}

/// Those to train with, once all of them are there.
fn peers(args: &TrainArgs, output: Output) -> anyhow::Result<Peers> {
    let (Some(rank), count) = (args.rank, args.peers.len()) else { return Ok(Peers::alone()) };
    if rank >= count {
        bail!("--rank is {rank}, but there are {count} --peers, counted from 0");
    }
    if args.machine.device.contains(',') {
        bail!("--device {}: a peer has one device; give each its own process", args.machine.device);
    }
    output.note(format!("waiting for {} other peers", count - 1));
    let patience = Duration::from_secs(args.peer_timeout);
    Ok(Peers::new(Network::join(&args.peers, rank, patience)?))
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
    pub devices: Vec<Device>,
    pub peers: Peers,
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
        let device = self.devices[0];
        let prior = self.prior.make(&data, spec.get(), device, output).with_context(input)?;
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
        let writes = self.peers.rank() == 0;
        let mut failed = None;
        let mut observe = |event: Event<'_>| {
            progress.show(&event);
            if let Event::EpochDone { epoch, checkpoint, .. } = event
                && (epoch + 1).is_multiple_of(self.checkpoint_every)
                && writes
                && let Err(error) = checkpoint().save(self.model)
            {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let fit = match self.peers.count() {
            1 => train_on(&training, &walks, &spec, from, &self.devices, &mut observe),
            _ => train_with_peers(&training, &walks, &spec, from, &device, &self.peers, &mut observe),
        };
        progress.finish();
        if let Err(error @ TrainError::Peer(_)) = &fit {
            let model = self.model.display();
            bail!("{error}; what {model} holds is good, go on from it with --resume");
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        let fit = fit.with_context(|| match done {
            0 => input(),
            _ => format!("{} cannot go on from {}", self.input.display(), self.model.display()),
        })?;
        if writes {
            fit.save(self.model)?;
        }

        let annotation = annotate(&fit.model, &data, &spec.get().keys.connectivities, &device)?;
        let mut additions = annotation.additions();
        let graph = &spec.get().keys.connectivities;
        additions.obsm.extend(velocities(&fit.model, &data, &annotation, graph, self.basis, device)?);
        if let (true, Some(time)) = (prior.bootstrapped, &prior.time) {
            additions.obs.push(("prior_pseudotime".into(), Column::Float(time.clone())));
        }
        additions.uns.insert(record::KEY.into(), record::write(&fit, prior.phylogeny.as_ref())?);
        if writes {
            add_to_h5ad(self.input, self.output, &additions)?;
        }

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
