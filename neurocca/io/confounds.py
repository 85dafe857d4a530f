"""Confounds and censored volumes of one run, by the name of a strategy."""

import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurocca.errors import DataError, UsageError
from neurocca.io.motion import MOTION, expand_motion, framewise_displacement, numeric_columns, read_motion
from neurocca.io.timeseries import read_table

FMRIPREP: dict[str, dict[str, Any]] = {
    "acompcor": {"strategy": ("high_pass", "compcor"), "compcor": "anat_combined", "n_compcor": 5},
    "simple": {"strategy": ("high_pass", "motion", "wm_csf"), "motion": "full", "wm_csf": "basic"},
    "scrubbing": {"strategy": ("high_pass", "motion", "wm_csf"), "motion": "full", "wm_csf": "full"},
    "compcor": {
        "strategy": ("high_pass", "motion", "compcor"),
        "motion": "full",
        "compcor": "anat_combined",
        "n_compcor": "all",
    },
    "ica_aroma": {"strategy": ("high_pass", "wm_csf", "ica_aroma"), "wm_csf": "basic", "ica_aroma": "basic"},
}
"""Strategies that take fMRIPrep's tables, as nilearn's ``load_confounds`` has them."""

STRATEGIES = ("motion6", "motion24", *FMRIPREP)

SCRUBBING_FD, SCRUBBING_DVARS = 0.5, 1.5
"""Thresholds of "scrubbing" where none are given: mm, and standardised DVARS."""

SHORTEST = 5
"""Fewer volumes than these between censored ones are censored too (Power et al. 2014)."""


class Confounds(NamedTuple):
    """What leaves the BOLD of one run.

    Parameters
    ----------
    values : array, shape (n, c)
    names : tuple of str, length c
    kept : array of bool, shape (n,)
        Volumes that are not censored.
    """

    values: NDArray[np.float64]
    names: tuple[str, ...]
    kept: NDArray[np.bool_]


def read_confounds(
    path: Path,
    strategies: Sequence[str] = ("motion6",),
    *,
    n_volumes: int | None = None,
    fd_threshold: float = 0.0,
    dvars_threshold: float = 0.0,
) -> Confounds:
    """Read the confounds of one run.

    Parameters
    ----------
    path : Path
        fMRIPrep's ``…_desc-confounds_timeseries.tsv`` (with its ``.json`` beside it for the CompCor strategies), any
        other table with a header, or a motion file of FSL or AFNI (`neurocca.io.motion.read_motion`).
    strategies : sequence of str
        "motion6", "motion24" (Satterthwaite et al. 2013, doi:10.1016/j.neuroimage.2012.08.052), "acompcor" (Behzadi et
        al. 2007, doi:10.1016/j.neuroimage.2007.04.042; five components), and nilearn's "simple", "scrubbing", "compcor"
        and "ica_aroma" (Wang et al. 2024, doi:10.1371/journal.pcbi.1011942). Other names are columns of the table.
    n_volumes : int, optional
        Rows that are expected.
    fd_threshold : float
        Framewise displacement in mm above which volumes are censored; computed from motion parameters where the table
        has none. 0 censors none; "scrubbing" then takes 0.5.
    dvars_threshold : float
        Standardised DVARS (column ``std_dvars``) above which volumes are censored. 0 censors none; "scrubbing" then
        takes 1.5.

    Returns
    -------
    Confounds
        Volumes that fMRIPrep calls not steady are censored as well, and so are fewer than five volumes between
        censored ones where a threshold is set (Power et al. 2014, doi:10.1016/j.neuroimage.2013.08.048).

    Raises
    ------
    NoInputError, DataError, UsageError
        One line that names the file: another number of rows, words instead of numbers, columns that are missing and
        those that are there, all volumes censored.
    """
    table = _table(path)
    if n_volumes is not None and len(table) != n_volumes:
        raise DataError(f"{path}: {len(table)} rows of confounds for {n_volumes} volumes.")
    parts = [_by_strategy(path, table, name) for name in strategies if name in STRATEGIES]
    if columns := tuple(name for name in strategies if name not in STRATEGIES):
        parts.append((_columns(path, table, columns), columns))
    if "scrubbing" in strategies:
        fd_threshold, dvars_threshold = fd_threshold or SCRUBBING_FD, dvars_threshold or SCRUBBING_DVARS
    kept = _kept(path, table, fd_threshold, dvars_threshold)
    found = {name: values[:, j] for values, names in parts for j, name in enumerate(names)}
    values = np.column_stack(list(found.values())) if found else np.empty((len(table), 0))
    return Confounds(values, tuple(found), kept)


