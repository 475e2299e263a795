//! Checks that every file encoding of scanpy, old or current, reads the same.

use std::ops::ControlFlow;
use std::path::PathBuf;

use sclsd::data::{
    Additions, Categorical, Column, Compression, Csr, Dataset, H5ad, Keys, Matrix, Uns, Windows, read_h5ad,
};
use sclsd_tests::fixture;

fn keys() -> Keys {
    Keys { obs: vec!["clusters".into(), "time".into()], ..Keys::default() }.with_obsm("X_umap")
}

fn read(name: &str) -> Dataset {
    read_h5ad(&fixture(&format!("forms/{name}.h5ad")), &keys()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_matrix_form_and_string_encoding_reads_the_same() {
    let expected = read("csr");
    assert_eq!((expected.n_cells(), expected.n_genes()), (10, 6));
    assert_eq!(expected.var.names[0], "Gén0");
    let clusters = expected.groups("clusters").expect("clusters");
    assert_eq!((clusters.name(0), clusters.colors()[0].as_str()), (Some("b"), "#ff0000"));
    // `no_x` has no X; `circle` can be read, but adding to it loses an element
    for name in FORMS.into_iter().filter(|name| *name != "no_x").chain(["circle"]) {
        assert_eq!(read(name), expected, "{name}");
    }
}

fn codes(data: &Dataset, column: &str) -> Vec<Option<u32>> {
    data.groups(column).expect("a column").codes().to_vec()
}

#[test]
fn soft_links_are_followed_as_far_as_they_lead_to_something() {
    for name in ["soft_links", "soft_links_latest"] {
        let path = path(name);
        let data = read_h5ad(&path, &Keys::all(&path).expect("keys")).expect("a data set");
        assert_eq!(codes(&data, "copy"), codes(&data, "clusters"), "{name}");
        assert_eq!(data.layers["raw"], data.layers["counts"], "{name}");
        assert_eq!((data.uns.get("chain"), data.uns.contains_key("link")), (data.uns.get("link"), true), "{name}");
        for nothing in ["nowhere", "circle", "around", "out"] {
            assert!(!data.uns.contains_key(nothing), "{name}: {nothing}");
        }
        // a second name of the same object, which must remain when the first name is removed
        let directory = tempfile::tempdir().expect("a directory");
        let copy = directory.path().join("copy.h5ad");
        sclsd::data::add_to_h5ad(&path, &copy, &additions(), Compression::None).expect("a result");
        let again = read_h5ad(&copy, &Keys::all(&copy).expect("keys")).expect("a data set");
        assert_eq!(
            (&again.layers, again.groups("copy").expect("a column")),
            (&data.layers, data.groups("copy").expect("a column"))
        );
    }
}

/// Writes a copy with some of the cells, and some columns of cells and genes. Returns what could not be copied.
fn cut(name: &str, cells: &[usize], copy: &std::path::Path) -> Vec<String> {
    let file = H5ad::open(&path(name)).expect("a file");
    let mut data = file.read(&Keys { x: true, ..Keys::none() }).expect("a data set").select_cells(cells);
    data.x = None;
    data.obs.set("fate", Column::Float(vec![0.5; cells.len()]));
    data.var.set("means", Column::Float(vec![1.5; data.n_genes()]));
    file.cut(copy, &data, &[], Compression::None).expect("a copy")
}

#[test]
fn names_that_are_called_as_a_result_stay_names_and_the_root_is_the_cell_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("copy.h5ad");
    let before = read("named_index");
    sclsd::data::add_to_h5ad(&path("named_index"), &copy, &additions(), Compression::None).expect("a result");
    let keys = Keys { var: vec!["means".into()], uns: vec!["iroot".into()], ..Keys::none() }.with_obs("fate");
    let added = read_h5ad(&copy, &Keys { var: vec![], ..keys.clone() }).expect("a data set");
    assert_eq!(added.obs.names, before.obs.names);
    assert!(added.groups("fate").is_ok(), "the column is there too");
    for (cells, root) in [(vec![0, 2, 5], Some(1)), (vec![0, 5], None)] {
        let lost = cut("named_index", &cells, &copy);
        let keys = Keys { uns: root.map(|_| "iroot".into()).into_iter().collect(), ..keys.clone() };
        let made = read_h5ad(&copy, &keys).expect("a data set");
        let names: Vec<&String> = cells.iter().map(|&cell| &before.obs.names[cell]).collect();
        assert_eq!(made.obs.names.iter().collect::<Vec<_>>(), names);
        assert_eq!(made.var.names, before.var.names);
        assert_eq!(made.obs.get("fate"), Some(&Column::Float(vec![0.5; cells.len()])));
        assert_eq!(made.uns.get("iroot"), root.map(|root| Uns::Integers(vec![], vec![root])).as_ref());
        let message = lost.iter().any(|lost| lost == "uns[\"iroot\"]: its cell is left out");
        assert_eq!(message, root.is_none(), "{lost:?}");
        assert!(root.is_some() || !Keys::all(&copy).expect("keys").uns.contains(&"iroot".to_owned()));
    }
}

#[test]
fn what_cannot_be_written_again_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("copy.h5ad");
    let lost = cut("long_double", &[1, 2], &copy);
    for key in ["obs[\"long\"]", "uns[\"long\"]"] {
        assert!(
            lost.iter().any(|lost| lost.starts_with(&format!("{key}: its numbers are of more than 8 bytes"))),
            "{lost:?}"
        );
    }
    let left = Keys::all(&copy).expect("keys");
    assert!(!left.obs.iter().chain(&left.uns).any(|key| key == "long"));
    for name in ["soft_links", "soft_links_latest"] {
        let lost = cut(name, &[1, 2], &copy);
        for key in ["nowhere", "circle", "around", "out"] {
            let named = format!(
                "uns[\"{key}\"]: it is a link out of the file, to nothing, or to a group that contains it, and such links are not followed"
            );
            assert!(lost.contains(&named), "{name}: {lost:?}");
        }
        let made = read_h5ad(&copy, &Keys::all(&copy).expect("keys")).expect("a data set");
        assert_eq!(codes(&made, "copy"), codes(&made, "clusters"));
        assert_eq!(made.layers["raw"], made.layers["counts"]);
    }
}

