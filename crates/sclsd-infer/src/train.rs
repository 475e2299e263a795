//! The training loop.
//!
//! Each epoch shuffles the walks and splits them into batches. Each batch is one evaluation of the loss, one backward
//! pass and one step of the optimiser. All noise comes from random streams that are numbered by epoch and step. So an
//! interrupted run resumes, even within an epoch, as if it had not been interrupted. [`Trainer`](crate::Trainer) is the
//! public interface.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use burn::tensor::{Tensor, TensorData, backend::Backend};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::StandardNormal;
use sclsd_data::{Purpose, random_stream};
use sclsd_graph::Walks;
use sclsd_model::ode::OdeError;
use sclsd_model::{
    Executor, Expression, FlowCheck, GlobalBatch, Job, Kernels, Lsd, Model, PeerError, Peers, Precision, SimdLevel,
    Trainable, WeightsError,
};

use crate::adam::Norms;
use crate::checkpoint::{Checkpoint, CheckpointError, weights_not_finite};
use crate::data::sparse_rows;
use crate::elbo::Terms;
use crate::fingerprint::fingerprint;
use crate::monotonicity::monotonicity;
use crate::peers::agree;
use crate::record::{EpochRecord, PartialEpoch};
use crate::{
    Adam, AdamMoments, Batch, CheckedTrainSpec, Coefficients, Elbo, Fingerprint, InitialValues, Loss, Noise,
    TrainSpecError, TrainingData,
};

/// Number of the first random stream for held-out walks; streams of training steps have smaller numbers.
const HELD_OUT: u64 = 1 << 48;
const LOOK_AHEAD: u64 = 1 << 49;

/// What training reports to the observer.
#[non_exhaustive]
pub enum Event<'a> {
    /// A step of the optimiser is done.
    StepDone {
        /// Epoch, counted from 0.
        epoch: usize,
        /// Step within the epoch, counted from 0.
        step: usize,
        /// Steps per epoch.
        steps: usize,
        /// Loss of the batch, before the step.
        loss: Loss,
    },
    /// An epoch is done.
    EpochDone {
        /// Epoch, counted from 0.
        epoch: usize,
        /// Record of the epoch.
        record: &'a EpochRecord,
        /// Makes a checkpoint of the state after the epoch, which copies the model to the host.
        checkpoint: &'a dyn Fn() -> Checkpoint,
    },
}

/// Why training failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A term of the loss is not finite.
    #[error(
        "the loss is not finite in epoch {epoch}, step {step}: its term {term} is {value}; try a smaller optimizer.adam.lr"
    )]
    Loss {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Step within the epoch, counted from 1.
        step: usize,
        /// Name of the term.
        term: &'static str,
        /// Value of the term.
        value: f64,
    },
    /// A gradient is not finite.
    #[error("the gradient of {tensor} is not finite in epoch {epoch}, step {step}; try a smaller optimizer.adam.lr")]
    Gradient {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Step within the epoch, counted from 1.
        step: usize,
        /// Name of the tensor.
        tensor: String,
    },
    /// The flow from a cell is not finite.
    #[error(
        "the flow from cell {cell} (counted from 0) is not finite after time {time} in epoch {epoch}, step {step}; try a smaller optimizer.adam.lr"
    )]
    Diverged {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Step within the epoch, counted from 1; 0 at the end of the epoch.
        step: usize,
        /// The first cell of the walk.
        cell: u32,
        /// Last time at which the solution was finite, from 0 to 1.
        time: f64,
    },
    /// A result of an epoch is not finite.
    #[error("{what} is {value} at the end of epoch {epoch}; try a smaller optimizer.adam.lr")]
    NotFinite {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Name of the result.
        what: String,
        /// Value of the result.
        value: f64,
    },
    /// The flow cannot be solved.
    #[error("the flow cannot be solved in epoch {epoch}, step {step}")]
    Flow {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Step within the epoch, counted from 1.
        step: usize,
        /// Error of the solver.
        source: OdeError,
    },
    /// Walks visit a cell that the data does not have.
    #[error("a walk visits cell {cell}, but there are {n_cells} cells")]
    Walks {
        /// Index of the cell.
        cell: u32,
        /// Number of cells.
        n_cells: usize,
    },
    /// Another precision than `f32` was asked for on a CPU.
    #[error("precision is \"{precision}\", which GPUs alone have (devices cuda and wgpu); expected \"f32\"")]
    Precision {
        /// The precision that was asked for.
        precision: Precision,
    },
    /// A batch has more numbers than GPU kernels can index.
    #[error(
        "a batch of {cells} cells and {genes} genes has more than 2^32 numbers, which kernels on GPUs cannot count; choose a \
         smaller walks.batch_size, or device cpu"
    )]
    Uncountable {
        /// Largest number of distinct cells of a batch.
        cells: usize,
        /// Number of genes.
        genes: usize,
    },
    /// No device was given.
    #[error("there is no device to train on; expected at least one")]
    NoDevices,
    /// One of several peers was given several devices.
    #[error("one of {peers} peers has {devices} devices; expected one: give every device a peer of its own")]
    DevicesOfPeer {
        /// Number of devices of this peer.
        devices: usize,
        /// Number of peers.
        peers: usize,
    },
    /// A peer failed.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// A batch has fewer walks than there are peers.
    #[error(
        "the last batch of an epoch has {walks} walks for {peers} peers; choose another walks.batch_size, walks.num_walks or walks.held_out"
    )]
    Share {
        /// Number of walks of the smallest batch.
        walks: usize,
        /// Number of peers.
        peers: usize,
    },
    /// The sizes are too large for this machine.
    #[error(transparent)]
    Spec(#[from] TrainSpecError),
    /// The checkpoint to resume from belongs to another run.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The weights of the checkpoint do not match the networks.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// The observer of events, which decides whether to continue.
pub(crate) type Observer<'a> = dyn FnMut(Event<'_>) -> ControlFlow<()> + 'a;

