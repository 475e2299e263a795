//! Checkpoints: one `.safetensors` file with everything that is needed to resume training or to start the analysis.
//!
//! Weights have the names of the Python package; the optimiser's moments have the prefixes `optimizer.first.` and
//! `optimizer.second.`. The metadata of the header has one key, `sclsd`, with a JSON object: format version,
//! specification, gene names, epoch, history, the completed steps of an interrupted epoch, and a [`Fingerprint`] of the
//! data. Equal states give equal bytes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sclsd_data::{plain_reason, replace_file};
use sclsd_model::{Array, Custom, Model, Weights};
use serde::{Deserialize, Serialize};

use crate::{AdamMoments, CheckedTrainSpec, EpochRecord, Fingerprint, PartialEpoch, TrainSpec};

/// Version of the format that is written. In version 2, training may have stopped within an epoch; a program that knows
/// only version 1 would repeat that epoch.
const VERSION: u32 = 2;
/// Oldest version that can be read.
const OLDEST: u32 = 1;
/// Version of a file with several members ([`Ensemble`](crate::Ensemble)).
pub(crate) const SEVERAL: u32 = 3;
const FIRST: &str = "optimizer.first.";
const SECOND: &str = "optimizer.second.";

/// A model and the state that is needed to train it further.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The trained model.
    pub model: Model,
    /// Specification of the training.
    pub spec: TrainSpec,
    /// Moments of the optimiser by tensor; empty for an imported model.
    pub moments: BTreeMap<String, AdamMoments>,
    /// One record per completed epoch.
    pub history: Vec<EpochRecord>,
    /// The completed steps of the next epoch if training stopped within an epoch; `None` at the end of an epoch.
    pub partial: Option<PartialEpoch>,
    /// Fingerprint of the training data; empty for an imported model.
    pub fingerprint: Fingerprint,
    /// SIMD level of the last run on the host, such as `avx2` or `amx` ([`SimdLevel`](sclsd_model::SimdLevel)); other
    /// levels round differently. `None` for a model that was imported, trained on a GPU or with tensor operations, or
    /// written by a version that did not record the level.
    pub simd: Option<String>,
}

/// Why a checkpoint cannot be read, written or resumed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file cannot be opened.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// Path of the file.
        path: String,
        /// The reason.
        reason: String,
    },
    /// The file is not a checkpoint.
    #[error("{path} is not a checkpoint of sclsd: {reason}")]
    NotCheckpoint {
        /// Path of the file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The file cannot be written; a previous file at this path is unchanged.
    #[error("{path} cannot be written: {reason}")]
    Unwritable {
        /// Path of the file.
        path: String,
        /// The reason.
        reason: String,
    },
    /// A number of the state is not finite; a previous file is unchanged.
    #[error("{what} is {value}, so the model is not written; what was written before is untouched")]
    NotFinite {
        /// Name of the number.
        what: String,
        /// Value of the number.
        value: f64,
    },
    /// The checkpoint belongs to another run.
    #[error("the checkpoint is of another run: {difference}")]
    Mismatch {
        /// The first difference.
        difference: String,
    },
}

/// What a file says of a model beside its tensors.
#[derive(Serialize, Deserialize)]
pub(crate) struct Header {
    version: u32,
    spec: TrainSpec,
    /// Name of the user-defined potential, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    potential: Option<String>,
    /// Name of the user-defined likelihood, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    likelihood: Option<String>,
    n_genes: usize,
    genes: Vec<String>,
    epoch: usize,
    history: Vec<EpochRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partial: Option<PartialEpoch>,
    fingerprint: Fingerprint,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    simd: Option<String>,
    updates: BTreeMap<String, usize>,
}

impl Checkpoint {
    /// A checkpoint of an imported model, without training state.
    #[must_use]
    pub fn imported(model: Model, spec: TrainSpec) -> Self {
        let spec = TrainSpec { model: model.spec.get().clone(), ..spec };
        Self {
            model,
            spec,
            moments: BTreeMap::new(),
            history: Vec::new(),
            partial: None,
            fingerprint: Fingerprint::new(),
            simd: None,
        }
    }

