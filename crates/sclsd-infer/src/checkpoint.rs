//! Checkpoints: everything that training needs to go on, and analysis to begin, in one `.safetensors` file.
//!
//! Tensors stand under the Python package's names, the optimiser's moments under `optimizer.first.` and
//! `optimizer.second.`. The header's metadata holds, under the key `sclsd`, one JSON object: format version,
//! specification, gene names, epoch, history and a [`Fingerprint`] of the data. The same state gives the same bytes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sclsd_data::{plain_reason, replace_file};
use sclsd_model::{Array, Model, ModelError, Weights};
use serde::{Deserialize, Serialize};

use crate::{CheckedTrainSpec, EpochRecord, Fingerprint, Moments, TrainSpec};

/// Version of the format.
const VERSION: u32 = 1;
const FIRST: &str = "optimizer.first.";
const SECOND: &str = "optimizer.second.";

/// A model with what is needed to train it further.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The model.
    pub model: Model,
    /// What it was trained with.
    pub spec: TrainSpec,
    /// State of the optimiser by tensor; empty for an imported model.
    pub moments: BTreeMap<String, Moments>,
    /// Epochs trained, with their losses.
    pub history: Vec<EpochRecord>,
    /// What it was trained on; empty for an imported model.
    pub fingerprint: Fingerprint,
}

