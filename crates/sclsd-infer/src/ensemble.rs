//! Several models of one run, which differ in their seeds alone: what they agree on does not hang on a seed.
//!
//! A file of one member is that of a [`Checkpoint`]. A file of several has the tensors of member K under
//! `members.K.<name>`, and under the key `sclsd` of its metadata one JSON object: format version, number of members of
//! the run, and for every member that is there what a single model's header says. The same state gives the same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use sclsd_model::{Array, Custom};
use sclsd_spec::Shard;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Header, SEVERAL, arrays, header_of, read, serialized, version_of, write};
use crate::fingerprint::WALKS;
use crate::{Checkpoint, CheckpointError, Fingerprint};

/// Members of a run, as many as are trained: all of them, those of a shard, or those before an interruption.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    /// Number of members of the whole run. At least 1.
    pub count: usize,
    /// Whether all members but the first walk on resampled cells and edges.
    pub bootstrap: bool,
    /// The shard of the run whose members these are; none where they are of all of it.
    pub shard: Option<Shard>,
    /// The members that there are, by their number, counted from 0.
    pub members: BTreeMap<usize, Checkpoint>,
}

#[derive(Serialize, Deserialize)]
struct Headers {
    version: u32,
    count: usize,
    bootstrap: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shard: Option<String>,
    members: BTreeMap<usize, Header>,
}

impl Ensemble {
    /// Members of a run at most.
    pub const MOST: usize = 1000;

    /// A run of so many members, none of which is trained.
    ///
    /// # Panics
    /// When there are none, or more than [`MOST`](Self::MOST).
    #[must_use]
    pub fn new(count: usize, bootstrap: bool, shard: Option<Shard>) -> Self {
        assert!((1..=Self::MOST).contains(&count), "1 to {} members", Self::MOST);
        Self { count, bootstrap, shard, members: BTreeMap::new() }
    }

    /// A single model.
    #[must_use]
    pub fn single(checkpoint: Checkpoint) -> Self {
        Self { members: BTreeMap::from([(0, checkpoint)]), ..Self::new(1, false, None) }
    }

    /// The member of the least number; none before one is trained.
    #[must_use]
    pub fn first(&self) -> Option<&Checkpoint> {
        self.members.values().next()
    }

    /// The same with the first member alone; none before one is trained.
    #[must_use]
    pub fn into_first(mut self) -> Option<Checkpoint> {
        self.members.pop_first().map(|(_, checkpoint)| checkpoint)
    }

    /// What tells the data that the members were trained on: their fingerprint without the walks, which each member has
    /// of its own.
    #[must_use]
    pub fn data_fingerprint(&self) -> Fingerprint {
        let all = self.first().map(|first| first.fingerprint.clone()).unwrap_or_default();
        all.into_iter().filter(|(part, _)| part != WALKS).collect()
    }

    /// Numbers of the members that are to be there: of the whole run, or of the shard.
    pub fn numbers(&self) -> impl Iterator<Item = usize> + use<> {
        let shard = self.shard;
        (0..self.count).filter(move |&member| shard.is_none_or(|shard| shard.holds(member)))
    }

    /// Number of the first member that is not there, or whose training did not come to its end.
    #[must_use]
    pub fn unfinished(&self) -> Option<usize> {
        self.numbers().find(|member| !self.members.get(member).is_some_and(Checkpoint::is_finished))
    }

    /// Writes the members beside `path`, syncs them and renames the file; a single model as [`Checkpoint::save`] does.
    ///
    /// # Errors
    /// As [`Checkpoint::save`].
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        self.members.values().try_for_each(Checkpoint::check_finite)?;
        write(path, self.to_bytes())
    }

    /// Reads a file of one member or of several.
    ///
    /// # Errors
    /// [`CheckpointError`] names the file and what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        Self::load_with(path, &Custom::default())
    }

    /// Reads a file whose models have parts of one's own.
    ///
    /// # Errors
    /// As [`Checkpoint::load_with`].
    pub fn load_with(path: &Path, custom: &Custom) -> Result<Self, CheckpointError> {
        read(path, |bytes| Self::from_bytes(bytes, custom))
    }

    fn to_bytes(&self) -> Result<Vec<u8>, String> {
        if self.count == 1
            && let Some(single) = self.first()
        {
            return single.to_bytes();
        }
        let headers = Headers {
            version: SEVERAL,
            count: self.count,
            bootstrap: self.bootstrap,
            shard: self.shard.map(|shard| shard.to_string()),
            members: self.members.iter().map(|(&member, checkpoint)| (member, checkpoint.header())).collect(),
        };
        let json = serde_json::to_string(&headers).map_err(|e| e.to_string())?;
        let tensors = self.members.iter().flat_map(|(member, checkpoint)| checkpoint.tensors(&prefix(*member)));
        serialized(tensors.collect(), &json)
    }

    fn from_bytes(bytes: &[u8], custom: &Custom) -> Result<Self, String> {
        let json = header_of(bytes)?;
        if version_of(&json)? != Some(u64::from(SEVERAL)) {
            return Checkpoint::from_bytes(bytes, custom).map(Self::single);
        }
        let headers: Headers = serde_json::from_str(&json).map_err(|e| e.to_string())?;
        let Headers { count, bootstrap, shard, members, .. } = headers;
        if !(1..=Self::MOST).contains(&count) {
            return Err(format!("it is of {count} members, expected 1 to {}", Self::MOST));
        }
        let shard = shard.map(|shard| shard.parse()).transpose().map_err(|e: sclsd_spec::OutOfRange| e.to_string())?;
        let mut found = Self::new(count, bootstrap, shard);
        let mut tensors: BTreeMap<usize, BTreeMap<String, Array>> = BTreeMap::new();
        for (name, array) in arrays(bytes)? {
            let (member, rest) =
                numbered(&name).ok_or_else(|| format!("its tensor {name} is of no member, as members.0.NAME is"))?;
            tensors.entry(member).or_default().insert(rest.to_owned(), array);
        }
        for (member, header) in members {
            if !found.numbers().any(|expected| expected == member) {
                return Err(format!(
                    "it has member {member}, which is none of its {count} members or not of its shard"
                ));
            }
            let of_member = tensors.remove(&member).unwrap_or_default();
            let checkpoint = Checkpoint::assembled(header, of_member, custom);
            found.members.insert(member, checkpoint.map_err(|reason| format!("member {member}: {reason}"))?);
        }
        match tensors.keys().next() {
            Some(member) => Err(format!("it has tensors of member {member}, but its header does not name that")),
            None if found.members.is_empty() => Err("it has no member".into()),
            None => Ok(found),
        }
    }
}

fn prefix(member: usize) -> String {
    format!("members.{member}.")
}

/// Number of a member and name of its tensor.
fn numbered(name: &str) -> Option<(usize, &str)> {
    let (member, rest) = name.strip_prefix("members.")?.split_once('.')?;
    Some((member.parse().ok()?, rest))
}
