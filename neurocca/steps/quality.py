"""Small summaries of each run's cleaned BOLD, from which a report draws how good it is."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurocca.temporal.clean import Cleaned

GROUPS = 100
"""Neighbouring columns of BOLD share a row of the carpet: no more than these, which is finer than a page shows."""

BLOCK = 64
"""Volumes at a time: a run of voxels is not to be in memory twice."""

BASELINE = 2.0
"""Where columns have a median signal-to-noise ratio below, their mean is no baseline: they were centred before."""


def group_names(n_columns: int) -> list[str]:
    """Names of the carpet's rows for so many columns of BOLD."""
    return [f"group_{i:02d}" for i in range(min(GROUPS, n_columns))]


def quality_table(label: str, cleaned: Cleaned, displacement: NDArray | None) -> pd.DataFrame:
    """One row per volume of a cleaned run.

    Parameters
    ----------
    label : str
        Of the run.
    cleaned : Cleaned
    displacement : array, shape (n,), or None
        Framewise displacement in mm of the same volumes.

    Returns
    -------
    DataFrame
        run; censored (1 or 0); framewise_displacement (NaN where it is not known); dvars, the root mean square over
        columns of the change since the volume before, in standard deviations of the columns (NaN in the first volume);
        global_signal, the mean over columns; and group_00 to at most group_99, means of columns that lie beside each
        other, in standard deviations of themselves.
    """
    n, q = cleaned.data.shape
    names = group_names(q)
    starts = np.linspace(0, q, len(names) + 1).astype(int)[:-1]
    sizes = np.maximum(np.add.reduceat(cleaned.usable, starts, dtype=int), 1)
    dvars, groups = np.full(n, np.nan), np.empty((n, len(names)))
    before = None
    n_usable = max(int(cleaned.usable.sum()), 1)
    for rows, block in _scaled(cleaned):
        groups[rows] = np.add.reduceat(block, starts, axis=1)
        change = np.diff(block, axis=0, prepend=block[:1] if before is None else before)
        dvars[rows] = (np.einsum("ij,ij->i", change, change) / n_usable) ** 0.5
        before = block[-1:].copy()
    dvars[0] = np.nan
    table = pd.DataFrame({"run": label, "censored": (~cleaned.kept).astype(int)}, index=range(n))
    table["framewise_displacement"] = np.nan if displacement is None else np.round(displacement, 4)
    table["dvars"] = np.round(dvars, 4)
    table["global_signal"] = np.round(groups.sum(axis=1) / n_usable, 4) + 0.0
    means = groups / sizes
    spread = means.std(axis=0)
    # a tenth is finer than any grey a page can show; 0.0 is added because -0.0 would be written
    rounded = np.round((means - means.mean(axis=0)) / np.where(spread > 0, spread, 1.0), 1) + 0.0
    return pd.concat([table, pd.DataFrame(rounded, columns=names)], axis=1)


def _scaled(cleaned: Cleaned) -> Iterator[tuple[slice, NDArray]]:
    """Some volumes at a time, every usable column with unit variance, the others 0."""
    square = np.einsum("ij,ij->j", cleaned.data, cleaned.data)
    use = cleaned.usable & (square > 0)
    factor = np.where(use, (cleaned.kept.sum() / np.where(use, square, 1.0)) ** 0.5, 0.0).astype(cleaned.data.dtype)
    for start in range(0, len(cleaned.data), BLOCK):
        rows = slice(start, start + BLOCK)
        yield rows, cleaned.data[rows] * factor


def temporal_snr(cleaned: Cleaned) -> float | None:
    """Median over usable columns of mean by standard deviation; None where means are no baselines."""
    if not cleaned.usable.any():
        return None
    median = float(np.median(cleaned.snr[cleaned.usable]))
    return round(median, 2) if median >= BASELINE else None