/// Why a checkpoint cannot be read, written or gone on from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file cannot be opened.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The reason.
        reason: String,
    },
    /// The file is not a checkpoint.
    #[error("{path} is not a checkpoint of sclsd: {reason}")]
    NotCheckpoint {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The file cannot be written; whatever stood there before still does.
    #[error("{path} cannot be written: {reason}")]
    Unwritable {
        /// The file.
        path: String,
        /// The reason.
        reason: String,
    },
    /// The run is not the one that the checkpoint is of.
    #[error("the checkpoint is of another run: {difference}")]
    Mismatch {
        /// The first difference.
        difference: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    spec: TrainSpec,
    n_genes: usize,
    genes: Vec<String>,
    epoch: usize,
    history: Vec<EpochRecord>,
    fingerprint: Fingerprint,
    updates: BTreeMap<String, usize>,
}

impl Checkpoint {
    /// A model from elsewhere, with no training to go on from.
    #[must_use]
    pub fn imported(model: Model, spec: TrainSpec) -> Self {
        let spec = TrainSpec { model: model.spec.get().clone(), ..spec };
        Self { model, spec, moments: BTreeMap::new(), history: Vec::new(), fingerprint: Fingerprint::new() }
    }

    /// Number of epochs trained.
    #[must_use]
    pub fn epoch(&self) -> usize {
        self.history.len()
    }

    /// Writes the checkpoint beside `path`, syncs it and renames it: there is always one whole file of that name.
    ///
    /// # Errors
    /// [`CheckpointError::Unwritable`] with the operating system's reason.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let unwritable = |reason: String| CheckpointError::Unwritable { path: path.display().to_string(), reason };
        let bytes = self.to_bytes().map_err(unwritable)?;
        replace_file(
            path,
            |e| unwritable(plain_reason(&e)),
            |temporary| std::fs::write(temporary, &bytes).map_err(|e| unwritable(plain_reason(&e))),
        )
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError`] names the file and what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        let shown = path.display().to_string();
        let bytes = std::fs::read(path)
            .map_err(|e| CheckpointError::Unreadable { path: shown.clone(), reason: plain_reason(&e) })?;
        Self::from_bytes(&bytes).map_err(|reason| CheckpointError::NotCheckpoint { path: shown, reason })
    }

    fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let header = Header {
            version: VERSION,
            spec: self.spec.clone(),
            n_genes: self.model.n_genes,
            genes: self.model.genes.clone(),
            epoch: self.epoch(),
            history: self.history.clone(),
            fingerprint: self.fingerprint.clone(),
            updates: self.moments.iter().map(|(name, m)| (name.clone(), m.updates)).collect(),
        };
        let json = serde_json::to_string(&header).map_err(|e| e.to_string())?;
        let named = self.model.weights.iter().map(|(name, array)| (name.clone(), array));
        let first = self.moments.iter().map(|(name, m)| (format!("{FIRST}{name}"), &m.first));
        let second = self.moments.iter().map(|(name, m)| (format!("{SECOND}{name}"), &m.second));
        let tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> =
            named.chain(first).chain(second).map(|(name, array)| raw(name, array)).collect();
        let views = tensors
            .iter()
            .map(|(name, dtype, shape, bytes)| {
                TensorView::new(*dtype, shape.clone(), bytes).map(|view| (name.clone(), view))
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| e.to_string())?;
        // one key only: the order of several in a hash map would not be the same twice
        let metadata = HashMap::from([("sclsd".to_owned(), json)]);
        safetensors::serialize(views, Some(metadata)).map_err(|e| e.to_string())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
        let json = metadata.metadata().as_ref().and_then(|m| m.get("sclsd"));
        let json = json.ok_or("its header has no entry named sclsd")?;
        let version: serde_json::Value = serde_json::from_str(json).map_err(|e| e.to_string())?;
        match version.get("version").and_then(serde_json::Value::as_u64) {
            Some(v) if v == u64::from(VERSION) => {}
            other => {
                let found = other.map_or("none".to_owned(), |v| v.to_string());
                return Err(format!("its format version is {found}, this program reads {VERSION}"));
            }
        }
        let header: Header = serde_json::from_str(json).map_err(|e| e.to_string())?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        let mut weights = Weights::new();
        let (mut first, mut second) = (BTreeMap::new(), BTreeMap::new());
        for (name, view) in tensors.iter() {
            let array = array(name, &view)?;
            if let Some(name) = name.strip_prefix(FIRST) {
                first.insert(name.to_owned(), array);
            } else if let Some(name) = name.strip_prefix(SECOND) {
                second.insert(name.to_owned(), array);
            } else {
                weights.insert(name.to_owned(), array);
            }
        }
        let mut moments = BTreeMap::new();
        for (name, updates) in header.updates {
            let (Some(first), Some(second)) = (first.remove(&name), second.remove(&name)) else {
                return Err(format!("the optimiser's state of {name} is missing"));
            };
            moments.insert(name, Moments { updates, first, second });
        }
        if header.history.len() != header.epoch {
            return Err(format!("it is of epoch {}, but has {} epochs of history", header.epoch, header.history.len()));
        }
        let spec = header.spec.model.clone().check().map_err(|e| e.to_string())?;
        let model = Model { spec, n_genes: header.n_genes, genes: header.genes, weights };
        check_weights(&model).map_err(|e| e.to_string())?;
        Ok(Self { model, spec: header.spec, moments, history: header.history, fingerprint: header.fingerprint })
    }

    /// Whether a run with this specification on this data may go on from here: everything but the number of epochs
    /// must be the same.
    ///
    /// # Errors
    /// [`CheckpointError::Mismatch`] names the first difference.
    pub fn check_same_run(&self, spec: &CheckedTrainSpec, fingerprint: &Fingerprint) -> Result<(), CheckpointError> {
        let mismatch = |difference| Err(CheckpointError::Mismatch { difference });
        let (ours, theirs) = (json(spec.get()), json(&self.spec));
        if let Some(difference) = first_difference("", &ours, &theirs) {
            return mismatch(difference);
        }
        let other = fingerprint.iter().find(|(part, hash)| self.fingerprint.get(*part) != Some(*hash));
        match other {
            Some((part, _)) if self.fingerprint.is_empty() => {
                mismatch(format!("it was imported and has no training to go on from (nor a fingerprint of {part})"))
            }
            Some((part, _)) => mismatch(format!("the {part} differ from what it was trained on")),
            None => Ok(()),
        }
    }
}

/// The specification as JSON, the number of epochs left out: going on for longer is the same run.
fn json(spec: &TrainSpec) -> serde_json::Value {
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("num_epochs");
    }
    value
}

fn first_difference(path: &str, ours: &serde_json::Value, theirs: &serde_json::Value) -> Option<String> {
    if let (Some(a), Some(b)) = (ours.as_object(), theirs.as_object()) {
        return a.iter().find_map(|(field, value)| {
            let path = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
            first_difference(&path, value, b.get(field).unwrap_or(&serde_json::Value::Null))
        });
    }
    (ours != theirs).then(|| format!("{path} is {ours}, but it was trained with {theirs}"))
}

/// The weights fit the sizes (tried on the host, without a backend: names and shapes are what matters).
fn check_weights(model: &Model) -> Result<(), ModelError> {
    let read = Model::from_weights(model.weights.clone(), Vec::new())?;
    if read.n_genes == model.n_genes {
        return Ok(());
    }
    Err(ModelError::Unknown { name: "x_encoder.fc.0.weight".into() })
}

/// Bytes of a tensor; PyTorch's batch counters are integers.
fn raw(name: String, array: &Array) -> (String, Dtype, Vec<usize>, Vec<u8>) {
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
