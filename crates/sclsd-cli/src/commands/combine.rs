//! `sclsd combine`: the parts of a run whose members were trained apart, joined to the model and the result of one run.
//!
//! A part is the input byte for byte with what the prior gave behind it, and a result is what is added to the input; so
//! the bytes are those of one run.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sclsd::data::{H5ad, Keys};
use sclsd::infer::{CombineError, Ensemble, ModelLock, combine};
use sclsd::spec::Shard;

use super::adding::add;
use super::annotating::annotated;
use super::basis::Basis;
use super::files::Files;
use super::inspect::is_model;
use super::part::Part;
use super::reading::named_apart;
use super::threads::start;
use crate::args::CombineArgs;
use crate::figures::Figures;
use crate::progress::Output;

pub(crate) fn run(args: &CombineArgs, output: Output) -> anyhow::Result<()> {
    start(&args.threads, output)?;
    let files = args.parts.iter().fold(Files::default(), |files, part| files.reads("--parts", part));
    files.writes("--model", &args.model).writes("-o", &args.output).check()?;
    let (mut models, mut parts) = (Vec::new(), Vec::new());
    for path in &args.parts {
        if is_model(path)? { models.push(path) } else { parts.push(path) }
    }
    let parts = Parts::open(&parts)?;
    let named = |path: &PathBuf| Ok((path.display().to_string(), Ensemble::load(path)?));
    let models = models.into_iter().map(named).collect::<anyhow::Result<Vec<_>>>()?;
    parts.check_models(&models)?;
    let run = combine(models)?;
    let Parts { file, part, shards } = parts;
    let path = shards[0].1;
    let first = run.first().context("the run has no member")?;
    let trained_on = run.data_fingerprint();
    if let Some((name, _)) = part.fingerprint.iter().find(|(name, hash)| trained_on.get(*name) != Some(*hash)) {
        bail!("{} is the part of another run than the models: the {name} of their data differ", path.display());
    }

    let _lock = ModelLock::new(&args.model)?;
    let has = file.inspect()?;
    let basis = Basis::choose(path, &has, part.basis.as_deref())?;
    let graph = &first.spec.keys.connectivities;
    let obsm = basis.key.iter().cloned().collect();
    let data = file.read(&Keys { x: true, obsm, obsp: vec![graph.clone()], ..Keys::none() })?;
    let data = named_apart(path, data)?;
    let annotated =
        annotated(&run, &data, graph, &basis, output).with_context(|| format!("the input of {}", path.display()))?;
    let mut additions = annotated.additions;
    part.prior.add_to(&mut additions, &run)?;
    run.save(&args.model)?;
    add(&file, &args.output, &additions, args.write.compress, output)?;

    let mut figures = Figures::default();
    figures.count("members", run.count);
    figures.count("cells", data.n_cells());
    figures.count("genes", first.model.n_genes);
    if let Some(key) = &basis.key {
        figures.text("directions on", key);
    }
    figures.text("model", args.model.display());
    figures.text("result", args.output.display());
    figures.print(output)
}

/// Parts of a result that are of one input and one prior: the first, and the shard of each.
struct Parts<'a> {
    file: H5ad,
    part: Part,
    shards: Vec<(Shard, &'a Path)>,
}

impl<'a> Parts<'a> {
    fn open(paths: &[&'a PathBuf]) -> anyhow::Result<Self> {
        let Some((first, others)) = paths.split_first() else {
            bail!("--parts has no .h5ad among them; give the part of each shard beside its model");
        };
        let (file, part) = open(first)?;
        let mut shards = vec![(part.shard, first.as_path())];
        for other in others {
            let (other_file, other_part) = open(other)?;
            let shard = other_part.shard;
            let shown = (first.display(), other.display());
            if shard.count() != part.shard.count() {
                bail!("{} is shard {}, but {} is shard {shard}", shown.0, part.shard, shown.1);
            }
            if !file.same_bytes(&other_file)? {
                bail!("{} and {} are parts of different inputs; train all shards on one file", shown.0, shown.1);
            }
            if other_part.prior != part.prior || other_part.basis != part.basis {
                bail!(
                    "{} and {} were trained with different priors (time, terminal states or phylogeny) or another \
                     --basis; train all shards with the same options",
                    shown.0,
                    shown.1
                );
            }
            if let Some((_, twice)) = shards.iter().find(|(other, _)| *other == shard) {
                bail!("{} and {} are both of shard {shard}; give each shard once", twice.display(), shown.1);
            }
            shards.push((shard, other));
        }
        Ok(Self { file, part, shards })
    }

    /// That there is a part of the result for each part of the model and the other way round.
    fn check_models(&self, models: &[(String, Ensemble)]) -> anyhow::Result<()> {
        for (name, model) in models {
            let shard = model.shard.ok_or_else(|| CombineError::NotPart { part: name.clone() })?;
            if self.shards.iter().all(|(other, _)| *other != shard) {
                bail!("the .h5ad part of shard {shard} is missing; give it beside {name}");
            }
        }
        let alone = self.shards.iter().find(|(shard, _)| models.iter().all(|(_, model)| model.shard != Some(*shard)));
        match alone {
            Some((shard, path)) => bail!("the model of shard {shard} is missing; give it beside {}", path.display()),
            None => Ok(()),
        }
    }
}

fn open(path: &Path) -> anyhow::Result<(H5ad, Part)> {
    let file = H5ad::open(path)?;
    let part = Part::read(&file, path)?;
    let part = part.with_context(|| {
        format!("{} is no part of a result; parts are what sclsd train --shard I/N writes", path.display())
    })?;
    Ok((file, part))
}
