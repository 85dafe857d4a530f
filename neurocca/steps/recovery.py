"""How well planted components were found, where a simulated dataset says what it planted."""

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


def recovery(recording: Recording, assembled: Assembled, variates: NDArray, maps: NDArray) -> pd.DataFrame | None:
    """Agreement of components with the planted ones that lie in the dataset's ``derivatives/truth``.

    Parameters
    ----------
    recording : Recording
    assembled : Assembled
    variates : array, shape (n, k)
        BOLD-side variates.
    maps : array, shape (k, V)
        Loading maps.

    Returns
    -------
    DataFrame or None
        As `match_planted`; None where the dataset has no such truth.
    """
    truth = _truth_files(recording)
    if truth is None:
        return None
    planted = read_table(truth[1])
    courses = planted.to_numpy(dtype=float)[_kept_rows(assembled.qc)]
    return match_planted(list(planted.columns), courses, assembled.brain.read((truth[0],)), variates, maps)


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


def _truth_files(recording: Recording) -> tuple[Path, Path] | None:
    func = recording.runs[0].bold[0].parent
    root = next(p for p in func.parents if p.name == f"sub-{recording.subject}").parent
    folder = root / "derivatives" / "truth" / func.relative_to(root)
    stem = f"sub-{recording.subject}_task-{recording.task}_desc-truth"
    files = folder / f"{stem}_components.nii.gz", folder / f"{stem}_mixing.tsv"
    return files if all(f.is_file() for f in files) else None


def _kept_rows(qc: list[dict[str, Any]]) -> NDArray:
    """Rows that were kept after trimming, among those of all runs' volumes."""
    starts = np.cumsum([0, *(run["Volumes"] for run in qc)])
    return np.concatenate([s + run["FirstKept"] + np.arange(run["Kept"]) for s, run in zip(starts, qc, strict=False)])
