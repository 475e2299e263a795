//! Invalid input to the steps before and after training: preparation, priors, fates, perturbation and evaluation.

use std::path::Path;

use sclsd::data::{Categorical, Column, Csr, Dataset};

use crate::bad_input::{file, refused, train, with_value};
use crate::{SMALL, succeed};

const PREPARE: [&str; 6] = ["prepare", "in.h5ad", "-o", "out.h5ad", "--n-pcs", "10"];

fn prepare<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&PREPARE[..], more].concat()
}

/// Counts in X, and nothing else except clusters.
fn counts(data: &mut Dataset) {
    data.x = data.layers.remove("raw");
    data.obs.columns.retain(|(name, _)| name == "clusters");
    data.obsp.clear();
    data.obsm.clear();
}

/// Trains a model. Writes the model `m.safetensors` and its results, `out.h5ad` renamed to `result.h5ad`.
fn trained(directory: &Path, change: impl FnOnce(&mut Dataset)) {
    file(directory, "in.h5ad", change);
    succeed(directory, &train("in.h5ad", &[]));
    std::fs::rename(directory.join("out.h5ad"), directory.join("result.h5ad")).expect("a result");
}

#[test]
fn counts_that_cannot_be_prepared_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", counts);
    refused(d, &prepare(&["--n-top-genes", "21"]), &["in.h5ad: 21 genes are asked for, but only 20 of 20 vary"]);
    refused(
        d,
        &prepare(&["--n-top-genes", "0"]),
        &["prepare.n_top_genes is 0, expected at least 1; set it with --n-top-genes"],
    );
    refused(
        d,
        &prepare(&["--n-neighbors", "61"]),
        &["61 neighbours (the cell itself included) are asked for, but there are 60 cells"],
    );
    refused(d, &prepare(&["--n-neighbors", "1"]), &["prepare.n_neighbors is 1, expected at least 2"]);
    refused(
        d,
        &prepare(&["--resolution", "0"]),
        &["prepare.resolution is 0, expected a finite number above 0; set it with --resolution"],
    );
    std::fs::write(d.join("genes.txt"), "Gene01\nGen07\n").expect("a list");
    refused(d, &prepare(&["--genes", "genes.txt"]), &["gene Gen07 is not in the data; the closest names are Gene07, "]);
    std::fs::write(d.join("genes.txt"), "\n").expect("a list");
    refused(d, &prepare(&["--genes", "genes.txt"]), &["genes.txt names no gene"]);
    refused(d, &prepare(&["--genes", "nowhere.txt"]), &["nowhere.txt cannot be read: no such file"]);

    file(d, "in.h5ad", |data| {
        counts(data);
        data.x = data.x.as_ref().map(|x| with_value(x, 0, 1.37));
    });
    refused(d, &prepare(&[]), &["X of cell cell00 and gene Gene", "is 1.37"]);
    file(d, "in.h5ad", |data| {
        counts(data);
        data.x = Some(Csr::from_rows(20, vec![Vec::new(); 60]).expect("an empty matrix"));
    });
    refused(d, &prepare(&[]), &["in.h5ad: no cell has a count of any of the 20 selected genes"]);
}

#[test]
fn names_that_appear_twice_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |data| {
        counts(data);
        data.var.names[3] = "Gene07".into();
    });
    refused(
        d,
        &prepare(&[]),
        &["gene Gene07 appears twice; names must differ (in scanpy: adata.var_names_make_unique"],
    );
    file(d, "in.h5ad", |data| {
        counts(data);
        data.obs.names[3] = "cell07".into();
    });
    refused(d, &prepare(&[]), &["cell cell07 appears twice"]);
}

#[test]
fn roots_that_are_none_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", counts);
    refused(
        d,
        &prepare(&["--root-cell", "cell7"]),
        &["root cell \"cell7\" is not in the data; the closest names are cell"],
    );
    file(d, "in.h5ad", |data| {
        counts(data);
        let clusters = data.groups("clusters").expect("clusters");
        let names = [clusters.categories(), &["Empty".to_owned()][..]].concat();
        let with_empty = Categorical::new(clusters.codes().to_vec(), names, false);
        data.obs.set("clusters", Column::Categorical(with_empty));
    });
    refused(d, &prepare(&["--root-cluster", "Empty"]), &["in.h5ad: root cluster \"Empty\" has no cells"]);
    refused(
        d,
        &prepare(&["--root-cluster", "Nobody"]),
        &["root cluster \"Nobody\" is not in the data; obs[\"clusters\"] has Stem"],
    );
    file(d, "in.h5ad", |data| {
        let graph = &data.obsp["connectivities"];
        let rows = (0..60_u32).map(|cell| {
            let (to, weights) = graph.row(cell as usize);
            let keep = |other: u32| (cell == 4) == (other == 4);
            to.iter().zip(weights).filter(|(to, _)| keep(**to)).map(|(to, w)| (*to, *w)).collect()
        });
        let cut = Csr::from_rows(60, rows.collect::<Vec<_>>()).expect("a graph");
        counts(data);
        data.obsp.insert("connectivities".into(), cut);
    });
    let lonely = "root cell cell04 is joined to no other cell by the graph";
    refused(d, &prepare(&["--root-cell", "cell04"]), &[lonely]);
    let message = succeed(d, &prepare(&["--root-cell", "cell05"]));
    assert!(message.contains("cells without neighbours left out  1"), "{message}");
}

