"""Real data, laid out as a user would have them, through the command line: what is found, and what must not be.

FOLDER holds `sherlock` (voxels of the posterior medial cortex, and annotations of the film), `song` (parcels of viewers
of a sitcom, and of the same people at rest) and `alice` (six regions of listeners to a story). Each is written as BIDS
or as a folder of parcel tables, and analysed by `neurocca features` and `neurocca BIDS_DIR OUTPUT_DIR participant`. The
features of the sitcom against rest are the negative control.

    python benchmarks/real_datasets.py FOLDER --publish docs
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import real_layouts as layouts
from tables import publish

ALPHA = 0.05

MANY = 5
"""Participants, at least, of a group."""

DATASETS: dict[str, tuple[str, Callable[[Path, Path], None], Sequence[str]]] = {
    "Sherlock, voxels of posterior medial cortex": (
        "sherlock",
        layouts.write_sherlock,
        ("--mask", "mask.nii.gz", *layouts.SHERLOCK_OPTIONS),
    ),
    "Sherlock, six regions": ("sherlock", layouts.write_sherlock_regions, layouts.SHERLOCK_OPTIONS),
    "SONG, sitcom": ("song", lambda data, to: layouts.write_song(data, to, "film"), ()),
    "SONG, ten minutes of it": ("song", lambda data, to: layouts.write_song(data, to, "window"), ()),
    "SONG, rest with the same features": ("song", lambda data, to: layouts.write_song(data, to, "rest"), ()),
    "Alice, story": ("alice", layouts.write_alice, ()),
}


def run(*arguments: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "neurocca", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def analyse(folder: Path, options: Sequence[str], n_permutations: int, of_mean: int) -> dict[str, dict[str, Any]]:
    """Records of all participants, with the null's 95th percentile of the largest component.

    The mean of all is one analysis, whose p has to be finer than those of which many are counted.
    """
    tables = sorted(path.name for path in folder.glob("run-*_timeseries.tsv"))
    run("features", *tables, "-o", "features.h5", folder=folder)
    files = ("--features", "features.h5", "--config-file", "config.toml")
    people = sorted(path.name[4:] for path in folder.glob("dataset/sub-*"))
    for labels, n in (
        ([p for p in people if p != "mean"], n_permutations),
        ([p for p in people if p == "mean"], of_mean),
    ):
        if labels:
            chosen = ("--participant-label", *labels, "--n-permutations", str(n))
            run("dataset", "out", "participant", *files, *options, *chosen, folder=folder)
    found = {}
    for path in sorted(folder.glob("out/sub-*/func/*_decomposition.json")):
        record = json.loads(path.read_text())
        null = pd.read_csv(
            path.with_name(path.name.replace("cca_decomposition.json", "ccaHeldOut_permutations.tsv")), sep="\t"
        )
        record["Null95"] = float(null.iloc[1:, 1:].max(axis=1).quantile(0.95))
        found[record["Subject"]] = record
    return found


def together(folder: Path, participants: Sequence[str]) -> dict[str, Any]:
    """Record of the group level of some participants who have been analysed."""
    labels = ("--participant-label", *participants)
    run("dataset", "out", "group", *labels, "--features", "features.h5", "--no-tfce", "--n-jobs", "2", folder=folder)
    return json.loads(next((folder / "out").glob("*ccaGroup_decomposition.json")).read_text())


def group_summary(record: dict[str, Any]) -> dict[str, Any]:
    one = record["Shared"]["OneMap"]["Components"][:3]
    matched = record["Components"][:3]
    return {
        "participants": len(record["Participants"]),
        "found": [len(c["ShownBy"]) for c in matched],
        "r_intersubject": [round(c["IntersubjectCorrelation"], 3) for c in matched],
        "p_intersubject": [round(c["PValueIntersubject"], 3) for c in matched],
        "r_one_fit": [round(c["HeldOutCorrelation"], 3) for c in one],
        "p_one_fit": [round(c["PValue"], 3) for c in one],
    }


def group_row(name: str, s: dict[str, Any]) -> str:
    between, r = (" ".join(f"{r:.2f}" for r in s[key]) for key in ("r_intersubject", "r_one_fit"))
    p_between, p = (" ".join(f"{p:.3f}" for p in s[key]) for key in ("p_intersubject", "p_one_fit"))
    found = " ".join(map(str, s["found"]))
    return f"| {name} | {s['participants']} | {found} | {between} | {p_between} | {r} | {p} |"


def summary(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    components = [record["Components"] for record in records]
    r = np.array([[c["HeldOutCorrelation"] for c in of] for of in components])
    p = np.array([[c["PValueHeldOut"] for c in of] for of in components])
    return {
        "participants": len(records),
        "volumes": records[0]["NumberOfVolumes"],
        "features": records[0]["NumberOfFeatures"],
        "columns": records[0]["NumberOfResponses"],
        "r": r.mean(axis=0).round(3).tolist(),
        "r_min": r.min(axis=0).round(3).tolist(),
        "r_max": r.max(axis=0).round(3).tolist(),
        "p_median": np.median(p, axis=0).round(3).tolist(),
        "null95": round(float(np.mean([record["Null95"] for record in records])), 3),
        "found": np.sum(p < ALPHA, axis=0).tolist(),
        "any_found": int(np.sum(p.min(axis=1) < ALPHA)),
        "lag": [record["Lag"]["Peak"] if record["Lag"] else None for record in records],
    }


def row(name: str, s: dict[str, Any]) -> str:
    if s["participants"] == 1:
        r = [f"{m:.2f}" for m in s["r"]]
        found = "p = " + " ".join(f"{p:.3f}" for p in s["p_median"])
    else:
        r = [f"{m:.2f} ({low:.2f} to {high:.2f})" for m, low, high in zip(s["r"], s["r_min"], s["r_max"], strict=True)]
        found = f"{s['any_found']} of {s['participants']}"
    size = f"{s['volumes']} × {s['features']} × {s['columns']}"
    return f"| {name} | {size} | {' | '.join(r)} | {s['null95']:.2f} | {found} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--n-permutations", type=int, default=199)
    parser.add_argument("--of-mean", type=int, default=999, metavar="B", help="permutations of the mean of all")
    parser.add_argument("--only", default="", metavar="NAME", help="the data whose names begin so")
    parser.add_argument("--publish", type=Path, metavar="DOCS")
    args = parser.parse_args()
    lines = [
        "| data | volumes × features × columns | held-out r 1 | 2 | 3 | 95 % of the null | participants with p < .05 |",
        "|---|---|---|---|---|---|---|",
    ]
    group_lines = [
        "| data | participants | who show 1, 2, 3 | r with others 1, 2, 3 | p | one fit: held-out r 1, 2, 3 | p |",
        "|---|---|---|---|---|---|---|",
    ]
    figures, groups = {}, {}
    for name, (source, write, options) in DATASETS.items():
        if not name.startswith(args.only):
            continue
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write(args.folder / source, folder)
            records = analyse(folder, (*options, "--n-jobs", "2"), args.n_permutations, args.of_mean)
            people = [subject for subject in records if subject != "mean"]
            if len(people) >= MANY:
                groups[name] = group_summary(together(folder, people))
                group_lines.append(group_row(name, groups[name]))
                print(group_lines[-1], flush=True)
        parts = {name: [records[subject] for subject in people]}
        if "mean" in records:
            parts[f"{name}, mean of all"] = [records["mean"]]
        for part, of in parts.items():
            figures[part] = summary(of)
            lines.append(row(part, figures[part]))
            print(lines[-1], flush=True)
    if args.publish:
        publish("real_datasets", lines, {"n_permutations": args.n_permutations, "data": figures}, args.publish)
        publish("real_groups", group_lines, {"n_permutations": args.n_permutations, "data": groups}, args.publish)


if __name__ == "__main__":
    main()