/// Trains a model on one device, alone or as one of several peers. All peers have the same data and specification; each
/// takes its shard of the walks of every batch. All peers return the same model, which equals the model of a single
/// process within rounding.
pub(crate) fn train(
    data: &TrainingData<'_>,
    walks: &Walks,
    spec: &CheckedTrainSpec,
    from: Option<Checkpoint>,
    device: &impl Executor,
    peers: &Peers,
    observe: &mut Observer<'_>,
) -> Result<Checkpoint, TrainError> {
    let n_cells = data.n_cells();
    let mut cells = walks.cells().iter().chain(walks.held_out());
    if let Some(&cell) = cells.find(|&&cell| cell as usize >= n_cells) {
        return Err(TrainError::Walks { cell, n_cells });
    }
    spec.check_genes(data.n_genes())?;
    let fingerprint = fingerprint(data, walks);
    if let Some(from) = &from {
        from.check_same_run(spec, &fingerprint)?;
        from.check_step(steps_of(walks, spec), spec.get().num_epochs)?;
    }
    let precision = spec.get().precision;
    let kernels = device.kernels().with(precision).ok_or(TrainError::Precision { precision })?;
    if let Kernels::Device(_) = kernels {
        let w = &spec.get().walks;
        let batch = w.batch_size.min(w.num_walks.max(w.held_out));
        check_countable(batch.saturating_mul(w.path_len).min(n_cells), data.n_genes())?;
    }
    let run = Run { data, walks, spec, fingerprint, kernels, peers };
    run.agree(from.as_ref())?;
    device.run(Training { run, from, observe })
}

/// Checks that 32-bit indices suffice for the expression of a batch.
fn check_countable(cells: usize, genes: usize) -> Result<(), TrainError> {
    match cells.checked_mul(genes) {
        Some(numbers) if u32::try_from(numbers).is_ok() => Ok(()),
        _ => Err(TrainError::Uncountable { cells, genes }),
    }
}

/// Steps of an epoch.
fn steps_of(walks: &Walks, spec: &CheckedTrainSpec) -> usize {
    walks.len().div_ceil(spec.get().walks.batch_size)
}

#[expect(clippy::cast_precision_loss, reason = "steps of an epoch are far below 2^52")]
fn fraction_of(step: usize, steps: usize) -> f64 {
    step as f64 / steps as f64
}

/// The constant inputs of a run.
struct Run<'a> {
    data: &'a TrainingData<'a>,
    walks: &'a Walks,
    spec: &'a CheckedTrainSpec,
    fingerprint: Fingerprint,
    kernels: Kernels,
    peers: &'a Peers,
}

struct Training<'a, 'b> {
    run: Run<'a>,
    from: Option<Checkpoint>,
    observe: &'a mut Observer<'b>,
}

impl Job for Training<'_, '_> {
    type Output = Result<Checkpoint, TrainError>;

