"""Tables: parcel time series, events and annotations as CSV or TSV."""

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurocca.errors import DataError, NoInputError


def read_table(path: Path, required: tuple[str, ...] = ()) -> pd.DataFrame:
    """Read a CSV or TSV with a header line.

    Parameters
    ----------
    path : Path
        Tab-separated when its name ends in .tsv, comma-separated otherwise.
    required : tuple of str
        Columns that must be there.

    Raises
    ------
    NoInputError, DataError
        The message names the file and what is wrong with it.
    """
    check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",", na_values=["n/a"], index_col=False)
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
    if path.is_dir():
        raise NoInputError(f"{path}: a directory, where a file is expected.")
    if not path.is_file():
        what = "its content is not here (a link that leads nowhere)" if path.is_symlink() else "no such file"
        raise NoInputError(f"{path}: {what}.")


def check_parcel_lines(path: Path, table: pd.DataFrame) -> None:
    """Tell a table that was cut off from one that is whole.

    A number cut in its middle is a number still; what gives it away is the line end that is missing.
    """
    last = table.iloc[-1].isna().to_numpy()
    if last.any() and not table.iloc[:-1].isna().to_numpy().any() and last[last.argmax() :].all():
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
    bad = ~np.isfinite(data)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(
            f"{path}: parcel {table.columns[column]!r} is NaN or infinite on line {row + 2} "
            f"({int(bad.sum())} such values in all)."
        )
    return data, tuple(map(str, table.columns))


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