#[test]
fn empty_cells_and_genes_are_counted() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |data| {
        counts(data);
        let x = data.x.take().expect("counts");
        let rows = (0..60).map(|cell| {
            let (genes, values) = x.row(cell);
            let kept = genes.iter().zip(values).filter(|(gene, _)| cell != 9 && **gene != 2);
            kept.map(|(gene, value)| (*gene, *value)).collect()
        });
        data.x = Some(Csr::from_rows(20, rows.collect::<Vec<_>>()).expect("counts"));
    });
    let message = succeed(d, &prepare(&["--json"]));
    assert!(message.contains("\"empty_cells_left_out\":1,\"empty_genes_left_out\":1"), "{message}");
}

#[test]
fn priors_that_cannot_be_made_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    file(d, "in.h5ad", |_| {});
    let run = |more: &[&'static str]| {
        let small: Vec<&str> = SMALL.iter().copied().filter(|a| !["--time-key", "prior_time"].contains(a)).collect();
        [
            &[
                "train",
                "in.h5ad",
                "-o",
                "out.h5ad",
                "--model",
                "m.safetensors",
                "--epochs",
                "1",
                "--quiet",
                "--set",
                "keys.time=prior_time",
            ][..],
            &small,
            more,
        ]
        .concat()
    };
    refused(d, &run(&["--infer-phylogeny", "Nobody"]), &["root cluster \"Nobody\" is not one of Stem"]);
    refused(
        d,
        &run(&["--infer-phylogeny", "Stem", "--ratio", "1.5"]),
        &["phylogeny.ratio is 1.5, expected a number from 0 to 1; set it with --ratio"],
    );
    refused(d, &run(&["--bootstrap-prior"]), &["--bootstrap-prior needs a phylogeny"]);
    refused(d, &run(&["--cluster-key", "types"]), &["lacks obs[\"types\"] (obs has clusters"]);
    std::fs::write(d.join("p.json"), r#"{"Stem": ["Fate A"], "Progenitor": ["Fate B"]}"#).expect("a file");
    refused(
        d,
        &run(&["--phylogeny", "p.json", "--bootstrap-prior"]),
        &["the phylogeny has 2 root clusters (Progenitor, Stem), expected one"],
    );
    let market = |text: &str| std::fs::write(d.join("t.mtx"), text).expect("a file");
    market("%%MatrixMarket matrix coordinate real general\n2 2 1\n1 2 1.0\n");
    refused(d, &run(&["--prior", "t.mtx"]), &["t.mtx is 2 × 2, but there are 60 cells"]);
    market("%%MatrixMarket matrix coordinate real general\n60 60 1\n1 2 1.0\n");
    refused(d, &run(&["--prior", "t.mtx"]), &["t.mtx: cell 1 has no neighbour"]);
    market("%%MatrixMarket matrix coordinate real general\n60 60 1\n1 2 -1.0\n");
    refused(d, &run(&["--prior", "t.mtx"]), &["t.mtx: edge 0 -> 1 has weight -1"]);
    market("nothing of the kind\n");
    refused(d, &run(&["--prior", "t.mtx"]), &["t.mtx: line 1: expected %%MatrixMarket"]);
}

