//! `sclsd convert`: a checkpoint of the Python package as a model of this program.

use sclsd::data::Keys;
use sclsd::infer::{Checkpoint, TrainSpec, import_pth};

use super::files::Files;
use super::reading::read;
use crate::args::ConvertArgs;
use crate::config;
use crate::figures::Figures;
use crate::progress::Output;

pub(crate) fn run(args: &ConvertArgs, output: Output) -> anyhow::Result<()> {
    Files::default()
        .reads("INPUT", &args.input)
        .may_read("--config", args.config.as_ref())
        .may_read("--genes", args.genes.as_ref())
        .writes("OUTPUT", &args.output)
        .check()?;
    let mut spec = config::read(&TrainSpec::reference(), args.config.as_deref(), &[])?;
    let genes = match &args.genes {
        Some(path) => read(path, &Keys::none())?.var.names,
        None => Vec::new(),
    };
    let mut model = import_pth(&args.input, genes)?;
    let v_coeff = spec.model.v_coeff; // no tensor of the checkpoint has it
    spec.model = model.spec.get().clone();
    spec.model.v_coeff = v_coeff;
    model.spec = spec.model.clone().check()?;
    if model.genes.is_empty() {
        output.note(format!(
            "the checkpoint has no gene names, so other files can only be checked for having {} genes; \
             give the genes with --genes FILE.h5ad",
            model.n_genes
        ));
    }
    let mut figures = Figures::default();
    figures.count("genes", model.n_genes);
    figures.count("z_dim", model.spec.get().z_dim);
    figures.count("B_dim", model.spec.get().b_dim);
    figures.count("tensors", model.weights.len());
    Checkpoint::imported(model, spec).save(&args.output)?;
    figures.text("model", args.output.display());
    figures.print(output)
}
