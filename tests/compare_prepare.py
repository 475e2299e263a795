#!/usr/bin/env python3
"""What `sclsd prepare` makes of raw counts beside what scanpy makes of them, as a table.

    python compare_prepare.py --sclsd target/release/sclsd FILE.h5ad=ROOT_CELL [FILE.h5ad=ROOT_CELL ...]
        [--flavor dispersion|seurat|seurat_v3] [--n-top-genes 1000] [--n-pcs 50] [--n-neighbors 15]

Needs scanpy (and scikit-misc for seurat_v3). Both take the counts in X from the same root cell. Each stage is scanpy's
own from beginning to end; where genes differ, cells are compared all the same.
"""

import argparse
import subprocess
import tempfile
import warnings

warnings.filterwarnings("ignore")
import anndata as ad
import numpy as np
import scanpy as sc
from scipy.stats import spearmanr

parser = argparse.ArgumentParser()
parser.add_argument("files", nargs="+", metavar="FILE=ROOT_CELL")
parser.add_argument("--sclsd", required=True)
parser.add_argument("--flavor", default="dispersion", choices=["dispersion", "seurat", "seurat_v3"])
parser.add_argument("--n-top-genes", type=int, default=1000)
parser.add_argument("--n-pcs", type=int, default=50)
parser.add_argument("--n-neighbors", type=int, default=15)
args = parser.parse_args()


def by_scanpy(path, root):
    a = ad.read_h5ad(path)
    a.layers["raw"] = a.X.copy()
    if args.flavor == "dispersion":
        sc.pp.filter_genes_dispersion(a, n_top_genes=args.n_top_genes)
    elif args.flavor == "seurat_v3":
        sc.pp.highly_variable_genes(a, flavor="seurat_v3", n_top_genes=args.n_top_genes, subset=True)
    else:
        b = a.copy()
        sc.pp.normalize_total(b, target_sum=1e4)
        sc.pp.log1p(b)
        sc.pp.highly_variable_genes(b, flavor="seurat", n_top_genes=args.n_top_genes)
        a = a[:, b.var["highly_variable"]].copy()
    a.var = a.var.drop(columns="highly_variable", errors="ignore")  # PCA would take only these
    sc.pp.normalize_total(a, target_sum=1e4)
    sc.pp.log1p(a)
    sc.pp.pca(a, n_comps=args.n_pcs)
    sc.pp.neighbors(a, n_neighbors=args.n_neighbors, use_rep="X_pca")
    sc.tl.diffmap(a)
    a.uns["iroot"] = int(np.flatnonzero(a.obs_names == root)[0])
    sc.tl.dpt(a)
    return a


def by_sclsd(path, root):
    with tempfile.TemporaryDirectory() as directory:
        out = f"{directory}/prepared.h5ad"
        settings = {
            "--flavor": args.flavor,
            "--n-top-genes": args.n_top_genes,
            "--n-pcs": args.n_pcs,
            "--n-neighbors": args.n_neighbors,
            "--root-cell": root,
        }
        flags = [str(part) for pair in settings.items() for part in pair]
        subprocess.run([args.sclsd, "prepare", path, "-o", out, "--quiet", *flags], check=True)
        return ad.read_h5ad(out)


def subspace_agreement(a, b):
    """Least cosine of the principal angles between the spaces that the components span."""
    qa, qb = np.linalg.qr(a - a.mean(0))[0], np.linalg.qr(b - b.mean(0))[0]
    return np.linalg.svd(qa.T @ qb, compute_uv=False)


def compare(ours, theirs):
    assert list(ours.obs_names) == list(theirs.obs_names), "the same cells"
    a, b = set(ours.var_names), set(theirs.var_names)
    cosines = subspace_agreement(ours.obsm["X_pca"], theirs.obsm["X_pca"])
    da, db = ours.obsp["distances"].tocsr(), theirs.obsp["distances"].tocsr()
    pairs = [(set(da[i].indices), set(db[i].indices)) for i in range(da.shape[0])]
    overlap = np.mean([len(x & y) / max(1, len(y)) for x, y in pairs])
    ca, cb = ours.obsp["connectivities"].tocoo(), theirs.obsp["connectivities"].tocsr()
    both = np.asarray(cb[ca.row, ca.col]).ravel()
    difference = np.abs(ca.data - both)[both > 0]
    return {
        "genes": f"{len(a)} and {len(b)}",
        "genes in common": f"{len(a & b) / len(b):.4f}",
        "PCA: squared cosines, mean": f"{np.mean(cosines**2):.6f}",
        "PCA: least cosine": f"{cosines.min():.6f}",
        "neighbours in common": f"{overlap:.4f}",
        "connectivities: largest difference": f"{difference.max():.2e}",
        "DPT: Spearman": f"{spearmanr(ours.obs['dpt_pseudotime'], theirs.obs['dpt_pseudotime'])[0]:.6f}",
    }


columns = {}
for item in args.files:
    path, root = item.split("=")
    columns[path.split("/")[-1]] = compare(by_sclsd(path, root), by_scanpy(path, root))
print(f"| flavour {args.flavor}, {args.n_top_genes} genes | " + " | ".join(columns) + " |")
print("| --- " * (1 + len(columns)) + "|")
for row in next(iter(columns.values())):
    print(f"| {row} | " + " | ".join(column[row] for column in columns.values()) + " |")
