//! The training loop.
//!
//! Each epoch takes the walks in a new order, in batches; each batch is one evaluation of the loss, one gradient and one
//! step of the optimiser. All noise comes from streams numbered by epoch and step, so that a run that was interrupted
//! goes on as if it had not been.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::panic::resume_unwind;

use burn::tensor::{Tensor, TensorData, backend::Backend};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::StandardNormal;
use sclsd_data::{Purpose, stream};
use sclsd_graph::Walks;
use sclsd_model::ode::{OdeError, Work};
use sclsd_model::{
    Executor, Expression, FlowCheck, Job, Kernels, Lsd, Model, PeerError, Peers, Precision, SimdLevel, Trainable,
    WeightsError, Whole,
};

use crate::adam::Norms;
use crate::checkpoint::{Checkpoint, CheckpointError, weights_not_finite};
use crate::data::sparse_rows;
use crate::elbo::Terms;
use crate::fingerprint::fingerprint;
use crate::monotonicity::monotonicity;
use crate::peers::{agree, threads};
use crate::record::EpochRecord;
use crate::{
    Adam, Batch, CheckedTrainSpec, Coefficients, Elbo, Fingerprint, InitialValues, Loss, Moments, Noise,
    TrainSpecError, TrainingData,
};

/// Noise of held-out walks, and of what comes next, is drawn from streams beyond those of any step.
const HELD_OUT: u64 = 1 << 48;
const LOOK_AHEAD: u64 = 1 << 49;

/// What training reports.
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
        /// Its figures.
        record: &'a EpochRecord,
        /// Makes a checkpoint of the state after it; costs a copy of the model to the host.
        checkpoint: &'a dyn Fn() -> Checkpoint,
    },
}