#[test]
fn expression_and_counts_share_one_pattern() {
    let data = read("csr");
    let (x, counts) = (data.expression().expect("X"), data.counts("raw").expect("counts"));
    assert!(std::sync::Arc::ptr_eq(x.pattern(), counts.pattern()));
}

#[test]
fn every_kind_of_column_is_read_with_what_is_missing_in_it() {
    let path = fixture("forms/columns.h5ad");
    let data = read_h5ad(&path, &Keys::all(&path).expect("keys")).expect("a data set");
    let column = |name: &str| data.obs.get(name).expect("a column");
    assert!(matches!(column("text"), Column::String(v) if v[3].as_deref() == Some("t3")));
    assert_eq!(*column("flag"), Column::Boolean((0..10).map(|i| Some(i % 2 == 0)).collect()));
    assert_eq!(*column("whole"), Column::Integer((0..10).map(Some).collect()));
    assert!(matches!(column("maybe_whole"), Column::Integer(v) if v[..2] == [Some(1), None]));
    assert!(matches!(column("maybe_flag"), Column::Boolean(v) if v[..2] == [Some(true), None]));
    let grade = data.groups("grade").expect("a categorical column");
    assert_eq!((grade.ordered(), grade.categories().len(), grade.name(0), grade.name(1)), (true, 2, Some("lo"), None));
}

#[test]
fn what_is_written_reads_back_the_same() {
    let path = fixture("forms/columns.h5ad");
    let everything = Keys::all(&path).expect("keys");
    let data = read_h5ad(&path, &everything).expect("a data set");
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("copy.h5ad");
    sclsd::data::write_h5ad(&copy, &data, Compression::Gzip).expect("a file");
    assert_eq!(read_h5ad(&copy, &everything).expect("a data set"), data);
}

