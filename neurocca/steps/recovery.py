"""How well planted components were found, where a simulated dataset says what it planted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from neurocca.cca.scoring import loadings
from neurocca.io.recording import Recording
from neurocca.io.timeseries import read_table
from neurocca.steps.assemble import Assembled


def recovery(
    recording: Recording, assembled: Assembled, variates: NDArray, maps: NDArray, held_out: NDArray
) -> pd.DataFrame | None:
    """Agreement of components with the planted ones that lie in the dataset's ``derivatives/truth``.

    Maps are compared with the correlations that were planted, as loadings are correlations.

    Parameters
    ----------
    recording : Recording
    assembled : Assembled
    variates : array, shape (n, k)
        BOLD-side variates.
    maps : array, shape (k, V)
        Loading maps.
    held_out : array, shape (k,)
        Held-out correlations.

    Returns
    -------
    DataFrame or None
        As `match_planted`, with held_out_r and planted_r, the correlation of film and brain that was planted; None
        where the dataset has no such truth.
    """
    truth = _truth_files(recording)
    if truth is None:
        return None
    image, mixing, record = truth
    planted = read_table(mixing)
    courses = planted.to_numpy(dtype=float)[_kept_rows(assembled.qc)]
    table = match_planted(list(planted.columns), courses, assembled.brain.read((image,)), variates, maps)
    by_name = {f"cca_{i:02d}": round(float(r), 4) for i, r in enumerate(held_out)}
    said = json.loads(record.read_text(encoding="utf-8")).get("PlantedCorrelation", {})
    return table.assign(
        held_out_r=[by_name.get(name, np.nan) for name in table["component"]],
        planted_r=[said.get(name, np.nan) for name in table["planted"]],
    )


def match_planted(
    names: list[str], planted_courses: NDArray, planted_maps: NDArray, variates: NDArray, maps: NDArray
) -> pd.DataFrame:
    """Give each planted component another recovered one, so that the absolute correlations add up to the most.

    Signs and scales of components are free, so only absolute correlations count.

    Parameters
    ----------
    names : list of str, length c
        Planted components.
    planted_courses, planted_maps : arrays, shapes (n, c) and (c, V)
    variates, maps : arrays, shapes (n, k) and (k, V)

    Returns
    -------
    DataFrame
        One row per planted component: planted, component, map_r, timecourse_r. Where fewer components were fitted
        than planted, those left over have component "none" and no correlations.
    """
    time_r = np.abs(loadings(planted_courses, variates))
    map_r = np.abs(loadings(planted_maps.T.astype(float), maps.T))
    rows, found = linear_sum_assignment(time_r + map_r, maximize=True)
    table = pd.DataFrame({"planted": names, "component": "none", "map_r": np.nan, "timecourse_r": np.nan})
    table.loc[rows, "component"] = [f"cca_{i:02d}" for i in found]
    table.loc[rows, "map_r"] = map_r[rows, found].round(4)
    table.loc[rows, "timecourse_r"] = time_r[rows, found].round(4)
    return table


def _truth_files(recording: Recording) -> tuple[Path, Path, Path] | None:
    func = recording.runs[0].bold[0].parent
    root = next(p for p in func.parents if p.name == f"sub-{recording.subject}").parent / "derivatives" / "truth"
    stem = root / func.relative_to(root.parents[1]) / f"sub-{recording.subject}_task-{recording.task}"
    files = (
        stem.with_name(f"{stem.name}_stat-r_desc-truth_statmap.nii.gz"),
        stem.with_name(f"{stem.name}_desc-truth_mixing.tsv"),
        root / f"task-{recording.task}_desc-truth_decomposition.json",
    )
    return files if all(f.is_file() for f in files) else None


def _kept_rows(qc: list[dict[str, Any]]) -> NDArray:
    """Rows that were kept after trimming, among those of all runs' volumes."""
    starts = np.cumsum([0, *(run["Volumes"] for run in qc)])
    return np.concatenate([s + run["FirstKept"] + np.arange(run["Kept"]) for s, run in zip(starts, qc, strict=False)])
