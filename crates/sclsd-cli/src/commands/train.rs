//! `sclsd train`: a prepared file in, a checkpoint and an annotated copy of the file out.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use sclsd::Device;
use sclsd::analysis::{annotate, spearman};
use sclsd::data::{Column, Compression, Csr, Dataset, H5ad, H5adError, Inspection, Keys};
use sclsd::graph::{TerminalSpec, Walks, absorption};
use sclsd::infer::{
    CheckedTrainSpec, Checkpoint, DataScale, Event, ModelLock, Network, TrainError, TrainSpec, Trainer, TrainingData,
};
use sclsd::model::{Peers, SimdLevel};

use serde_json::{Map, Value};

use super::adding::add;
use super::basis::Basis;
use super::files::Files;
use super::prior::Prior;
use super::prior_choice::PriorChoice;
use super::reading::{graph_option, named_apart};
use super::record::{self, TERMINAL};
use super::settings::Settings;
use super::threads::devices;
use super::velocity::velocities;
use super::{audit, counts, groups};
use crate::args::TrainArgs;
use crate::escape;
use crate::figures::Figures;
use crate::progress::{Output, Progress};
use crate::signals::{StopAfterStep, Stopped};

pub(crate) fn run(args: &TrainArgs, output: Output) -> anyhow::Result<()> {
    Files::default()
        .reads("INPUT", &args.input)
        .may_read("--config", args.config.as_ref())
        .may_read("--phylogeny", args.phylogeny.as_ref())
        .may_read("--prior", args.prior.as_ref())
        .writes("--model", &args.model)
        .writes_over("-o", &args.output, &args.input)
        .check()?;
    let (settings, message) = Settings::new(args).of_file(&args.input)?;
    if let Some(message) = message {
        output.note(message);
    }
    let devices = devices(&args.machine)?;
    let prior = PriorChoice::new(args, devices[0])?;
    let peers = peers(args, output)?;
    let job = Job {
        input: &args.input,
        output: &args.output,
        model: &args.model,
        settings,
        prior,
        basis: args.basis.as_deref(),
        compression: args.write.compress,
        checkpoint_every: args.checkpoint_every as usize,
        resume: args.resume,
        goes_on: match peers.count() {
            1 => "run the same command with --resume to go on".into(),
            _ => "give every peer a copy of it and run the same commands with --resume to go on".into(),
        },
        devices,
        peers,
    };
    let rank = job.peers.rank();
    let (_, mut figures) = job.run(output)?;
    if rank != 0 {
        figures.text("written by", &args.peers[0]);
        return figures.print(output);
    }
    figures.text("model", args.model.display());
    figures.text("result", args.output.display());
    let choice = audit::Choice { input: &args.output, model: &args.model, cluster_key: None, null: false };
    let audited = audit::of_files(&choice).context("the result and the model are written, but not audited")?;
    audit::add(&audited, &mut figures);
    figures.print(output)?;
    audit::strict(&audited, args.strict)
}

/// The walks of a run.
fn draw(prior: &Prior, spec: &TrainSpec) -> anyhow::Result<Walks> {
    let walks = spec.walks.clone().check()?;
    if !spec.walks.balanced {
        return Ok(prior.transition.walks(&walks));
    }
    let Some(terminal) = &prior.terminal else {
        bail!(
            "walks.balanced is true, but there are no terminal states to balance walks over; name them with --terminal"
        );
    };
    let absorbed = absorption(prior.transition.matrix(), terminal)?;
    let totals: Vec<f64> = (0..terminal.len())
        .map(|k| absorbed.probabilities.iter().skip(k).step_by(terminal.len()).sum::<f64>())
        .collect();
    let weight = |row: &[f64]| row.iter().zip(&totals).map(|(p, total)| p / total).sum::<f64>();
    let weights: Vec<f64> = absorbed.probabilities.chunks(terminal.len()).map(weight).collect();
    Ok(prior.transition.walks_weighted(&weights, &walks))
}

/// A matrix as files hold it.
fn single(matrix: &Csr<f64>) -> Csr {
    #[expect(clippy::cast_possible_truncation, reason = "probabilities, whose rows are normalised when they are read")]
    matrix.map(|value| value as f32)
}