/// Encodings that can be added to: all except a group that contains itself, which is refused.
const FORMS: [&str; 25] = [
    "csr",
    "csc",
    "dense",
    "dense_gzip",
    "lzf",
    "raw_int64",
    "raw_int32_dense",
    "raw_uint16_csc",
    "columns",
    "legacy",
    "odd",
    "latest",
    "tracked",
    "many",
    "edited",
    "nullable_names",
    "categories",
    "duplicates",
    "no_x",
    "claims",
    "not_utf8",
    "hdf5_2",
    "named_index",
    "soft_links",
    "soft_links_latest",
];

fn path(name: &str) -> PathBuf {
    fixture(&format!("forms/{name}.h5ad"))
}

/// Results as a command adds them.
fn additions() -> Additions {
    let names = ["a", "b"].into_iter().cycle().take(10);
    let fate = Categorical::from_names(names).with_colors(vec!["#000000".into(), "#ffffff".into()]);
    Additions {
        obs: vec![("fate".into(), Column::Categorical(fate)), ("time".into(), Column::Float(vec![0.5; 10]))],
        obsm: [("X_cell_state".to_owned(), Matrix::new(3, vec![1.5; 30]))].into(),
        obsp: [("transitions".to_owned(), Csr::from_rows(10, (0..10).map(|i| vec![(i, 1.0)])).expect("a graph"))]
            .into(),
        uns: [("sclsd".to_owned(), Uns::Map([("a/b".to_owned(), Uns::Text("x".into()))].into()))].into(),
    }
}

/// Everything that can be read, except the named elements.
fn rest(file: &H5ad, without: &[&str]) -> Dataset {
    let mut keys = file.keys().expect("keys");
    let stays = |key: &String| !without.contains(&key.as_str());
    keys.obs.retain(stays);
    keys.obsm.retain(stays);
    keys.obsp.retain(stays);
    keys.uns.retain(stays);
    file.read(&keys).expect("a data set")
}

/// `huge`, `latin` and `a: b` cannot be read, and `time` is replaced.
const ADDED: [&str; 9] =
    ["fate", "time", "fate_colors", "X_cell_state", "transitions", "sclsd", "huge", "latin", "a: b"];

