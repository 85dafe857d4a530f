"""How well the demo's planted components are found, and how often others are, over many simulated participants.

Films are generated, a new one for every few participants, each of whom has areas, responses and noise of their own:

    python benchmarks/demo_seeds.py --films 4 --participants 5
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from neurocca.config import Config
from neurocca.demo import make_dataset
from neurocca.demo.plan import ANALYSIS
from neurocca.report.wording import is_found
from neurocca.steps.participant import run_participants

ALPHA = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=4)
    parser.add_argument("--participants", type=int, default=5, help="of each film")
    parser.add_argument("--n-permutations", type=int, default=199)
    parser.add_argument("--first-seed", type=int, default=0)
    args = parser.parse_args()
    rows = []
    for seed in range(args.first_seed, args.first_seed + args.films):
        with tempfile.TemporaryDirectory() as temporary:
            rows += analyse(Path(temporary), seed, args.participants, args.n_permutations)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    print(json.dumps(summary(table), indent=2))


def analyse(folder: Path, seed: int, participants: int, n_permutations: int) -> list[dict]:
    """One row per participant of a film."""
    make_dataset(folder / "dataset", n_subjects=participants, seed=seed)
    analysis = Config.from_toml(folder / "dataset" / ANALYSIS)
    config = analysis.with_values({"inference.n_permutations": n_permutations})
    output = folder / "out"
    rows = []
    for page, verdict in run_participants(folder / "dataset", output, config, work_dir=folder / "work"):
        recovery = verdict.attrs["recovery"]
        record = json.loads(next((output / page.name[:6] / "func").glob("*_decomposition.json")).read_text())
        found = {c["Name"] for c in record["Components"] if is_found(c)}
        planted = set(recovery["component"])
        rows.append(
            {
                "seed": seed,
                "participant": page.name[4:6],
                "found": len(found & planted),
                "extra": len(found - planted),
                "map_r": recovery["map_r"].tolist(),
                "held_out_r": recovery["held_out_r"].tolist(),
                "planted_r": recovery["planted_r"].tolist(),
            }
        )
        print(rows[-1], flush=True)
    return rows


def summary(table: pd.DataFrame) -> dict:
    """What the table says, in a few numbers."""
    maps, held, planted = (np.array(table[name].tolist()) for name in ("map_r", "held_out_r", "planted_r"))
    n = len(table)
    return {
        "participants": n,
        "both planted components found": f"{int((table['found'] == 2).sum())} of {n}",
        f"any other found at {ALPHA}": f"{int((table['extra'] > 0).sum())} of {n}",
        "map r, median and least": [np.median(maps, axis=0).round(3).tolist(), maps.min(axis=0).round(3).tolist()],
        "held-out r, mean": held.mean(axis=0).round(3).tolist(),
        "planted r, mean": planted.mean(axis=0).round(3).tolist(),
        "held-out r below planted r, median and most": [
            np.median(planted - held, axis=0).round(3).tolist(),
            (planted - held).max(axis=0).round(3).tolist(),
        ],
        "held-out r within .05 of planted r": [f"{k} of {n}" for k in (np.abs(planted - held) <= 0.05).sum(axis=0)],
    }


if __name__ == "__main__":
    main()