    /// Number of completed epochs.
    #[must_use]
    pub fn epoch(&self) -> usize {
        self.history.len()
    }

    /// Number of completed steps of the next epoch; 0 if training did not stop within an epoch.
    #[must_use]
    pub fn step(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.step)
    }

    /// Whether the run is complete: all its epochs are done, or early stopping ended the run.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let held_out = self.history.iter().map(|record| record.held_out);
        self.partial.is_none() && (self.epoch() >= self.spec.num_epochs || self.spec.early_stopping.ends(held_out))
    }

    /// Writes the checkpoint to a temporary file beside `path`, syncs it and renames it to `path`, so that `path` is
    /// always a complete file.
    ///
    /// # Errors
    /// [`CheckpointError::Unwritable`] with the operating system's reason; [`CheckpointError::NotFinite`] if the state
    /// holds a number that is not finite.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        self.check_finite()?;
        write(path, self.to_bytes())
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError`] names the file and what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        Self::load_with(path, &Custom::default())
    }

    /// Reads a checkpoint of a model with user-defined parts. These parts are code, so no file holds them.
    ///
    /// # Errors
    /// [`CheckpointError`] names the file and what is wrong with it, or the parts that differ from those of the
    /// training.
    pub fn load_with(path: &Path, custom: &Custom) -> Result<Self, CheckpointError> {
        read(path, |bytes| Self::from_bytes(bytes, custom))
    }

    /// Checks that all numbers are finite: weights, moments and history.
    ///
    /// # Errors
    /// [`CheckpointError::NotFinite`] names the first number that is not finite.
    pub(crate) fn check_finite(&self) -> Result<(), CheckpointError> {
        let moments = || {
            let both = self.moments.iter().flat_map(|(name, m)| [(FIRST, name, &m.first), (SECOND, name, &m.second)]);
            both.into_iter().find_map(|(part, name, array)| {
                Some((format!("the optimiser's state {part}{name}"), f64::from(not_finite(array)?)))
            })
        };
        let history = || {
            let mut all = self.history.iter().zip(1..);
            all.find_map(|(record, epoch)| record.not_finite().map(|(what, v)| (format!("{what} of epoch {epoch}"), v)))
        };
        let partial = || {
            let mut terms = self.partial.iter().flat_map(|partial| partial.loss.terms());
            let (term, value) = terms.find(|(_, value)| !value.is_finite())?;
            Some((format!("the sum of {term} of the unfinished epoch"), value))
        };
        match weights_not_finite(&self.model.weights).or_else(moments).or_else(history).or_else(partial) {
            Some((what, value)) => Err(CheckpointError::NotFinite { what, value }),
            None => Ok(()),
        }
    }

    /// The state that training resumes from, as bytes; different states have different bytes.
    pub(crate) fn state(&self) -> Vec<u8> {
        let weights = self.model.weights.iter().map(|(name, array)| (name, 0, array));
        let moments = self.moments.iter().flat_map(|(name, m)| {
            let updates = m.updates as u64;
            [(name, updates, &m.first), (name, updates, &m.second)]
        });
        let mut bytes = (self.epoch() as u64).to_le_bytes().to_vec();
        if let Some(PartialEpoch { step, loss, .. }) = &self.partial {
            bytes.extend((*step as u64).to_le_bytes());
            bytes.extend(loss.terms().iter().flat_map(|(_, value)| value.to_le_bytes()));
        }
        for (name, updates, array) in weights.chain(moments) {
            bytes.extend(name.bytes());
            bytes.extend(updates.to_le_bytes());
            bytes.extend(array.values.iter().flat_map(|value| value.to_le_bytes()));
        }
        bytes
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, String> {
        serialized(&self.tensors(""), &serde_json::to_string(&self.header()).map_err(|e| e.to_string())?)
    }

    /// What a file says of it beside its tensors.
    pub(crate) fn header(&self) -> Header {
        let (potential, likelihood) = self.model.spec.custom().names();
        Header {
            version: VERSION,
            spec: self.spec.clone(),
            potential,
            likelihood,
            n_genes: self.model.n_genes,
            genes: self.model.genes.clone(),
            epoch: self.epoch(),
            history: self.history.clone(),
            partial: self.partial.clone(),
            fingerprint: self.fingerprint.clone(),
            simd: self.simd.clone(),
            updates: self.moments.iter().map(|(name, m)| (name.clone(), m.updates)).collect(),
        }
    }

    /// Its tensors under the names they have in a file, each behind `prefix`.
    pub(crate) fn tensors(&self, prefix: &str) -> Vec<RawTensor> {
        let named = self.model.weights.iter().map(|(name, array)| (format!("{prefix}{name}"), array));
        let first = self.moments.iter().map(|(name, m)| (format!("{prefix}{FIRST}{name}"), &m.first));
        let second = self.moments.iter().map(|(name, m)| (format!("{prefix}{SECOND}{name}"), &m.second));
        named.chain(first).chain(second).map(|(name, array)| raw(name, array)).collect()
    }

    pub(crate) fn from_bytes(bytes: &[u8], custom: &Custom) -> Result<Self, String> {
        let json = header_of(bytes)?;
        match version_of(&json)? {
            Some(version) if version == u64::from(SEVERAL) => {
                Err("it holds several members, and Ensemble::load reads it".into())
            }
            Some(version) if (u64::from(OLDEST)..=u64::from(VERSION)).contains(&version) => {
                let header = serde_json::from_str(&json).map_err(|e| e.to_string())?;
                Self::assembled(header, arrays(bytes)?, custom)
            }
            other => {
                let found = other.map_or("none".to_owned(), |v| v.to_string());
                Err(format!("its format version is {found}, this program reads {OLDEST} to {SEVERAL}"))
            }
        }
    }

    /// A checkpoint of what its file says of it and its tensors.
    pub(crate) fn assembled(header: Header, tensors: BTreeMap<String, Array>, custom: &Custom) -> Result<Self, String> {
        let (potential, likelihood) = custom.names();
        check_part("potential", header.potential.as_deref(), potential.as_deref())?;
        check_part("likelihood", header.likelihood.as_deref(), likelihood.as_deref())?;
        let mut weights = Weights::new();
        let (mut first, mut second) = (BTreeMap::new(), BTreeMap::new());
        for (name, array) in tensors {
            if let Some(name) = name.strip_prefix(FIRST) {
                first.insert(name.to_owned(), array);
            } else if let Some(name) = name.strip_prefix(SECOND) {
                second.insert(name.to_owned(), array);
            } else {
                weights.insert(name, array);
            }
        }
        let mut moments = BTreeMap::new();
        for (name, updates) in &header.updates {
            let (Some(first), Some(second)) = (first.remove(name), second.remove(name)) else {
                return Err(format!("the optimiser's state of {name} is missing"));
            };
            moments.insert(name.clone(), AdamMoments { updates: *updates, first, second });
        }
        if header.history.len() != header.epoch {
            return Err(format!("it is of epoch {}, but has {} epochs of history", header.epoch, header.history.len()));
        }
        if header.partial.as_ref().is_some_and(|partial| partial.step == 0) {
            return Err("its unfinished epoch is at step 0, expected at least 1".into());
        }
        let spec = header.spec.model.clone().check().map_err(|e| e.to_string())?.with(custom.clone());
        let model = Model { spec, n_genes: header.n_genes, genes: header.genes.clone(), weights };
        check_weights(&model)?;
        check_moments(&model.weights, &moments)?;
        let Header { spec, history, partial, fingerprint, simd, .. } = header;
        Ok(Self { model, spec, moments, history, partial, fingerprint, simd })
    }

    /// Checks that a run with this specification and these data may resume from here: everything but the number of
    /// epochs must be equal.
    ///
    /// # Errors
    /// [`CheckpointError::Mismatch`] names the first difference.
    pub fn check_same_run(&self, spec: &CheckedTrainSpec, fingerprint: &Fingerprint) -> Result<(), CheckpointError> {
        let mismatch = |difference| Err(CheckpointError::Mismatch { difference });
        if self.model.spec.custom() != spec.model().custom() {
            return mismatch("its potential or likelihood differs".into());
        }
        let (ours, theirs) = (json(spec.get()), json(&self.spec));
        if let Some((field, ours, theirs)) = first_difference("", &ours, &theirs) {
            return mismatch(format!("{field} is {ours}, but it was trained with {theirs}"));
        }
        let other = fingerprint.iter().find(|(part, hash)| self.fingerprint.get(*part) != Some(*hash));
        match other {
            Some((part, _)) if self.fingerprint.is_empty() => {
                mismatch(format!("it was imported, so there is no training to continue (and no fingerprint of {part})"))
            }
            Some((part, _)) => mismatch(format!("the {part} differ from what it was trained on")),
            None => Ok(()),
        }
    }

    /// Checks that a run with this number of steps per epoch and of epochs may resume from the step of this checkpoint.
    pub(crate) fn check_step(&self, steps: usize, num_epochs: usize) -> Result<(), CheckpointError> {
        let (epoch, step) = (self.epoch() + 1, self.step());
        let difference = if step >= steps.max(1) {
            format!("it stopped after step {step} of epoch {epoch}, but an epoch has {steps} steps here")
        } else if step > 0 && epoch > num_epochs {
            format!("it stopped after step {step} of epoch {epoch}, but num_epochs is {num_epochs}")
        } else {
            return Ok(());
        };
        Err(CheckpointError::Mismatch { difference })
    }
}

/// Checks that the given part is the part that the model was trained with; both may be absent.
fn check_part(part: &str, trained: Option<&str>, given: Option<&str>) -> Result<(), String> {
    match (trained, given) {
        (Some(trained), None) => Err(format!(
            "its {part} \"{trained}\" is code of its author's own, which no file holds: read it in Rust with \
             Checkpoint::load_with"
        )),
        (trained, given) if trained != given => Err(format!(
            "its {part} is {}, not \"{}\"",
            trained.map_or("the built-in one".into(), |name| format!("\"{name}\"")),
            given.unwrap_or_default()
        )),
        _ => Ok(()),
    }
}

/// The specification as JSON, without the number of epochs: training for more epochs is the same run.
fn json(spec: &TrainSpec) -> serde_json::Value {
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("num_epochs");
    }
    value
}

/// The first field in which two specifications differ, and its two values.
pub(crate) fn first_difference(
    path: &str,
    ours: &serde_json::Value,
    theirs: &serde_json::Value,
) -> Option<(String, String, String)> {
    if let (Some(a), Some(b)) = (ours.as_object(), theirs.as_object()) {
        return a.iter().find_map(|(field, value)| {
            let path = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
            first_difference(&path, value, b.get(field).unwrap_or(&serde_json::Value::Null))
        });
    }
    (ours != theirs).then(|| (path.to_owned(), ours.to_string(), theirs.to_string()))
}

/// Checks that the sizes in the header match the tensors, on the host and without a backend, so that nothing is
/// allocated for sizes that the file does not have.
fn check_weights(model: &Model) -> Result<(), String> {
    let custom = model.spec.custom().clone();
    let read =
        Model::from_weights_with(model.weights.clone(), Vec::new(), custom.clone()).map_err(|e| e.to_string())?;
    let (header, tensors) = (model.spec.get(), read.spec.get());
    let (h, t) = (&header.layer_dims, &tensors.layer_dims);
    let whole = |n: usize| vec![n];
    let sizes = [
        ("n_genes", whole(model.n_genes), whole(read.n_genes)),
        ("model.z_dim", whole(header.z_dim), whole(tensors.z_dim)),
        ("model.B_dim", whole(header.b_dim), whole(tensors.b_dim)),
        ("model.layer_dims.B_decoder", h.b_decoder.clone(), t.b_decoder.clone()),
        ("model.layer_dims.z_decoder", h.z_decoder.clone(), t.z_decoder.clone()),
        ("model.layer_dims.x_encoder", h.x_encoder.clone(), t.x_encoder.clone()),
        ("model.layer_dims.z_encoder", h.z_encoder().to_vec(), t.z_encoder().to_vec()),
        ("model.layer_dims.xl_encoder", h.xl_encoder().to_vec(), t.xl_encoder().to_vec()),
        ("model.layer_dims.potential", h.potential.clone(), t.potential.clone()),
    ];
    let of_custom = |field: &str| field == "model.layer_dims.potential" && custom.names().0.is_some();
    match sizes.into_iter().find(|(field, header, tensors)| header != tensors && !of_custom(field)) {
        Some((field, header, tensors)) => {
            Err(format!("its header says that {field} is {header:?}, but its tensors are of {tensors:?}"))
        }
        None if !model.genes.is_empty() && model.genes.len() != model.n_genes => {
            Err(format!("it names {} genes, but is a model of {}", model.genes.len(), model.n_genes))
        }
        None => Ok(()),
    }
}

/// Checks that the moments belong to the trained tensors and have their shapes.
fn check_moments(weights: &Weights, moments: &BTreeMap<String, AdamMoments>) -> Result<(), String> {
    let fits =
        |array: &Array, name: &str| weights.get(name).is_some_and(|weight| weight.values.len() == array.values.len());
    match moments.iter().find(|(name, m)| !fits(&m.first, name) || !fits(&m.second, name)) {
        Some((name, _)) => Err(format!("the optimiser's state of {name} is not of that tensor's size")),
        None => Ok(()),
    }
}

/// The first weight that is not finite: the name of its tensor, and its value.
pub(crate) fn weights_not_finite(weights: &Weights) -> Option<(String, f64)> {
    weights.iter().find_map(|(name, array)| Some((format!("a number of tensor {name}"), f64::from(not_finite(array)?))))
}

fn not_finite(array: &Array) -> Option<f32> {
    array.values.iter().copied().find(|value| !value.is_finite())
}

/// Reads a regular file. Other files are refused, because a pipe or a device may never end.
pub(crate) fn read_regular(path: &Path) -> std::io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    std::fs::read(path)
}

/// Writes what became the bytes of a model beside `path`, syncs it and renames it.
pub(crate) fn write(path: &Path, bytes: Result<Vec<u8>, String>) -> Result<(), CheckpointError> {
    let unwritable = |reason: String| CheckpointError::Unwritable { path: path.display().to_string(), reason };
    let bytes = bytes.map_err(unwritable)?;
    replace_file(
        path,
        |e| unwritable(plain_reason(&e)),
        |temporary| std::fs::write(temporary, &bytes).map_err(|e| unwritable(plain_reason(&e))),
    )
}

/// Reads a file and makes of its bytes what they are.
pub(crate) fn read<T>(path: &Path, of: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<T, CheckpointError> {
    let shown = path.display().to_string();
    let bytes = read_regular(path)
        .map_err(|e| CheckpointError::Unreadable { path: shown.clone(), reason: plain_reason(&e) })?;
    of(&bytes).map_err(|reason| CheckpointError::NotCheckpoint { path: shown, reason })
}

/// The bytes of a file with these tensors and what is said of them.
pub(crate) fn serialized(tensors: &[RawTensor], json: &str) -> Result<Vec<u8>, String> {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            TensorView::new(*dtype, shape.clone(), bytes).map(|view| (name.clone(), view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| e.to_string())?;
    // one key only: the order of several in a hash map would not be the same twice
    let metadata = HashMap::from([("sclsd".to_owned(), json.to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(|e| e.to_string())
}

/// What a file says beside its tensors, as JSON.
pub(crate) fn header_of(bytes: &[u8]) -> Result<String, String> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let json = metadata.metadata().as_ref().and_then(|m| m.get("sclsd"));
    json.cloned().ok_or_else(|| "its header has no entry named sclsd".into())
}

/// The format version that a file says it has.
pub(crate) fn version_of(json: &str) -> Result<Option<u64>, String> {
    let header: serde_json::Value = serde_json::from_str(json).map_err(|e| e.to_string())?;
    Ok(header.get("version").and_then(serde_json::Value::as_u64))
}

/// All tensors of a file.
pub(crate) fn arrays(bytes: &[u8]) -> Result<BTreeMap<String, Array>, String> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    tensors.iter().map(|(name, view)| Ok((name.to_owned(), array(name, &view)?))).collect()
}

/// Name, type, shape and bytes of a tensor.
pub(crate) type RawTensor = (String, Dtype, Vec<usize>, Vec<u8>);

/// Bytes of a tensor; PyTorch's batch counters are integers.
fn raw(name: String, array: &Array) -> RawTensor {
    if name.ends_with("num_batches_tracked") {
        #[expect(clippy::cast_possible_truncation, reason = "a count of batches")]
        let bytes = array.values.iter().flat_map(|v| (*v as i64).to_le_bytes()).collect();
        return (name, Dtype::I64, array.shape.clone(), bytes);
    }
    let bytes = array.values.iter().flat_map(|v| v.to_le_bytes()).collect();
    (name, Dtype::F32, array.shape.clone(), bytes)
}

fn array(name: &str, view: &TensorView<'_>) -> Result<Array, String> {
    let values = match view.dtype() {
        Dtype::F32 => {
            let (numbers, _) = view.data().as_chunks::<4>();
            numbers.iter().map(|b| f32::from_le_bytes(*b)).collect()
        }
        Dtype::I64 => {
            let (numbers, _) = view.data().as_chunks::<8>();
            #[expect(clippy::cast_precision_loss, reason = "a count of batches")]
            numbers.iter().map(|b| i64::from_le_bytes(*b) as f32).collect()
        }
        other => return Err(format!("tensor {name} is of type {other:?}, expected F32")),
    };
    Ok(Array { shape: view.shape().to_vec(), values })
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use sclsd_model::{LayerDims, Lsd, ModelSpec};

    use super::*;

    fn small() -> Checkpoint {
        let layer_dims = LayerDims { x_encoder: vec![4], z_decoder: vec![3], ..LayerDims::default() };
        let spec = ModelSpec { z_dim: 2, layer_dims, ..ModelSpec::default() }.check().unwrap();
        let weights = Lsd::<Flex>::new(
            &spec,
            5,
            &mut sclsd_data::random_stream(0, sclsd_data::Purpose::Weights, 0),
            &Default::default(),
        );
        let model = Model { spec, n_genes: 5, genes: Vec::new(), weights: weights.weights() };
        let mut checkpoint = Checkpoint::imported(model, TrainSpec::default());
        let array = checkpoint.model.weights["h_0"].clone();
        checkpoint.moments.insert("h_0".into(), AdamMoments { updates: 1, first: array.clone(), second: array });
        checkpoint
    }

    type Change = fn(&mut Checkpoint);

    fn parsed(bytes: &[u8]) -> Result<Checkpoint, String> {
        Checkpoint::from_bytes(bytes, &Custom::default())
    }

    #[test]
    fn a_state_that_is_not_finite_is_not_written_over_the_last_good_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.safetensors");
        let good = small();
        good.save(&path).unwrap();
        let changes: [(&str, Change); 5] = [
            ("a number of tensor z_decoder.fc.0.weight is NaN", |c| {
                c.model.weights.get_mut("z_decoder.fc.0.weight").unwrap().values[1] = f32::NAN;
            }),
            ("the optimiser's state optimizer.first.h_0 is inf", |c| {
                c.moments.get_mut("h_0").unwrap().first.values[0] = f32::INFINITY;
            }),
            ("the optimiser's state optimizer.second.h_0 is NaN", |c| {
                c.moments.get_mut("h_0").unwrap().second.values[0] = f32::NAN;
            }),
            ("the held-out loss of epoch 1 is NaN", |c| {
                c.history.push(EpochRecord {
                    loss: crate::Loss::default(),
                    potential_rise: 0.0,
                    entropy_rise: 0.0,
                    held_out: Some(f64::NAN),
                    learning_rate: 1e-3,
                    solver_steps: 0,
                    solver_evaluations: 0,
                });
            }),
            ("the sum of cell_state of the unfinished epoch is NaN", |c| {
                let loss = crate::Loss { cell_state: f64::NAN, ..crate::Loss::default() };
                c.partial = Some(PartialEpoch { step: 1, loss, ..PartialEpoch::default() });
            }),
        ];
        for (what, change) in changes {
            let mut bad = good.clone();
            change(&mut bad);
            let message = bad.save(&path).unwrap_err().to_string();
            assert_eq!(message, format!("{what}, so the model is not written; what was written before is untouched"));
            assert_eq!(Checkpoint::load(&path).unwrap(), good);
        }
    }

    /// The bytes of a file with an edited header.
    fn edited(bytes: &[u8], edit: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
        let json = &metadata.metadata().as_ref().unwrap()["sclsd"];
        let mut header = serde_json::from_str(json).unwrap();
        edit(&mut header);
        let metadata = HashMap::from([("sclsd".to_owned(), header.to_string())]);
        safetensors::serialize(SafeTensors::deserialize(bytes).unwrap().tensors(), Some(metadata)).unwrap()
    }

    #[test]
    fn a_file_of_version_1_is_read_and_one_of_a_version_to_come_is_refused() {
        let good = small();
        let saved = good.to_bytes().unwrap();
        let of_version = |version: u32| {
            parsed(&edited(&saved, |header| {
                assert_eq!(header["version"], 2);
                assert!(header.get("partial").is_none(), "there is none at the end of an epoch");
                header["version"] = version.into();
            }))
        };
        assert_eq!(of_version(1), Ok(good));
        for other in [0, 4] {
            assert_eq!(
                of_version(other).unwrap_err(),
                format!("its format version is {other}, this program reads 1 to 3")
            );
        }
    }

    #[test]
    fn steps_of_an_unfinished_epoch_come_back_to_the_last_bit() {
        let loss = crate::Loss { reconstruction: 0.1 + 0.2, wasserstein: -0.0, ..crate::Loss::default() };
        let partial = PartialEpoch { step: 17, loss, solver_steps: 40, solver_evaluations: 245 };
        let stopped = Checkpoint { partial: Some(partial), ..small() };
        let saved = stopped.to_bytes().unwrap();
        let again = parsed(&saved).unwrap();
        assert_eq!((again.epoch(), again.step()), (0, 17));
        assert!(again.to_bytes().unwrap() == saved);
        let message = parsed(&edited(&saved, |header| header["partial"]["step"] = 0.into())).unwrap_err();
        assert_eq!(message, "its unfinished epoch is at step 0, expected at least 1");
    }

    #[test]
    fn sizes_that_a_header_claims_are_held_against_its_tensors() {
        let good = small();
        assert_eq!(parsed(&good.to_bytes().unwrap()), Ok(good.clone()));
        let claim = |change: fn(&mut ModelSpec)| {
            let mut spec = good.model.spec.get().clone();
            change(&mut spec);
            let mut bad = good.clone();
            bad.spec.model = spec;
            parsed(&bad.to_bytes().unwrap()).unwrap_err()
        };
        let message = claim(|spec| spec.z_dim = 1_000_000_000_000);
        assert_eq!(message, "its header says that model.z_dim is [1000000000000], but its tensors are of [2]");
        let message = claim(|spec| spec.layer_dims.potential = vec![usize::MAX, 32]);
        assert!(
            message.starts_with("its header says that model.layer_dims.potential is [18446744073709551615, 32]"),
            "{message}"
        );
        let mut bad = good.clone();
        bad.model.n_genes = 1 << 60;
        let message = parsed(&bad.to_bytes().unwrap()).unwrap_err();
        assert!(message.starts_with("its header says that n_genes is [1152921504606846976]"), "{message}");
        let mut bad = good;
        bad.moments.get_mut("h_0").unwrap().first = Array { shape: vec![3], values: vec![0.0; 3] };
        let message = parsed(&bad.to_bytes().unwrap()).unwrap_err();
        assert_eq!(message, "the optimiser's state of h_0 is not of that tensor's size");
    }

    #[test]
    fn a_header_whose_length_is_not_the_files_is_an_error() {
        for length in [u64::MAX, 1 << 40, 100_000_000, 1 << 20] {
            let bytes = [&length.to_le_bytes()[..], b"{}"].concat();
            assert!(parsed(&bytes).is_err(), "{length}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_model_that_never_ends_is_an_error() {
        let message = Checkpoint::load(Path::new("/dev/zero")).unwrap_err().to_string();
        assert_eq!(message, "/dev/zero cannot be read: it is not a regular file");
    }

    /// V(z) = a z · z.
    #[derive(Debug)]
    struct Bowl(&'static str);

    impl sclsd_model::Potential for Bowl {
        fn name(&self) -> &str {
            self.0
        }

        fn initial(&self, _: usize) -> Vec<f32> {
            vec![0.3]
        }

        fn value(&self, a: &[f32], z: &[f32]) -> f32 {
            a[0] * z.iter().map(|v| v * v).sum::<f32>()
        }

        fn value_vjp(&self, _: &[f32], z: &[f32], grad: f32, grad_a: &mut [f32]) {
            grad_a[0] += grad * z.iter().map(|v| v * v).sum::<f32>();
        }

        fn drift(&self, a: &[f32], z: &[f32], out: &mut [f32]) {
            out.iter_mut().zip(z).for_each(|(out, z)| *out = -2.0 * a[0] * z);
        }

        fn drift_vjp(&self, a: &[f32], z: &[f32], grad: &[f32], grad_z: &mut [f32], grad_a: &mut [f32]) {
            grad_z.iter_mut().zip(grad).for_each(|(grad_z, grad)| *grad_z = -2.0 * a[0] * grad);
            grad_a[0] -= 2.0 * z.iter().zip(grad).map(|(z, s)| z * s).sum::<f32>();
        }
    }

    #[test]
    fn a_model_with_a_potential_of_ones_own_is_read_with_it_and_without_it_the_error_names_it() {
        let custom = Custom::default().potential(Bowl("bowl"));
        let spec = TrainSpec::default();
        let model_spec = spec.model.clone().check().unwrap().with(custom.clone());
        let mut rng = sclsd_data::random_stream(0, sclsd_data::Purpose::Weights, 0);
        let networks = sclsd_model::Lsd::<burn::backend::Flex>::new(&model_spec, 5, &mut rng, &Default::default());
        let model = Model { spec: model_spec, n_genes: 5, genes: Vec::new(), weights: networks.weights() };
        let saved = Checkpoint::imported(model, spec).to_bytes().unwrap();
        let whole = Checkpoint::from_bytes(&saved, &custom).unwrap();
        assert_eq!(whole.model.weights["potential.custom.parameters"].values, [0.3]);
        let networks = sclsd_model::Evaluator::new(&whole.model).unwrap();
        let drift = networks.drift(&[1.0; 10]);
        assert!(drift.iter().all(|v| (v + 0.6).abs() < 1e-6), "{drift:?}");
        assert!(parsed(&saved).unwrap_err().contains("its potential \"bowl\" is code of its author's own"));
        let other = Checkpoint::from_bytes(&saved, &Custom::default().potential(Bowl("basin"))).unwrap_err();
        assert_eq!(other, "its potential is \"bowl\", not \"basin\"");
    }
}