    fn run<B: Trainable>(self, device: &B::Device) -> Self::Output {
        let Self { run, from, observe } = self;
        let spec = run.spec.get();
        let (mut model, moments, mut history, mut partial): (Lsd<B>, _, _, _) = match from {
            Some(from) => (from.model.on(device)?, from.moments, from.history, from.partial),
            None => {
                let mut rng = random_stream(spec.random_state, Purpose::Weights, 0);
                let model = Lsd::new(run.spec.model(), run.data.n_genes(), &mut rng, device);
                let model = match spec.initial_values {
                    InitialValues::Torch => model,
                    InitialValues::Data => model.starting_at(&run.data.start()),
                };
                (model, BTreeMap::new(), Vec::new(), None)
            }
        };
        let mut adam = Adam::<B>::new(&spec.optimizer.adam, &moments, run.kernels, device);
        for epoch in history.len()..spec.num_epochs {
            // an epoch that has begun is always completed
            let ends = |history: &[EpochRecord]| spec.early_stopping.ends(history.iter().map(|record| record.held_out));
            if partial.is_none() && ends(&history) {
                break;
            }
            let done = partial.take().unwrap_or_default();
            let (trained, done, stop) = run.steps(model, &mut adam, epoch, done, device, observe)?;
            model = trained;
            if done.step < run.n_steps() {
                partial = Some(done);
                break;
            }
            history.push(run.record(&model, epoch, &done, device)?);
            let checkpoint = || run.checkpoint(&model, adam.moments(), history.clone(), None);
            let event = Event::EpochDone { epoch, record: &history[epoch], checkpoint: &checkpoint };
            let stop = observe(event).is_break() || stop;
            if run.any_stops(stop)? {
                break;
            }
        }
        let trained = run.checkpoint(&model, adam.moments(), history, partial);
        trained.check_finite()?;
        if let Some(done) = &trained.partial {
            run.look_ahead(&model, trained.epoch(), done.step + 1, device)?;
        }
        Ok(trained)
    }
}

