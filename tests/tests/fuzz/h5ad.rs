//! Fuzzes `.h5ad` files: damaged bytes, and intact files with elements that do not fit together.

use std::path::Path;

use hdf5_pure::{AttrValue, File};
use rand::{Rng, RngExt};
use sclsd::data::{Additions, Column, Compression, H5ad, Keys, Uns};
use sclsd_tests::fixture;

use super::{damage, every_case, random};

/// Initial files, in different encodings.
const FORMS: [&str; 9] =
    ["csr", "csc", "dense_gzip", "legacy", "columns", "latest", "tracked", "nullable_names", "categories"];

/// Does everything that the program does with a file, and accepts every error.
fn use_file(path: &Path, output: &Path) {
    let Ok(file) = H5ad::open(path) else { return };
    let _ = file.inspect();
    let _ = file.graphs();
    let Ok(keys) = file.keys() else { return };
    if file.read(&keys).is_err() {
        // one by one, so that an unreadable column does not hide the others
        for key in &keys.obs {
            let _ = file.read(&Keys { obs: vec![key.clone()], ..Keys::none() });
        }
        for key in &keys.uns {
            let _ = file.read(&Keys { uns: vec![key.clone()], ..Keys::none() });
        }
        for key in &keys.obsp {
            let _ = file.read(&Keys { obsp: vec![key.clone()], ..Keys::none() });
        }
        let _ = file.read(&Keys { x: true, ..Keys::none() });
    }
    let Ok(names) = file.read(&Keys::none()) else { return };
    let n = names.n_cells();
    if n > 10_000 {
        return;
    }
    let time = Column::Float(vec![0.5; n]);
    let additions = Additions {
        obs: vec![("new".into(), time.clone()), ("time".into(), time)],
        uns: [("sclsd".to_owned(), Uns::Text("x".into()))].into(),
        ..Additions::default()
    };
    let _ = file.add(output, &additions, Compression::None);
    let mut some = names;
    some = some.select_cells(&(0..n).step_by(2).collect::<Vec<_>>());
    let _ = file.cut(output, &some, &[], Compression::Gzip);
}

#[test]
fn damaged_files_are_errors_or_are_read_but_never_panic() {
    let directory = tempfile::tempdir().expect("a directory");
    let files: Vec<Vec<u8>> =
        FORMS.map(|name| std::fs::read(fixture(&format!("forms/{name}.h5ad"))).expect("a form")).into();
    every_case(random, |rng, number| {
        let mut bytes = files[rng.random_range(0..files.len())].clone();
        damage(&mut bytes, rng);
        let (path, output) =
            (directory.path().join(format!("{number}.h5ad")), directory.path().join(format!("{number}.out.h5ad")));
        std::fs::write(&path, &bytes).expect("a file");
        use_file(&path, &output);
        let _ = std::fs::remove_file(path);
        let _ = std::fs::remove_file(output);
    });
}

/// Places where AnnData stores elements, and places where it does not.
const PLACES: [&str; 16] = [
    "X",
    "X/data",
    "X/indices",
    "X/indptr",
    "layers/raw",
    "layers/raw/indices",
    "obs/clusters",
    "obs/clusters/codes",
    "obs/clusters/categories",
    "obs/time",
    "obs/_index",
    "var/_index",
    "obsm/X_umap",
    "obsp/connectivities",
    "uns/clusters_colors",
    "uns/neighbors",
];

const ENCODINGS: [&str; 9] = [
    "csr_matrix",
    "csc_matrix",
    "categorical",
    "dataframe",
    "nullable-integer",
    "nullable-string-array",
    "dict",
    "null",
    "nonsense",
];

/// Replaces an element by something else.
fn replace(file: &File, rng: &mut impl Rng) -> Result<(), hdf5_pure::Error> {
    let place = PLACES[rng.random_range(0..PLACES.len())];
    let encoding = AttrValue::String(ENCODINGS[rng.random_range(0..ENCODINGS.len())].into());
    let kind = rng.random_range(0..8);
    let shape: Vec<u64> = (0..rng.random_range(0..4)).map(|_| rng.random_range(0..13)).collect();
    let n = shape.iter().product::<u64>();
    let number = |rng: &mut dyn Rng| match rng.random_range(0..4) {
        0 => i64::from(rng.random_range(-3..20_i32)),
        1 => i64::MAX,
        2 => -1,
        _ => 1 << rng.random_range(0..63),
    };
    let mut integers: Vec<i64> = Vec::new();
    for _ in 0..n {
        integers.push(number(rng));
    }
    if kind > 0 {
        let _ = file.root().delete(place);
    }
    match kind {
        0 => match file.group(place) {
            Ok(group) => {
                let shape = AttrValue::I64Array(vec![number(rng), number(rng)]);
                group.set_attr(if rng.random_bool(0.5) { "shape" } else { "h5sparse_shape" }, shape)?;
                group.set_attr("encoding-type", encoding)?;
            }
            Err(_) => return Ok(()),
        },
        1 => {}
        2 => {
            file.root().create_group_with(place, |group| {
                group.set_attr("encoding-type", encoding);
            })?;
        }
        _ => {
            let texts: Vec<String> = integers.iter().map(ToString::to_string).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            #[expect(clippy::cast_precision_loss, reason = "any number does")]
            let floats: Vec<f64> = integers.iter().map(|&i| if i == 7 { f64::NAN } else { i as f64 }).collect();
            #[expect(clippy::cast_possible_truncation, reason = "any number does")]
            let narrow: Vec<i8> = integers.iter().map(|&i| i as i8).collect();
            file.root().create_dataset(place, |dataset| {
                match kind {
                    3 => dataset.with_i64_data(&integers),
                    4 => dataset.with_f64_data(&floats),
                    5 => dataset.with_i8_data(&narrow),
                    _ => dataset.with_vlen_strings(&texts),
                };
                dataset.with_shape(&shape);
                if rng.random_bool(0.3) {
                    dataset.set_attr("encoding-type", encoding);
                }
            })?;
        }
    }
    file.commit()
}

#[test]
fn elements_that_do_not_go_together_are_errors_or_are_read_but_never_panic() {
    let directory = tempfile::tempdir().expect("a directory");
    let whole = std::fs::read(fixture("forms/columns.h5ad")).expect("a form");
    every_case(random, |rng, number| {
        let (path, output) =
            (directory.path().join(format!("{number}.h5ad")), directory.path().join(format!("{number}.out.h5ad")));
        std::fs::write(&path, &whole).expect("a file");
        if let Ok(file) = File::open_rw(&path) {
            for _ in 0..rng.random_range(1..4) {
                // a file that the library itself refuses to write is not a case
                if replace(&file, rng).is_err() {
                    break;
                }
            }
            let _ = file.close();
        }
        use_file(&path, &output);
        let _ = std::fs::remove_file(path);
        let _ = std::fs::remove_file(output);
    });
}
