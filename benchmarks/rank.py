"""Does a number of principal axes of BOLD, chosen beside the shrinkage, add to held-out correlations?

    python benchmarks/rank.py FOLDER

FOLDER as for ``studyforrest_parcels.py``. For every subject: shared variance (mean r|r| of five components) in runs
that were left out, with shrinkage alone and with so many principal axes of BOLD, shrinkage chosen anew for each; and
what a choice of the number of axes on the training runs of each fold gives.
"""

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from studyforrest_parcels import ALIGN, designs

from neurocca import LinearCCACV
from neurocca.config import Config
from neurocca.design import Design
from neurocca.io.store import FeatureStore
from neurocca.steps.features import extract_features

AXES = (10, 20, 50, 100, None)
K = 5


def shared(design: Design) -> dict[str, float]:
    """Held-out r|r| by number of axes, and with the number that does best in the training runs of each fold."""
    found: dict[str, list[float]] = {}
    for run in design.run_labels:
        train, left = design.runs != run, design.runs == run
        fits = [
            LinearCCACV(K, scale=True, n_pca=(None, n)).fit(design.X[train], design.Y[train], groups=design.runs[train])
            for n in AXES
        ]
        r = [np.array([np.corrcoef(*pair)[0, 1] for pair in _pairs(fit, design, left)]) for fit in fits]
        values = [float((each * np.abs(each)).mean()) for each in r]
        nested = int(np.argmax([fit.cv_scores_.mean(axis=0).max() for fit in fits]))
        names = [f"{n} axes" if n else "all" for n in AXES]
        for name, value in [*zip(names, values, strict=True), ("chosen", values[nested])]:
            found.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def _pairs(fit: LinearCCACV, design: Design, left: np.ndarray) -> zip:
    U, V = fit.transform(design.X[left], design.Y[left])
    return zip(U.T, V.T, strict=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        path = extract_features([args.folder / "confoundsannotation"], Path(temporary) / "f.h5", Config().features)
        with FeatureStore(path) as store:
            subjects = designs(args.folder, store, ALIGN)
    table = pd.DataFrame({subject: shared(design) for subject, design in subjects.items()}).T
    print(table.round(4).to_string())
    print("mean", table.mean().round(4).to_dict())


if __name__ == "__main__":
    main()