impl Run<'_> {
    /// Checks that all peers have the same inputs, and that every peer has at least one walk of every batch.
    fn agree(&self, from: Option<&Checkpoint>) -> Result<(), TrainError> {
        let (peers, walks) = (self.peers.count(), self.walks.len());
        if peers == 1 {
            return Ok(());
        }
        let batch = self.spec.get().walks.batch_size;
        let last = |walks: usize| if walks.is_multiple_of(batch) { walks.min(batch) } else { walks % batch };
        let held_out = self.walks.held_out().len() / self.walks.path_len();
        let smallest = if held_out == 0 { last(walks) } else { last(walks).min(last(held_out)) };
        if smallest < peers {
            return Err(TrainError::Share { walks: smallest, peers });
        }
        let parts = self.spec.model().custom().names();
        let all = format!("{:?} {:?} {parts:?}", self.fingerprint, self.spec.get()).into_bytes();
        let all = all.into_iter().chain(from.map(Checkpoint::state).unwrap_or_default());
        Ok(agree(self.peers, &all.collect::<Vec<u8>>())?)
    }

    /// Number of steps of an epoch.
    fn n_steps(&self) -> usize {
        steps_of(self.walks, self.spec)
    }

    /// Whether the observer of any peer asks to stop. If so, all peers stop after the same step.
    fn any_stops(&self, stop: bool) -> Result<bool, TrainError> {
        if self.peers.count() == 1 {
            return Ok(stop);
        }
        let mut told = [f32::from(stop)];
        self.peers.sum(&mut told);
        self.peers.check()?;
        Ok(told[0] > 0.0)
    }

    /// The indices of the walks in the order of an epoch.
    fn order(&self, epoch: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.walks.len()).collect();
        order.shuffle(&mut random_stream(self.spec.get().random_state, Purpose::Shuffle, epoch as u64));
        order
    }

    /// The cells of the last batch of an epoch, walk after walk.
    fn last_batch(&self, epoch: usize) -> Vec<u32> {
        let order = self.order(epoch);
        let last = order.chunks(self.spec.get().walks.batch_size).last().unwrap_or_default();
        last.iter().flat_map(|&walk| self.walks.walk(walk)).copied().collect()
    }

    /// Learning rate of an epoch after the fraction `share` of its steps.
    fn rate(&self, epoch: usize, share: f64) -> f64 {
        let a = &self.spec.get().optimizer.adam;
        a.schedule.at(epoch, share, a.lr, a.eta_min, a.t_0, a.t_mult)
    }

    /// Makes the remaining steps of an epoch until the observer stops. Returns the model, the completed part of the
    /// epoch, and whether to stop.
    fn steps<B: Trainable>(
        &self,
        mut model: Lsd<B>,
        adam: &mut Adam<B>,
        epoch: usize,
        mut done: PartialEpoch,
        device: &B::Device,
        observe: &mut Observer<'_>,
    ) -> Result<(Lsd<B>, PartialEpoch, bool), TrainError> {
        let (order, coefficients, steps) = (self.order(epoch), self.coefficients(epoch), self.n_steps());
        let mut unread = Vec::new();
        let mut stop = false;
        for (step, batch) in order.chunks(self.spec.get().walks.batch_size).enumerate().skip(done.step) {
            let global = GlobalBatch { visits: batch.len() * self.walks.path_len(), peers: self.peers.clone() };
            let shard = self.peers.shard(batch.len());
            let visits = shard.start * self.walks.path_len()..shard.end * self.walks.path_len();
            let cells: Vec<u32> = batch[shard].iter().flat_map(|&walk| self.walks.walk(walk)).copied().collect();
            let noise = self.noise((epoch * steps + step) as u64, &global, visits, device);
            let elbo = Elbo::new(&model, self.batch(&cells, global), noise, &coefficients, self.kernels)
                .map_err(|error| self.flow(error, &cells, epoch + 1, step + 1))?;
            let gradients = elbo.loss().backward();
            let (stepped, norms) = adam.step(self.rate(epoch, fraction_of(step, steps)), model, gradients, self.peers);
            self.peers.check()?;
            model = stepped.absorb(&elbo.statistics);
            done.solver_steps = done.solver_steps.saturating_add(elbo.work.steps);
            done.solver_evaluations = done.solver_evaluations.saturating_add(elbo.work.evaluations);
            unread.push((elbo.terms(), norms, elbo.flow.clone(), cells));
            if unread.len() < self.unread() && step + 1 < steps {
                continue;
            }
            // the model already includes all of these steps, so all losses are read before training may stop
            for (terms, norms, flow, cells) in unread.drain(..) {
                let step = done.step;
                let failed = |error| match flow.and_then(FlowCheck::failure) {
                    Some(reason) => self.flow(reason, &cells, epoch + 1, step + 1),
                    None => error,
                };
                let loss = self.read(terms, norms, epoch, step).map_err(failed)?;
                done.add(loss);
                stop |= observe(Event::StepDone { epoch, step, steps, loss }).is_break();
            }
            stop = self.any_stops(stop)?;
            if stop {
                break;
            }
        }
        Ok((model, done, stop))
    }

    /// Records an epoch, and checks that training can continue from its result.
    fn record<B: Trainable>(
        &self,
        model: &Lsd<B>,
        epoch: usize,
        done: &PartialEpoch,
        device: &B::Device,
    ) -> Result<EpochRecord, TrainError> {
        let trained = self.model(model);
        let not_finite = |(what, value)| TrainError::NotFinite { epoch: epoch + 1, what, value };
        if let Some(found) = weights_not_finite(&trained.weights) {
            return Err(not_finite(found));
        }
        let rises = monotonicity(&trained, self.data.x, &self.last_batch(epoch), self.walks.path_len())?;
        let record = EpochRecord {
            held_out: self.held_out(model, epoch, device)?,
            loss: done.mean(),
            potential_rise: rises.potential_rise,
            entropy_rise: rises.entropy_rise,
            learning_rate: self.rate(epoch, 0.0),
            solver_steps: done.solver_steps,
            solver_evaluations: done.solver_evaluations,
        };
        if let Some((what, value)) = record.not_finite() {
            return Err(not_finite((what.to_owned(), value)));
        }
        self.look_ahead(model, epoch, 0, device)?;
        Ok(record)
    }

    /// Checks that training can continue from this model, so that a model whose last step diverged is not returned.
    /// Checks a few walks; each peer checks its own. `step` is the next step of the epoch, counted from 1; 0 at the end
    /// of the epoch.
    fn look_ahead<B: Trainable>(
        &self,
        model: &Lsd<B>,
        epoch: usize,
        step: usize,
        device: &B::Device,
    ) -> Result<(), TrainError> {
        /// Number of walks that are checked.
        const FEW: usize = 8;
        let walks = self.last_batch(epoch);
        let cells = &walks[..walks.len().min(FEW * self.walks.path_len())];
        let global = GlobalBatch::alone(cells.len());
        let noise = self.noise(LOOK_AHEAD + epoch as u64, &global, 0..cells.len(), device);
        let elbo = Elbo::new(model, self.batch(cells, global), noise, &self.coefficients(epoch), self.kernels)
            .map_err(|error| self.flow(error, cells, epoch + 1, step))?;
        match elbo.terms().read().terms().into_iter().find(|(_, value)| !value.is_finite()) {
            Some((term, value)) => Err(match elbo.flow.and_then(FlowCheck::failure) {
                Some(reason) => self.flow(reason, cells, epoch + 1, step),
                None if step > 0 => TrainError::Loss { epoch: epoch + 1, step, term, value },
                None => TrainError::NotFinite { epoch: epoch + 1, what: format!("the {term} term of the loss"), value },
            }),
            None => Ok(()),
        }
    }

    /// The error of a flow that could not be solved; `cells` are the cells of the walks, row after row.
    fn flow(&self, error: OdeError, cells: &[u32], epoch: usize, step: usize) -> TrainError {
        match error {
            OdeError::NotFinite { row, time } => {
                TrainError::Diverged { epoch, step, cell: cells[row * self.walks.path_len()], time }
            }
            source => TrainError::Flow { epoch, step, source },
        }
    }

    /// Loss of the held-out walks, with the same noise in every epoch.
    fn held_out<B: Trainable>(
        &self,
        model: &Lsd<B>,
        epoch: usize,
        device: &B::Device,
    ) -> Result<Option<f64>, TrainError> {
        let (length, spec) = (self.walks.path_len(), self.spec.get());
        let coefficients = self.coefficients(epoch);
        let (mut total, mut batches) = (0.0, 0.0);
        for (number, cells) in self.walks.held_out().chunks(spec.walks.batch_size.saturating_mul(length)).enumerate() {
            let all_visits = cells.len();
            let global = GlobalBatch { visits: all_visits, peers: self.peers.clone() };
            let shard = self.peers.shard(all_visits / length);
            let visits = shard.start * length..shard.end * length;
            let noise = self.noise(HELD_OUT + number as u64, &global, visits.clone(), device);
            let cells = &cells[visits];
            let elbo = Elbo::new(model, self.batch(cells, global), noise, &coefficients, self.kernels)
                .map_err(|error| self.flow(error, cells, epoch + 1, 0))?;
            total += elbo.terms().read().total_over(self.peers).total();
            self.peers.check()?;
            #[expect(clippy::cast_precision_loss, reason = "visits of a batch are far below 2^52")]
            let full = all_visits as f64 / (spec.walks.batch_size as f64 * length as f64);
            batches += full;
        }
        Ok((batches > 0.0).then(|| total / batches))
    }

    /// Number of steps after which their losses are read. Reading waits for the device; reading rarely lets the host
    /// queue steps ahead, so that the device does not idle.
    fn unread(&self) -> usize {
        if matches!(self.kernels, Kernels::Device(_)) && self.peers.count() == 1 { 8 } else { 1 }
    }

    /// Reads the loss of a step. The loss and the gradients must be finite.
    fn read<B: Backend, I: Backend>(
        &self,
        terms: Terms<B>,
        norms: Norms<I>,
        epoch: usize,
        step: usize,
    ) -> Result<Loss, TrainError> {
        let loss = terms.read().total_over(self.peers);
        self.peers.check()?;
        let (epoch, step) = (epoch + 1, step + 1);
        if let Some((term, value)) = loss.terms().into_iter().find(|(_, value)| !value.is_finite()) {
            return Err(TrainError::Loss { epoch, step, term, value });
        }
        match norms.not_finite() {
            Some(tensor) => Err(TrainError::Gradient { epoch, step, tensor }),
            None => Ok(loss),
        }
    }

    fn coefficients(&self, epoch: usize) -> Coefficients {
        let spec = self.spec.get();
        #[expect(clippy::cast_precision_loss, reason = "visits of a batch are far below 2^52")]
        let visits = spec.walks.batch_size as f64 * self.walks.path_len() as f64 * self.data.n_genes() as f64;
        Coefficients {
            scale: 1.0 / visits,
            annealing: spec.optimizer.kl_schedule.at(epoch),
            wasserstein: spec.optimizer.wasserstein_schedule.at(epoch),
            potential: spec.model.v_coeff,
            library: self.data.library,
            ode: self.spec.ode().clone(),
        }
    }

    fn batch<'a>(&'a self, cells: &'a [u32], global: GlobalBatch) -> Batch<'a> {
        let mut distinct = cells.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let place = |cell: &u32| distinct.partition_point(|other| other < cell);
        let places = cells.iter().map(|cell| u32::try_from(place(cell)).expect("fewer than 2^32 cells")).collect();
        let x = Expression::new(sparse_rows(self.data.x, &distinct), self.data.n_genes());
        Batch { x, places, counts: sparse_rows(self.data.counts, cells), steps: self.walks.path_len(), global }
    }

    /// The noise of some visits of a batch. Every peer draws the noise of the global batch and takes its shard.
    fn noise<B: Trainable>(
        &self,
        step: u64,
        global: &GlobalBatch,
        visits: Range<usize>,
        device: &B::Device,
    ) -> Noise<B> {
        let mut rng = random_stream(self.spec.get().random_state, Purpose::Noise, step);
        let model = &self.spec.get().model;
        let widths = [model.z_dim, model.b_dim, 1];
        let mut all = Vec::with_capacity(visits.len() * widths.iter().sum::<usize>());
        for width in widths {
            let values: Vec<f32> = (0..global.visits * width).map(|_| rng.sample(StandardNormal)).collect();
            all.extend_from_slice(&values[visits.start * width..visits.end * width]);
        }
        // one array, which is copied to the device at once
        let n = all.len();
        let all = Tensor::<B, 1>::from_data(TensorData::new(all, [n]), device);
        let mut first = 0;
        let [z, b, xl] = widths.map(|width| {
            let part = all.clone().narrow(0, first, visits.len() * width);
            first += visits.len() * width;
            part.reshape([visits.len(), width])
        });
        Noise { z, b, xl }
    }

    fn model<B: Trainable>(&self, model: &Lsd<B>) -> Model {
        Model {
            spec: self.spec.model().clone(),
            n_genes: self.data.n_genes(),
            genes: self.data.genes.to_vec(),
            weights: model.weights(),
        }
    }

    fn checkpoint<B: Trainable>(
        &self,
        model: &Lsd<B>,
        moments: BTreeMap<String, AdamMoments>,
        history: Vec<EpochRecord>,
        partial: Option<PartialEpoch>,
    ) -> Checkpoint {
        let (model, spec) = (self.model(model), self.spec.get().clone());
        let simd = (self.kernels == Kernels::Host).then(|| SimdLevel::used().to_string());
        Checkpoint { model, spec, moments, history, partial, fingerprint: self.fingerprint.clone(), simd }
    }
}

