"""How well planted components were found, where a simulated dataset says what it planted."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from neurocca.cca.scoring import loadings, paired_correlations
from neurocca.config import AlignConfig
from neurocca.io.recording import Recording
from neurocca.io.timeseries import read_table
from neurocca.steps.assemble import Assembled
from neurocca.steps.one_run import confounds_of, cut_of
from neurocca.temporal.align import bold_nuisance
from neurocca.temporal.clean import clean_run


def recovery(
    recording: Recording, assembled: Assembled, align: AlignConfig, variates: NDArray, maps: NDArray, held_out: NDArray
) -> pd.DataFrame | None:
    """Agreement of components with the planted ones that lie in the dataset's ``derivatives/truth``.

    Maps are compared with the correlations that were planted, as loadings are correlations.

    Parameters
    ----------
    recording : Recording
    assembled : Assembled
    align : AlignConfig
        By which BOLD was cleaned.
    variates : array, shape (n, k)
        BOLD-side variates.
    maps : array, shape (k, V)
        Loading maps.
    held_out : array, shape (k,)
        Held-out correlations.

    Returns
    -------
    DataFrame or None
        As `match_planted`, with held_out_r and planted_r: the correlation of film and brain in these volumes for one
        who knows what each component's areas do, cleaned as BOLD is. None where the dataset has no such truth.
    """
    truth = _truth_files(recording)
    if truth is None:
        return None
    image, mixing, activity = truth
    names, every = planted_courses(mixing, recording)
    _, areas = planted_courses(activity, recording)
    courses = np.concatenate(every)[_kept_rows(assembled.qc)]
    said = dict(zip(names, _planted_correlations(recording, align, every, areas), strict=True))
    table = match_planted(names, courses, assembled.brain.read((image,)), variates, maps)
    by_name = {f"cca_{i:02d}": round(float(r), 4) for i, r in enumerate(held_out)}
    return table.assign(
        held_out_r=[by_name.get(name, np.nan) for name in table["component"]],
        planted_r=[said[name] for name in table["planted"]],
    )


def _planted_correlations(
    recording: Recording, align: AlignConfig, courses: list[NDArray], areas: list[NDArray]
) -> NDArray:
    """Mean over runs of the correlation of each planted course with what its areas do, shape (c,).

    Drift leaves both and confounds the brain alone, as they do with features and BOLD.
    """
    runs = []
    for run, course, area in zip(recording.runs, courses, areas, strict=True):
        n = len(course)
        confounds = confounds_of(run, n, align)
        values, kept = (confounds.values, confounds.kept) if confounds else (None, None)
        cleaned = []
        for series, taken_out in ((course, None), (area, values)):
            basis, rows = bold_nuisance(n, recording.t_r, align, taken_out, kept)
            found = clean_run(series, basis, kept=rows, cut=cut_of(run, align))
            cleaned.append(found.data[found.kept])
        runs.append(paired_correlations(*cleaned))
    return np.mean(runs, axis=0).round(4)


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


def planted_courses(path: Path, recording: Recording) -> tuple[list[str], list[NDArray]]:
    """Names of planted components, and their courses in the runs of a recording, which may not be all runs."""
    table = read_table(path)
    courses = table.drop(columns="run")
    rows = [table["run"] == int(run.label) for run in recording.runs]
    return list(courses.columns), [courses[of_run].to_numpy(dtype=float) for of_run in rows]


def _truth_files(recording: Recording) -> tuple[Path, Path, Path] | None:
    func = recording.runs[0].bold[0].parent
    root = next(p for p in func.parents if p.name == f"sub-{recording.subject}").parent / "derivatives" / "truth"
    stem = root / func.relative_to(root.parents[1]) / f"sub-{recording.subject}_task-{recording.task}"
    files = (
        stem.with_name(f"{stem.name}_stat-r_desc-truth_statmap.nii.gz"),
        stem.with_name(f"{stem.name}_desc-truth_mixing.tsv"),
        stem.with_name(f"{stem.name}_desc-truthActivity_mixing.tsv"),
    )
    return files if all(f.is_file() for f in files) else None


def _kept_rows(qc: list[dict[str, Any]]) -> NDArray:
    """Rows that were kept after trimming, among those of all runs' volumes."""
    starts = np.cumsum([0, *(run["Volumes"] for run in qc)])
    return np.concatenate([s + run["FirstKept"] + np.arange(run["Kept"]) for s, run in zip(starts, qc, strict=False)])
