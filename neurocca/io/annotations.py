"""Events of BIDS, and features that users bring themselves: tables, BIDS recordings and NumPy arrays."""

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurocca.design import FeatureSeries
from neurocca.errors import DataError, UsageError
from neurocca.features.annotations import category_labels
from neurocca.io.files import one_line
from neurocca.io.timeseries import check_file, read_table

TIMES = ("time", "onset")
"""Columns that say, in seconds since the film began, when a sample begins."""

_SUFFIXES = (".tsv", ".csv", ".tsv.gz", ".npy")
_NO_TABLE = (pd.errors.ParserError, pd.errors.EmptyDataError)


def is_events(path: Path) -> bool:
    """Whether a file is named as BIDS names events: ``…_events.tsv``, or ``events.tsv``."""
    return path.name.endswith("_events.tsv") or path.name == "events.tsv"


def read_events(path: Path) -> pd.DataFrame:
    """Read BIDS events.

    Parameters
    ----------
    path : Path
        Tab-separated, with columns onset and duration in seconds. A sidecar beside it, with .json in place of .tsv,
        tells numbers that stand for categories: columns with ``Levels``.

    Returns
    -------
    DataFrame
        As `neurocca.features.annotations.events_features` takes it. Missing values (``n/a``) are NaN; categories are
        text.

    Raises
    ------
    NoInputError, DataError
        The message names the file and, for bad values, the column and line.
    """
    table = _with_lines(read_table(path, ("onset", "duration")), 2)
    if table.empty:
        raise DataError(f"{path}: a header, but no events.")
    _check_numbers(path, table[["onset"]])
    _check_numbers(path, table[["duration"]].dropna())
    negative = table["duration"].to_numpy(dtype=float) < 0
    if negative.any():
        raise DataError(f"{path}: column 'duration' is negative on line {table.index[int(negative.argmax())]}.")
    described = read_sidecar(path)
    for column in table.columns.difference(["onset", "duration"]):
        about = described.get(str(column))
        if column == "trial_type" or (isinstance(about, dict) and "Levels" in about):
            table[column] = category_labels(table[column])
    return table.reset_index(drop=True)


def says_when(path: Path) -> bool:
    """Whether a table of features, or its sidecar, says when its samples are; so that no rate has to be given.

    Raises
    ------
    NoInputError, DataError
        When it cannot be read.
    """
    check_file(path)
    sidecar = read_sidecar(path)
    if "SamplingFrequency" in sidecar or path.suffix == ".npy":
        return "SamplingFrequency" in sidecar
    header = _first_line(path).removeprefix("\ufeff").split("," if path.suffix == ".csv" else "\t")
    columns = sidecar.get("Columns") or [column.strip('"') for column in header]
    return any(column in TIMES for column in columns)


def read_series(path: Path, rate: float | None = None) -> FeatureSeries:
    """Read a user's own features of one run.

    Samples begin at the times of a column ``time`` or ``onset``, or where there is none at regular times: from the
    ``SamplingFrequency`` and ``StartTime`` of a BIDS sidecar, or at k / rate. A column ``duration`` beside ``onset``
    is left out.

    Parameters
    ----------
    path : Path
        One of: ``.tsv`` or ``.csv`` with a header, one line per sample; a BIDS continuous recording (``.tsv.gz``
        without a header, whose sidecar names the ``Columns``); ``.npy`` with an array of shape (t, f) or (t,).
    rate : float, optional
        Samples per second, where the file does not say.

    Returns
    -------
    FeatureSeries
        Columns of an array are named after the file.

    Raises
    ------
    NoInputError, DataError
        When the file cannot be read, holds no numbers or missing ones, or its times do not ascend.
    UsageError
        When it needs a rate, or the rate is not what the file says.
    """
    check_file(path)
    if not path.name.endswith(_SUFFIXES):
        raise UsageError(f"{path}: not a table of features: a name that ends in {', '.join(_SUFFIXES)} is expected.")
    if rate is not None and not rate > 0:
        raise UsageError(f"{path}: rate={rate} must be a positive number of samples per second.")
    sidecar = read_sidecar(path)
    if path.suffix == ".npy":
        data, names = _read_array(path)
        return FeatureSeries(data, _regular_times(path, len(data), sidecar, rate), names)
    recording = path.suffix == ".gz" or "Columns" in sidecar
    table = _read_recording(path, sidecar.get("Columns")) if recording else _with_lines(read_table(path), 2)
    _check_header(path, table)
    _check_numbers(path, table)
    named = next((column for column in TIMES if column in table), None)
    features = table.drop(columns=[c for c in (named, "duration" if named == "onset" else None) if c in table])
    if features.empty:
        raise DataError(f"{path}: holds no {'samples' if table.empty else 'columns of features'}.")
    times = _ascending(path, table[named], rate) if named else _regular_times(path, len(table), sidecar, rate)
    return FeatureSeries(features.to_numpy(dtype=float), times, tuple(map(str, features.columns)))


