"""Participants and group on real data, through the command line: the figures that docs/group.md quotes.

    python benchmarks/studyforrest_group.py FOLDER [--n-permutations 1000] [--output DIR] [--publish docs]

FOLDER holds clones of studyforrest-data-aggregate and studyforrest-data-confoundsannotation as ``aggregate`` and
``confoundsannotation``. All subjects found there are used, with pipelines/studyforrest.toml. Results of the same
participants in DIR are used again.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
from tables import publish

from neurocca.cli import main as neurocca
from neurocca.io.group import group_results_of, read_group_record

CONFIG = Path(__file__).parents[1] / "pipelines" / "studyforrest.toml"


def run(*arguments: object) -> float:
    """Seconds of a command that ends well."""
    start = time.perf_counter()
    if neurocca([str(argument) for argument in arguments]) != 0:
        raise SystemExit(f"failed: neurocca {' '.join(map(str, arguments))}")
    return time.perf_counter() - start


def markdown(table: pd.DataFrame) -> list[str]:
    """Lines of a table."""
    rows = [table.columns, ["---"] * table.shape[1], *table.itertuples(index=False)]
    return [f"| {' | '.join(map(str, row))} |" for row in rows]


def components(record: dict[str, Any]) -> pd.DataFrame:
    """Matched components."""
    n = len(record["Participants"])
    return pd.DataFrame(
        {
            "component": c["Name"],
            "found in": f"{len(c['ShownBy'])} of {n}",
            "held-out r": f"{c['HeldOutCorrelation']:.3f}",
            "similarity": f"{c['Similarity']:.2f}",
            "r with others": f"{c['IntersubjectCorrelation']:.3f}",
            "p": f"{c['PValueIntersubject']:.3f}",
            "congruence of maps": f"{c['MapCongruence']:.2f}",
            "smallest p of the map": f"{c['SmallestPMap']:.3f}",
        }
        for c in record["Components"]
    )


def shared(record: dict[str, Any]) -> pd.DataFrame:
    """The fit of film and all brains."""
    return pd.DataFrame(
        {
            "component": c["Name"],
            "film and brains": f"{c['HeldOutFilmBrain']:.3f}",
            "brains in pairs": f"{c['HeldOutBrainBrain']:.3f}",
            "most like": f"{c['MostAlike']} ({c['Alike']:.2f})",
        }
        for c in record["Shared"]["Components"]
    )


def one_map(record: dict[str, Any]) -> pd.DataFrame:
    """The same weights for all, each participant left out."""
    return pd.DataFrame(
        {
            "component": c["Name"],
            "r in left-out participants": f"{c['HeldOutCorrelation']:.3f}",
            "p": f"{c['PValue']:.3f}",
            **{name: f"{r:.2f}" for name, r in c["PerParticipant"].items()},
        }
        for c in record["Shared"]["OneMap"]["Components"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--n-permutations", type=int, default=1000)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--publish", type=Path, metavar="DOCS")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = args.output or Path(temporary) / "out"
        store = out.parent / "features.h5"
        if not store.exists():
            run("features", args.folder / "confoundsannotation", "-o", store)
        both = [args.folder / "aggregate", out]
        options = ["--features", store, "--config-file", CONFIG, "--n-permutations", args.n_permutations]
        seconds = {level: run(*both, level, *options) for level in ("participant", "group")}
        (group,) = group_results_of(out)
        record = read_group_record(out, group)
    parts = {"group_components": components, "group_shared": shared, "group_one_map": one_map}
    for name, make in parts.items():
        table = make(record)
        print(f"\n{name}\n" + "\n".join(markdown(table)))
        if args.publish:
            publish(name, markdown(table), {"rows": table.to_dict("records")}, args.publish, "group")
    print("\n" + "\n".join(record["Warnings"]))
    print("\n" + ", ".join(f"{level} level {s:.0f} s" for level, s in seconds.items()))


if __name__ == "__main__":
    main()
