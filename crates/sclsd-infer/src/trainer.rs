//! Fitting a model to walks: choose the settings with one call each, then call [`Trainer::fit`].
//!
//! Training runs on one device, on several devices of this machine, or as one of several processes. With several, the
//! walks of every batch are divided into shards, and the model equals that of a single device within rounding.

use std::fmt;
use std::ops::ControlFlow;
use std::panic::resume_unwind;

use sclsd_graph::Walks;
use sclsd_model::{Custom, Executor, Peers};

use crate::peers::threads;
use crate::train::{Observer, train};
use crate::{CheckedTrainSpec, Checkpoint, Event, TrainError, TrainingData};

/// No device has been chosen; methods that need a device are not available.
#[derive(Debug, Clone, Copy)]
pub struct NoDevice;

/// Fits a model to walks.
///
/// # Examples
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use sclsd_infer::{TrainSpec, Trainer, TrainingData};
/// # use std::ops::ControlFlow;
/// # let spec = sclsd_data::SimulateSpec { n_cells: 60, n_genes: 12, ..Default::default() };
/// # let cells = sclsd_data::simulate(&spec.check()?);
/// # let walks = sclsd_graph::Walks::new(4, (0..32).collect())?;
/// # let mut spec = TrainSpec { num_epochs: 2, ..TrainSpec::default() };
/// # spec.walks.batch_size = 4;
/// # spec.model.layer_dims.x_encoder = vec![8];
/// # spec.model.layer_dims.z_decoder = vec![8];
/// let device = sclsd_model::OnBackend::<Autodiff<Flex>>::default();
/// let data = TrainingData::new(&cells, &spec.keys)?;
/// let spec = spec.check()?;
/// # let mut steps = 0;
/// let stopped = Trainer::new(spec.clone())
///     .device(device.clone())
///     .observe(|event| { steps += 1; if steps < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) } })
///     .fit(&data, &walks)?;
/// let fit = Trainer::new(spec).device(device).resume(stopped).fit(&data, &walks)?;
/// assert_eq!(fit.epoch(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "nothing is trained before fit is called"]
pub struct Trainer<'a, D = NoDevice> {
    spec: CheckedTrainSpec,
    devices: Vec<D>,
    resume: Option<Checkpoint>,
    peers: Peers,
    observe: Box<Observer<'a>>,
}

impl<D: fmt::Debug> fmt::Debug for Trainer<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spec, devices, resume, peers, .. } = self;
        let mut shown = f.debug_struct("Trainer");
        shown.field("spec", spec).field("devices", devices).field("resume", resume).field("peers", peers);
        shown.finish_non_exhaustive()
    }
}

impl Trainer<'_> {
    /// Training with this specification, from the start, without peers or an observer; choose the device next.
    pub fn new(spec: CheckedTrainSpec) -> Self {
        let observe = Box::new(|_: Event<'_>| ControlFlow::Continue(()));
        Self { spec, devices: Vec::new(), resume: None, peers: Peers::alone(), observe }
    }
}

impl<'a, D> Trainer<'a, D> {
    /// Trains on this device.
    pub fn device<E: Executor>(self, device: E) -> Trainer<'a, E> {
        self.on(vec![device])
    }

    /// Trains on several devices of this machine, each with its shard of every batch. The result is the same within
    /// rounding.
    pub fn devices<E: Executor + Clone>(self, devices: &[E]) -> Trainer<'a, E> {
        self.on(devices.to_vec())
    }

    fn on<E>(self, devices: Vec<E>) -> Trainer<'a, E> {
        let Self { spec, resume, peers, observe, .. } = self;
        Trainer { spec, devices, resume, peers, observe }
    }

    /// Replaces networks of the model by user-defined parts.
    pub fn with(self, custom: Custom) -> Self {
        Self { spec: self.spec.with(custom), ..self }
    }

    /// Resumes from a checkpoint of the same run, if there is one. The result has the same bits as an uninterrupted
    /// run. Default: train from the start.
    pub fn resume(self, checkpoint: impl Into<Option<Checkpoint>>) -> Self {
        Self { resume: checkpoint.into(), ..self }
    }

    /// Trains together with peers, each of which has the same data and specification and its own device. Default: no
    /// peers.
    pub fn peers(self, peers: Peers) -> Self {
        Self { peers, ..self }
    }

    /// Calls `observe` after every step and epoch. If it breaks, training ends at the next step on all peers, and the
    /// returned checkpoint can be resumed. On GPUs up to eight queued steps are completed first. Default: no observer.
    pub fn observe(self, observe: impl FnMut(Event<'_>) -> ControlFlow<()> + 'a) -> Self {
        Self { observe: Box::new(observe), ..self }
    }
}

