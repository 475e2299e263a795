//! Simulates cells in a known landscape, writes and reads them as `.h5ad`, and normalises their counts as scanpy does.

use sclsd_data::{
    Compression, Flavor, Keys, SimulateSpec, log1p_normalize, pca, read_h5ad, simulate, variable_genes, write_h5ad,
};

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spec = SimulateSpec { n_cells: 300, n_genes: 100, ..SimulateSpec::default() };
    let path = std::env::temp_dir().join("sclsd-example-cells.h5ad");
    write_h5ad(&path, &simulate(&spec.check()?), Compression::None)?;

    // reads only the elements that are named
    let cells = read_h5ad(&path, &Keys { x: false, obsp: vec![], ..Keys::default() }.with_obs("true_time"))?;
    let counts = cells.counts("raw")?;
    let genes = variable_genes(counts, 50, Flavor::SeuratV3)?;
    let kept: Vec<usize> = (0..cells.n_genes()).filter(|&gene| genes.selected[gene]).collect();
    let x = log1p_normalize(&counts.select_columns(&kept), 1e4);
    let components = pca(&x, 10);
    println!("{} cells, {} variable genes", cells.n_cells(), kept.len());
    println!("the first component explains {:.1} % of the variance", 100.0 * components.variance_ratio[0]);
    std::fs::remove_file(path)?;
    Ok(())
}
