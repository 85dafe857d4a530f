"""How well planted components were found, where a simulated dataset says what it planted."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
        One row per planted component: planted, component (the best match by time course), map_r and
        timecourse_r (absolute correlations).
    """
    from neurocca.io.volumes import read_volumes

    truth = _truth_files(recording)
    if truth is None:
        return None
    planted_maps = read_volumes(truth[0], assembled.mask)
    planted = read_table(truth[1])
    time_r = np.abs(loadings(_kept_rows(planted.to_numpy(dtype=float), assembled.qc), variates))
    best = time_r.argmax(axis=1)
    map_r = np.abs(loadings(planted_maps.T, maps.T))
    rows = range(len(best))
    return pd.DataFrame(
        {
            "planted": list(planted.columns),
            "component": [f"cca_{i:02d}" for i in best],
            "map_r": map_r[rows, best].round(4),
            "timecourse_r": time_r[rows, best].round(4),
        }
    )


def _truth_files(recording: Recording) -> tuple[Path, Path] | None:
    func = recording.runs[0].bold.parent
    root = next(p for p in func.parents if p.name == f"sub-{recording.subject}").parent
    folder = root / "derivatives" / "truth" / func.relative_to(root)
    stem = f"sub-{recording.subject}_task-{recording.task}_desc-truth"
    files = folder / f"{stem}_components.nii.gz", folder / f"{stem}_mixing.tsv"
    return files if all(f.is_file() for f in files) else None


def _kept_rows(stacked: NDArray, qc: list[dict[str, Any]]) -> NDArray:
    """Rows of all runs' volumes that were kept after trimming."""
    starts = np.cumsum([0, *(run["Volumes"] for run in qc)])
    rows = [start + run["FirstKept"] + np.arange(run["Kept"]) for start, run in zip(starts, qc, strict=False)]
    return stacked[np.concatenate(rows)]
