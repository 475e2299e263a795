//! Which knockouts change where cells end, according to a trained model and the file that it annotated.
//!
//! ```console
//! $ sclsd demo
//! $ cargo run --release -p sclsd --example perturb -- sclsd-demo/result.h5ad sclsd-demo/model.safetensors
//! ```

use std::path::Path;

use sclsd::analysis::{FateTable, HardFateSpec, PerturbSpec, hard_fates, perturb};
use sclsd::data::{Keys, read_h5ad};
use sclsd::infer::Checkpoint;

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [cells, model] = &arguments[..] else { return Err("give RESULT.h5ad and MODEL.safetensors".into()) };
    let keys = Keys { x: true, ..Keys::none() }.with_obs("clusters").with_obsm("X_cell_state");
    let cells = read_h5ad(Path::new(cells), &keys)?;
    let model = Checkpoint::load(Path::new(model))?.model;
    let clusters = cells.groups("clusters")?;

    let found = hard_fates(&model, &cells.obsm["X_cell_state"], &HardFateSpec::default())?;
    let all: Vec<u32> = (0..u32::try_from(cells.n_cells())?).collect();
    println!("cells end in {:?}: {:?}", clusters.categories(), FateTable::new(&clusters, &all, &found.cells).ends());

    for gene in cells.var.names.iter().take(5) {
        let spec = PerturbSpec { genes: vec![gene.clone()], ..PerturbSpec::default() };
        let found = perturb(&model, &cells, None, &spec)?;
        let before = FateTable::new(&clusters, &found.cells, &found.unperturbed);
        let after = FateTable::new(&clusters, &found.cells, &found.perturbed);
        println!("{gene} knocked out: log2 fold change {:.2?}", after.log2_fold_change(&before));
    }
    Ok(())
}