/// Why training stopped.
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
        /// Its value.
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
    /// The flow from a cell leaves the range of numbers.
    #[error(
        "the flow from cell {cell} (counted from 0) is not finite after time {time} in epoch {epoch}, step {step}; try a smaller optimizer.adam.lr"
    )]
    Diverged {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Step within the epoch, counted from 1; 0 at its end.
        step: usize,
        /// The cell that the walk begins at.
        cell: u32,
        /// Last time at which the solution was finite, from 0 to 1.
        time: f64,
    },
    /// What an epoch has come to is not finite.
    #[error("{what} is {value} at the end of epoch {epoch}; try a smaller optimizer.adam.lr")]
    NotFinite {
        /// Epoch, counted from 1.
        epoch: usize,
        /// What it is.
        what: String,
        /// Its value.
        value: f64,
    },
    /// The flow cannot be solved.
    #[error("the flow cannot be solved in epoch {epoch}, step {step}")]
    Flow {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Step within the epoch, counted from 1.
        step: usize,
        /// The solver's reason.
        source: OdeError,
    },
    /// Walks visit cells that the data does not have.
    #[error("a walk visits cell {cell}, but there are {n_cells} cells")]
    Walks {
        /// The cell.
        cell: u32,
        /// Number of cells.
        n_cells: usize,
    },
    /// A processor computes in 32 bits.
    #[error("precision is \"{precision}\", which GPUs alone have (devices cuda and wgpu); expected \"f32\"")]
    Precision {
        /// What was asked for.
        precision: Precision,
    },
    /// A batch has more numbers than kernels on a GPU can count.
    #[error(
        "a batch of {cells} cells and {genes} genes has more than 2^32 numbers, which kernels on GPUs cannot count; choose a \
         smaller walks.batch_size, or device cpu"
    )]
    Uncountable {
        /// Distinct cells of a batch, at most.
        cells: usize,
        /// Number of genes.
        genes: usize,
    },
    /// A peer is gone.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// A batch has fewer walks than there are peers.
    #[error(
        "the last batch of an epoch has {walks} walks for {peers} peers; choose another walks.batch_size, walks.num_walks or walks.held_out"
    )]
    Share {
        /// Walks of the smallest batch.
        walks: usize,
        /// Number of peers.
        peers: usize,
    },
    /// The sizes are too large for this machine.
    #[error(transparent)]
    Spec(#[from] TrainSpecError),
    /// The checkpoint to go on from is of another run.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint's weights do not fit.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// Trains a model, from the beginning or from a checkpoint of the same run.
///
/// `observe` is told of every step and epoch and may stop training; the epoch at hand is still finished, so that what is
/// returned can be gone on from.
///
/// # Errors
/// [`TrainError`] names the epoch, the step and the term or tensor that stopped being finite. The checkpoints taken
/// before are still good.
pub fn train(
    data: &TrainingData<'_>,
    walks: &Walks,
    spec: &CheckedTrainSpec,
    from: Option<Checkpoint>,
    device: &impl Executor,
    observe: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<Checkpoint, TrainError> {
    train_with_peers(data, walks, spec, from, device, &Peers::alone(), observe)
}

/// As [`train`] on several devices of this machine at once, each with its share of every batch: the same result within rounding.
///
/// # Errors
/// As [`train`].
///
/// # Panics
/// When there are no devices, or one of their threads does.
pub fn train_on<D: Executor + Sync>(
    data: &TrainingData<'_>,
    walks: &Walks,
    spec: &CheckedTrainSpec,
    from: Option<Checkpoint>,
    devices: &[D],
    observe: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<Checkpoint, TrainError> {
    let (first, others) = devices.split_first().expect("a device to train on");
    if others.is_empty() {
        return train(data, walks, spec, from, first, observe);
    }
    std::thread::scope(|scope| {
        let mut peers = threads(devices.len()).into_iter();
        let mine = peers.next().unwrap_or_default();
        let begin = |(device, peers): (_, Peers)| {
            let from = from.clone();
            scope.spawn(move || {
                let go_on = &mut |_: Event<'_>| ControlFlow::Continue(());
                train_with_peers(data, walks, spec, from, device, &peers, go_on).err()
            })
        };
        let running: Vec<_> = others.iter().zip(peers).map(begin).collect();
        let trained = train_with_peers(data, walks, spec, from.clone(), first, &mine, observe);
        // the others are waiting for it, where it stopped early
        drop(mine);
        let ended = running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        let reasons: Vec<TrainError> = ended.flatten().collect();
        match trained {
            // the reason is with the one that stopped
            Err(TrainError::Peer(gone)) => {
                let reason = reasons.into_iter().find(|reason| !matches!(reason, TrainError::Peer(_)));
                Err(reason.unwrap_or(TrainError::Peer(gone)))
            }
            trained => trained,
        }
    })
}

/// As [`train`], together with peers: each has the same data and specification and takes its share of the walks of every batch. All
/// return the same model, which is that of one alone within rounding.
///
/// # Errors
/// As [`train`], and [`TrainError::Peer`] where a peer is gone or about to do something else.
pub fn train_with_peers(
    data: &TrainingData<'_>,
    walks: &Walks,
    spec: &CheckedTrainSpec,
    from: Option<Checkpoint>,
    device: &impl Executor,
    peers: &Peers,
    observe: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
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

/// Whether indices of 32 bits suffice for the expression of a batch.
fn check_countable(cells: usize, genes: usize) -> Result<(), TrainError> {
    match cells.checked_mul(genes) {
        Some(numbers) if u32::try_from(numbers).is_ok() => Ok(()),
        _ => Err(TrainError::Uncountable { cells, genes }),
    }
}

type Observer<'a> = dyn FnMut(Event<'_>) -> ControlFlow<()> + 'a;

#[expect(clippy::cast_precision_loss, reason = "steps of an epoch are far below 2^52")]
fn share_of(step: usize, steps: usize) -> f64 {
    step as f64 / steps as f64
}

/// What stays the same throughout.
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
        let (mut model, moments, mut history): (Lsd<B>, _, _) = match from {
            Some(from) => (from.model.on(device)?, from.moments, from.history),
            None => {
                let mut rng = stream(spec.random_state, Purpose::Weights, 0);
                let model = Lsd::new(run.spec.model(), run.data.n_genes(), &mut rng, device);
                let model = match spec.initial_values {
                    InitialValues::Torch => model,
                    InitialValues::Data => model.starting_at(&run.data.start()),
                };
                (model, BTreeMap::new(), Vec::new())
            }
        };
        let mut adam = Adam::<B>::new(&spec.optimizer.adam, &moments, run.kernels, device);
        for epoch in history.len()..spec.num_epochs {
            if spec.early_stopping.ends(history.iter().map(|record: &EpochRecord| record.held_out)) {
                break;
            }
            let (trained, record, stop) = run.epoch(model, &mut adam, epoch, device, observe)?;
            model = trained;
            history.push(record);
            let checkpoint = || run.checkpoint(&model, adam.moments(), history.clone());
            let event = Event::EpochDone { epoch, record: &history[epoch], checkpoint: &checkpoint };
            if observe(event).is_break() || stop {
                break;
            }
        }
        let trained = run.checkpoint(&model, adam.moments(), history);
        trained.check_finite()?;
        Ok(trained)
    }
}

impl Run<'_> {
    /// Makes sure that all peers have the same before them, and each something to do.
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

    fn epoch<B: Trainable>(
        &self,
        mut model: Lsd<B>,
        adam: &mut Adam<B>,
        epoch: usize,
        device: &B::Device,
        observe: &mut Observer<'_>,
    ) -> Result<(Lsd<B>, EpochRecord, bool), TrainError> {
        let spec = self.spec.get();
        let a = &spec.optimizer.adam;
        let rate = |share: f64| a.schedule.at(epoch, share, a.lr, a.eta_min, a.t_0, a.t_mult);
        let mut order: Vec<usize> = (0..self.walks.len()).collect();
        order.shuffle(&mut stream(spec.random_state, Purpose::Shuffle, epoch as u64));
        let coefficients = self.coefficients(epoch);
        let steps = order.len().div_ceil(spec.walks.batch_size);

        let (mut losses, mut unread) = (Vec::with_capacity(steps), Vec::new());
        let mut work = Work::default();
        let mut stop = false;
        for (step, batch) in order.chunks(spec.walks.batch_size).enumerate() {
            let whole = Whole { visits: batch.len() * self.walks.path_len(), peers: self.peers.clone() };
            let share = self.peers.share(batch.len());
            let visits = share.start * self.walks.path_len()..share.end * self.walks.path_len();
            let cells: Vec<u32> = batch[share].iter().flat_map(|&walk| self.walks.walk(walk)).copied().collect();
            let noise = self.noise((epoch * steps + step) as u64, &whole, visits, device);
            let elbo = Elbo::new(&model, self.batch(&cells, whole), noise, &coefficients, self.kernels)
                .map_err(|error| self.flow(error, &cells, epoch + 1, step + 1))?;
            let gradients = elbo.loss().backward();
            let (stepped, norms) = adam.step(rate(share_of(step, steps)), model, gradients, self.peers);
            self.peers.check()?;
            model = stepped.absorb(&elbo.statistics);
            work.steps += elbo.work.steps;
            work.evaluations += elbo.work.evaluations;
            unread.push((elbo.terms(), norms, elbo.flow.clone(), cells));
            if unread.len() == self.unread() || step + 1 == steps {
                for (terms, norms, flow, cells) in unread.drain(..) {
                    let step = losses.len();
                    let failed = |error| match flow.and_then(FlowCheck::failure) {
                        Some(reason) => self.flow(reason, &cells, epoch + 1, step + 1),
                        None => error,
                    };
                    let loss = self.read(terms, norms, epoch, step).map_err(failed)?;
                    losses.push(loss);
                    stop |= observe(Event::StepDone { epoch, step, steps, loss }).is_break();
                }
            }
        }
        let last: Vec<u32> = order
            .chunks(spec.walks.batch_size)
            .last()
            .unwrap_or_default()
            .iter()
            .flat_map(|&walk| self.walks.walk(walk))
            .copied()
            .collect();
        let length = self.walks.path_len();
        let trained = self.model(&model);
        let not_finite = |(what, value)| TrainError::NotFinite { epoch: epoch + 1, what, value };
        if let Some(found) = weights_not_finite(&trained.weights) {
            return Err(not_finite(found));
        }
        let rises = monotonicity(&trained, self.data.x, &last, length)?;
        let record = EpochRecord {
            held_out: self.held_out(&model, epoch, device)?,
            loss: Loss::mean(&losses),
            potential_rise: rises.potential_rise,
            entropy_rise: rises.entropy_rise,
            learning_rate: rate(0.0),
            solver_steps: work.steps,
            solver_evaluations: work.evaluations,
        };
        if let Some((what, value)) = record.not_finite() {
            return Err(not_finite((what.to_owned(), value)));
        }
        self.look_ahead(&model, &last, epoch, device)?;
        Ok((model, record, stop))
    }

    /// Makes sure that training can go on from here: an epoch whose last step went too far is not handed out as a model. A few
    /// walks show it; each peer looks for itself.
    fn look_ahead<B: Trainable>(
        &self,
        model: &Lsd<B>,
        walks: &[u32],
        epoch: usize,
        device: &B::Device,
    ) -> Result<(), TrainError> {
        /// Walks that are looked at.
        const FEW: usize = 8;
        let cells = &walks[..walks.len().min(FEW * self.walks.path_len())];
        let whole = Whole::alone(cells.len());
        let noise = self.noise(LOOK_AHEAD + epoch as u64, &whole, 0..cells.len(), device);
        let elbo = Elbo::new(model, self.batch(cells, whole), noise, &self.coefficients(epoch), self.kernels)
            .map_err(|error| self.flow(error, cells, epoch + 1, 0))?;
        match elbo.terms().read().terms().into_iter().find(|(_, value)| !value.is_finite()) {
            Some((term, value)) => Err(match elbo.flow.and_then(FlowCheck::failure) {
                Some(reason) => self.flow(reason, cells, epoch + 1, 0),
                None => TrainError::NotFinite { epoch: epoch + 1, what: format!("the {term} term of the loss"), value },
            }),
            None => Ok(()),
        }
    }

    /// Why the flow of walks could not be solved; `cells` are those of the walks, row after row.
    fn flow(&self, error: OdeError, cells: &[u32], epoch: usize, step: usize) -> TrainError {
        match error {
            OdeError::NotFinite { row, time } => {
                TrainError::Diverged { epoch, step, cell: cells[row * self.walks.path_len()], time }
            }
            source => TrainError::Flow { epoch, step, source },
        }
    }

    /// Loss of the walks that training does not see, with the same noise in every epoch.
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
            let whole_visits = cells.len();
            let whole = Whole { visits: whole_visits, peers: self.peers.clone() };
            let share = self.peers.share(whole_visits / length);
            let visits = share.start * length..share.end * length;
            let noise = self.noise(HELD_OUT + number as u64, &whole, visits.clone(), device);
            let cells = &cells[visits];
            let elbo = Elbo::new(model, self.batch(cells, whole), noise, &coefficients, self.kernels)
                .map_err(|error| self.flow(error, cells, epoch + 1, 0))?;
            total += elbo.terms().read().total_over(self.peers).total();
            self.peers.check()?;
            #[expect(clippy::cast_precision_loss, reason = "visits of a batch are far below 2^52")]
            let full = whole_visits as f64 / (spec.walks.batch_size as f64 * length as f64);
            batches += full;
        }
        Ok((batches > 0.0).then(|| total / batches))
    }

    /// Steps after which their losses are read: to read is to wait until the device has come to them, and it should always
    /// have something to do.
    fn unread(&self) -> usize {
        if self.kernels == Kernels::Host || self.peers.count() > 1 { 1 } else { 8 }
    }

    /// The loss of a step, which with the gradients has to be finite.
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

    fn batch<'a>(&'a self, cells: &'a [u32], whole: Whole) -> Batch<'a> {
        let mut distinct = cells.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let place = |cell: &u32| distinct.partition_point(|other| other < cell);
        let places = cells.iter().map(|cell| u32::try_from(place(cell)).expect("fewer than 2^32 cells")).collect();
        let x = Expression::new(sparse_rows(self.data.x, &distinct), self.data.n_genes());
        Batch { x, places, counts: sparse_rows(self.data.counts, cells), steps: self.walks.path_len(), whole }
    }

    /// The noise of some visits of a batch; all of it is drawn, whoever takes the rest.
    fn noise<B: Trainable>(&self, step: u64, whole: &Whole, visits: Range<usize>, device: &B::Device) -> Noise<B> {
        let mut rng = stream(self.spec.get().random_state, Purpose::Noise, step);
        let model = &self.spec.get().model;
        let widths = [model.z_dim, model.b_dim, 1];
        let mut all = Vec::with_capacity(visits.len() * widths.iter().sum::<usize>());
        for width in widths {
            let values: Vec<f32> = (0..whole.visits * width).map(|_| rng.sample(StandardNormal)).collect();
            all.extend_from_slice(&values[visits.start * width..visits.end * width]);
        }
        // one array, which goes over at once
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
        moments: BTreeMap<String, Moments>,
        history: Vec<EpochRecord>,
    ) -> Checkpoint {
        let (model, spec) = (self.model(model), self.spec.get().clone());
        let simd = (self.kernels == Kernels::Host).then(|| SimdLevel::used().to_string());
        Checkpoint { model, spec, moments, history, fingerprint: self.fingerprint.clone(), simd }
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, Flex};
    use sclsd_data::{Dataset, SimulateSpec, simulate};
    use sclsd_graph::WalkSpec;
    use sclsd_model::{LayerDims, ModelSpec, OnBackend};

    use super::*;
    use crate::{AdamSpec, DataKeys, OptimizerSpec, TrainSpec};

    fn device() -> OnBackend<Autodiff<Flex>> {
        OnBackend::default()
    }

    fn data() -> Dataset {
        simulate(&SimulateSpec { n_cells: 60, n_genes: 12, ..SimulateSpec::default() }.check().unwrap())
    }

    /// 24 walks of four cells each.
    fn walks() -> Walks {
        Walks::new(4, (0..96).map(|i| (i * 7) % 60).collect()).unwrap()
    }

    fn spec(lr: f64, num_epochs: usize) -> CheckedTrainSpec {
        let layer_dims = LayerDims {
            b_decoder: vec![4],
            z_decoder: vec![6],
            x_encoder: vec![6],
            potential: vec![4],
            ..LayerDims::default()
        };
        let spec = TrainSpec {
            model: ModelSpec { z_dim: 3, layer_dims, ..ModelSpec::default() },
            optimizer: OptimizerSpec { adam: AdamSpec { lr, ..AdamSpec::default() }, ..OptimizerSpec::default() },
            walks: WalkSpec { batch_size: 8, path_len: 4, num_walks: 24, ..WalkSpec::default() },
            num_epochs,
            ..TrainSpec::default()
        };
        spec.check().unwrap()
    }

    #[test]
    fn a_batch_beyond_the_indices_of_a_gpu_is_refused_with_the_way_out() {
        assert!(check_countable(143_165, 30_000).is_ok());
        let said = check_countable(143_166, 30_000).unwrap_err().to_string();
        assert!(said.contains("143166 cells and 30000 genes") && said.contains("walks.batch_size"), "{said}");
        assert!(check_countable(usize::MAX, 2).is_err());
    }

    #[test]
    fn whatever_the_learning_rate_a_checkpoint_that_is_handed_out_can_be_gone_on_from() {
        let (data, walks) = (data(), walks());
        let training = TrainingData::new(&data, &DataKeys::default()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.safetensors");
        let mut failed = 0;
        for lr in [1.0, 10.0, 30.0, 100.0, 1e3, 1e6, 1e20, 3e38] {
            let _ = std::fs::remove_file(&path);
            let mut observe = |event: Event<'_>| {
                if let Event::EpochDone { checkpoint, .. } = event {
                    checkpoint().save(&path).unwrap();
                }
                ControlFlow::Continue(())
            };
            let fit = train(&training, &walks, &spec(lr, 6), None, &device(), &mut observe);
            failed += usize::from(fit.is_err());
            if path.exists() {
                let last = Checkpoint::load(&path).unwrap();
                last.check_finite().unwrap();
                // one that learns slowly goes on from it
                let imported = Checkpoint { fingerprint: fingerprint(&training, &walks), ..last };
                let from = Checkpoint { spec: spec(1e-6, 1).get().clone(), ..imported };
                let epochs = from.epoch() + 1;
                let go_on = &mut |_: Event<'_>| ControlFlow::Continue(());
                let fit = train(&training, &walks, &spec(1e-6, epochs), Some(from), &device(), go_on);
                fit.unwrap_or_else(|error| panic!("from the last checkpoint at {lr}: {error}"));
            }
        }
        assert!(failed >= 3, "{failed} learning rates were too large");
    }

    #[test]
    fn a_batch_larger_than_any_number_of_walks_is_all_of_them() {
        let (data, walks) = (data(), walks().with_held_out(vec![1, 2, 3, 4]).unwrap());
        let training = TrainingData::new(&data, &DataKeys::default()).unwrap();
        let mut all = spec(1e-3, 1).get().clone();
        all.walks.batch_size = usize::MAX;
        let fit = train(&training, &walks, &all.check().unwrap(), None, &device(), &mut |_| ControlFlow::Continue(()));
        assert_eq!(fit.unwrap().history.len(), 1);
    }

    #[test]
    fn a_flow_that_is_not_finite_is_named_by_the_cell_that_it_begins_at() {
        let (data, walks) = (data(), walks());
        let training = TrainingData::new(&data, &DataKeys::default()).unwrap();
        let spec = spec(1e-3, 1);
        let run = Run {
            data: &training,
            walks: &walks,
            spec: &spec,
            fingerprint: Fingerprint::new(),
            kernels: Kernels::Host,
            peers: &Peers::alone(),
        };
        let error = run.flow(OdeError::NotFinite { row: 2, time: 0.25 }, walks.cells(), 3, 1);
        let said = "the flow from cell 56 (counted from 0) is not finite after time 0.25 in epoch 3, step 1; \
                    try a smaller optimizer.adam.lr";
        assert_eq!(error.to_string(), said);
    }

    #[test]
    fn peers_that_go_on_from_other_moments_are_told_apart() {
        let (data, walks) = (data(), walks());
        let training = TrainingData::new(&data, &DataKeys::default()).unwrap();
        let go_on = |_: Event<'_>| ControlFlow::Continue(());
        let from = train(&training, &walks, &spec(1e-3, 1), None, &device(), &mut { go_on }).unwrap();
        let mut other = from.clone();
        other.moments.get_mut("h_0").unwrap().second.values[0] *= 1.5;
        let said: Vec<_> = std::thread::scope(|scope| {
            let (training, walks) = (&training, &walks);
            let each = |(peers, from): (Peers, Checkpoint)| {
                scope.spawn(move || {
                    let mut observe = |_: Event<'_>| ControlFlow::Continue(());
                    let spec = spec(1e-3, 2);
                    train_with_peers(training, walks, &spec, Some(from), &device(), &peers, &mut observe).unwrap_err()
                })
            };
            let running: Vec<_> = threads(2).into_iter().zip([from, other]).map(each).collect();
            running.into_iter().map(|thread| thread.join().unwrap().to_string()).collect()
        });
        for (said, peer) in said.iter().zip(["1", "0"]) {
            let expected = "has other data, another configuration or another checkpoint than this one";
            assert_eq!(*said, format!("peer {peer} {expected}"));
        }
    }
}
