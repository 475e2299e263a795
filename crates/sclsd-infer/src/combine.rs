//! Shards of a run whose members were trained apart, joined to what one run of all of them has.

use sclsd_spec::Shard;

use crate::checkpoint::first_difference;
use crate::fingerprint::WALKS;
use crate::{Checkpoint, Ensemble};

/// Why parts are not those of one run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CombineError {
    /// There is nothing to join.
    #[error("there are no models to combine; give those that sclsd train --shard I/N wrote")]
    Nothing,
    /// A model is no part of one.
    #[error("{part} is a whole model, and no part of one; parts are what sclsd train --shard I/N writes")]
    NotPart {
        /// Its file.
        part: String,
    },
    /// Two parts are of the same shard.
    #[error("{first} and {second} are both of shard {shard}; give each shard once")]
    Twice {
        /// The shard.
        shard: Shard,
        /// One file.
        first: String,
        /// The other.
        second: String,
    },
    /// A shard is not there.
    #[error("shard {shard} is missing; train it with --shard {shard} and give its part too")]
    Missing {
        /// The first that is missing.
        shard: Shard,
    },
    /// A member is not trained to its end.
    #[error(
        "member {member} (counted from 0) of {part} is not trained to its end; run shard {shard} again with --resume"
    )]
    Unfinished {
        /// Its file.
        part: String,
        /// Number of the member.
        member: usize,
        /// Its shard.
        shard: Shard,
    },
    /// Two parts are of different runs.
    #[error("{part} and {other} are parts of different runs: {difference}")]
    Differ {
        /// One file.
        part: String,
        /// The other.
        other: String,
        /// The first difference.
        difference: String,
    },
}

/// Joins the shards of a run, each with the name of its file: the same [`Ensemble`] as one run of all members gives.
///
/// # Errors
/// [`CombineError`] names the part at fault: a shard that is missing or given twice, a member that is unfinished, or of
/// other data, genes or settings.
pub fn combine(parts: Vec<(String, Ensemble)>) -> Result<Ensemble, CombineError> {
    let mut seen: Vec<(Shard, &str)> = Vec::new();
    for (name, part) in &parts {
        let shard = part.shard.ok_or_else(|| CombineError::NotPart { part: name.clone() })?;
        if let Some((other, difference)) = parts.first().and_then(|first| Some((&first.0, differs(&first.1, part)?))) {
            return Err(CombineError::Differ { part: name.clone(), other: other.clone(), difference });
        }
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == shard) {
            return Err(CombineError::Twice { shard, first: (*first).to_owned(), second: name.clone() });
        }
        if let Some(member) = part.unfinished() {
            return Err(CombineError::Unfinished { part: name.clone(), member, shard });
        }
        seen.push((shard, name));
    }
    let Some((first, _)) = seen.first() else { return Err(CombineError::Nothing) };
    let missing = |shard: &Shard| seen.iter().all(|(other, _)| other != shard);
    // of more shards than members, those that have none are not missed
    let count = parts[0].1.count;
    if let Some(shard) = first.all().take(count).find(missing) {
        return Err(CombineError::Missing { shard });
    }
    let mut whole = Ensemble::new(count, parts[0].1.bootstrap, None);
    whole.members.extend(parts.into_iter().flat_map(|(_, part)| part.members));
    Ok(whole)
}

/// The first difference between the runs that two parts are of.
fn differs(first: &Ensemble, part: &Ensemble) -> Option<String> {
    let shards = |part: &Ensemble| part.shard.map(Shard::count);
    if first.count != part.count {
        return Some(format!("one is of {} members, the other of {}", part.count, first.count));
    }
    if shards(first) != shards(part) {
        let shown = |part: &Ensemble| part.shard.map_or_else(String::new, |shard| shard.to_string());
        return Some(format!("one is shard {}, the other shard {}", shown(part), shown(first)));
    }
    if first.bootstrap != part.bootstrap {
        return Some("one was trained with --bootstrap, the other without".into());
    }
    let (&number, reference) = first.members.first_key_value()?;
    let settings = |member: usize, checkpoint: &Checkpoint| {
        serde_json::to_value(checkpoint.spec.of_run(member)).unwrap_or_default()
    };
    let expected = settings(number, reference);
    part.members.iter().find_map(|(&member, checkpoint)| {
        let data = checkpoint.fingerprint.iter().filter(|(name, _)| *name != WALKS);
        let other = data.into_iter().find(|(name, hash)| reference.fingerprint.get(*name) != Some(*hash));
        if let Some((name, _)) = other {
            return Some(format!("the {name} of their data differ"));
        }
        first_difference("", &settings(member, checkpoint), &expected)
            .map(|(field, one, other)| format!("{field} is {one} in one and {other} in the other"))
    })
}
