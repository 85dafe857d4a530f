"""What all kinds of brain share: which columns can be used, and maps written with sidecars, all files or none."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurocca.errors import UsageError
from neurocca.io.files import json_text, staged, write_text

Kind = Literal["voxels", "parcels", "surface", "grayordinates"]

Run = tuple[Path, ...]
"""Files of one run: one, or for surfaces the left and the right hemisphere."""

_EXTENSIONS = (".nii.gz", ".func.gii", ".dscalar.nii", ".pscalar.nii", ".tsv")


def only(run: Run) -> Path:
    """The file of a run that has one."""
    if len(run) != 1:
        raise UsageError(f"run {', '.join(map(str, run))}: one file is expected, there are {len(run)}.")
    return run[0]


def usable_columns(data: NDArray) -> NDArray[np.bool_]:
    """Columns of one run that are finite throughout and vary, shape (V,), of an array of shape (T, V)."""
    # minimum and maximum carry NaN and infinity along, and need no array of the run's size
    with np.errstate(invalid="ignore"):
        low, high = data.min(axis=0), data.max(axis=0)
    return np.isfinite(low) & np.isfinite(high) & (high > low)


def check_maps(rows: ArrayLike, n_columns: int, names: Sequence[str]) -> NDArray[np.float32]:
    """Maps as an array of shape (k, n_columns), one name for each.

    Raises
    ------
    ValueError
        When the numbers do not fit.
    """
    maps = np.atleast_2d(np.asarray(rows, dtype=np.float32))
    if maps.shape != (len(names), n_columns):
        raise ValueError(f"maps have shape {maps.shape}, but {len(names)} names and {n_columns} columns are given.")
    return maps


def write_maps(
    folder: Path, files: Mapping[str, Callable[[Path], object]], names: Sequence[str], sidecar: Mapping[str, Any]
) -> list[Path]:
    """Write files and a JSON sidecar beside each, all of them or none.

    Parameters
    ----------
    folder : Path
        Made when it is not there.
    files : mapping
        From file name to the function that writes such a file at a path.
    names : sequence of str
        Names of the maps, ``MapNames`` in the sidecars: a NIfTI has no place for them.
    sidecar : mapping
        What else the sidecars hold.

    Returns
    -------
    list of Path
        The files, then the sidecars.

    Raises
    ------
    OutputError
        When a file cannot be written.
    """
    text = json_text({"MapNames": list(names), **sidecar})
    # one sidecar serves a table and an image of the same name
    sidecars = dict.fromkeys(f"{_without_extension(name)}.json" for name in files)
    with staged(folder) as stage:
        for name, write in files.items():
            write(stage / name)
        for name in sidecars:
            write_text(stage / name, text)
    return [folder / name for name in (*files, *sidecars)]


def _without_extension(name: str) -> str:
    return next(name.removesuffix(extension) for extension in _EXTENSIONS if name.endswith(extension))


def within(chosen: NDArray[np.bool_], kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Choice among all columns, given a further choice ``kept`` among the chosen ones."""
    narrowed = chosen.copy()
    narrowed[chosen] = kept
    return narrowed