impl<D: Executor + Sync> Trainer<'_, D> {
    /// Trains a model. [`Checkpoint::is_finished`] tells whether the returned run is complete.
    ///
    /// Do not call this from a rayon worker with several devices: it blocks until the threads of the other devices have
    /// finished, and these threads may wait for the worker.
    ///
    /// # Errors
    /// [`TrainError`] names the epoch, the step and the term or tensor that is not finite. Earlier checkpoints are
    /// still valid.
    pub fn fit(self, data: &TrainingData<'_>, walks: &Walks) -> Result<Checkpoint, TrainError> {
        let Self { spec, devices, resume, peers, mut observe } = self;
        match &devices[..] {
            [] => Err(TrainError::NoDevices),
            [device] => train(data, walks, &spec, resume, device, &peers, &mut *observe),
            _ if peers.count() > 1 => Err(TrainError::DevicesOfPeer { devices: devices.len(), peers: peers.count() }),
            [first, others @ ..] => on_threads(data, walks, &spec, resume.as_ref(), first, others, &mut *observe),
        }
    }
}

/// Trains with one thread per device; this thread trains on the first device.
fn on_threads<D: Executor + Sync>(
    data: &TrainingData<'_>,
    walks: &Walks,
    spec: &CheckedTrainSpec,
    from: Option<&Checkpoint>,
    first: &D,
    others: &[D],
    observe: &mut Observer<'_>,
) -> Result<Checkpoint, TrainError> {
    std::thread::scope(|scope| {
        let mut peers = threads(1 + others.len()).into_iter();
        let mine = peers.next().unwrap_or_default();
        let begin = |(device, peers): (_, Peers)| {
            scope.spawn(move || {
                let go_on = &mut |_: Event<'_>| ControlFlow::Continue(());
                train(data, walks, spec, from.cloned(), device, &peers, go_on).err()
            })
        };
        let running: Vec<_> = others.iter().zip(peers).map(begin).collect();
        let trained = train(data, walks, spec, from.cloned(), first, &mine, observe);
        // drop this rank: if its training ended with an error, the other threads still wait for it
        drop(mine);
        let ended = running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        let reasons: Vec<TrainError> = ended.flatten().collect();
        match trained {
            // this thread only knows that a peer stopped; the peer that stopped first has the reason
            Err(TrainError::Peer(gone)) => {
                let reason = reasons.into_iter().find(|reason| !matches!(reason, TrainError::Peer(_)));
                Err(reason.unwrap_or(TrainError::Peer(gone)))
            }
            trained => trained,
        }
    })
}

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, Flex};
    use sclsd_data::{Dataset, SimulateSpec, simulate};
    use sclsd_graph::WalkSpec;
    use sclsd_model::{LayerDims, ModelSpec, OnBackend};

    use super::*;
    use crate::{AdamSpec, DataKeys, OptimizerSpec, PartialEpoch, TrainSpec};

    /// Steps of an epoch of [`spec`] on [`walks`].
    const STEPS: usize = 3;

    type Tensors = OnBackend<Autodiff<Flex>>;

    /// The same backend with the host kernels.
    #[derive(Debug, Clone, Default)]
    struct Host(Tensors);

    impl Executor for Host {
        fn run<J: sclsd_model::Job>(&self, job: J) -> J::Output {
            self.0.run(job)
        }

        fn kernels(&self) -> sclsd_model::Kernels {
            sclsd_model::Kernels::Host
        }
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

    fn trainer(lr: f64, num_epochs: usize) -> Trainer<'static, Tensors> {
        Trainer::new(spec(lr, num_epochs)).device(Tensors::default())
    }

    /// An observer that breaks after `steps` steps.
    fn after(steps: usize) -> impl FnMut(Event<'_>) -> ControlFlow<()> {
        let mut left = steps;
        move |event| {
            if let Event::StepDone { .. } = event {
                left = left.saturating_sub(1);
            }
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }

    /// The bytes of the checkpoint's file.
    fn bytes(checkpoint: &Checkpoint) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.safetensors");
        checkpoint.save(&path).unwrap();
        std::fs::read(path).unwrap()
    }

    /// Writes the checkpoint to a file and reads it back.
    fn reread(checkpoint: &Checkpoint) -> Checkpoint {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.safetensors");
        checkpoint.save(&path).unwrap();
        Checkpoint::load(&path).unwrap()
    }

    /// Stops after each number of steps of six, resumes from a file, and compares with an uninterrupted run.
    fn stops_anywhere<D: Executor + Clone + Sync>(devices: &[D]) {
        let (data, walks) = (data(), walks());
        let training = TrainingData::new(&data, &DataKeys::default()).unwrap();
        let trainer = || Trainer::new(spec(1e-3, 2)).devices(devices);
        let whole = trainer().fit(&training, &walks).unwrap();
        assert!(whole.is_finished());
        for stop in 1..2 * STEPS {
            let stopped = trainer().observe(after(stop)).fit(&training, &walks).unwrap();
            assert_eq!((stopped.epoch(), stopped.step()), (stop / STEPS, stop % STEPS));
            assert!(!stopped.is_finished());
            let stopped = reread(&stopped);
            let fit = trainer().resume(stopped).fit(&training, &walks).unwrap();
            assert!(bytes(&fit) == bytes(&whole), "stopped after step {stop}, on {} devices", devices.len());
        }
        let finished = trainer().observe(after(2 * STEPS)).fit(&training, &walks).unwrap();
        assert!(finished.is_finished(), "stopped by the last step of all");
        assert!(bytes(&finished) == bytes(&whole));
    }

    #[test]
    fn training_that_stops_in_the_middle_of_an_epoch_goes_on_to_the_same_bytes() {
        stops_anywhere(&[Tensors::default()]);
        stops_anywhere(&[Host::default()]);
    }

    #[test]
    fn training_on_several_devices_that_stops_in_the_middle_of_an_epoch_goes_on_to_the_same_bytes() {
        stops_anywhere(&vec![Tensors::default(); 2]);
        stops_anywhere(&vec![Host::default(); 3]);
    }

    #[test]
    fn training_that_stops_at_every_step_gives_the_same_bytes() {
        let (data, walks) = (data(), walks());
        let training = TrainingData::new(&data, &DataKeys::default()).unwrap();
        let whole = trainer(1e-3, 2).fit(&training, &walks).unwrap();
        let mut fit = trainer(1e-3, 2).observe(after(1)).fit(&training, &walks).unwrap();
        while !fit.is_finished() {
            fit = trainer(1e-3, 2).resume(reread(&fit)).observe(after(1)).fit(&training, &walks).unwrap();
        }
        assert!(bytes(&fit) == bytes(&whole));
    }

    #[test]
    fn whichever_peer_is_told_to_stop_all_stop_after_the_same_step() {
        let (data, walks) = (data(), walks());
        let training = TrainingData::new(&data, &DataKeys::default()).unwrap();
        for told in 0..3 {
            for stop in [1, 2, STEPS, STEPS + 1] {
                let stopped: Vec<Checkpoint> = std::thread::scope(|scope| {
                    let (training, walks) = (&training, &walks);
                    let each = |(rank, peers): (usize, Peers)| {
                        scope.spawn(move || {
                            let steps = if rank == told { stop } else { usize::MAX };
                            trainer(1e-3, 2).peers(peers).observe(after(steps)).fit(training, walks).unwrap()
                        })
                    };
                    let running: Vec<_> = threads(3).into_iter().enumerate().map(each).collect();
                    running.into_iter().map(|thread| thread.join().unwrap()).collect()
                });
                assert_eq!((stopped[0].epoch(), stopped[0].step()), (stop / STEPS, stop % STEPS), "peer {told}");
                // every peer counts the solver's work of its own shard only
                let same = |other: &Checkpoint| {
                    let sums = |c: &Checkpoint| c.partial.as_ref().map(|partial| (partial.step, partial.loss));
                    (&other.model, &other.moments, sums(other))
                        == (&stopped[0].model, &stopped[0].moments, sums(&stopped[0]))
                };
                assert!(stopped.iter().all(same), "peer {told} after step {stop}");
            }
        }
    }

    #[test]
    fn a_stop_at_the_end_of_an_epoch_stops_all_peers() {
        let (data, walks) = (data(), walks());
        let training = TrainingData::new(&data, &DataKeys::default()).unwrap();
        let observe = |event: Event<'_>| match event {
            Event::EpochDone { .. } => ControlFlow::Break(()),
            Event::StepDone { .. } => ControlFlow::Continue(()),
        };
        let trainer = Trainer::new(spec(1e-3, 3)).devices(&vec![Tensors::default(); 2]).observe(observe);
        let fit = trainer.fit(&training, &walks).unwrap();
        assert_eq!((fit.epoch(), fit.step(), fit.is_finished()), (1, 0, false));
    }

    #[test]
    fn a_stop_within_an_epoch_that_does_not_fit_the_run_is_refused_in_a_sentence() {
        let (data, walks) = (data(), walks());
        let training = TrainingData::new(&data, &DataKeys::default()).unwrap();
        let stopped = trainer(1e-3, 2).observe(after(STEPS + 1)).fit(&training, &walks).unwrap();
        let refuse = |from: Checkpoint, epochs: usize, expected: &str| {
            let message = trainer(1e-3, epochs).resume(from).fit(&training, &walks).unwrap_err().to_string();
            assert_eq!(message, format!("the checkpoint is of another run: it stopped after {expected}"));
        };
        let partial = Some(PartialEpoch { step: STEPS, ..stopped.partial.clone().unwrap() });
        let beyond = Checkpoint { partial, ..stopped.clone() };
        refuse(beyond, 2, "step 3 of epoch 2, but an epoch has 3 steps here");
        refuse(stopped, 1, "step 1 of epoch 2, but num_epochs is 1");
    }

    #[test]
    fn a_checkpoint_at_the_end_of_an_epoch_needs_no_further_epochs_to_be_returned() {
        let (data, walks) = (data(), walks());
        let training = TrainingData::new(&data, &DataKeys::default()).unwrap();
        let fit = trainer(1e-3, 2).fit(&training, &walks).unwrap();
        let again = trainer(1e-3, 1).resume(fit.clone()).fit(&training, &walks).unwrap();
        assert_eq!((again.epoch(), &again.model), (2, &fit.model));
    }

    #[test]
    fn training_on_no_device_and_a_peer_on_several_are_errors() {
        let (data, walks) = (data(), walks());
        let training = TrainingData::new(&data, &DataKeys::default()).unwrap();
        let error = Trainer::new(spec(1e-3, 1)).devices::<Tensors>(&[]).fit(&training, &walks).unwrap_err();
        assert_eq!(error.to_string(), "there is no device to train on; expected at least one");
        let peer = threads(2).swap_remove(0);
        let trainer = Trainer::new(spec(1e-3, 1)).devices(&vec![Tensors::default(); 3]).peers(peer);
        let message = trainer.fit(&training, &walks).unwrap_err().to_string();
        assert_eq!(message, "one of 2 peers has 3 devices; expected one: give every device a peer of its own");
    }

    #[test]
    fn whatever_the_learning_rate_a_checkpoint_that_is_handed_out_can_be_gone_on_from() {
        let (data, walks) = (data(), walks());
        let training = TrainingData::new(&data, &DataKeys::default()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.safetensors");
        let goes_on = |last: Checkpoint, lr: f64| {
            last.check_finite().unwrap();
            // a run with a small learning rate can resume from this checkpoint
            let from = Checkpoint { spec: spec(1e-6, 1).get().clone(), ..last };
            let fit = trainer(1e-6, from.epoch() + 1).resume(from).fit(&training, &walks);
            fit.unwrap_or_else(|error| panic!("from the last checkpoint at {lr}: {error}"));
        };
        let mut failed = 0;
        for lr in [1.0, 10.0, 30.0, 100.0, 1e3, 1e6, 1e20, 3e38] {
            let _ = std::fs::remove_file(&path);
            let observe = |event: Event<'_>| {
                if let Event::EpochDone { checkpoint, .. } = event {
                    checkpoint().save(&path).unwrap();
                }
                ControlFlow::Continue(())
            };
            failed += usize::from(trainer(lr, 6).observe(observe).fit(&training, &walks).is_err());
            if path.exists() {
                goes_on(Checkpoint::load(&path).unwrap(), lr);
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
        let fit = Trainer::new(all.check().unwrap()).device(Tensors::default()).fit(&training, &walks);
        assert_eq!(fit.unwrap().history.len(), 1);
    }

    #[test]
    fn peers_that_go_on_from_other_states_are_told_apart() {
        let (data, walks) = (data(), walks());
        let training = TrainingData::new(&data, &DataKeys::default()).unwrap();
        let from = trainer(1e-3, 1).fit(&training, &walks).unwrap();
        let mut moments = from.clone();
        moments.moments.get_mut("h_0").unwrap().second.values[0] *= 1.5;
        let stopped = trainer(1e-3, 2).observe(after(1)).fit(&training, &walks).unwrap();
        let mut sums = stopped.clone();
        sums.partial.as_mut().unwrap().loss.cell_state *= 1.5;
        for states in [[from, moments], [stopped, sums]] {
            let message: Vec<_> = std::thread::scope(|scope| {
                let (training, walks) = (&training, &walks);
                let each = |(peers, from): (Peers, Checkpoint)| {
                    scope.spawn(move || trainer(1e-3, 2).peers(peers).resume(from).fit(training, walks).unwrap_err())
                };
                let running: Vec<_> = threads(2).into_iter().zip(states).map(each).collect();
                running.into_iter().map(|thread| thread.join().unwrap().to_string()).collect()
            });
            for (message, peer) in message.iter().zip(["1", "0"]) {
                let expected = "has other data, another configuration or another checkpoint than this one";
                assert_eq!(*message, format!("peer {peer} {expected}"));
            }
        }
    }
}