#[test]
fn fates_and_perturbations_that_cannot_be_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d, |_| {});
    let fates = |input: &'static str, more: &[&'static str]| {
        [&["fates", input, "--model", "m.safetensors", "-o", "out.h5ad"][..], more].concat()
    };
    let key = ["--cluster-key", "clusters"];
    let key_of_hard = ["--hard", "--cluster-key", "clusters"];
    let on = |more: &[&'static str]| fates("result.h5ad", &[&key_of_hard[..], more].concat());
    refused(
        d,
        &on(&["--time-range", "0"]),
        &["fates.time_range is 0, expected a finite time above 0; set it with --time-range"],
    );
    refused(d, &on(&["--time-range=-3"]), &["time_range is -3, expected a finite time above 0"]);
    refused(d, &on(&["--dt", "0"]), &["dt is 0, expected a finite time above 0"]);
    refused(d, &on(&["--dt", "10"]), &["fates.dt is 10, expected at most half of time_range; set it with --dt"]);
    let whole = std::fs::read(d.join("result.h5ad")).expect("a result");
    std::fs::write(d.join("cut.h5ad"), &whole[..whole.len() / 2]).expect("a file");
    refused(d, &fates("cut.h5ad", &key), &["error: cut.h5ad is not a complete HDF5 file"]);
    refused(d, &fates("nowhere.h5ad", &key), &["error: nowhere.h5ad cannot be read: no such file"]);
    refused(d, &fates("in.h5ad", &key), &["sclsd train or annotate writes", "in.h5ad lacks", "obsm[\"X_cell_state\"]"]);
    refused(d, &fates("result.h5ad", &["--cluster-key", "types"]), &["lacks obs[\"types\"] (obs has clusters"]);
    let named = |names: &[&'static str]| fates("result.h5ad", &[&["--terminal"][..], names].concat());
    refused(d, &named(&["Nobody"]), &["terminal cluster \"Nobody\" is not one of "]);
    refused(d, &named(&["Fate A", "Fate A"]), &["terminal cluster \"Fate A\" is named twice"]);
    for (beta, shown) in [("--beta=-1", "beta is -1"), ("--beta=nan", "beta is NaN"), ("--beta=inf", "beta is inf")] {
        refused(d, &fates("result.h5ad", &[beta]), &[shown, "expected a finite number of 0 or more"]);
    }
    let weighted = ["--method", "drift", "--prior-weight", "0.5"];
    refused(
        d,
        &fates("result.h5ad", &weighted),
        &["--prior-weight needs --method transitions, but the command has --method drift"],
    );
    refused(d, &fates("result.h5ad", &["--method", "flow", "--time-range", "0"]), &["time_range is 0, expected"]);
    let sde = |more: &[&'static str]| fates("result.h5ad", &[&["--method", "sde"][..], more].concat());
    refused(d, &sde(&["--draws", "0"]), &["fates.draws is 0, expected a number from 1 to", "; set it with --draws"]);
    for (sigma, shown) in [("--sigma=-1", "-1"), ("--sigma=nan", "NaN"), ("--sigma=inf", "inf")] {
        let expected = format!("fates.sigma is {shown}, expected a finite number of 0 or more; set it with --sigma");
        refused(d, &sde(&[sigma]), &[&expected]);
    }
    refused(d, &sde(&["--time-range", "nan"]), &["time_range is NaN, expected a finite time above 0"]);
    refused(
        d,
        &fates("result.h5ad", &["--draws", "5"]),
        &["--draws needs --method sde, but the command has --method transitions"],
    );
    refused(d, &on(&["--seed", "5"]), &["--seed needs --method sde, but the command has --hard"]);
    let along = |more: &[&'static str]| sde(&[&["--draws", "2", "--gene-paths", "p.csv"][..], more].concat());
    refused(d, &along(&["--gene", "gene7"]), &["the model has no gene gene7", "Gene07"]);
    refused(
        d,
        &along(&["--gene", "Gene07", "--clusters", "Nobody"]),
        &["cluster \"Nobody\" of --clusters is not one of"],
    );
    assert!(!d.join("p.csv").exists());
    refused(
        d,
        &fates("result.h5ad", &["--hard", "--cluster-key", "entropy"]),
        &["obs[\"entropy\"] is a float column, expected names"],
    );

    let perturb = |more: &[&'static str]| {
        let run = ["perturb", "result.h5ad", "--model", "m.safetensors", "--cluster-key", "clusters", "-o", "t.csv"];
        [&run[..], more].concat()
    };
    refused(d, &perturb(&["--gene", "gene7"]), &["the model has no gene gene7; the closest names are Gene07"]);
    refused(d, &perturb(&["--gene", "Gene01", "--level=-1"]), &["level is -1, expected a finite number of 0 or more"]);
    refused(
        d,
        &perturb(&["--gene", "Gene01", "--time-range", "0"]),
        &["perturb.t_unpert is 0, expected a finite time above 0; set it with --time-range"],
    );
    refused(
        d,
        &perturb(&["--gene", "Gene01", "--rounds", "0"]),
        &["perturb.max_perturbations is 0, expected at least 1; set it with --rounds"],
    );
    refused(
        d,
        &perturb(&["--gene", "Gene01", "--clusters", "Nobody"]),
        &["result.h5ad: cluster \"Nobody\" is not in obs[\"clusters\"], which has Stem"],
    );
    assert!(!d.join("t.csv").exists());
    succeed(d, &perturb(&["--gene", "Gene01", "Gene02", "--clusters", "Stem", "--cells-out", "c.csv"]));
    let table = std::fs::read_to_string(d.join("t.csv")).expect("a table");
    assert!(table.lines().nth(1).is_some_and(|row| row.starts_with("Gene01+Gene02,0,Stem,")), "{table}");
}

#[test]
fn evaluations_that_cannot_be_are_named_and_what_never_touches_has_no_score() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d, |data| {
        // one cell is a cluster of its own, and Far is a cluster without edges to others
        let mut names: Vec<String> = {
            let clusters = data.groups("clusters").expect("clusters");
            (0..60).map(|cell| clusters.name(cell).unwrap_or("Stem").to_owned()).collect()
        };
        names[5] = "Single".into();
        let graph = &data.obsp["connectivities"];
        let near: Vec<u32> = graph.row(5).0.to_vec();
        let far = (0..60_u32).find(|c| *c != 5 && !near.contains(c)).expect("a cell elsewhere") as usize;
        names[far] = "Far".into();
        let clusters = Categorical::from_names(names.iter().map(String::as_str));
        data.obs.set("clusters", Column::Categorical(clusters));
        let embedding = data.obsm["X_true_state"].clone();
        data.obsm.insert("X_umap".into(), embedding);
    });
    let evaluate =
        |more: &[&'static str]| [&["evaluate", "result.h5ad", "--cluster-key", "clusters"][..], more].concat();
    refused(d, &evaluate(&["--edges", "Stem>Nobody"]), &["cluster \"Nobody\" is not one of Far, "]);
    refused(d, &evaluate(&["--edges", "Stem-Single"]), &["--edges: \"Stem-Single\" is not an edge, expected A>B"]);
    refused(d, &evaluate(&["--basis", "X_tsne"]), &["lacks obsm[\"X_tsne\"] (obsm has X_cell_state"]);
    refused(d, &evaluate(&["--edges", "Stem>Single", "--time-key", "time"]), &["lacks obs[\"time\"]"]);
    let message = succeed(d, &evaluate(&["--edges", "Single>Far"]));
    assert!(message.contains("Single->Far none: no cells of the two clusters are neighbours"), "{message}");
    assert!(message.contains("Single none: no two of its cells are neighbours"), "{message}");
    let message = succeed(d, &evaluate(&["--edges", "Single>Far", "--json"]));
    assert!(
        message.contains(
            r#""cross-boundary_correctness":{"each":{"Single->Far":{"cells":0,"prior":null,"score":null}},"mean":null,"#
        ),
        "{message}"
    );
    let circle = succeed(d, &evaluate(&["--edges", "Single>Stem,Stem>Single"]));
    assert!(circle.contains("stage correlation") && circle.contains("the edges form a cycle"), "{circle}");
}

#[test]
fn a_model_of_other_genes_is_refused_wherever_a_model_is_given() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d, |data| data.var.names.iter_mut().for_each(|name| name.insert_str(0, "Other")));
    std::fs::rename(d.join("m.safetensors"), d.join("other.safetensors")).expect("a model");
    trained(d, |_| {});
    succeed(d, &["fates", "result.h5ad", "--model", "m.safetensors", "-o", "fates.h5ad", "--terminal", "Fate A"]);
    let expected =
        ["other.safetensors: 20 of the model's 20 genes are not in the data, so the model was trained on other"];
    for command in ["fates result.h5ad", "plot landscape result.h5ad", "plot walks result.h5ad", "report result.h5ad"] {
        let kind = command.split(' ').next().unwrap_or_default();
        let output = match kind {
            "plot" => "out.svg",
            "report" => "out.html",
            _ => "out.h5ad",
        };
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.extend(["--model", "other.safetensors", "-o", output]);
        if kind != "fates" {
            arguments.extend(["--basis", "X_true_state"]);
        }
        refused(d, &arguments, &expected);
    }
    let evaluate = ["evaluate", "fates.h5ad", "--model", "other.safetensors", "--edges", "Stem>Fate A"];
    refused(d, &[&evaluate[..], &["--basis", "X_true_state"]].concat(), &expected);
}
