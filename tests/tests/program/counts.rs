//! Finds counts and names in all usual places: layers, raw.X, X, Cell Ranger files, symbols in a column of var.

use std::path::Path;

use sclsd::data::{Column, Compression, Csr, Dataset, Frame, Keys, read_h5ad, write_h5ad};
use sclsd_tests::fixture;

use crate::sclsd;

/// Output of a successful run.
fn success(output: &std::process::Output) -> String {
    let message = all(output);
    assert!(output.status.success(), "{message}");
    message
}

/// Error message of a failed run.
fn failure(output: &std::process::Output) -> String {
    let message = all(output);
    assert!(!output.status.success(), "{message}");
    message
}

fn all(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Counts of the fixture.
fn raw() -> Dataset {
    let keys = Keys { x: true, obs: vec!["clusters".into()], ..Keys::none() };
    read_h5ad(&fixture("raw.h5ad"), &keys).expect("counts")
}

fn prepare(directory: &Path, name: &str, more: &[&str]) -> (String, Dataset) {
    let mut arguments = vec!["prepare", name, "-o", "prepared.h5ad", "--threads", "1"];
    arguments.extend(more);
    let message = success(&sclsd(directory, &arguments));
    let keys = Keys { x: true, layers: vec!["raw".into()], ..Keys::none() };
    (message, read_h5ad(&directory.join("prepared.h5ad"), &keys).expect("a prepared file"))
}

#[test]
fn counts_are_found_in_x_or_a_layer_and_it_is_said_where() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    let data = raw();
    write_h5ad(&d.join("x.h5ad"), &data, Compression::Gzip).expect("a file");
    let (message, of_x) = prepare(d, "x.h5ad", &[]);
    assert!(message.contains("counts are taken from X"), "{message}");
    // in a layer, while X is scaled
    let mut scaled = data.clone();
    let counts = scaled.x.take().expect("counts");
    scaled.x = Some(counts.map(|v| v - 1.5));
    scaled.layers.insert("counts".into(), counts);
    write_h5ad(&d.join("layer.h5ad"), &scaled, Compression::None).expect("a file");
    let (message, of_layer) = prepare(d, "layer.h5ad", &[]);
    assert!(
        message.contains("counts are taken from layers[\"counts\"]") && message.contains("X has negative values"),
        "{message}"
    );
    assert_eq!((&of_x.x, &of_x.layers), (&of_layer.x, &of_layer.layers));
    // a layer named raw that does not hold counts is ignored
    scaled.layers.insert("raw".into(), scaled.layers["counts"].map(|v| v + 0.5));
    write_h5ad(&d.join("two.h5ad"), &scaled, Compression::None).expect("a file");
    let (message, of_two) = prepare(d, "two.h5ad", &[]);
    assert!(message.contains("counts are taken from layers[\"counts\"]"), "{message}");
    assert!(message.contains("layers[\"raw\"] held other values, which are replaced"), "{message}");
    assert_eq!(of_layer.layers, of_two.layers);
    let message = failure(&sclsd(d, &["prepare", "layer.h5ad", "-o", "p.h5ad", "--counts", "X"]));
    assert!(message.contains("X of cell") && message.contains("expected an integer count"), "{message}");
    let message = failure(&sclsd(d, &["prepare", "layer.h5ad", "-o", "p.h5ad", "--counts", "spliced"]));
    assert!(message.contains("lacks layers[\"spliced\"] (layers has counts)"), "{message}");
    assert!(!d.join("p.h5ad").exists());
}

#[test]
fn an_x_of_counts_is_not_kept_as_expression_because_a_layer_has_them_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    let mut data = raw();
    write_h5ad(&d.join("x.h5ad"), &data, Compression::None).expect("a file");
    let (_, of_x) = prepare(d, "x.h5ad", &[]);
    let counts = data.x.clone().expect("counts");
    data.layers.insert("counts".into(), counts);
    write_h5ad(&d.join("both.h5ad"), &data, Compression::None).expect("a file");
    let (message, of_both) = prepare(d, "both.h5ad", &[]);
    assert!(message.contains("X holds counts"), "{message}");
    assert_eq!((of_both.x, of_both.layers), (of_x.x, of_x.layers));
}

