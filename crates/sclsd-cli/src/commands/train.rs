//! `sclsd train`: reads a prepared file, writes a checkpoint and an annotated copy of the file.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use sclsd::Device;
use sclsd::analysis::spearman;
use sclsd::data::{Compression, Dataset, H5ad, H5adError, Inspection, Keys};
use sclsd::graph::{Resampled, TerminalSpec, Walks, absorption};
use sclsd::infer::{
    CheckedTrainSpec, Checkpoint, CheckpointError, DataScale, Ensemble, Event, ModelLock, Network, TrainError,
    TrainSpec, Trainer, TrainingData,
};
use sclsd::model::Peers;

use serde_json::{Map, Value};

use super::adding::add;
use super::annotating::annotated;
use super::basis::Basis;
use super::files::Files;
use super::kept_prior::KeptPrior;
use super::members::{Members, number};
use super::part::Part;
use super::prior::Prior;
use super::prior_choice::PriorChoice;
use super::reading::{graph_option, named_apart};
use super::settings::Settings;
use super::threads::devices;
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
    let members = Members::new(args)?;
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
        members,
        settings,
        prior,
        basis: args.basis.as_deref(),
        compression: args.write.compress,
        checkpoint_every: args.checkpoint_every as usize,
        resume: args.resume,
        goes_on: match peers.count() {
            1 => "run the same command with --resume to continue".into(),
            _ => "give each peer a copy of this file and run the same commands with --resume to continue".into(),
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
    if args.shard.is_some() {
        return figures.print(output); // a part has no result to audit
    }
    let choice = audit::Choice { input: &args.output, model: &args.model, cluster_key: None, null: false };
    let audited = audit::of_files(&choice);
    match &audited {
        Ok(audited) => audit::add(audited, &mut figures),
        Err(error) => output.note(format!("warning: the result is written, but it could not be audited: {error:#}")),
    }
    figures.print(output)?;
    if args.strict { audit::strict(&audited?) } else { Ok(()) }
}

/// The walks of a run, or of a member on resampled cells and edges.
fn draw(prior: &Prior, spec: &TrainSpec, resampled: bool) -> anyhow::Result<Walks> {
    let walks = spec.walks.clone().check()?;
    let balanced = if spec.walks.balanced { Some(balanced(prior)?) } else { None };
    if resampled {
        let Resampled { transition, starts } = prior.transition.resampled(spec.walks.random_state);
        let both = |weights: &[f64]| -> Vec<f64> { starts.iter().zip(weights).map(|(n, w)| n * w).collect() };
        // where no cell that was drawn reaches a terminal state, all that were drawn start walks
        let weights = balanced.map(|weights| both(&weights)).filter(|all| all.iter().any(|w| *w > 0.0));
        return Ok(transition.walks_weighted(&weights.unwrap_or(starts), &walks));
    }
    Ok(match balanced {
        Some(weights) => prior.transition.walks_weighted(&weights, &walks),
        None => prior.transition.walks(&walks),
    })
}

/// Weights of starts by which walks are expected to end in each terminal state equally often.
fn balanced(prior: &Prior) -> anyhow::Result<Vec<f64>> {
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
    Ok(absorbed.probabilities.chunks(terminal.len()).map(weight).collect())
}