/// What a run was and how it ended.
fn figures(fit: &Checkpoint, walks: &Walks, prior: &Prior, n_cells: usize) -> Figures {
    let mut figures = Figures::default();
    figures.count("cells", n_cells);
    figures.count("genes", fit.model.n_genes);
    figures.count("walks", walks.len());
    figures.count("dropped cells", prior.transition.dropped().len());
    if prior.time.is_some() {
        let spec = &fit.spec.prior;
        figures.text("steps", format!("{}, beta {}", spec.kernel, spec.beta));
    }
    figures.count("cells per walk", walks.path_len());
    if let Some(terminal) = &prior.terminal {
        let sizes = terminal.names().iter().zip(terminal.sizes());
        let value: Map<String, Value> = sizes.map(|(name, n)| (name.clone(), Value::from(n))).collect();
        let shown =
            value.iter().map(|(name, n)| format!("{} ({n} cells)", escape::line(name))).collect::<Vec<_>>().join(", ");
        figures.nested("terminal states", shown, Value::Object(value));
    }
    figures.count("epochs", fit.epoch());
    if let Some(last) = fit.history.last() {
        figures.number("loss", last.loss.total(), 4);
        for (name, value) in last.loss.terms() {
            figures.number(name, value, 4);
        }
        figures.number("potential rise", last.potential_rise, 4);
        figures.number("entropy rise", last.entropy_rise, 4);
    }
    figures
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
    pub settings: Settings,
    pub prior: PriorChoice,
    pub basis: Option<&'a str>,
    pub compression: Compression,
    pub checkpoint_every: usize,
    pub resume: bool,
    /// What to do to go on when training is stopped.
    pub goes_on: String,
    pub devices: Vec<Device>,
    pub peers: Peers,
}

/// What a run begins with: settings as far as they are known before the data are, and the data.
struct Begun {
    first: CheckedTrainSpec,
    file: H5ad,
    basis: Basis,
    data: Dataset,
}

