//! What a part result adds to its input: all that a result needs beside the models, so that `sclsd combine` can make
//! one.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, anyhow};
use sclsd::data::{Column, Dataset, Frame, H5ad, Uns};
use sclsd::graph::Phylogeny;
use sclsd::infer::{Ensemble, Fingerprint};
use sclsd::spec::Shard;

use super::kept_prior::KeptPrior;
use super::record::{PRIOR_MATRIX, PRIOR_TIME, PriorKind, TERMINAL};

/// The entry of uns with what is said of a part.
const KEY: &str = "sclsd_part";

/// Version of it (docs/formats.md).
const FORMAT_VERSION: i64 = 1;

/// A shard's part of a result.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub shard: Shard,
    pub prior: KeptPrior,
    /// The embedding that was asked for, by option `--basis`.
    pub basis: Option<String>,
    /// What its members were trained on.
    pub fingerprint: Fingerprint,
}

impl Part {
    /// The part of a shard that is trained.
    pub(super) fn of(run: &Ensemble, prior: KeptPrior, basis: Option<&str>) -> anyhow::Result<Self> {
        let shard = run.shard.context("the run has no shards")?;
        Ok(Self { shard, prior, basis: basis.map(str::to_owned), fingerprint: run.data_fingerprint() })
    }

    /// Writes the input with the part behind it.
    pub(super) fn write(&self, input: &H5ad, output: &Path, cells: &[String]) -> anyhow::Result<()> {
        let mut added = Dataset { obs: Frame::new(cells.to_vec()), ..Dataset::default() };
        let KeptPrior { kind, time, matrix, terminal, phylogeny } = &self.prior;
        if let Some(time) = time {
            added.obs.set(PRIOR_TIME, Column::Float(time.clone()));
        }
        if let Some(terminal) = terminal {
            added.obs.set(TERMINAL, Column::Categorical(terminal.clone()));
        }
        if let Some(matrix) = matrix {
            added.obsp.insert(PRIOR_MATRIX.into(), matrix.clone());
        }
        let mut about = BTreeMap::from([
            ("format_version".to_owned(), Uns::Integers(Vec::new(), vec![FORMAT_VERSION])),
            ("shard".to_owned(), Uns::Text(self.shard.to_string())),
            ("prior".to_owned(), Uns::Text(kind.name().to_owned())),
            ("fingerprint".to_owned(), Uns::Text(serde_json::to_string(&self.fingerprint)?)),
        ]);
        if let Some(phylogeny) = phylogeny {
            about.insert("phylogeny".to_owned(), Uns::Text(serde_json::to_string(phylogeny.children())?));
        }
        if let Some(basis) = &self.basis {
            about.insert("basis".to_owned(), Uns::Text(basis.clone()));
        }
        added.uns.insert(KEY.to_owned(), Uns::Map(about));
        Ok(input.write_part(output, &added)?)
    }

    /// Reads what [`Part::write`] wrote; nothing where the file is no part of a result.
    pub(super) fn read(file: &H5ad, path: &Path) -> anyhow::Result<Option<Self>> {
        let Some(added) = file.part()? else { return Ok(None) };
        Self::parsed(added).map(Some).with_context(|| format!("{} is no part that this program reads", path.display()))
    }

    fn parsed(mut added: Dataset) -> anyhow::Result<Self> {
        let place = |name: &str| format!("uns[\"{KEY}\"][\"{name}\"]");
        let Some(Uns::Map(about)) = added.uns.get(KEY) else { return Err(anyhow!("uns[\"{KEY}\"] is missing")) };
        match about.get("format_version") {
            Some(Uns::Integers(_, version)) if version[..] == [FORMAT_VERSION] => {}
            _ => return Err(anyhow!("{} is not {FORMAT_VERSION}", place("format_version"))),
        }
        let text = |name: &str| match about.get(name) {
            Some(Uns::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        let needed = |name: &str| text(name).with_context(|| format!("{} is missing", place(name)));
        let phylogeny = match text("phylogeny") {
            Some(text) => Some(Phylogeny::new(serde_json::from_str(text)?).with_context(|| place("phylogeny"))?),
            None => None,
        };
        let time = match added.obs.get(PRIOR_TIME) {
            Some(Column::Float(time)) => Some(time.clone()),
            _ => None,
        };
        let terminal = match added.obs.get(TERMINAL) {
            Some(Column::Categorical(terminal)) => Some(terminal.clone()),
            _ => None,
        };
        let kind = needed("prior")?;
        let kind = PriorKind::named(kind).with_context(|| format!("{} is \"{kind}\"", place("prior")))?;
        Ok(Self {
            shard: needed("shard")?.parse()?,
            basis: text("basis").map(str::to_owned),
            fingerprint: serde_json::from_str(needed("fingerprint")?)?,
            prior: KeptPrior { kind, time, terminal, phylogeny, matrix: added.obsp.remove(PRIOR_MATRIX) },
        })
    }
}