def censored(outliers: NDArray[np.bool_], shortest: int = SHORTEST) -> NDArray[np.bool_]:
    """Outlying volumes, and the volumes between them where these are fewer than ``shortest`` in a row.

    Parameters
    ----------
    outliers : array of bool, shape (n,)
    shortest : int

    Returns
    -------
    array of bool, shape (n,)

    Examples
    --------
    >>> censored(np.array([0, 0, 0, 0, 0, 0, 1, 0, 0, 1], dtype=bool)).astype(int)
    array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
    """
    if not outliers.any():
        return outliers
    at = np.flatnonzero(np.r_[True, outliers, True])  # the run's ends count as outliers
    found = outliers.copy()
    for before, after in pairwise(at.tolist()):
        if after - before - 1 < shortest:
            found[before : after - 1] = True
    return found


def _table(path: Path) -> pd.DataFrame:
    if path.name.endswith((".tsv", ".csv")):
        return read_table(path)
    return pd.DataFrame(read_motion(path), columns=list(MOTION))


def _by_strategy(path: Path, table: pd.DataFrame, name: str) -> tuple[NDArray, tuple[str, ...]]:
    if name in ("motion6", "motion24"):
        motion = _columns(path, table, MOTION)
        return (motion, MOTION) if name == "motion6" else expand_motion(motion)
    return _by_nilearn(path, table, name)


def _by_nilearn(path: Path, table: pd.DataFrame, name: str) -> tuple[NDArray, tuple[str, ...]]:
    from nilearn.interfaces.fmriprep import load_confounds

    stem, found, _ = path.name.partition("desc-confounds")
    if not found:
        raise UsageError(
            f"{path}: confounds {name!r} take a table of fMRIPrep (…_desc-confounds_timeseries.tsv); motion6, motion24 "
            "and names of columns go with any."
        )
    # nilearn asks for the image, of which it reads nothing but the name
    image = path.with_name(f"{stem}desc-preproc_bold.nii.gz")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame, _ = load_confounds(str(image), demean=False, **FMRIPREP[name])
    except (ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: confounds {name!r} cannot be had: {reason} {_there(table)}") from error
    names = tuple(map(str, frame.columns))
    return numeric_columns(path, frame, names), names


def _columns(path: Path, table: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    missing = [name for name in names if name not in table]
    if missing:
        raise DataError(f"{path}: no column {', '.join(map(repr, missing))}. {_there(table)}")
    return numeric_columns(path, table, tuple(names))


def _there(table: pd.DataFrame) -> str:
    names = [str(name) for name in table.columns]
    return f"There are {', '.join(names[:12])}{f' and {len(names) - 12} more' if len(names) > 12 else ''}."


def read_displacement(path: Path) -> NDArray[np.float64] | None:
    """Framewise displacement of one run in mm, shape (n,), as the table has it or from its motion parameters.

    Parameters
    ----------
    path : Path
        As for `read_confounds`.

    Returns
    -------
    array or None
        None where the table has neither.
    """
    table = _table(path)
    if "framewise_displacement" not in table and not set(MOTION) <= set(table.columns):
        return None
    return _displacement(path, table)


def _kept(path: Path, table: pd.DataFrame, fd_threshold: float, dvars_threshold: float) -> NDArray[np.bool_]:
    outliers = np.zeros(len(table), dtype=bool)
    if fd_threshold > 0:
        outliers |= _displacement(path, table) > fd_threshold
    if dvars_threshold > 0:
        outliers |= _first_missing(path, table, "std_dvars") > dvars_threshold
    if fd_threshold > 0 or dvars_threshold > 0:
        outliers = censored(outliers)
    for name in table.columns:
        if str(name).startswith("non_steady_state"):
            outliers |= _columns(path, table, [name])[:, 0] > 0
    if outliers.all():
        limits = f"{fd_threshold:g} mm of framewise displacement and {dvars_threshold:g} of DVARS (0: none)"
        raise DataError(f"{path}: all {len(table)} volumes are censored by thresholds of {limits}.")
    return ~outliers


def _displacement(path: Path, table: pd.DataFrame) -> NDArray[np.float64]:
    if "framewise_displacement" in table:
        return _first_missing(path, table, "framewise_displacement")
    return framewise_displacement(_columns(path, table, MOTION))


def _first_missing(path: Path, table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """A measure of change since the volume before, which the first volume lacks: 0 there."""
    values = _columns(path, table, [name])[:, 0]
    if np.isnan(float(table[name].iloc[0])):
        values[0] = 0.0
    return values