def read_sidecar(path: Path) -> dict[str, Any]:
    """What the JSON file beside a file says, its name being the same but for the ending; nothing when there is none.

    Raises
    ------
    DataError
        When it is not a JSON object.
    """
    sidecar = _sidecar(path)
    if not sidecar.is_file():
        return {}
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{sidecar}: not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{sidecar}: a JSON object is expected.")
    return content


def _sidecar(path: Path) -> Path:
    ending = next((suffix for suffix in _SUFFIXES if path.name.endswith(suffix)), path.suffix)
    return path.with_name(path.name.removesuffix(ending) + ".json")


def _read_recording(path: Path, columns: list[str] | None) -> pd.DataFrame:
    """Tab-separated lines, compressed or not, that a header precedes or whose columns the sidecar names."""
    first = _first_line(path).split("\t")
    if columns is not None and len(columns) != len(first):
        raise DataError(f"{path}: {len(first)} columns, but its sidecar names {len(columns)}.")
    headed = columns is None or first == columns
    names = None if headed else columns
    with _reading(path):
        table = pd.read_csv(
            path, sep="\t", header=0 if headed else None, names=names, na_values=["n/a"], index_col=False
        )
    return _with_lines(table, 2 if headed else 1)


def _first_line(path: Path) -> str:
    with (
        _reading(path),
        gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file,
    ):
        return file.readline().rstrip("\r\n")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, *_NO_TABLE) as error:
        raise DataError(f"{path}: not a readable table: {one_line(error)}") from error


def _with_lines(table: pd.DataFrame, first: int) -> pd.DataFrame:
    """The table with the numbers of its lines as its index."""
    return table.set_axis(range(first, first + len(table)))


def _read_array(path: Path) -> tuple[NDArray[np.floating], tuple[str, ...]]:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not a readable array of numbers: {error}") from error
    if array.dtype.kind not in "fiub" or array.ndim not in (1, 2) or array.size == 0:
        raise DataError(
            f"{path}: holds {array.dtype} of shape {array.shape}: numbers of shape (samples, features) are expected."
        )
    names = (path.stem,) if array.ndim == 1 else tuple(f"{path.stem}_{j}" for j in range(array.shape[1]))
    data = array.reshape(len(array), -1)
    data = data if data.dtype.kind == "f" else data.astype(float)
    bad = ~np.isfinite(data)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(
            f"{path}: NaN or infinite in row {row}, column {column}, counted from 0 ({bad.sum()} such values in all)."
        )
    return data, names


def _regular_times(path: Path, n: int, sidecar: dict[str, Any], rate: float | None) -> NDArray[np.float64]:
    said, start = sidecar.get("SamplingFrequency", rate), sidecar.get("StartTime", 0)
    if said is None:
        raise UsageError(needs_rate(path))
    if not all(isinstance(value, int | float) for value in (said, start)) or not said > 0:
        raise DataError(f"{path}: its sidecar's SamplingFrequency is {said!r} and StartTime {start!r}: numbers needed.")
    if rate is not None and not np.isclose(rate, said, rtol=1e-3):
        raise UsageError(f"{path}: its sidecar says {said:g} samples per second, and the rate given is {rate:g}.")
    return start + np.arange(n) / said


def needs_rate(path: Path) -> str:
    """Message for a table whose rate nobody has said."""
    column = "" if path.suffix == ".npy" else f"no column {' or '.join(TIMES)} and "
    return (
        f"{path}: how many samples per second? It has {column}no sidecar {_sidecar(path).name} with a "
        "SamplingFrequency: give its rate (--table-rate)."
    )


def _ascending(path: Path, column: pd.Series, rate: float | None) -> NDArray[np.float64]:
    times = column.to_numpy(dtype=float)
    steps = np.diff(times)
    if np.any(steps <= 0):
        k = int((steps <= 0).argmax())
        raise DataError(
            f"{path}: column {column.name!r} does not ascend on line {column.index[k + 1]}: {times[k + 1]:g} s is not "
            f"after {times[k]:g} s."
        )
    if rate is not None and len(steps) and not np.isclose(np.median(steps) * rate, 1, rtol=1e-3):
        raise UsageError(f"{path}: its samples are {np.median(steps):g} s apart, and the rate given is {rate:g}.")
    return times


def _check_header(path: Path, table: pd.DataFrame) -> None:
    # a table without a header would lose its first sample, and all others would come too early
    if all(_is_number(str(column)) for column in table):
        raise DataError(f"{path}: line 1 holds numbers, and names of columns are expected in it.")


def _check_numbers(path: Path, table: pd.DataFrame) -> None:
    """Say in which column and line there is no number."""
    for name, column in table.items():
        bad = ~np.isfinite(pd.to_numeric(column, errors="coerce").to_numpy(dtype=float))
        if bad.any():
            found = column.iloc[bad.argmax()]
            what = f"holds {found!r}" if isinstance(found, str) else "is missing or infinite"
            raise DataError(
                f"{path}: column {name!r} {what} on line {table.index[int(bad.argmax())]}, where a number is expected "
                f"({bad.sum()} such values in all)."
            )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
