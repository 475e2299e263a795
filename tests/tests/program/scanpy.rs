//! Checks that results open in anndata, and that the elements of the input are unchanged.

use std::path::Path;
use std::process::Command;

use sclsd_tests::{fixture, real_data};

use crate::{SMALL, succeed};

/// Compares every element of two files with anndata, except the additions, which must exist.
const COMPARE: &str = r#"
import sys, warnings
warnings.filterwarnings("ignore")
import anndata as ad, numpy as np, pandas as pd, scipy.sparse as sp
old, new = ad.read_h5ad(sys.argv[1]), ad.read_h5ad(sys.argv[2])

def same(a, b, where):
    if isinstance(a, dict) or hasattr(a, "keys") and not isinstance(a, (pd.DataFrame, np.ndarray)):
        for k in a.keys():
            same(a[k], b[k], f"{where}/{k}")
    elif sp.issparse(a):
        assert type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape, where
        assert (a.indptr == b.indptr).all() and (a.indices == b.indices).all() and (a.data == b.data).all(), where
    elif isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b[a.columns])
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype and a.shape == b.shape, where
        np.testing.assert_array_equal(a, b, err_msg=where)
    else:
        assert a == b or (a != a and b != b), where

same(old.X, new.X, "X")
for slot in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
    same(dict(getattr(old, slot)), dict(getattr(new, slot)), slot)
same(old.obs, new.obs, "obs"); same(old.var, new.var, "var")
assert (old.raw is None) == (new.raw is None)
if old.raw is not None:
    same(old.raw.X, new.raw.X, "raw")
for key in ("potential", "entropy", "lsd_pseudotime"):
    assert np.isfinite(new.obs[key]).all(), key
assert new.obsm["X_cell_state"].shape == (new.n_obs, 10) and new.obsm["X_diff_state"].shape == (new.n_obs, 2)
rows = np.asarray(new.obsp["transitions"].sum(1)).ravel()
assert np.allclose(rows, 1, atol=1e-4)
assert len(new.uns["sclsd"]["history"]["loss"]) >= 1
try:
    import scanpy as sc, matplotlib
except ImportError:
    print("scanpy is not installed: no picture")
else:
    matplotlib.use("Agg")
    for basis in [b for b in ("X_umap", "X_true_state") if b in new.obsm]:
        sc.pl.embedding(new, basis, color=["lsd_pseudotime", "clusters"], show=False)
    print("pictures drawn")
print("identical")
"#;

/// A Python with anndata: `$SCLSD_TEST_PYTHON`, or `python3`. If there is none, prints a line and returns `None`.
fn python() -> Option<String> {
    let python = std::env::var("SCLSD_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let works = Command::new(&python).args(["-c", "import anndata"]).output().is_ok_and(|o| o.status.success());
    if works {
        return Some(python);
    }
    sclsd_tests::print_always(&format!("SKIPPED: {python} has no anndata; name one that has in SCLSD_TEST_PYTHON"));
    None
}

fn compare(python: &str, old: &Path, new: &Path) {
    let output = Command::new(python).args(["-c", COMPARE]).arg(old).arg(new).output().expect("Python starts");
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("identical"), "{out}{errors}");
}

fn train_and_compare(python: &str, input: &Path, time_key: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = input.to_str().expect("a path in UTF-8");
    let more = ["--time-key", time_key, "--epochs", "1"];
    let small: Vec<&str> = SMALL.iter().copied().filter(|a| !["--time-key", "prior_time"].contains(a)).collect();
    let run = ["train", path, "-o", "out.h5ad", "--model", "m.safetensors"];
    succeed(directory.path(), &[&run[..], &small, &more].concat());
    compare(python, input, &directory.path().join("out.h5ad"));
}

#[test]
fn results_open_in_scanpy_with_everything_else_unchanged() {
    let Some(python) = python() else { return };
    train_and_compare(&python, &fixture("prepared.h5ad"), "dpt_pseudotime");
    let directory = tempfile::tempdir().expect("a directory");
    succeed(directory.path(), &["simulate", "in.h5ad", "--cells", "100", "--genes", "30"]);
    train_and_compare(&python, &directory.path().join("in.h5ad"), "prior_time");
}

#[test]
fn real_results_open_in_scanpy_with_everything_else_unchanged() {
    let Some(python) = python() else { return };
    for (name, time_key) in [("pancreas.h5ad", "dpt_pseudotime"), ("worm_asg_awa.h5ad", "dpt_pseudotime")] {
        if let Some(path) = real_data(name) {
            train_and_compare(&python, &path, time_key);
        }
    }
}
