#!/usr/bin/env python3
"""Score CellRank's PseudotimeKernel on the cells of a file that `sclsd fates` wrote; prints JSON.

    python cellrank_fates.py FATES.h5ad [--time-key dpt_pseudotime] [--write OUT.h5ad]

The same terminal states are given (obs terminal_states), so that only the way of telling fates differs. Beside it: the
terminal states that GPCCA finds by itself. Needs Python packages cellrank 2.0, scanpy and anndata.
"""
import argparse
import json
import logging
import sys
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
parser = argparse.ArgumentParser()
parser.add_argument("file")
parser.add_argument("--time-key", default="dpt_pseudotime")
parser.add_argument("--cluster-key", default="clusters")
args = parser.parse_args()

import anndata as ad  # noqa: E402
import cellrank as cr  # noqa: E402
import numpy as np  # noqa: E402

cr.logging.verbosity = 0
cells = ad.read_h5ad(args.file)
out, sys.stdout = sys.stdout, sys.stderr
kernel = cr.kernels.PseudotimeKernel(cells, time_key=args.time_key)
kernel.compute_transition_matrix(threshold_scheme="hard", show_progress_bar=False)
estimator = cr.estimators.GPCCA(kernel)
states = cells.obs["terminal_states"].astype("category")
names = list(states.cat.categories)
estimator.set_terminal_states({name: list(cells.obs_names[states == name]) for name in names})
estimator.compute_fate_probabilities(show_progress_bar=False, solver="direct" if cells.n_obs < 3000 else "gmres", use_petsc=False)
fates = np.asarray(estimator.fate_probabilities[names].X)

scores = {}
keys = ["true_fate_" + name.replace(" ", "_") for name in names]
if all(key in cells.obs for key in keys):
    truth = cells.obs[keys].to_numpy(float)
    known = truth.sum(1) > 0.5
    decided = known & (truth.max(1) > 0.8)
    scores["accuracy"] = float((fates.argmax(1) == truth.argmax(1))[decided].mean())
    scores["mean_squared_error"] = float(((fates - truth) ** 2)[known].mean())
    ours = np.asarray(cells.obsm["fate_probabilities"])
    early = known & (cells.obs["true_time"] < 0.5) & (truth.max(1) > 0.8) if "true_time" in cells.obs else np.zeros(len(known), bool)
    if early.any():
        scores["error of early decided cells"] = float(((fates - truth) ** 2)[early].mean())
        scores["error of early decided cells (ours)"] = float(((ours - truth) ** 2)[early].mean())
try:
    found = cr.estimators.GPCCA(kernel)
    found.compute_schur(n_components=10)
    found.compute_macrostates(n_states=len(names) + 1, cluster_key=args.cluster_key)
    found.predict_terminal_states()
    guessed = sorted(str(name) for name in found.terminal_states.cat.categories)
    scores["exact leaves"] = float(guessed == sorted(names))
except Exception as error:  # GPCCA refuses some matrices
    print(f"GPCCA: {error}", file=sys.stderr)
    scores["exact leaves"] = 0.0
sys.stdout = out
print(json.dumps(scores))
