//! `sclsd annotate`: the states, potential, pseudotime and directions that a trained model gives the cells of a file.

use anyhow::Context;
use sclsd::data::{H5ad, Keys};

use super::adding::add;
use super::annotating::annotated;
use super::basis::Basis;
use super::files::Files;
use super::lonely::first_lonely;
use super::reading::{graph_option, named_apart};
use super::threads::start;
use super::{counts, model_file, record};
use crate::args::AnnotateArgs;
use crate::figures::Figures;
use crate::progress::Output;

pub(crate) fn run(args: &AnnotateArgs, output: Output) -> anyhow::Result<()> {
    start(&args.threads, output)?;
    Files::default()
        .reads("INPUT", &args.input)
        .reads("--model", &args.model)
        .writes_over("-o", &args.output, &args.input)
        .check()?;
    let run = model_file::members(&args.model, output)?;
    let checkpoint = run.first().context("the model has no member")?;
    let graph = args.connectivities.as_ref().unwrap_or(&checkpoint.spec.keys.connectivities);
    let file = H5ad::open(&args.input)?;
    let has = file.inspect()?;
    let basis = Basis::choose(&args.input, &has, args.basis.as_deref())?;
    let obsm = basis.key.iter().cloned().collect();
    let wanted = Keys { x: true, obsm, obsp: vec![graph.clone()], ..Keys::none() };
    let read = file.read(&wanted).map_err(|error| graph_option(error, "--connectivities NAME"))?;
    let data = named_apart(&args.input, read)?;
    counts::warn(data.expression()?, output);
    if let Some(lonely) = first_lonely(&data, graph)? {
        output.note(format!("{lonely}: it has no outgoing edge, so its row of obsp[\"transitions\"] is empty"));
    }
    let annotated = annotated(&run, &data, graph, &basis, output)
        .with_context(|| format!("{} with {}", args.input.display(), args.model.display()))?;
    if run.members.len() == 1 && has.has("obs", "lsd_pseudotime_std") {
        output.note("obs[\"lsd_pseudotime_std\"] and other spreads are of the members of another model and stay so");
    }
    if let Some(record) = record::of_file(&args.input, &has)?
        && record.config != serde_json::to_value(&checkpoint.spec)?
    {
        output.note(
            "uns[\"sclsd\"] and any fates in the file are of another model and are copied unchanged: run sclsd fates again",
        );
    }
    add(&file, &args.output, &annotated.additions, args.write.compress, output)?;
    let mut figures = Figures::default();
    if run.members.len() > 1 {
        figures.count("members", run.members.len());
    }
    figures.count("cells", data.n_cells());
    figures.count("genes", checkpoint.model.n_genes);
    if let Some(key) = &basis.key {
        figures.text("directions on", key);
    }
    figures.text("result", args.output.display());
    figures.print(output)
}