#[test]
fn values_within_rounding_of_whole_numbers_are_counts_and_others_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    let mut data = raw();
    let counts = data.x.take().expect("counts");
    data.x = Some(counts.map(|v| if (v - 3.0).abs() < 0.5 { 2.999_999_8 } else { v }));
    write_h5ad(&d.join("nearly.h5ad"), &data, Compression::None).expect("a file");
    prepare(d, "nearly.h5ad", &[]);
    data.x = Some(counts.map(|v| v * 0.9));
    write_h5ad(&d.join("not.h5ad"), &data, Compression::None).expect("a file");
    let message = failure(&sclsd(d, &["prepare", "not.h5ad", "-o", "p.h5ad"]));
    assert!(message.contains("expected an integer count of 0 or more") && message.contains("--counts"), "{message}");
    // counts of one are all alike after normalisation
    assert!(message.contains("values of that cell are the same, so the data are normalized"), "{message}");
    let mut nth = 0.0;
    let mut values = counts.values().to_vec();
    for value in &mut values {
        nth += 0.001;
        *value += 0.1 + nth % 0.3;
    }
    data.x = Some(Csr::over(counts.pattern().clone(), values));
    data.layers.insert("spliced".into(), counts.clone());
    data.layers.insert("counts".into(), counts.clone());
    write_h5ad(&d.join("ambient.h5ad"), &data, Compression::None).expect("a file");
    let chosen =
        |name: &'static str| failure(&sclsd(d, &["prepare", "ambient.h5ad", "-o", "p.h5ad", "--counts", name]));
    let message = chosen("X");
    assert!(
        message.contains("ambient RNA") && message.contains("layers[\"counts\"] holds counts: --counts counts"),
        "{message}"
    );
    let message = chosen("raw/X");
    assert!(
        message.contains("--counts takes the name of a layer, X or raw.X; layers[\"counts\"] holds counts"),
        "{message}"
    );
    data.x = Some(counts.map(|v| v - 2.0));
    data.layers.clear();
    write_h5ad(&d.join("scaled.h5ad"), &data, Compression::None).expect("a file");
    let message = failure(&sclsd(d, &["prepare", "scaled.h5ad", "-o", "p.h5ad"]));
    assert!(message.contains("a negative value, so the data are scaled"), "{message}");
    data.layers.insert("counts".into(), counts.map(|v| v * 0.9));
    write_h5ad(&d.join("neither.h5ad"), &data, Compression::None).expect("a file");
    let message = failure(&sclsd(d, &["prepare", "neither.h5ad", "-o", "p.h5ad"]));
    assert!(
        message.contains("so the data are normalized")
            && message.contains("; X holds no counts either: a negative value, so the data are scaled"),
        "{message}"
    );
}

#[test]
fn a_folder_of_cell_ranger_is_prepared() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    let data = raw();
    let counts = data.x.as_ref().expect("counts");
    let folder = d.join("filtered");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("barcodes.tsv"), data.obs.names.join("\n") + "\n").expect("barcodes");
    let feature = |name: &String| format!("ENS-{name}\t{name}\tGene Expression");
    let features = data.var.names.iter().map(feature).collect::<Vec<_>>().join("\n");
    std::fs::write(folder.join("features.tsv"), features).expect("features");
    let mut entries = Vec::new();
    for cell in 0..counts.n_rows() {
        let (genes, values) = counts.row(cell);
        entries.extend(genes.iter().zip(values).map(|(gene, value)| format!("{} {} {value}", gene + 1, cell + 1)));
    }
    let head = "%%MatrixMarket matrix coordinate integer general\n";
    let sizes = format!("{} {} {}\n", counts.n_cols(), counts.n_rows(), counts.nnz());
    std::fs::write(folder.join("matrix.mtx"), head.to_owned() + &sizes + &entries.join("\n")).expect("a matrix");
    let (_, of_folder) = prepare(d, "filtered", &[]);
    write_h5ad(&d.join("x.h5ad"), &data, Compression::None).expect("a file");
    let (_, of_file) = prepare(d, "x.h5ad", &[]);
    assert_eq!((of_folder.x, of_folder.layers), (of_file.x, of_file.layers));
    let message = failure(&sclsd(d, &["inspect", "filtered"]));
    assert!(message.contains("10x"), "{message}");
}

