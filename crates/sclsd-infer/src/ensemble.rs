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
        serialized(&tensors.collect::<Vec<_>>(), &json)
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

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use sclsd_model::{LayerDims, Lsd, Model, ModelSpec};

    use super::*;
    use crate::{CombineError, TrainSpec, combine};

    /// An untrained model with weights of the seed of that member.
    fn member(member: usize) -> Checkpoint {
        let layer_dims = LayerDims { x_encoder: vec![4], z_decoder: vec![3], ..LayerDims::default() };
        let spec = ModelSpec { z_dim: 2, layer_dims, ..ModelSpec::default() }.check().unwrap();
        let run = TrainSpec { num_epochs: 0, ..TrainSpec::default() }.of_member(member);
        let mut rng = sclsd_data::random_stream(run.random_state, sclsd_data::Purpose::Weights, 0);
        let weights = Lsd::<Flex>::new(&spec, 5, &mut rng, &Default::default()).weights();
        Checkpoint::imported(Model { spec, n_genes: 5, genes: Vec::new(), weights }, run)
    }

    fn run(count: usize, shard: Option<&str>) -> Ensemble {
        let mut run = Ensemble::new(count, false, shard.map(|shard| shard.parse().unwrap()));
        run.members = run.numbers().map(|number| (number, member(number))).collect();
        run
    }

    fn parsed(bytes: &[u8]) -> Result<Ensemble, String> {
        Ensemble::from_bytes(bytes, &Custom::default())
    }

    #[test]
    fn a_file_of_one_member_is_that_of_a_checkpoint_and_one_of_several_comes_back_to_the_last_bit() {
        assert_eq!(run(1, None).to_bytes(), member(0).to_bytes());
        assert_eq!(parsed(&member(0).to_bytes().unwrap()), Ok(Ensemble::single(member(0))));
        // more than ten, so that numbers as text are in another order
        for all in [run(12, None), run(12, Some("2/5"))] {
            let bytes = all.to_bytes().unwrap();
            let again = parsed(&bytes).unwrap();
            assert_eq!(again, all);
            assert!(again.to_bytes().unwrap() == bytes);
        }
    }

    #[test]
    fn shards_in_any_order_join_to_the_bytes_of_the_run() {
        let whole = run(7, None).to_bytes().unwrap();
        let parts = ["3/3", "1/3", "2/3"].map(|shard| (shard.to_owned(), run(7, Some(shard))));
        assert!(combine(parts.to_vec()).unwrap().to_bytes().unwrap() == whole);
        let error = combine(parts[..2].to_vec()).unwrap_err();
        assert!(matches!(error, CombineError::Missing { shard } if shard.index() == 2), "{error}");
        assert!(matches!(combine(Vec::new()).unwrap_err(), CombineError::Nothing));
        // of more shards than members, those that have none are not missed
        let parts = ["1/9", "2/9"].map(|shard| (shard.to_owned(), run(2, Some(shard))));
        assert_eq!(combine(parts.to_vec()).unwrap(), run(2, None));
    }

    #[test]
    fn members_that_are_none_of_the_run_are_errors() {
        let refused = |change: fn(&mut Ensemble), expected: &str| {
            let mut bad = run(3, Some("1/2"));
            change(&mut bad);
            let message = parsed(&bad.to_bytes().unwrap()).unwrap_err();
            assert!(message.contains(expected), "{message}");
        };
        refused(|run| run.count = 2, "it has member 2, which is none of its 2 members or not of its shard");
        refused(|run| run.count = 1 << 40, "it is of 1099511627776 members, expected 1 to 1000");
        refused(|run| run.shard = Some("2/2".parse().unwrap()), "it has member 0");
        refused(|run| run.members.clear(), "it has no member");
        let mut cut = run(3, None);
        assert_eq!(cut.unfinished(), None);
        cut.members.remove(&1);
        assert_eq!((cut.unfinished(), cut.first().map(|first| first.spec.random_state)), (Some(1), Some(42)));
    }
}
