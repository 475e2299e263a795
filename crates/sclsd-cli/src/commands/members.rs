//! Which members a run of training has: models that differ in their seeds.

use std::path::Path;

use anyhow::bail;
use sclsd::infer::Ensemble;
use sclsd::model::SimdLevel;
use sclsd::spec::Shard;

use crate::args::TrainArgs;
use crate::progress::Output;

/// Members of a run, and those of them that are trained here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Members {
    pub count: usize,
    /// Whether all but the first walk on resampled cells and edges.
    pub bootstrap: bool,
    pub shard: Option<Shard>,
}

impl Members {
    /// One model.
    pub(super) const ONE: Self = Self { count: 1, bootstrap: false, shard: None };

    pub(super) fn new(args: &TrainArgs) -> anyhow::Result<Self> {
        let count = usize::from(args.members);
        if args.bootstrap && count == 1 {
            bail!(
                "--bootstrap needs several members, whose spread it is about: the first is always trained on the data as \
                 they are; give --members N with N above 1"
            );
        }
        if let Some(shard) = args.shard {
            if count == 1 {
                bail!("--shard {shard} trains some members of several; say how many there are with --members N");
            }
            if shard.index() > count {
                bail!("--shard {shard} has no member, since --members is {count}; give at most {count} shards");
            }
        }
        if count > 1 && !args.peers.is_empty() {
            bail!("--members and --peers do not go together: give each process a --shard I/N of the members instead");
        }
        if count > 1 && args.machine.device.contains(',') {
            bail!(
                "--members and several devices do not go together: run one command for each device, each with a --shard \
                 I/N of the members"
            );
        }
        Ok(Self { count, bootstrap: args.bootstrap, shard: args.shard })
    }

    /// Whether a member walks on resampled cells and edges.
    pub(super) fn resamples(self, member: usize) -> bool {
        self.bootstrap && member > 0
    }

    /// What training begins with: the members of a file to go on from, where there is one.
    pub(super) fn begin(self, model: &Path, resume: bool, output: Output) -> anyhow::Result<Ensemble> {
        let untrained = Ensemble::new(self.count, self.bootstrap, self.shard);
        if !resume {
            return Ok(untrained);
        }
        if !model.exists() {
            output.note(format!("{} does not exist yet: training from the beginning", model.display()));
            return Ok(untrained);
        }
        let from = Ensemble::load(model)?;
        let there = Self { count: from.count, bootstrap: from.bootstrap, shard: from.shard };
        // members of a smaller run are the first of a larger one
        let grows = there.shard == self.shard
            && there.shard.is_none()
            && there.count < self.count
            && (there.count == 1 || there.bootstrap == self.bootstrap);
        if there != self && !grows {
            bail!(
                "{} is of {}, but this run is of {}; repeat the options that it was trained with, or give --model another \
                 name",
                model.display(),
                there.shown(),
                self.shown()
            );
        }
        say_going_on(&from, model, output);
        Ok(Ensemble { members: from.members, ..untrained })
    }

    fn shown(self) -> String {
        let members = match self.count {
            1 => "a single model".to_owned(),
            count => format!("{count} members"),
        };
        let bootstrap = if self.bootstrap { " with --bootstrap" } else { "" };
        match self.shard {
            Some(shard) => format!("shard {shard} of {members}{bootstrap}"),
            None => format!("{members}{bootstrap}"),
        }
    }
}

/// How far training has come, and whether it goes on with other instructions.
fn say_going_on(from: &Ensemble, model: &Path, output: Output) {
    let Some((&member, last)) = from.members.last_key_value() else { return };
    let step = match last.step() {
        0 => String::new(),
        step => format!(", step {step} of the next"),
    };
    let of = if from.count == 1 { String::new() } else { format!("{}, ", number(member, from.count)) };
    output.note(format!("continuing after {of}epoch {}{step} of {}", last.epoch(), model.display()));
    let here = SimdLevel::used().to_string();
    if let Some(there) = last.simd.as_ref().filter(|there| **there != here) {
        output.note(format!(
            "the model was trained at SIMD level {there}, and training continues at {here}: the result differs by rounding \
             from that of one run"
        ));
    }
}

/// A member for people, who count from one.
pub(super) fn number(member: usize, count: usize) -> String {
    format!("member {} of {count}", member + 1)
}