#[test]
fn genes_are_found_by_their_symbols_or_the_column_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    let x = Csr::from_rows(2, [vec![(0, 1.0_f32)], vec![(1, 2.0)], vec![]]).expect("a matrix");
    let mut var = Frame::new(vec!["ENS1".into(), "ENS2".into()]);
    var.set("feature_name", Column::String(vec![Some("Sox2".into()), Some("Ins1".into())]));
    let cells = Frame::new(["a", "b", "c"].map(str::to_owned).to_vec());
    let umap = sclsd::data::Matrix::new(2, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let data =
        Dataset { x: Some(x), obs: cells, var, obsm: [("X_umap".to_owned(), umap)].into(), ..Dataset::default() };
    write_h5ad(&d.join("cells.h5ad"), &data, Compression::None).expect("a file");
    let plot = ["plot", "cells.h5ad", "--kind", "embedding", "-o", "p.svg", "--color", "Ins1"];
    let message = failure(&sclsd(d, &plot));
    let wanted = "no gene is named Ins1, but var[\"feature_name\"] has this symbol for gene ENS2; give --gene-symbols feature_name";
    assert!(message.contains(wanted), "{message}");
    success(&sclsd(d, &[&plot[..], &["--gene-symbols", "feature_name"]].concat()));
    let lower = ["plot", "cells.h5ad", "--kind", "embedding", "-o", "q.svg", "--color", "ins1"];
    let message = failure(&sclsd(d, &lower));
    assert!(message.contains("the closest names in var[\"feature_name\"] are Ins1"), "{message}");
    let message = failure(&sclsd(d, &[&lower[..], &["--gene-symbols", "feature_name"]].concat()));
    assert!(message.contains("var[\"feature_name\"] has none of that symbol; the closest names are Ins1"), "{message}");
    assert!(d.join("p.svg").exists());
}

#[test]
fn inspect_says_what_train_would_say_and_ends_with_the_next_command() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    std::fs::copy(fixture("prepared.h5ad"), d.join("cells.h5ad")).expect("a copy");
    let message = success(&sclsd(d, &["inspect", "cells.h5ad"]));
    assert!(
        message.trim_end().ends_with("next: sclsd train cells.h5ad -o result.h5ad --model model.safetensors"),
        "{message}"
    );
    // a result leads on, not back to a training that would replace it
    let train = ["train", "cells.h5ad", "-o", "result.h5ad", "--model", "model.safetensors", "--epochs", "1"];
    success(&sclsd(d, &train));
    let message = success(&sclsd(d, &["inspect", "result.h5ad"]));
    assert!(
        message.trim_end().ends_with("next: sclsd fates result.h5ad --model model.safetensors -o fates.h5ad"),
        "{message}"
    );
    std::fs::copy(fixture("raw.h5ad"), d.join("raw.h5ad")).expect("a copy");
    let message = success(&sclsd(d, &["inspect", "raw.h5ad"]));
    assert!(message.contains("next: sclsd prepare raw.h5ad -o prepared.h5ad"), "{message}");
    // the name alone is not sufficient: the pseudotime of one cell is infinite
    let file = sclsd::data::H5ad::open(&d.join("cells.h5ad")).expect("a file");
    let keys = Keys::none().with_obs("dpt_pseudotime");
    let mut time = file.read(&keys).expect("time").numbers("dpt_pseudotime").expect("numbers");
    time[0] = f64::INFINITY;
    let additions =
        sclsd::data::Additions { obs: vec![("dpt_pseudotime".into(), Column::Float(time))], ..Default::default() };
    file.add(&d.join("cells.h5ad"), &additions, Compression::None).expect("the file with it");
    let message = success(&sclsd(d, &["inspect", "cells.h5ad"]));
    let refused = failure(&sclsd(d, &["train", "cells.h5ad", "-o", "r.h5ad", "--model", "m.safetensors"]));
    let reason = refused.trim().trim_start_matches("error: ").to_owned();
    assert!(message.contains(&format!("not ready for sclsd train: {reason}")), "{message}\n{refused}");
}