#[test]
fn results_are_added_to_every_form_and_nothing_else_changes() {
    let directory = tempfile::tempdir().expect("a directory");
    for name in FORMS {
        let file = H5ad::open(&path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let output = directory.path().join(format!("{name}.h5ad"));
        file.add(&output, &additions(), Compression::None).unwrap_or_else(|error| panic!("{name}: {error}"));
        let written = H5ad::open(&output).expect("a file");
        assert_eq!(rest(&written, &ADDED), rest(&file, &ADDED), "{name}");
        let (before, after) = (file.inspect().expect("entries"), written.inspect().expect("entries"));
        for entry in before.entries.iter().filter(|entry| entry.name != "time") {
            assert!(after.entries.contains(entry), "{name}: {entry:?} is not in the result");
        }
        let order = |of: &sclsd::data::Inspection| of.keys("obs").map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(order(&after)[..order(&before).len()], order(&before), "{name}: order of columns");
        let keys = Keys { obs: vec!["fate".into(), "time".into()], obsp: vec!["transitions".into()], ..Keys::none() };
        let found = written.read(&keys.with_obsm("X_cell_state")).expect("the results");
        let expected = additions();
        assert_eq!(
            (&found.obs.columns, &found.obsm, &found.obsp),
            (&expected.obs, &expected.obsm, &expected.obsp),
            "{name}"
        );
    }
}

#[test]
fn groups_whose_links_lie_in_a_heap_are_added_to_in_place_so_that_no_array_moves() {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["latest", "tracked", "many"] {
        let output = directory.path().join(format!("{name}.h5ad"));
        let file = H5ad::open(&path(name)).expect("a file");
        let additions = Additions { obs: vec![("new".into(), Column::Float(vec![0.5; 10]))], ..additions() };
        file.add(&output, &additions, Compression::None).expect("the same file with results");
        let (before, after) = (std::fs::read(path(name)).expect("bytes"), std::fs::read(&output).expect("bytes"));
        let x: Vec<u8> = file.read(&Keys { x: true, ..Keys::none() }).expect("X").x.expect("X").values()[..8]
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let place = |bytes: &[u8]| bytes.windows(x.len()).position(|window| window == x);
        assert!(place(&before).is_some(), "{name}");
        assert_eq!(place(&after), place(&before), "{name}");
        assert!(after.len() < before.len() + 40_000, "{name}: {} bytes of {}", after.len(), before.len());
    }
}

#[test]
fn adding_the_same_results_again_does_not_let_a_file_grow() {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["csr", "latest", "columns"] {
        let output = directory.path().join(format!("{name}.h5ad"));
        std::fs::copy(path(name), &output).expect("a copy");
        let mut sizes = Vec::new();
        for _ in 0..4 {
            let file = H5ad::open(&output).expect("a file");
            file.add(&output, &additions(), Compression::Gzip).expect("the same file with results");
            sizes.push(std::fs::metadata(&output).expect("a size").len());
        }
        assert!(sizes[3] <= sizes[1], "{name}: {sizes:?}");
    }
}

#[test]
fn a_file_is_cut_to_cells_and_genes_with_everything_that_can_be_read_in_its_own_type() {
    let directory = tempfile::tempdir().expect("a directory");
    let (cells, genes) = ([0, 1, 2, 4, 5, 7, 9], [1, 2, 5]);

    for name in FORMS {
        let file = H5ad::open(&path(name)).expect("a file");
        let names = file.read(&Keys::none()).expect("names");
        let output = directory.path().join(format!("{name}.h5ad"));
        let now = names.select_cells(&cells).select_genes(&genes);
        let lost = file.cut(&output, &now, &[], Compression::None).unwrap_or_else(|error| panic!("{name}: {error}"));
        let link = "]: it is a link out of the file, to nothing, or to a group that contains it, and such links are not followed";
        let links: Vec<String> =
            ["around", "circle", "nowhere", "out"].iter().map(|key| format!("uns[\"{key}\"{link}")).collect();
        let links: Vec<&str> = links.iter().map(String::as_str).collect();
        let expected: &[&str] = match name {
            "soft_links" | "soft_links_latest" => &links,
            "claims" => &["obs[\"huge\"]: it claims 1000000000000 values, more than a file of this size can hold"],
            "not_utf8" => &[
                "obs[\"a: b\"]: its text is not UTF-8 (value 0); read it with its own encoding and write it again",
                "obs[\"latin\"]: its text is not UTF-8 (value 0); read it with its own encoding and write it again",
            ],
            _ => &[],
        };
        assert_eq!(lost, expected, "{name}");
        let cut = H5ad::open(&output).expect("a file");
        let whole = rest(&file, &["huge", "latin", "a: b"]);
        assert_eq!(rest(&cut, &[]), whole.select_cells(&cells).select_genes(&genes), "{name}");
        let form = |of: &H5ad| -> Vec<(String, String)> {
            let entries = of.inspect().expect("entries").entries.into_iter();
            let last = |form: &str| form.rsplit(' ').next().unwrap_or_default().to_owned();
            entries
                .filter(|e| e.name != "clusters")
                .map(|e| (format!("{}/{}", e.slot, e.name), last(&e.form)))
                .collect()
        };
        let types: Vec<_> = form(&file)
            .into_iter()
            .filter(|(key, _)| !matches!(key.as_str(), "obs/huge" | "obs/latin" | "obs/a: b"))
            .collect();
        assert_eq!(form(&cut), types, "{name}");
    }
}

#[test]
fn what_cannot_be_read_is_named_where_it_is_asked_for() {
    let refused = |name: &str, keys: Keys| {
        let file = H5ad::open(&path(name)).expect("a file");
        file.read(&keys).expect_err("an error").to_string()
    };
    let column = |key: &str| Keys::none().with_obs(key);
    let message = refused("claims", column("huge"));
    assert!(
        message.ends_with("obs[\"huge\"]: it claims 1000000000000 values, more than a file of this size can hold"),
        "{message}"
    );
    let message = refused("not_utf8", column("latin"));
    assert!(message.contains("obs[\"latin\"]: its text is not UTF-8"), "{message}");
    let message = refused("not_utf8", column("a: b"));
    assert!(message.contains("not UTF-8"), "{message}");
    let message = refused("circle", Keys { uns: vec!["self".into()], ..Keys::none() });
    assert!(message.ends_with("uns[\"self\"]: its groups contain one another in a cycle"), "{message}");
    let message = refused("no_x", Keys { x: true, ..Keys::none() });
    assert!(message.ends_with("lacks X (layers has raw)"), "{message}");
}

#[test]
fn odd_columns_are_read_and_categories_bear_the_names_that_anndata_prints() {
    let file = H5ad::open(&path("odd")).expect("a file");
    let data = file.read(&file.keys().expect("keys")).expect("a data set");
    assert_eq!(data.obs.get("score/G1"), Some(&Column::Float((0..10).map(|i| f64::from(i) / 10.0).collect())));
    assert_eq!(data.obs.get("half"), Some(&Column::Float((0..10).map(f64::from).collect())));
    assert_eq!(data.obs.get("whole64"), Some(&Column::Integer((0..10).map(Some).collect())));
    let flags = [Some(false), Some(true), None, Some(true), Some(false)].repeat(2);
    assert_eq!(data.obs.get("from_r"), Some(&Column::Boolean(flags)));
    let file = H5ad::open(&path("categories")).expect("a file");
    let data = file.read(&file.keys().expect("keys")).expect("a data set");
    let names = |key: &str| data.groups(key).expect("categories").categories().to_vec();
    assert_eq!([names("flags"), names("reals"), names("wholes")], [["False", "True"], ["0.5", "1.0"], ["2", "10"]]);
}

#[test]
fn results_belong_to_the_file_that_was_opened_whatever_takes_its_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let input = directory.path().join("cells.h5ad");
    std::fs::copy(path("csr"), &input).expect("a copy");
    let file = H5ad::open(&input).expect("a file");
    // another file takes the name, as with programs that write a temporary file and rename it
    let other = directory.path().join("other.h5ad");
    std::fs::copy(path("columns"), &other).expect("a copy");
    std::fs::rename(&other, &input).expect("renamed");
    let output = directory.path().join("result.h5ad");
    file.add(&output, &additions(), Compression::None).expect("results of the first");
    assert!(!H5ad::open(&output).expect("a file").inspect().expect("entries").has("obs", "text"));
    let message =
        file.add(&input, &additions(), Compression::None).expect_err("the other is not written over").to_string();
    assert!(message.contains("another file took its place"), "{message}");
    assert_eq!(std::fs::read(&input).expect("the other"), std::fs::read(path("columns")).expect("the same"));
    // the same file is written to
    let file = H5ad::open(&input).expect("a file");
    std::fs::OpenOptions::new()
        .append(true)
        .open(&input)
        .and_then(|mut f| std::io::Write::write_all(&mut f, b"x"))
        .expect("a byte");
    let message = file.add(&output, &additions(), Compression::None).expect_err("changed").to_string();
    assert!(message.contains("it was written to"), "{message}");
}

