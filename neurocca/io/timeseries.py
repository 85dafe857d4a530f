"""Tables: parcel time series, events and annotations as CSV or TSV."""

import csv
import itertools
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurocca.errors import DataError, NoInputError
from neurocca.io.files import why_absent, write_text


def read_table(path: Path, required: tuple[str, ...] = (), text: tuple[str, ...] = ()) -> pd.DataFrame:
    """Read a CSV or TSV with a header line.

    Parameters
    ----------
    path : Path
        Tab-separated when its name ends in .tsv, comma-separated otherwise.
    required : tuple of str
        Columns that must be there.
    text : tuple of str
        Columns that are read as they are written, also where they look like numbers.

    Raises
    ------
    NoInputError, DataError
        The message names the file and what is wrong with it.
    """
    check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            separator = "\t" if path.suffix == ".tsv" else ","
            as_written = dict.fromkeys(text, str)
            table = pd.read_csv(path, sep=separator, na_values=["n/a"], index_col=False, dtype=as_written)
    except OSError as error:
        raise NoInputError(f"{path}: cannot be read: {error.strerror}.") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, pd.errors.ParserWarning, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable table: {str(error).strip()}") from error
    missing = [column for column in required if column not in table]
    if missing:
        raise DataError(f"{path}: column {missing[0]!r} is missing; found {', '.join(map(str, table.columns[:8]))}.")
    return table


def check_file(path: Path) -> None:
    """Say in one line why a path is not a file that can be opened."""
    if reason := why_absent(path):
        raise NoInputError(f"{path}: {reason}.")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a TSV with seven significant digits: what float32 data can carry, and no rounding noise."""
    write_text(path, table.to_csv(sep="\t", index=False, float_format="%.7g", na_rep="n/a", lineterminator="\n"))


def check_parcel_lines(path: Path, table: pd.DataFrame) -> None:
    """Tell a table that was cut off from one that is whole.

    A number cut in its middle is a number still; what gives it away is the line end that is missing.
    """
    missing = table.isna().to_numpy()
    last, before = missing[-1], missing[:-1]
    # a parcel without data (n/a on all lines) says nothing about where the file ends
    absent = before.all(axis=0) & last if len(before) else np.zeros(len(last), dtype=bool)
    cut = last & ~absent
    if cut.any() and not before[:, ~absent].any() and last[cut.argmax() :].all():
        raise DataError(
            f"{path}: truncated: line {len(table) + 1} has {int((~last).sum())} values, expected {len(last)}."
        )
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) not in b"\r\n":
            raise DataError(
                f"{path}: truncated? The last line, {len(table) + 1}, has no line end. If the file is whole, add one."
            )


def read_parcels(path: Path) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Read the time series of one run, one column per parcel.

    Returns
    -------
    data : array, shape (n_volumes, q)
        A parcel that is n/a on all lines, as XCP-D writes one that the scan covers too little, is NaN.
    labels : tuple of str, length q
        Parcel labels from the header.

    Raises
    ------
    NoInputError, DataError
        The message names the file and, for bad values, the column and line.
    """
    table = read_table(path)
    if table.empty:
        raise DataError(f"{path}: a header, but no volumes.")
    check_parcel_lines(path, table)
    words = [str(column) for column in table if not pd.api.types.is_numeric_dtype(table[column])]
    if words:
        raise DataError(f"{path}: column {words[0]!r} holds values that are not numbers.")
    data = table.to_numpy(dtype=float)
    absent = np.isnan(data).all(axis=0)
    if absent.any():
        _check_absent(path, absent)
    bad = ~np.isfinite(data) & ~absent
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(
            f"{path}: parcel {table.columns[column]!r} is NaN or infinite on line {row + 2} "
            f"({int(bad.sum())} such values in all)."
        )
    return data, tuple(map(str, table.columns))


def _check_absent(path: Path, absent: NDArray[np.bool_]) -> None:
    """Tell parcels that are said to have no data from lines that are too short, which pandas fills up."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, first = itertools.islice(csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ","), 2)
    if len(first) != len(header):
        raise DataError(f"{path}: line 2 has {len(first)} values, expected {len(header)}.")
    if absent.all():
        raise DataError(f"{path}: all {len(absent)} parcels are n/a.")


def read_kernel(path: Path) -> NDArray[np.float64]:
    """Read a haemodynamic response that is given as one column, with or without a header line.

    Returns
    -------
    array, shape (m,)

    Raises
    ------
    NoInputError, DataError
        The message names the file and the line.
    """
    check_file(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file with a response: {error.reason}.") from error
    values = []
    for number, line in enumerate(lines, start=1):
        try:
            values.append(float(line))
        except ValueError as error:
            if number > 1 and line.strip():
                raise DataError(f"{path}: line {number} is not one number: {line.strip()[:60]!r}.") from error
    kernel = np.array(values)
    if not np.isfinite(kernel).all() or not kernel.any():
        raise DataError(f"{path}: a response of {len(kernel)} values that are all 0, or some of which are not finite.")
    return kernel