impl Job<'_> {
    /// Trains, annotates and writes; returns the pseudotime of every cell and figures about the run.
    pub(super) fn run(self, output: Output) -> anyhow::Result<(Vec<f64>, Figures)> {
        let began = Instant::now();
        let _lock = if self.peers.rank() == 0 { Some(ModelLock::new(self.model)?) } else { None };
        let Begun { first, file, basis, data } = self.begin()?;
        let input = || self.input.display().to_string();
        let training = TrainingData::new(&data, &first.get().keys).with_context(input)?;
        counts::warn(data.expression()?, output);
        let (prior, scale) = self.prior(&data, output).with_context(input)?;
        let dropped = prior.transition.dropped().len();
        if dropped > 0 {
            output.note(format!(
                "{dropped} of {} cells have no neighbour that the phylogeny lets them go to; walks leave them out",
                data.n_cells()
            ));
        }
        let spec = self.settings.spec(&scale)?.check()?;
        let walks = draw(&prior, spec.get())?;
        let from = self.from(output)?;
        let done = from.as_ref().map(Checkpoint::epoch);

        let progress = Progress::new(output, done.unwrap_or(0), spec.get().num_epochs);
        let writes = self.peers.rank() == 0;
        let mut failed = None;
        let stop = StopAfterStep::begin();
        let observe = |event: Event<'_>| {
            progress.show(&event);
            if let Event::EpochDone { epoch, checkpoint, .. } = event
                && (epoch + 1).is_multiple_of(self.checkpoint_every)
                && writes
                && let Err(error) = checkpoint().save(self.model)
            {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            if stop.asked().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let trainer = Trainer::new(spec.clone()).devices(&self.devices).peers(self.peers.clone());
        let fit = trainer.resume(from).observe(observe).fit(&training, &walks);
        progress.finish();
        if let Err(error @ TrainError::Peer(_)) = &fit {
            let model = self.model.display();
            bail!("{error}; what {model} holds is good, go on from it with --resume");
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        let fit = fit.with_context(|| match done {
            None => input(),
            Some(_) => format!("{} cannot go on from {}", self.input.display(), self.model.display()),
        })?;
        if writes {
            fit.save(self.model)?;
        }
        // not before the model is saved: from here on a signal ends the program
        let signal = stop.end();
        if let (Some(signal), true) = (signal, fit.is_finished()) {
            output.note(format!("{signal} came as training ended: the result is still written"));
        }
        if !fit.is_finished() {
            let place = self.stopped_at(&fit, walks.len().div_ceil(spec.get().walks.batch_size));
            return Err(match signal {
                Some(signal) => Stopped { signal, place }.into(),
                None => anyhow!("another peer was told to stop: training ended {place}"),
            });
        }

        let annotation = annotate(&fit.model, &data, &spec.get().keys.connectivities)?;
        let mut additions = annotation.additions();
        let graph = &spec.get().keys.connectivities;
        additions.obsm.extend(velocities(&fit.model, &data, &annotation, graph, &basis, output)?);
        if let (true, Some(time)) = (prior.bootstrapped, &prior.time) {
            additions.obs.push((record::PRIOR_TIME.into(), Column::Float(time.clone())));
        }
        if prior.time.is_none() {
            additions.obsp.insert(record::PRIOR_MATRIX.into(), single(prior.transition.matrix()));
        }
        if let Some(terminal) = &prior.terminal {
            additions.obs.push((TERMINAL.into(), Column::Categorical(terminal.column())));
        }
        additions.uns.insert(record::KEY.into(), record::write(&fit, &prior)?);
        if writes {
            add(&file, self.output, &additions, self.compression, output)?;
        }

        let mut figures = figures(&fit, &walks, &prior, data.n_cells());
        if let Some(key) = &basis.key {
            figures.text("directions on", key);
        }
        if let Some(time) = &prior.time {
            let correlation = spearman(&annotation.pseudotime, time);
            if correlation.is_some_and(|correlation| correlation < 0.0) {
                output.note(
                    "warning: the pseudotime runs against the prior time; short training does not settle which way the \
                     potential falls: give more epochs, longer walks or another seed",
                );
            }
            figures.optional("spearman with prior time", correlation, 4, "none: one of the two does not vary");
        }
        figures.number("seconds", began.elapsed().as_secs_f64(), 1);
        Ok((annotation.pseudotime, figures))
    }

    /// Where training stopped, and what goes on from there.
    fn stopped_at(&self, fit: &Checkpoint, steps: usize) -> String {
        let epochs = fit.spec.num_epochs;
        let place = match fit.step() {
            0 => format!("after epoch {} of {epochs}", fit.epoch()),
            step => format!("in epoch {} of {epochs}, after step {step} of {steps}", fit.epoch() + 1),
        };
        match self.peers.rank() {
            0 => format!("{place}: {} holds the training so far; {}", self.model.display(), self.goes_on),
            _ => format!("{place}: the first peer saves it, unless it reports an error"),
        }
    }

    /// Reads what is trained on.
    fn begin(&self) -> anyhow::Result<Begun> {
        let first = self.settings.spec(&DataScale::unknown())?.check()?;
        let file = H5ad::open(self.input)?;
        let has = file.inspect()?;
        let basis = Basis::choose(self.input, &has, self.basis)?;
        let data = self.read(&file, first.get(), &has, &basis)?;
        Ok(Begun { first, file, basis, data })
    }

    /// Whether training would begin: reads what it reads, checks what it checks, and makes the prior.
    pub(super) fn check(&self, output: Output) -> anyhow::Result<()> {
        let Begun { first, data, .. } = self.begin()?;
        let input = || self.input.display().to_string();
        TrainingData::new(&data, &first.get().keys).with_context(input)?;
        counts::warn(data.expression()?, output);
        let (prior, scale) = self.prior(&data, output).with_context(input)?;
        draw(&prior, self.settings.spec(&scale)?.check()?.get())?;
        Ok(())
    }

    /// The prior, as flat as lets its walks arrive, and the scale of the data by it.
    fn prior(&self, data: &Dataset, output: Output) -> anyhow::Result<(Prior, DataScale)> {
        let mut scale = DataScale { n_cells: data.n_cells(), n_genes: data.n_genes(), ..DataScale::unknown() };
        let mut spec = self.settings.spec(&scale)?;
        let mut prior = self.prior.make(data, &spec, output)?;
        for steps in DataScale::STEPS {
            scale.steps = steps;
            let next = self.settings.spec(&scale)?;
            if next != spec {
                prior = prior.again(data, &next)?;
                spec = next;
            }
            scale.steps_to_leaf = DataScale::steps_to_leaf(&prior.transition, prior.terminal.as_ref());
            if scale.steps_to_leaf <= DataScale::LONGEST {
                break;
            }
        }
        Ok((prior, scale))
    }

    fn read(&self, file: &H5ad, spec: &TrainSpec, has: &Inspection, basis: &Basis) -> anyhow::Result<Dataset> {
        let keys = &spec.keys;
        let mut obs = vec![keys.library_size.clone()];
        obs.extend(self.prior.columns(spec));
        if spec.prior.terminal != TerminalSpec::None && !obs.contains(&keys.clusters) && has.has("obs", &keys.clusters)
        {
            obs.push(keys.clusters.clone());
        }
        let wanted = Keys {
            x: true,
            layers: vec![keys.counts.clone()],
            obs,
            obsm: basis.key.iter().cloned().collect(),
            obsp: vec![keys.connectivities.clone()],
            ..Keys::none()
        };
        let read =
            file.read(&wanted).map_err(|error| prepared(graph_option(error, "--set keys.connectivities=NAME")))?;
        let mut data = named_apart(self.input, read)?;
        groups::name(&mut data, &keys.clusters).with_context(|| self.input.display().to_string())?;
        Ok(data)
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
        let step = match from.step() {
            0 => String::new(),
            step => format!(", step {step} of the next"),
        };
        output.note(format!("going on from epoch {}{step} of {}", from.epoch(), self.model.display()));
        let here = SimdLevel::used().to_string();
        if let Some(there) = from.simd.as_ref().filter(|there| **there != here) {
            output.note(format!(
                "it was trained with products by {there}, and goes on with {here}: the result differs by rounding from that of \
                 one run"
            ));
        }
        Ok(Some(from))
    }
}

/// The same error; where elements are missing, with what makes them.
fn prepared(error: H5adError) -> H5adError {
    match error {
        H5adError::Missing { path, missing } => {
            let layer =
                if missing.contains("layers[") { "; --set keys.counts=NAME names the layer of counts" } else { "" };
            H5adError::Missing {
                path,
                missing: format!("{missing}{layer}; sclsd prepare makes what is missing of raw counts"),
            }
        }
        other => other,
    }
}