#[test]
fn windows_of_every_form_are_the_matrix_and_so_are_rows_and_columns_chosen_of_it() {
    let whole = read("csr").x.expect("X");
    let (cells, genes) = ([7, 0, 3], [4, 1]);
    let expected = whole.select_rows(&cells).select_columns(&genes);
    for name in ["csr", "csc", "dense", "dense_gzip", "lzf", "legacy"] {
        let file = H5ad::open(&path(name)).expect("a file");
        let x = file.x().expect("X");
        assert_eq!(x.shape(), (whole.n_rows(), whole.n_cols()), "{name}");
        let mut seen = vec![0.0; whole.n_rows() * whole.n_cols()];
        x.visit(&mut |window| {
            window.for_each(|cell, gene, value| seen[cell * whole.n_cols() + gene] += value);
            ControlFlow::Continue(())
        })
        .expect("windows");
        let all: Vec<usize> = (0..whole.n_rows()).collect();
        assert_eq!(seen, whole.gather_dense(&all), "{name}");
        assert_eq!(x.select(Some(&cells), Some(&genes)).expect("a part"), expected, "{name}");
        assert_eq!(x.select(None, Some(&genes)).expect("a part"), whole.select_columns(&genes), "{name}");
        assert_eq!(x.select(Some(&cells), None).expect("a part"), whole.select_rows(&cells), "{name}");
    }
}
