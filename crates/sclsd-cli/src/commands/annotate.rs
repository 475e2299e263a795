//! `sclsd annotate`: what a trained model says about the cells of a file.

use anyhow::Context;
use sclsd::analysis::annotate;
use sclsd::data::{Keys, add_to_h5ad, read_h5ad};
use sclsd::infer::Checkpoint;

use super::velocity::{present, velocities};
use super::{check_writable, device};
use crate::args::AnnotateArgs;
use crate::figures::Figures;
use crate::progress::Output;

pub(crate) fn run(args: &AnnotateArgs, output: Output) -> anyhow::Result<()> {
    let device = device(&args.machine)?;
    check_writable(&args.output)?;
    let checkpoint = Checkpoint::load(&args.model)?;
    let graph = args.connectivities.as_ref().unwrap_or(&checkpoint.spec.keys.connectivities);
    let obsm = present(&args.input, &args.basis)?;
    let data = read_h5ad(&args.input, &Keys { x: true, obsm, obsp: vec![graph.clone()], ..Keys::none() })?;
    let annotation = annotate(&checkpoint.model, &data, graph, &device)
        .with_context(|| format!("{} with {}", args.input.display(), args.model.display()))?;
    let mut additions = annotation.additions();
    additions.obsm.extend(velocities(&checkpoint.model, &data, &annotation, graph, &args.basis, device)?);
    add_to_h5ad(&args.input, &args.output, &additions)?;
    let mut figures = Figures::default();
    figures.count("cells", data.n_cells());
    figures.count("genes", checkpoint.model.n_genes);
    figures.text("result", args.output.display());
    figures.print(output);
    Ok(())
}
