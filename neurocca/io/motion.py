"""Motion parameters of one run, as the programs that realign volumes write them, and what follows from them."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurocca.errors import DataError
from neurocca.io.timeseries import check_file, read_table

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
"""Millimetres and radians, named as fMRIPrep does."""

HEAD_RADIUS = 50.0
"""Millimetres: what a rotation moves is taken to lie on a sphere of this radius (Power et al. 2012)."""

_TABLES = (".tsv", ".csv")
_HEADERLESS = (".par", ".txt", ".1D")


def read_motion(path: Path) -> NDArray[np.float64]:
    """Read the six motion parameters of one run.

    Parameters
    ----------
    path : Path
        A table with the columns MOTION; FSL's mcflirt (``.par``, also studyforrest's ``_mcparams.txt``: rotations in
        radians, then translations); or AFNI's 3dvolreg (``.1D``: roll, pitch and yaw in degrees, then translations).

    Returns
    -------
    array, shape (n, 6)
        In the order of MOTION: translations in mm, then rotations in radians. AFNI's axes keep their own order, which
        is another one; neither confounds nor displacement depend on it.

    Raises
    ------
    NoInputError, DataError
        The message names the file and, for bad values, the line.
    """
    check_file(path)
    if path.name.endswith(_TABLES):
        return numeric_columns(path, read_table(path, required=MOTION), MOTION)
    if not path.name.endswith(_HEADERLESS):
        raise DataError(
            f"{path}: not a known kind of motion file: {', '.join(_TABLES + _HEADERLESS)} are (FSL: .par or .txt, "
            "AFNI: .1D)."
        )
    parameters = _read_numbers(path)
    rotations, translations = parameters[:, :3], parameters[:, 3:]
    if path.suffix == ".1D":
        rotations = np.deg2rad(rotations)
    return np.hstack([translations, rotations])


def numeric_columns(path: Path, table: pd.DataFrame, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Columns of a table as numbers, shape (n, len(names)); only the first row may be missing.

    Derivatives have no first value: it takes the second one, as in nilearn.
    """
    values = np.empty((len(table), len(names)))
    for j, name in enumerate(names):
        if table[name].dtype.kind not in "iuf":
            raise DataError(f"{path}: column {name!r} holds values that are not numbers.")
        values[:, j] = table[name]
    if len(values) > 1:
        first = np.isnan(values[0])
        values[0, first] = values[1, first]
    if not np.isfinite(values).all():
        row, j = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"{path}: column {names[j]!r} is missing or infinite on line {row + 2}.")
    return values


def expand_motion(motion: NDArray, names: tuple[str, ...] = MOTION) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Motion parameters, their derivatives, and the squares of both: 24 columns.

    Parameters
    ----------
    motion : array, shape (n, 6)
    names : tuple of str, length 6

    Returns
    -------
    array, shape (n, 24), and the names of its columns, as fMRIPrep has them

    References
    ----------
    Satterthwaite et al. (2013), An improved framework for confound regression and filtering for control of motion
    artifact, NeuroImage 64:240-256, doi:10.1016/j.neuroimage.2012.08.052.
    """
    derivatives = _backward_differences(motion)
    squares = motion**2
    squared_derivatives = derivatives**2
    if len(motion) > 1:
        for columns in (derivatives, squared_derivatives):
            columns[0] = columns[1]  # as nilearn fills what a derivative lacks
    suffixes = ("", "_derivative1", "_power2", "_derivative1_power2")
    expanded = np.hstack([motion, derivatives, squares, squared_derivatives])
    return expanded, tuple(name + suffix for suffix in suffixes for name in names)


def framewise_displacement(motion: NDArray, radius: float = HEAD_RADIUS) -> NDArray[np.float64]:
    """How far the head moved since the volume before, shape (n,), in mm; 0 in the first volume.

    Parameters
    ----------
    motion : array, shape (n, 6)
        Translations in mm, rotations in radians.
    radius : float
        Of the head, in mm.

    References
    ----------
    Power et al. (2012), Spurious but systematic correlations in functional connectivity MRI networks arise from subject
    motion, NeuroImage 59:2142-2154, doi:10.1016/j.neuroimage.2011.10.018.

    Examples
    --------
    >>> framewise_displacement(np.array([[0, 0, 0, 0, 0, 0], [0.1, 0, 0, 0, 0, 0.01]])).tolist()
    [0.0, 0.6]
    """
    moved = np.abs(_backward_differences(motion))
    return moved[:, :3].sum(axis=1) + radius * moved[:, 3:].sum(axis=1)


def _backward_differences(series: NDArray) -> NDArray[np.float64]:
    return np.diff(series, axis=0, prepend=series[:1])


def _read_numbers(path: Path) -> NDArray[np.float64]:
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file with motion parameters: {error.reason}.") from error
    for number, line in enumerate(lines, start=1):
        values = line.split("#")[0].split()
        if not values:
            continue
        if len(values) != 6:
            raise DataError(f"{path}: {len(values)} values on line {number}, six motion parameters are expected.")
        try:
            rows.append([float(value) for value in values])
        except ValueError as error:
            raise DataError(f"{path}: line {number} holds words instead of numbers: {line.strip()[:60]!r}.") from error
        if not np.isfinite(rows[-1]).all():
            raise DataError(f"{path}: a value on line {number} is NaN or infinite.")
    if not rows:
        raise DataError(f"{path}: holds no motion parameters.")
    return np.array(rows)
