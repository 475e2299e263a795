//! Times every preparation step, on simulated counts or on those of a file.
//!
//! `cargo run --release -p sclsd-graph --example time_prepare -- FILE.h5ad [CELLS GENES THREADS]`. If the file does not
//! exist, it is simulated first, so that other programs can be timed on the same counts.

#![allow(clippy::print_stdout, reason = "an example prints what it measures")]

use std::path::Path;
use std::time::Instant;

use sclsd_data::variable_genes;
use sclsd_data::{
    Compression, Dataset, Flavor, Keys, SimulateSpec, log1p_normalize, pca, read_h5ad, simulate, write_h5ad,
};
use sclsd_graph::{connectivities, diffusion_map, layout, leiden, neighbors};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let file = args.next().unwrap_or_else(|| "simulated.h5ad".into());
    let mut number = |otherwise: usize| args.next().map_or(Ok(otherwise), |text| text.parse());
    let (n_cells, n_genes, threads) = (number(20_000)?, number(2_000)?, number(2)?);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let path = Path::new(&file);
    if !path.exists() {
        let cells = simulate(&SimulateSpec { n_cells, n_genes, ..SimulateSpec::default() }.check()?);
        let counts = cells.layers.get("raw").cloned();
        write_h5ad(
            path,
            &Dataset { x: counts, obs: cells.obs, var: cells.var, ..Dataset::default() },
            Compression::None,
        )?;
    }
    let data = read_h5ad(path, &Keys::all(path)?)?;
    let counts = data.expression()?;
    println!("{} cells, {} genes, {} counts above 0", counts.n_rows(), counts.n_cols(), counts.nnz());

    let began = Instant::now();
    let wanted = counts.n_cols() * 9 / 10;
    let genes = timed("genes", || variable_genes(counts, wanted, Flavor::Dispersion))?;
    assert!(genes.selected.iter().any(|&s| s));
    let x = timed("normalize", || log1p_normalize(counts, 1e4));
    let components = timed("components", || pca(&x, 50));
    let near = timed("neighbors", || neighbors(&components.scores, 15, 0))?;
    let graph = timed("connectivities", || connectivities(&near));
    let clusters = timed("leiden", || leiden(&graph, 1.0, 0))?;
    let map = timed("diffusion map", || diffusion_map(&graph, 15))?;
    let _ = timed("pseudotime", || map.pseudotime(&graph, 0, 10))?;
    let _ = timed("layout", || layout(&graph, &map.components, 0))?;
    println!("{:>16} {:8.2} s; {} clusters", "all", began.elapsed().as_secs_f64(), clusters.categories().len());
    Ok(())
}

/// Prints the wall-clock time of a step and the CPU time of all threads. On a busy machine only the CPU time is
/// meaningful.
fn timed<T>(step: &str, f: impl FnOnce() -> T) -> T {
    let (began, computed) = (Instant::now(), computed());
    let result = f();
    println!("{step:>16} {:8.2} s {:8.2} s of all threads", began.elapsed().as_secs_f64(), self::computed() - computed);
    result
}

/// CPU time of all threads of this process in seconds, if the system reports it. In hundredths of a second on Linux.
fn computed() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
