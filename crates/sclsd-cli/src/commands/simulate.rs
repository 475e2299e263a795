//! `sclsd simulate`: cells whose truth is known, ready for `train`.

use sclsd::data::{Dataset, SimulateSpec, Topology, pca, simulate, write_h5ad};
use sclsd::graph::{connectivities, neighbors};

use super::check_writable;
use crate::args::{SimulateArgs, TopologyArg};
use crate::figures::Figures;
use crate::progress::Output;

/// Principal components that neighbours are sought in.
const N_PCS: usize = 30;
/// Neighbours of a cell, itself included.
const N_NEIGHBORS: usize = 15;

pub(crate) fn run(args: &SimulateArgs, output: Output) -> anyhow::Result<()> {
    let topology = match args.topology {
        TopologyArg::Linear => Topology::Linear,
        TopologyArg::Bifurcation => Topology::Bifurcation,
        TopologyArg::Tree => Topology::Tree,
        TopologyArg::Cycle => Topology::Cycle,
    };
    if topology == Topology::Cycle {
        output.note(
            "warning: no potential drives cells round a cycle, so no model of this kind describes these cells; \
             use them to see what that looks like",
        );
    }
    check_writable(&args.output)?;
    let data = with_graph(&SimulateSpec {
        n_cells: args.cells,
        n_genes: args.genes,
        topology,
        depth: args.depth,
        prior_noise: args.prior_noise,
        seed: args.seed,
        ..SimulateSpec::default()
    })?;
    write_h5ad(&args.output, &data)?;
    let mut figures = Figures::default();
    figures.text("simulated", args.output.display());
    figures.count("cells", data.n_cells());
    figures.count("genes", data.n_genes());
    figures.print(output);
    Ok(())
}

/// Simulated cells with principal components and connectivities.
fn with_graph(spec: &SimulateSpec) -> anyhow::Result<Dataset> {
    let mut data = simulate(&spec.clone().check()?);
    let components = pca(data.expression()?, N_PCS).scores;
    let neighbors = neighbors(&components, N_NEIGHBORS.min(data.n_cells()), spec.seed)?;
    data.obsp.insert("connectivities".into(), connectivities(&neighbors));
    data.obsm.insert("X_pca".into(), components);
    Ok(data)
}
