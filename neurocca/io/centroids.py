"""Where parcels lie, of parcels that come as tables of time series and say no more than their names."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurocca.errors import DataError
from neurocca.io.timeseries import read_table

AXES = (("x", "y", "z"), ("r", "a", "s"))
"""How columns of coordinates are called, in any case of letters: right, anterior, superior."""


def read_centroids(path: Path, labels: Sequence[str]) -> NDArray[np.float64]:
    """Coordinates of parcels in mm of MNI space, shape (len(labels), 3).

    Parameters
    ----------
    path : Path
        TSV or CSV with columns x, y, z (or R, A, S), and one that holds the parcels' names as the BOLD tables have
        them; other columns, and other parcels, do not matter.
    labels : sequence of str

    Raises
    ------
    NoInputError, DataError
        The message names the file and what is missing.
    """
    table = read_table(path)
    columns = {str(column).lower(): column for column in table}
    axes = next((names for names in AXES if set(names) <= columns.keys()), None)
    if axes is None:
        raise DataError(f"{path}: no columns x, y, z (or R, A, S); there are {', '.join(map(str, table.columns))}.")
    places = table[[columns[axis] for axis in axes]].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    names = max(
        (table[column].astype(str) for lower, column in columns.items() if lower not in axes),
        key=lambda found: int(found.isin(labels).sum()),
        default=pd.Series(dtype=str),
    )
    rows = {name: row for row, name in reversed(list(enumerate(names)))}
    missing = [label for label in labels if label not in rows or not np.isfinite(places[rows[label]]).all()]
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise DataError(f"{path}: no coordinates of {len(missing)} of {len(labels)} parcels: {shown}.")
    return places[[rows[label] for label in labels]]
