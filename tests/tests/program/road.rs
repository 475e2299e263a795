//! From raw counts to fates with the command-line program only.

use sclsd::data::{Compression, Dataset, Keys, Matrix, SimulateSpec, Uns, read_h5ad, simulate, write_h5ad};

use crate::succeed;

#[test]
fn raw_counts_go_all_the_way_to_fates_and_scores() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    let spec = SimulateSpec { n_cells: 200, n_genes: 60, ..SimulateSpec::default() };
    let cells = simulate(&spec.check().expect("a specification"));
    let mut obs = cells.obs.clone();
    obs.columns.retain(|(name, _)| name == "clusters");
    let raw =
        Dataset { x: cells.layers.get("raw").cloned(), obs, var: cells.var, uns: cells.uns, ..Dataset::default() };
    write_h5ad(&d.join("raw.h5ad"), &raw, Compression::None).expect("a file");

    let small = ["--set", "model.layer_dims.x_encoder=[16,8]", "--set", "model.layer_dims.z_decoder=[8,16]"];
    let walks = ["--set", "walks.num_walks=64", "--set", "walks.batch_size=32", "--set", "walks.path_len=5"];
    let model = ["--model", "m.safetensors", "--epochs", "2", "--quiet"];
    let key = ["--cluster-key", "clusters"];
    succeed(d, &["prepare", "raw.h5ad", "-o", "prepared.h5ad", "--root-cluster", "Stem", "--n-pcs", "20"]);
    for prior in [&["--time-key", "dpt_pseudotime"][..], &["--infer-phylogeny", "Stem", "--bootstrap-prior"]] {
        succeed(d, &[&["train", "prepared.h5ad", "-o", "result.h5ad"][..], &model, &small, &walks, prior].concat());
    }
    let fates = ["fates", "result.h5ad", "--model", "m.safetensors", "-o"];
    let hard = ["hard.h5ad", "--hard", "--paths", "p.safetensors"];
    let message = succeed(d, &[&fates[..], &hard, &key, &["--json"]].concat());
    assert!(message.contains("\"fates\":{") && message.contains("\"Stem\":{\"cells\":"), "{message}");
    let found = read_h5ad(&d.join("hard.h5ad"), &Keys::none().with_obs("fate")).expect("a result");
    assert_eq!(found.groups("fate").expect("fates").categories(), result_clusters(d));
    for method in ["prior", "neighbors", "drift", "flow", "sde", "transitions"] {
        succeed(d, &[&fates[..], &["fates.h5ad", "--method", method]].concat());
        probabilities(d, method);
    }
    let shared = |weight: &str| {
        succeed(d, &[&fates[..], &["shared.h5ad", "--prior-weight", weight, "--beta", "20"]].concat());
        shared_fates(d)
    };
    let [alone, half, prior] = ["0", "0.5", "1"].map(shared);
    let difference =
        |a: &Matrix, b: &Matrix| a.values().iter().zip(b.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference(&prior.0, &prior.1) < 1e-6, "steps of the prior alone are the prior");
    assert!(difference(&alone.0, &half.0) > 1e-4 && difference(&half.0, &prior.0) > 1e-4);
    let perturb = ["perturb", "fates.h5ad", "--model", "m.safetensors", "--gene", "Gene01", "-o", "t.csv"];
    succeed(d, &[&perturb[..], &key].concat());
    let message =
        succeed(d, &[&["evaluate", "fates.h5ad", "--json", "--time-key", "prior_pseudotime"][..], &key].concat());
    assert!(message.contains("\"stage_correlation\":"), "{message}");

    let keys = Keys { obsp: vec![], ..Keys::default() }
        .with_obs("fate")
        .with_obs("prior_pseudotime")
        .with_obs("dpt_pseudotime")
        .with_obsm("velocity_umap")
        .with_obsm("drift_velocity_umap");
    let result = read_h5ad(&d.join("fates.h5ad"), &keys).expect("a result with everything in it");
    let time = result.numbers("prior_pseudotime").expect("a prior time");
    assert!(time.iter().all(|t| (0.0..=1.0).contains(t)));
    let tensors = std::fs::read(d.join("p.safetensors")).expect("paths");
    assert!(tensors.len() > 200 * 30 * 4, "30 points for every cell");
}

/// Fate probabilities of the model and of the prior, from a file that records their β and the fraction of steps from
/// the prior.
fn shared_fates(directory: &std::path::Path) -> (Matrix, Matrix) {
    let mut keys = Keys::none().with_obsm("fate_probabilities").with_obsm("fate_probabilities_prior");
    keys.uns.push("fate_probabilities".into());
    let mut data = read_h5ad(&directory.join("shared.h5ad"), &keys).expect("a result");
    let Some(Uns::Map(about)) = data.uns.get("fate_probabilities") else { panic!("{:?}", data.uns) };
    assert_eq!(about["beta"], Uns::Floats(vec![], vec![20.0]));
    assert!(matches!(&about["prior_weight"], Uns::Floats(_, share) if share.len() == 1));
    let mut take = |key| data.obsm.remove(key).expect("probabilities");
    (take("fate_probabilities"), take("fate_probabilities_prior"))
}

/// Checks the output of `sclsd fates`: rows that sum to one, the two baselines, and the most likely fate.
fn probabilities(directory: &std::path::Path, method: &str) {
    let elements = ["fate_probabilities", "fate_probabilities_prior", "fate_probabilities_neighbors"];
    let mut keys = Keys::none().with_obs("fate").with_obs("fate_entropy").with_obs("terminal_states");
    keys.obsm = elements.map(str::to_owned).to_vec();
    let found = read_h5ad(&directory.join("fates.h5ad"), &keys).expect("a result");
    let (fate, states) = (found.groups("fate").expect("fates"), found.groups("terminal_states").expect("states"));
    assert_eq!(fate.categories(), states.categories(), "{method}");
    for key in elements {
        let matrix = &found.obsm[key];
        assert_eq!(matrix.n_cols(), fate.categories().len());
        for cell in 0..matrix.n_rows() {
            assert!((matrix.row(cell).iter().sum::<f32>() - 1.0).abs() < 1e-5, "{method}: {key} of cell {cell}");
        }
    }
    for cell in 0..found.n_cells() {
        let (row, code) = (found.obsm[elements[0]].row(cell), fate.codes()[cell].expect("a fate") as usize);
        assert!(row.iter().all(|p| *p <= row[code]), "{method}: the fate of cell {cell} is the likeliest");
    }
    let most = f64::from(u32::try_from(fate.categories().len()).expect("a few")).ln();
    assert!(found.numbers("fate_entropy").expect("entropies").iter().all(|h| (0.0..=most + 1e-9).contains(h)));
}

fn result_clusters(directory: &std::path::Path) -> Vec<String> {
    let keys = Keys::none().with_obs("clusters");
    let data = read_h5ad(&directory.join("raw.h5ad"), &keys).expect("a file");
    data.groups("clusters").expect("clusters").categories().to_vec()
}