#[cfg(test)]
mod tests {
    use sclsd_data::{SimulateSpec, simulate};

    use super::*;
    use crate::{DataKeys, TrainSpec};

    #[test]
    fn a_batch_beyond_the_indices_of_a_gpu_is_refused_with_the_way_out() {
        assert!(check_countable(143_165, 30_000).is_ok());
        let message = check_countable(143_166, 30_000).unwrap_err().to_string();
        assert!(message.contains("143166 cells and 30000 genes") && message.contains("walks.batch_size"), "{message}");
        assert!(check_countable(usize::MAX, 2).is_err());
    }

    #[test]
    fn a_flow_that_is_not_finite_is_named_by_the_cell_that_it_begins_at() {
        let data = simulate(&SimulateSpec { n_cells: 60, n_genes: 12, ..SimulateSpec::default() }.check().unwrap());
        let walks = Walks::new(4, (0..96).map(|i| (i * 7) % 60).collect()).unwrap();
        let training = TrainingData::new(&data, &DataKeys::default()).unwrap();
        let run = Run {
            data: &training,
            walks: &walks,
            spec: &TrainSpec::default().check().unwrap(),
            fingerprint: Fingerprint::new(),
            kernels: Kernels::Host,
            peers: &Peers::alone(),
        };
        let error = run.flow(OdeError::NotFinite { row: 2, time: 0.25 }, walks.cells(), 3, 1);
        let message = "the flow from cell 56 (counted from 0) is not finite after time 0.25 in epoch 3, step 1; \
                    try a smaller optimizer.adam.lr";
        assert_eq!(error.to_string(), message);
    }
}
