"""Film against BOLD on real data: the figures that README quotes, with the command that makes them.

    python benchmarks/studyforrest_parcels.py FOLDER [--n-permutations 1000]

FOLDER holds clones of studyforrest-data-aggregate, studyforrest-data-confoundsannotation as ``aggregate`` and
``confoundsannotation``. All subjects found there are used.
"""

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from neurocca import LinearCCA, held_out_test, permutation_test
from neurocca.config import AlignConfig, Config
from neurocca.design import Design, split_runs
from neurocca.io.layout import find_recordings
from neurocca.io.store import FeatureStore
from neurocca.steps.assemble import assemble
from neurocca.steps.features import extract_features
from neurocca.temporal.timing import lagged_correlation

ALIGN = AlignConfig(spaces=("lowlevel", "audio"), response="delays", delays=(1, 2, 3, 4), standardize="run")
SHRINKAGE = (0.1, 0.3)
T_R = 2.0  # seconds


def designs(folder: Path, store: FeatureStore, align: AlignConfig) -> dict[str, Design]:
    """Design of every subject, over the parcels that all of them have."""
    config = Config(align=align)
    made = {r.subject: assemble(r, store, config).design for r in find_recordings(folder / "aggregate")}
    common = set.intersection(*(set(d.y_names) for d in made.values()))
    return {subject: restrict(d, [name for name in d.y_names if name in common]) for subject, d in made.items()}


def restrict(design: Design, names: list[str]) -> Design:
    columns = [design.y_names.index(name) for name in names]
    return replace(design, Y=design.Y[:, columns], y_names=tuple(names))


def group_mean(subjects: dict[str, Design]) -> Design:
    first = next(iter(subjects.values()))
    return replace(first, Y=np.mean([d.Y for d in subjects.values()], axis=0))


def alignment(group: Design, feature: str, parcel: str) -> pd.DataFrame:
    """Correlation of one feature with one parcel of the group mean, per run and lag in volumes."""
    lags = list(range(-4, 9))
    x = group.X[:, group.x_names.index(feature)]
    y = group.Y[:, group.y_names.index(parcel)]
    pairs = zip(split_runs(x, group.runs), split_runs(y, group.runs), strict=True)
    return pd.DataFrame([lagged_correlation(a, b, lags) for a, b in pairs], index=group.run_labels, columns=lags)


def show_alignment(group: Design) -> None:
    print("\nAlignment, mean of the subjects: peak lag in volumes (r) per run, untrimmed")
    pairs = (("audio:loudness:0", "56"), ("lowlevel:perceptual_difference:0", "153"))
    rows = {}
    for feature, parcel in pairs:
        table = alignment(group, feature, parcel)
        name = f"{feature.split(':')[1]} x parcel {parcel}"
        rows[name] = [f"{row.idxmax():+d} ({row.max():.2f})" for _, row in table.iterrows()]
    print(pd.DataFrame(rows, index=[f"run {run}" for run in group.run_labels]).T.to_string())
    strongest = 0.0
    for parcel in group.y_names:
        # lags are looked up on the mean over runs, as a peak that holds in all of them
        strongest = max(strongest, alignment(group, "lowlevel:luminance:0", parcel).mean().abs().max())
    print(f"negative control: luminance with any parcel at any lag, largest |mean r over runs| = {strongest:.3f}")


def held_out(subjects: dict[str, Design], n_permutations: int) -> pd.DataFrame:
    rows = {}
    for subject, d in subjects.items():
        test = held_out_test(
            LinearCCA(4, shrinkage=SHRINKAGE), d.X, d.Y, runs=d.runs, t_r=T_R, n_permutations=n_permutations
        )
        rows[subject] = {
            **{f"r{i + 1}": r for i, r in enumerate(test.mean)},
            "null mean": test.null[:, 0].mean(),
            "null max": test.null[:, 0].max(),
            **{f"p{i + 1}": p for i, p in enumerate(test.pvalues[:4])},
        }
    return pd.DataFrame(rows).T


def show_held_out(folder: Path, store: FeatureStore, n_permutations: int) -> dict[str, Design]:
    trims: dict[str, tuple[int, ...]] = {"4 + 4 volumes trimmed": (), "nothing trimmed": (0, 0)}
    made = {}
    for name, trim in trims.items():
        subjects = made[name] = designs(folder, store, replace(ALIGN, trim=trim))
        first = next(iter(subjects.values()))
        print(f"\nHeld-out canonical correlations, {name}: {first!r}")
        # the null is the same question twice, and takes most of the time
        table = held_out(subjects, 1 if trim else n_permutations).round(3)
        print(table.iloc[:, : 4 if trim else None].to_string())
    return made["4 + 4 volumes trimmed"]


def show_speed(design: Design, n_permutations: int) -> None:
    seconds = {}
    for name, test in (("held-out", held_out_test), ("in-sample", permutation_test)):
        start = time.perf_counter()
        test(
            LinearCCA(4, shrinkage=SHRINKAGE),
            design.X,
            design.Y,
            runs=design.runs,
            t_r=T_R,
            n_permutations=n_permutations,
        )
        seconds[name] = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    each = ", ".join(f"{name} {s:.1f} s" for name, s in seconds.items())
    print(f"\n{n_permutations} permutations, one subject, one job: {each}; peak memory of this process {peak:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--n-permutations", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = extract_features(
            [args.folder / "confoundsannotation"], Path(temporary) / "features.h5", Config().features
        )
        with FeatureStore(path) as store:
            undelayed = replace(ALIGN, delays=(0,), trim=(0, 0))
            show_alignment(group_mean(designs(args.folder, store, undelayed)))
            subjects = show_held_out(args.folder, store, args.n_permutations)
    show_speed(next(iter(subjects.values())), args.n_permutations)


if __name__ == "__main__":
    main()
