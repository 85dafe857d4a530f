"""Parcel tables as a brain: one TSV or CSV per run, one column per parcel."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurocca.errors import DataError
from neurocca.io.maps import Run, check_maps, only, within, write_maps
from neurocca.io.timeseries import read_parcels, write_table


@dataclass(frozen=True)
class ParcelTable:
    """Brain of the columns of parcel tables; see `neurocca.io.brains.Brain`.

    Parameters
    ----------
    columns : tuple of str
        All columns of the tables, in order.
    kept : array of bool, shape (number of columns,)
        Which of them are analysed.
    """

    columns: tuple[str, ...]
    kept: NDArray[np.bool_]
    kind: ClassVar[Literal["parcels"]] = "parcels"
    dropped: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def of(cls, run: Run) -> "ParcelTable":
        """Brain of all columns of a table.

        Raises
        ------
        NoInputError, DataError
            The message names the file.
        """
        columns = read_parcels(only(run))[1]
        return cls(columns, np.ones(len(columns), dtype=bool))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the parcels, from the header."""
        return tuple(name for name, keep in zip(self.columns, self.kept, strict=True) if keep)

    def n_volumes(self, run: Run) -> int:
        """Number of lines below the header."""
        return len(read_parcels(only(run))[0])

    def repetition_time(self, run: Run) -> float | None:
        """None: a table does not say it."""
        return None

    def read(self, run: Run) -> NDArray[np.float32]:
        """Time series, shape (n_volumes, n_parcels); a parcel that is n/a throughout is NaN.

        Raises
        ------
        NoInputError, DataError
            When the file cannot be read or has other columns.
        """
        data, columns = read_parcels(only(run))
        if columns != self.columns:
            raise DataError(
                f"{only(run)}: its {len(columns)} parcels are not the {len(self.columns)} of the first run: "
                f"{_difference(columns, self.columns)}."
            )
        return data[:, self.kept].astype(np.float32)

    def narrowed(self, kept: NDArray[np.bool_]) -> "ParcelTable":
        """Brain of the parcels for which ``kept``, shape (n_parcels,), is true."""
        return ParcelTable(self.columns, within(self.kept, kept))

    def write(self, rows: ArrayLike, stem: Path, names: Sequence[str], sidecar: dict[str, Any]) -> list[Path]:
        """Write rows, shape (k, n_parcels), as the columns of ``stem.tsv``, one line per parcel."""
        table = parcel_maps(check_maps(rows, len(self.labels), names), self.labels, names)
        return write_maps(stem.parent, {f"{stem.name}.tsv": lambda path: write_table(path, table)}, names, sidecar)


def _difference(columns: Sequence[str], first: Sequence[str]) -> str:
    for names, others, what in ((columns, first, "is not one of them"), (first, columns, "is missing")):
        if unlike := [name for name in names if name not in others]:
            return f"{unlike[0]!r} {what}"
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    return f"{repeated[0]!r} repeats" if repeated else "they are in another order"


def parcel_maps(rows: NDArray, labels: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    """Maps over parcels as a table: column ``parcel``, then one column per map."""
    table = pd.DataFrame(rows.T, columns=list(names))
    table.insert(0, "parcel", list(labels))
    return table