/// What a run was and how it ended; of several members, how the first did.
fn figures(run: &Ensemble, fit: &Checkpoint, walks: &Walks, prior: &Prior, n_cells: usize) -> Figures {
    let mut figures = Figures::default();
    if run.count > 1 {
        figures.count("members", run.count);
    }
    if let Some(shard) = run.shard {
        figures.text("shard", shard);
    }
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

/// The processes to train with, once all of them have joined.
fn peers(args: &TrainArgs, output: Output) -> anyhow::Result<Peers> {
    let (Some(rank), count) = (args.rank, args.peers.len()) else { return Ok(Peers::alone()) };
    if rank >= count {
        bail!("--rank is {rank}, but there are {count} --peers, counted from 0; give a rank below {count}");
    }
    if args.machine.device.contains(',') {
        bail!("--device {}: a peer has one device; start one process for each device", args.machine.device);
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
    pub members: Members,
    pub settings: Settings,
    pub prior: PriorChoice,
    pub basis: Option<&'a str>,
    pub compression: Compression,
    pub checkpoint_every: usize,
    pub resume: bool,
    /// How to continue when training is stopped, as part of a sentence.
    pub goes_on: String,
    pub devices: Vec<Device>,
    pub peers: Peers,
}

/// What a run begins with: the settings that do not depend on the data, and the data.
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
                "the phylogeny forbids all steps from {dropped} of {} cells to their neighbours; walks leave these cells out",
                data.n_cells()
            ));
        }
        let spec = self.settings.spec(&scale)?;
        let (run, walks) = self.train(&training, &prior, &spec, output)?;
        let first = run.first().context("no member is trained")?;
        let mut figures = figures(&run, first, &walks, &prior, data.n_cells());
        let kept = KeptPrior::of(&prior);
        if run.shard.is_some() {
            Part::of(&run, kept, self.basis)?.write(&file, self.output, &data.obs.names)?;
            figures.number("seconds", began.elapsed().as_secs_f64(), 1);
            return Ok((Vec::new(), figures));
        }
        let annotated = annotated(&run, &data, &spec.keys.connectivities, &basis, output)?;
        let mut additions = annotated.additions;
        kept.add_to(&mut additions, &run)?;
        if self.peers.rank() == 0 {
            add(&file, self.output, &additions, self.compression, output)?;
        }
        if let Some(key) = &basis.key {
            figures.text("directions on", key);
        }
        if let Some(time) = &prior.time {
            let correlation = spearman(&annotated.pseudotime, time);
            if correlation.is_some_and(|correlation| correlation < 0.0) {
                output.note(
                    "warning: the pseudotime runs against the prior time; a short training may leave the potential upside \
                     down: give more epochs (--epochs), longer walks (--set walks.path_len=N) or another --seed",
                );
            }
            figures.optional("spearman with prior time", correlation, 4, "none: one of the two does not vary");
        }
        figures.number("seconds", began.elapsed().as_secs_f64(), 1);
        Ok((annotated.pseudotime, figures))
    }

    /// Trains the members one after the other, and returns them with the walks of the first. The file of the model has
    /// all that are finished and the one that is not.
    fn train(
        &self,
        data: &TrainingData<'_>,
        prior: &Prior,
        spec: &TrainSpec,
        output: Output,
    ) -> anyhow::Result<(Ensemble, Walks)> {
        let mut run = self.members.begin(self.model, self.resume, output)?;
        let numbers: Vec<usize> = run.numbers().collect();
        let mut first = None;
        for &member in &numbers {
            let spec = spec.of_member(member).check()?;
            let walks = draw(prior, spec.get(), self.members.resamples(member))?;
            if run.count > 1 {
                output.note(format!("{}, seed {}", number(member, run.count), spec.get().random_state));
            }
            let last = Some(&member) == numbers.last();
            self.train_member(member, last, &mut run, (data, &walks, &spec), output)?;
            first.get_or_insert(walks);
        }
        Ok((run, first.context("no member is trained")?))
    }

    /// Trains a member from where the run has it, and saves the run with it.
    fn train_member(
        &self,
        member: usize,
        last: bool,
        run: &mut Ensemble,
        (data, walks, spec): (&TrainingData<'_>, &Walks, &CheckedTrainSpec),
        output: Output,
    ) -> anyhow::Result<()> {
        let from = run.members.remove(&member);
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
            {
                run.members.insert(member, checkpoint());
                if let Err(error) = run.save(self.model) {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            if stop.asked().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let trainer = Trainer::new(spec.clone()).devices(&self.devices).peers(self.peers.clone());
        let fit = trainer.resume(from).observe(observe).fit(data, walks);
        progress.finish();
        if let Some(error) = failed {
            return Err(error.into());
        }
        let fit = fit.map_err(|error| self.failed(error, done.is_some()))?;
        let finished = fit.is_finished();
        let place = self.stopped_at(member, &fit, walks.len().div_ceil(spec.get().walks.batch_size));
        run.members.insert(member, fit);
        if writes {
            run.save(self.model)?;
        }
        // not before the model is saved: from here on a signal ends the program
        match stop.end() {
            Some(signal) if finished && last => {
                output.note(format!("{signal} arrived when training had ended: the result is still written"));
            }
            Some(signal) => return Err(Stopped { signal, place }.into()),
            None if finished => {}
            None => return Err(anyhow!("another peer was stopped: training ended {place}")),
        }
        Ok(())
    }

    /// The error of a training that failed, with the files it is about and the way out.
    fn failed(&self, error: TrainError, resumed: bool) -> anyhow::Error {
        let (input, model) = (self.input.display(), self.model.display());
        match error {
            error @ TrainError::Peer(_) => {
                anyhow!("{error}; {model} is complete up to the last checkpoint: continue from it with --resume")
            }
            TrainError::Checkpoint(error @ CheckpointError::Mismatch { .. }) if resumed => anyhow!(
                "{input} cannot resume from {model}: {error}; repeat the settings of that run, or train anew without \
                 --resume"
            ),
            error if resumed => anyhow::Error::new(error).context(format!("{input} cannot resume from {model}")),
            error => anyhow::Error::new(error).context(input.to_string()),
        }
    }

    /// Where training stopped, and how to continue from there.
    fn stopped_at(&self, member: usize, fit: &Checkpoint, steps: usize) -> String {
        let epochs = fit.spec.num_epochs;
        let mut place = match fit.step() {
            0 => format!("after epoch {} of {epochs}", fit.epoch()),
            step => format!("in epoch {} of {epochs}, after step {step} of {steps}", fit.epoch() + 1),
        };
        if self.members.count > 1 {
            place = format!("in {}, {place}", number(member, self.members.count));
        }
        match self.peers.rank() {
            0 => format!("{place}: {} holds the training so far; {}", self.model.display(), self.goes_on),
            _ => format!("{place}: the first peer saves the model, unless it reports an error"),
        }
    }

    /// Reads the data to train on.
    fn begin(&self) -> anyhow::Result<Begun> {
        let first = self.settings.spec(&DataScale::unknown())?.check()?;
        let file = H5ad::open(self.input)?;
        let has = file.inspect()?;
        let basis = Basis::choose(self.input, &has, self.basis)?;
        let data = self.read(&file, first.get(), &has, &basis)?;
        Ok(Begun { first, file, basis, data })
    }

    /// Whether training would begin: reads and checks the same data, and computes the prior.
    pub(super) fn check(&self, output: Output) -> anyhow::Result<()> {
        let Begun { first, data, .. } = self.begin()?;
        let input = || self.input.display().to_string();
        TrainingData::new(&data, &first.get().keys).with_context(input)?;
        counts::warn(data.expression()?, output);
        let (prior, scale) = self.prior(&data, output).with_context(input)?;
        draw(&prior, self.settings.spec(&scale)?.check()?.get(), false)?;
        Ok(())
    }

    /// The prior, with settings that let walks reach terminal states, and the resulting scale of the data.
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
}

/// The same error; if elements are missing, with what computes them.
fn prepared(error: H5adError) -> H5adError {
    match error {
        H5adError::Missing { path, missing } => {
            let layer =
                if missing.contains("layers[") { "; --set keys.counts=NAME names the layer of counts" } else { "" };
            H5adError::Missing {
                path,
                missing: format!("{missing}{layer}; sclsd prepare computes missing elements from raw counts"),
            }
        }
        other => other,
    }
}
