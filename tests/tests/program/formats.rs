//! Checks that `docs/formats.md` lists everything that the program writes.

use std::collections::BTreeSet;
use std::path::Path;

use safetensors::SafeTensors;
use sclsd::data::{H5ad, Keys, Uns, read_h5ad};

use crate::succeed;

/// Names in a section of the page: those that are always written, and all of them.
fn section(title: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formats.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let lines = page.lines().skip_while(|line| line.trim_start_matches('#').trim() != title);
    let (mut always, mut all) = (BTreeSet::new(), BTreeSet::new());
    let mut rows = lines.skip(1).take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with("| `"));
    for row in &mut rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        let names = cells[0].split('`').skip(1).step_by(2).map(str::to_owned);
        for name in names {
            if cells[1] == "always" {
                always.insert(name.clone());
            }
            all.insert(name);
        }
    }
    assert!(!all.is_empty(), "no section \"{title}\"");
    (always, all)
}

fn compare<'a>(title: &str, found: impl IntoIterator<Item = &'a str>) {
    let found: BTreeSet<String> = found.into_iter().map(str::to_owned).collect();
    let (always, all) = section(title);
    let (absent, unknown) = (always.difference(&found).collect::<Vec<_>>(), found.difference(&all).collect::<Vec<_>>());
    assert!(absent.is_empty() && unknown.is_empty(), "{title}: not written {absent:?}, not on the page {unknown:?}");
}

fn keys(map: &Uns) -> impl Iterator<Item = &str> {
    let Uns::Map(entries) = map else { panic!("a group") };
    entries.keys().map(String::as_str)
}

fn header(path: &Path) -> std::collections::HashMap<String, String> {
    let bytes = std::fs::read(path).expect("a file");
    SafeTensors::read_metadata(&bytes).expect("safetensors").1.metadata().clone().expect("metadata")
}

fn columns(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("a table");
    text.lines().next().expect("a header").split(',').map(str::to_owned).collect()
}

/// What a run of several members writes beyond that of one.
fn of_members(d: &Path) {
    let read = Keys { uns: vec!["sclsd".into(), "fate_probabilities".into()], ..Keys::none() };
    let result = read_h5ad(&d.join("all.h5ad"), &read).expect("a result");
    compare("`uns[\"sclsd\"]` of a result, version 1", keys(&result.uns["sclsd"]));
    compare("`uns[\"fate_probabilities\"]`, version 1", keys(&result.uns["fate_probabilities"]));
    let names = |file: &str| {
        let keys = H5ad::open(&d.join(file)).and_then(|file| file.keys()).expect("a result");
        keys.obs.into_iter().chain(keys.obsm).collect::<BTreeSet<String>>()
    };
    let (all, single) = (names("all.h5ad"), names("fates.h5ad"));
    compare("Spread over members, version 1", all.difference(&single).map(String::as_str));
    let several: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&header(&d.join("part1.st"))["sclsd"]).expect("JSON");
    let title = format!("A model of several members: the header, version {}", several["version"]);
    compare(&title, several.keys().map(String::as_str));
    let part = H5ad::open(&d.join("part1.h5ad")).and_then(|file| file.part()).expect("a file").expect("a part");
    compare("`uns[\"sclsd_part\"]` of a part, version 1", keys(&part.uns["sclsd_part"]));
}

