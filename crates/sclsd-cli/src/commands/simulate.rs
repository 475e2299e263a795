//! `sclsd simulate`: cells with known fates, ready for `train`, with a layout to draw them on.

use sclsd::data::{Dataset, SimulateSpec, Topology, pca, simulate, write_h5ad};
use sclsd::graph::{connectivities, diffusion_map, layout, neighbors};

use super::files::Files;
use crate::args::SimulateArgs;
use crate::figures::Figures;
use crate::progress::Output;

/// Principal components for the neighbour search.
const N_PCS: usize = 30;
/// Neighbours of a cell, the cell itself included.
const N_NEIGHBORS: usize = 15;
/// Diffusion components that the layout starts from: two, and the stationary state, which the layout ignores.
const N_LAYOUT_COMPONENTS: usize = 3;

pub(crate) fn run(args: &SimulateArgs, output: Output) -> anyhow::Result<()> {
    if args.topology == Topology::Cycle {
        output.note(
            "warning: no potential drives cells around a cycle, so no model of this kind can describe these cells; \
             use them to see what that looks like",
        );
    }
    Files::default().writes("OUTPUT", &args.output).check()?;
    let data = with_graph(&SimulateSpec {
        n_cells: args.cells,
        n_genes: args.genes,
        topology: args.topology,
        depth: args.depth,
        prior_noise: args.prior_noise,
        seed: args.seed,
        ..SimulateSpec::default()
    })?;
    write_h5ad(&args.output, &data, args.write.compress)?;
    let mut figures = Figures::default();
    figures.text("simulated", args.output.display());
    figures.count("cells", data.n_cells());
    figures.count("genes", data.n_genes());
    figures.print(output)
}

/// Simulated cells with principal components (obsm `X_pca`), connectivities (obsp `connectivities`) and a layout in
/// two dimensions (obsm `X_umap`).
fn with_graph(spec: &SimulateSpec) -> anyhow::Result<Dataset> {
    let mut data = simulate(&spec.clone().check()?);
    let components = pca(data.expression()?, N_PCS).scores;
    let neighbors = neighbors(&components, N_NEIGHBORS.min(data.n_cells()), spec.seed)?;
    let graph = connectivities(&neighbors);
    let diffusion = diffusion_map(&graph, N_LAYOUT_COMPONENTS)?;
    data.obsm.insert("X_umap".into(), layout(&graph, &diffusion.components, spec.seed)?);
    data.obsm.insert("X_pca".into(), components);
    data.obsp.insert("connectivities".into(), graph);
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_cells_come_with_components_a_graph_and_a_layout_that_the_seed_fixes() {
        for n_cells in [10, 60] {
            let spec = SimulateSpec { n_cells, n_genes: 20, topology: Topology::Linear, ..SimulateSpec::default() };
            let data = with_graph(&spec).unwrap();
            let layout = &data.obsm["X_umap"];
            assert_eq!((layout.n_rows(), layout.n_cols()), (n_cells, 2));
            assert!((0..n_cells).all(|cell| layout.row(cell).iter().all(|v| v.is_finite())));
            assert!(data.obsm.contains_key("X_pca") && data.obsp.contains_key("connectivities"));
            assert_eq!(data, with_graph(&spec).unwrap());
        }
    }
}