#[test]
fn the_page_of_formats_lists_what_is_written_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    let json = |title: &str, arguments: &[&str]| {
        let message = succeed(d, &[arguments, &["--json"]].concat());
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&message).expect("JSON");
        assert_eq!(object["format_version"], 1);
        compare(title, object.keys().map(String::as_str));
    };
    json("`simulate --json`", &["simulate", "raw.h5ad", "--cells", "150", "--genes", "40"]);
    json("`prepare --json`", &["prepare", "raw.h5ad", "-o", "cells.h5ad", "--root-cluster", "Stem", "--n-pcs", "10"]);
    let small = ["--set", "walks.num_walks=64", "--set", "walks.path_len=5", "--epochs", "2"];
    let train = ["train", "cells.h5ad", "-o", "result.h5ad", "--model", "m.safetensors"];
    json("`train --json`", &[&train[..], &small].concat());
    let model = ["--model", "m.safetensors"];
    json("`annotate --json`", &[&["annotate", "cells.h5ad", "-o", "a.h5ad"][..], &model].concat());
    json("`fates --json`", &[&["fates", "result.h5ad", "-o", "fates.h5ad"][..], &model].concat());
    json("`audit --json`", &[&["audit", "result.h5ad"][..], &model].concat());
    let perturb = ["perturb", "result.h5ad", "--gene", "Gene01", "-o", "t.csv", "--cells-out", "c.csv"];
    let sde = ["fates", "result.h5ad", "-o", "sde.h5ad", "--method", "sde", "--draws", "3", "--time-range", "2"];
    let along = ["--gene", "Gene01", "Gene02", "--gene-paths", "paths.csv", "--clusters", "Stem"];
    json("`fates --json`", &[&sde[..], &along, &model].concat());
    json("`perturb --json`", &[&perturb[..], &model, &["--cluster-key", "clusters"]].concat());
    json("`inspect --json` of an `.h5ad` file", &["inspect", "cells.h5ad"]);
    json("`inspect --json` of a model", &["inspect", "m.safetensors"]);
    let hard = ["fates", "result.h5ad", "-o", "h.h5ad", "--hard", "--paths", "p.safetensors"];
    succeed(d, &[&hard[..], &model].concat());

    let members = [&small[..], &["--members", "2"]].concat();
    json("`train --json`", &[&["train", "cells.h5ad", "-o", "all.h5ad", "--model", "all.st"][..], &members].concat());
    json("`fates --json`", &["fates", "all.h5ad", "--model", "all.st", "-o", "all.h5ad"]);
    json("`annotate --json`", &["annotate", "cells.h5ad", "--model", "all.st", "-o", "a.h5ad"]);
    json("`inspect --json` of a model", &["inspect", "all.st"]);
    for i in ["1", "2"] {
        let (part, model, shard) = (format!("part{i}.h5ad"), format!("part{i}.st"), format!("{i}/2"));
        let train = ["train", "cells.h5ad", "-o", &part, "--model", &model, "--shard", &shard];
        json("`train --json`", &[&train[..], &members].concat());
    }
    json("`inspect --json` of an `.h5ad` file", &["inspect", "part1.h5ad"]);
    let parts = ["part1.st", "part1.h5ad", "part2.st", "part2.h5ad"];
    json("`combine --json`", &[&["combine", "-o", "j.h5ad", "--model", "j.st", "--parts"][..], &parts].concat());
    of_members(d);

    let uns = ["sclsd", "fate_probabilities"];
    let read = Keys { uns: uns.iter().map(|&name| name.to_owned()).collect(), ..Keys::none() };
    let result = read_h5ad(&d.join("fates.h5ad"), &read).expect("a result");
    compare("`uns[\"sclsd\"]` of a result, version 1", keys(&result.uns["sclsd"]));
    let Uns::Map(record) = &result.uns["sclsd"] else { panic!("a group") };
    compare("`uns[\"sclsd\"][\"history\"]`, version 1", keys(&record["history"]));
    compare("`uns[\"fate_probabilities\"]`, version 1", keys(&result.uns["fate_probabilities"]));
    let result = read_h5ad(&d.join("sde.h5ad"), &read).expect("a result");
    compare("`uns[\"fate_probabilities\"]`, version 1", keys(&result.uns["fate_probabilities"]));
    let read = Keys { uns: vec!["simulation".into()], ..Keys::none() };
    let simulated = read_h5ad(&d.join("raw.h5ad"), &read).expect("simulated cells");
    compare("`uns[\"simulation\"]`, version 1", keys(&simulated.uns["simulation"]));

    let model: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&header(&d.join("m.safetensors"))["sclsd"]).expect("JSON");
    let title = format!("A model: the header, version {}", model["version"]);
    compare(&title, model.keys().map(String::as_str));
    assert_eq!(header(&d.join("p.safetensors"))["format_version"], "1");
    let bytes = std::fs::read(d.join("p.safetensors")).expect("paths");
    compare("Fate paths, version 1", SafeTensors::deserialize(&bytes).expect("paths").names().iter().map(|n| &**n));
    let along = std::fs::read_to_string(d.join("paths.csv")).expect("a table");
    assert_eq!(along.lines().count(), 1 + 2 * 9, "two genes at nine times");
    for (title, table) in [
        ("Table of a perturbation, version 1", "t.csv"),
        ("Table of perturbed cells, version 1", "c.csv"),
        ("Genes along paths, version 1", "paths.csv"),
    ] {
        compare(title, columns(&d.join(table)).iter().map(String::as_str));
    }
}
